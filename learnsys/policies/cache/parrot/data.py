"""What the network sees of a set, and what Belady says about it, as arrays of fixed shape.

A set at access t is told by `touched`, the index of the access that last touched each way (-1: free). Together with
the trace it gives each line's number, last PC, age and next use, so nothing else is ever stored about a cache.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from learnsys.envs.cache.accesses import NEVER


@njit(
    [
        "void(int32[:], int32[:], int64, int16[:], int32[:, :], int32[:, :], int32[:], int32[:, :], boolean[:])",
    ],
    cache=True,
    nogil=True,
)
def replay(line, row, start, victims, tags, touched, filled, seen, decision):
    """Run the cache again with the given `victims`, and keep the set of each access as it stands before an eviction.

    `seen` (n, ways) gets `touched` of the access's set, a hit line's touch being the access itself, so that its next
    use is the one after. `decision` (n,) tells the misses in full sets. The cache arrays are advanced.
    """
    ways = tags.shape[1]
    for i in range(victims.size):
        t = start + i
        r = row[t]
        wanted = line[t]
        way = 0
        while way < filled[r] and tags[r, way] != wanted:
            way += 1
        decision[i] = way == ways
        if way < filled[r]:
            touched[r, way] = t
        for w in range(ways):
            seen[i, w] = touched[r, w]
        if way < filled[r]:
            continue
        if way == ways:
            way = victims[i]
        else:
            filled[r] += 1
        tags[r, way] = wanted
        touched[r, way] = t


@njit(
    ["void(int64[:], int32[:, :], int32[:], float32, int32, float32[:, :], int64[:])"],
    cache=True,
    nogil=True,
)
def label(times, touched, next_use, longest, never, distance, victim):
    """log10 of the accesses until each line's next use, at most `longest`, 0 in free ways; and Belady's victim.

    Shapes: `times` (n,), `touched` and `distance` (n, ways), `victim` (n,): the lowest way used furthest ahead.
    """
    for i in range(times.size):
        furthest = np.int64(-1)
        for way in range(touched.shape[1]):
            distance[i, way] = 0
            if touched[i, way] < 0:
                continue
            use = np.int64(next_use[touched[i, way]])
            if use > furthest:
                furthest = use
                victim[i] = way
            if use == never:
                distance[i, way] = longest
            else:
                distance[i, way] = min(longest, np.log10(np.float32(use - times[i])))


@njit(["void(int32[:, :], int32[:], int64[:], int64[:, :])"], cache=True, nogil=True)
def keys_of(touched, ids, keys, out):
    """`keys` of the ids accessed at `touched`, 0 in free ways; shapes (n, ways), (accesses,), (ids,), (n, ways)."""
    for i in range(touched.shape[0]):
        for way in range(touched.shape[1]):
            out[i, way] = keys[ids[touched[i, way]]] if touched[i, way] >= 0 else 0


@njit(["void(float32[:, :, :], float32[:, :], float32[:, :, :])"], cache=True, nogil=True)
def scan(kept, first, added):
    """c_t = kept_t c_{t-1} + added_t from c_{-1} = `first` (B, D), in place of `added` (B, T, D)."""
    for b in range(added.shape[0]):
        for d in range(added.shape[2]):
            added[b, 0, d] += kept[b, 0, d] * first[b, d]
        for t in range(1, added.shape[1]):
            for d in range(added.shape[2]):
                added[b, t, d] += kept[b, t, d] * added[b, t - 1, d]


def belady_labels(
    times: NDArray[np.int64], touched: NDArray[np.int32], next_use: NDArray[np.int32], longest: float
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """`label` with its arrays made: distances (n, ways) and victims (n,)."""
    distance, victim = np.empty(touched.shape, np.float32), np.zeros(times.size, np.int64)
    label(times, touched, next_use, np.float32(longest), NEVER, distance, victim)
    return distance, victim


def line_keys(touched: NDArray[np.int32], ids: NDArray[np.int32], keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """`keys_of` with its array made, (n, ways)."""
    out = np.empty(touched.shape, np.int64)
    keys_of(touched, ids, keys, out)
    return out
