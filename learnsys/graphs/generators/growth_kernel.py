"""Kernel of Barabasi-Albert graphs."""

from __future__ import annotations

import numpy as np
from numba import njit, types


@njit([types.int64[:, ::1](types.npy_rng, types.int64, types.int64)], cache=True, nogil=True)
def barabasi_albert(rng, nodes, affinity):
    """Edges (n, 2) of a graph that grows from a star of `affinity` leaves around vertex 0.

    Each new vertex is joined to `affinity` distinct old ones, drawn in turn with probability proportional to degree.
    """
    edges = np.empty((affinity + (nodes - affinity - 1) * affinity, 2), np.int64)
    for leaf in range(affinity):
        edges[leaf, 0] = 0
        edges[leaf, 1] = leaf + 1
    made = affinity
    for node in range(affinity + 1, nodes):
        old = 2 * made  # a vertex stands once in the old edges for each unit of its degree
        for number in range(affinity):
            again = True
            while again:
                place = rng.integers(0, old)
                other = edges[place // 2, place % 2]
                again = False
                for before in range(made, made + number):
                    if edges[before, 0] == other:
                        again = True
            edges[made + number, 0] = other
            edges[made + number, 1] = node
        made += affinity
    return edges
