"""Kernels of `bipartite`: edges sorted by target, regrouped by source."""

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
