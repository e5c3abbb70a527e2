"""Greedy sets in linear time: the vertex of least degree first, and, as a baseline, any vertex first."""

from __future__ import annotations

import numpy as np
from numba import njit, types

from learnsys.graphs.graph import Graph
from learnsys.graphs.graph_kernel import INTS, LONGS
from learnsys.policies.independent_set.base import Clock, Found, IndependentSetPolicy


@njit([types.boolean[::1](LONGS, INTS, INTS)], cache=True, nogil=True)
def min_degree(indptr, indices, ranking):
    """Take a vertex of least degree, delete it and its neighbours, and so on. Ties go to who stands first in `ranking`,
    (n,), at the start, and then to who got that degree last.

    The vertices stand in one array ordered by degree, in which the bins of the degrees follow each other; a vertex that
    loses a neighbour changes places with the first of its bin and the bin shrinks past it. Deleted vertices stay where
    they are and are passed over.
    """
    n = indptr.size - 1
    degree = np.empty(n, np.int32)
    most = 0
    for v in range(n):
        degree[v] = indptr[v + 1] - indptr[v]
        most = max(most, degree[v])
    start = np.zeros(most + 2, np.int64)
    for v in range(n):
        start[degree[v] + 1] += 1
    for d in range(most + 1):
        start[d + 1] += start[d]
    fill = start[: most + 1].copy()
    order = np.empty(n, np.int32)
    place = np.empty(n, np.int32)
    for k in range(n):
        v = ranking[k]
        place[v] = fill[degree[v]]
        order[place[v]] = v
        fill[degree[v]] += 1
    chosen = np.zeros(n, np.bool_)
    deleted = np.empty(most, np.int32)
    for head in range(n):
        v = order[head]
        if degree[v] < 0:
            continue
        degree[v] = -1
        chosen[v] = True
        count = 0
        for e in range(indptr[v], indptr[v + 1]):
            u = indices[e]
            if degree[u] >= 0:
                degree[u] = -1
                deleted[count] = u
                count += 1
        for k in range(count):
            u = deleted[k]
            for e in range(indptr[u], indptr[u + 1]):
                w = indices[e]
                d = degree[w]
                if d >= 0:
                    first = max(start[d], head + 1)
                    other = order[first]
                    order[first], order[place[w]] = w, other
                    place[other], place[w] = place[w], first
                    start[d] = first + 1
                    degree[w] = d - 1
    return chosen


@njit([types.boolean[::1](LONGS, INTS, INTS)], cache=True, nogil=True)
def in_order(indptr, indices, ranking):
    """Take each vertex, in the order of `ranking`, (n,), that has no neighbour taken before."""
    n = indptr.size - 1
    free = np.ones(n, np.bool_)
    chosen = np.zeros(n, np.bool_)
    for k in range(n):
        v = ranking[k]
        if free[v]:
            chosen[v] = True
            for e in range(indptr[v], indptr[v + 1]):
                free[indices[e]] = False
    return chosen


class Greedy(IndependentSetPolicy):
    """The vertex of least degree first, again and again, in time linear in vertices and edges; the seed breaks ties.

    Halldorsson and Radhakrishnan, "Greed is good: approximating independent sets in sparse and bounded-degree graphs",
    1997.
    """

    def search(self, graph: Graph, clock: Clock, seed: int) -> Found:
        return Found(np.flatnonzero(min_degree(graph.indptr, graph.indices, shuffled(graph.n, seed))))


class Random(IndependentSetPolicy):
    """Vertices in random order, each that still can be: a maximal set that knows nothing."""

    def search(self, graph: Graph, clock: Clock, seed: int) -> Found:
        return Found(np.flatnonzero(in_order(graph.indptr, graph.indices, shuffled(graph.n, seed))))


def shuffled(n: int, seed: int) -> np.ndarray:
    """The numbers below n in random order, int32 (n,)."""
    return np.random.default_rng(seed).permutation(np.int32(n)).astype(np.int32, copy=False)
