"""Kernels of `bipartite`: edges sorted by target, regrouped by source, or cut out around chosen sources."""

from __future__ import annotations

import numpy as np
from numba import njit, types

READ_INTS, READ_FLOATS = (types.Array(kind, 1, "C", readonly=True) for kind in (types.int32, types.float32))
READ_ROWS = types.Array(types.float32, 2, "C", readonly=True)
"""arrays that a kernel only reads: of files, say, which are mapped read-only"""


@njit([types.int32[::1](READ_INTS, READ_INTS, types.int64)], cache=True, nogil=True)
def narrow_columns(sources, place, count):
    """Where the edges of each chosen source begin, int32 (count + 1,).

    Args:
        place: for each source its place among the chosen, or -1.
    """
    pointers = np.zeros(count + 1, np.int32)
    for source in sources:
        pointers[place[source] + 1] += 1  # the first entry counts the edges of all others
    pointers[0] = 0
    for i in range(count):
        pointers[i + 1] += pointers[i]
    return pointers


@njit(
    [types.void(READ_INTS, READ_INTS, READ_FLOATS, READ_INTS, READ_INTS, types.int32[::1], types.float32[::1])],
    cache=True,
    nogil=True,
)
def fill_columns(pointers, sources, values, place, chosen_pointers, targets, chosen_values):
    """Write the edges of the chosen sources, grouped by source, targets ascending in each group."""
    cursor = chosen_pointers[:-1].copy()
    for target in range(pointers.size - 1):
        for e in range(pointers[target], pointers[target + 1]):
            group = place[sources[e]]
            if group >= 0:
                position = cursor[group]
                targets[position] = target
                chosen_values[position] = values[e]
                cursor[group] = position + 1


@njit([types.UniTuple(types.int32[::1], 2)(READ_INTS, READ_INTS, READ_INTS)], cache=True, nogil=True)
def around(pointers, sources, place):
    """The targets with an edge from a chosen source, and the sources of all their edges and the chosen; ascending.

    Args:
        place: for each source its place among the chosen, or -1.
    """
    targets, kept = np.empty(pointers.size - 1, np.int32), place >= 0
    count = 0
    for target in range(targets.size):
        for e in range(pointers[target], pointers[target + 1]):
            if place[sources[e]] >= 0:
                targets[count] = target
                count += 1
                break
        else:
            continue
        for e in range(pointers[target], pointers[target + 1]):
            kept[sources[e]] = True
    return targets[:count], np.flatnonzero(kept).astype(np.int32)


@njit(
    [
        types.Tuple((types.int32[::1], types.int32[::1], types.float32[::1]))(
            READ_INTS, READ_INTS, READ_FLOATS, types.int64, READ_INTS, READ_INTS
        )
    ],
    cache=True,
    nogil=True,
)
def cut_out(pointers, sources, values, n_sources, targets, kept):
    """The edges of some targets as pointers, sources and values, targets and sources numbered anew.

    Args:
        targets: ascending.
        kept: all of their sources, and others perhaps, ascending.
    """
    place = np.empty(n_sources, np.int32)
    for i in range(kept.size):
        place[kept[i]] = i
    begins = np.zeros(targets.size + 1, np.int32)
    for i in range(targets.size):
        begins[i + 1] = begins[i] + pointers[targets[i] + 1] - pointers[targets[i]]
    own_sources, own_values = np.empty(begins[-1], np.int32), np.empty(begins[-1], np.float32)
    for i in range(targets.size):
        for e in range(begins[i + 1] - begins[i]):
            own_sources[begins[i] + e] = place[sources[pointers[targets[i]] + e]]
            own_values[begins[i] + e] = values[pointers[targets[i]] + e]
    return begins, own_sources, own_values
