"""Kernel of the independent set: the greedy clique partition."""

from __future__ import annotations

import numpy as np
from numba import njit, types

_INTS = types.int64[::1]


@njit([_INTS(_INTS, _INTS)], cache=True, nogil=True)
def partition(starts, neighbours):
    """The clique of each vertex, where vertices are numbered in the order of preference and neighbours ascend."""
    nodes = starts.size - 1
    clique = np.full(nodes, -1)
    adjacent = np.zeros(nodes, np.int64)  # members of the growing clique that are neighbours
    n_cliques = 0
    for centre in range(nodes):
        if clique[centre] >= 0:
            continue
        clique[centre] = n_cliques
        size = 1
        mine = neighbours[starts[centre] : starts[centre + 1]]
        for node in mine:
            adjacent[node] = 1
        for node in mine:
            if clique[node] < 0 and adjacent[node] == size:
                clique[node] = n_cliques
                size += 1
                for other in neighbours[starts[node] : starts[node + 1]]:
                    if adjacent[other] > 0:
                        adjacent[other] += 1
        for node in mine:
            adjacent[node] = 0
        n_cliques += 1
    return clique
