"""A recursion's core: the vertices that decisions are still about, in CSR; and what removals leave of it.

Kernels of their own, so that policies which decide by something else than the comparator need not compile it.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_at = np.uint64  # an index that is never negative: Numba need not look whether it counts from the end
_CORE = "int32[::1], int32[::1], int32[::1]"


@njit(
    [
        f"void({_CORE}, int64, uint8[::1], boolean, {_CORE}, int64, int64, int32[::1], int32[::1], int64[::1])",
    ],
    cache=True,
)
def shrink(ptr, idx, vertex, rows, removed, cover, new_ptr, new_idx, new_vertex, row, place, degree, number, counts):
    """The core after a removal.

    Args:
        ptr, idx, vertex, rows: the core's CSR, from entry 0 and numbered from 0, and the vertex behind each row.
        removed: whether a row is removed.
        new_ptr, new_idx, new_vertex: receive the new core from `row` on, its edges from `place` on; rows are numbered
            from `row`, and new_ptr[row] must be `place` already.
        degree, number: room for `rows` entries.
        counts: (rows, edge entries, newly isolated vertices, new isolated edges) of the result.
    """
    for r in range(rows):
        degree[r] = ptr[r + 1] - ptr[r]
    for r in range(rows):
        if removed[r]:
            for e in range(_at(ptr[r]), _at(ptr[r + 1])):
                degree[_at(idx[e])] -= 1
    isolated, pairs, kept = 0, 0, 0
    for r in range(rows):
        number[r] = -1
        if removed[r]:
            continue
        if degree[r] == 0:
            isolated += 1
            continue
        if cover and degree[r] == 1:
            other = -1
            for e in range(ptr[r], ptr[r + 1]):
                if not removed[idx[e]]:
                    other = idx[e]
            if degree[other] == 1:
                pairs += 1
                continue
        number[r] = row + kept
        kept += 1
    end, at = _at(place), row
    for r in range(rows):
        if number[r] >= 0:
            new_vertex[at] = vertex[r]
            for e in range(_at(ptr[r]), _at(ptr[r + 1])):  # without a branch: what is not wanted is written over
                neighbour = number[_at(idx[e])]
                new_idx[end] = neighbour
                end += _at(neighbour >= 0)
            at += 1
            new_ptr[at] = end
    counts[0] = kept
    counts[1] = np.int64(end) - place
    counts[2] = isolated
    counts[3] = pairs // 2


@njit(["Tuple((int32[::1], int32[::1], int32[::1]))(int64[::1], int32[::1], int64, int64)"], cache=True)
def cut_out(ptr, idx, low, high):
    """One graph of a batch, as a core: ptr, idx and the vertices, numbered from 0."""
    own_ptr, own_vertex = np.empty(high - low + 1, np.int32), np.empty(high - low, np.int32)
    for v in range(high - low + 1):
        own_ptr[v] = ptr[low + v] - ptr[low]
    for v in range(high - low):
        own_vertex[v] = v
    own_idx = np.empty(ptr[high] - ptr[low], np.int32)
    for e in range(own_idx.size):
        own_idx[e] = idx[ptr[low] + e] - low
    return own_ptr, own_idx, own_vertex


@njit(["float64(uint64[::1], int64)"], cache=True)
def draw(state, lane):
    """The next number of a lane's stream, in [0, 1): splitmix64 (Steele, Lea and Flood, OOPSLA 2014)."""
    state[lane] += np.uint64(0x9E3779B97F4A7C15)
    z = state[lane]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return np.float64(z >> np.uint64(11)) * 2.0**-53
