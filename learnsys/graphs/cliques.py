"""Partitions into cliques: upper bounds on independent sets, and strong rows for linear programs."""

from __future__ import annotations

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

from learnsys.graphs.graph import Graph
from learnsys.graphs.graph_kernel import INTS, LONGS


@njit([INTS(LONGS, INTS)], cache=True, nogil=True)
def partition(indptr, indices):
    """The clique of each vertex, int32 (n,), counted from 0 in the order in which they are found.

    A clique starts at the first free vertex and takes in its free neighbours, in their order, as long as it stays a
    clique.
    """
    n = indptr.size - 1
    clique = np.full(n, -1, np.int32)
    adjacent = np.zeros(n, np.int32)  # members of the growing clique that are neighbours
    cliques = np.int32(0)
    for centre in range(n):
        if clique[centre] >= 0:
            continue
        clique[centre] = cliques
        size = 1
        mine = indices[indptr[centre] : indptr[centre + 1]]
        for v in mine:
            adjacent[v] = 1
        for v in mine:
            if clique[v] < 0 and adjacent[v] == size:
                clique[v] = cliques
                size += 1
                for w in indices[indptr[v] : indptr[v + 1]]:
                    if adjacent[w] > 0:
                        adjacent[w] += 1
        for v in mine:
            adjacent[v] = 0
        cliques += np.int32(1)
    return clique


def clique_partition(graph: Graph, order: NDArray[np.int64] | None = None) -> NDArray[np.int32]:
    """A partition of the vertices into cliques, found greedily: the clique of each vertex, (n,).

    Args:
        order: the vertices in the order in which they are looked at, (n,); by number unless given.
    """
    if order is None:
        return partition(graph.indptr, graph.indices)
    rank = np.empty(graph.n, np.int32)
    rank[order] = np.arange(graph.n, dtype=np.int32)
    ordered = Graph.from_edges(rank[graph.edges], graph.n)
    return partition(ordered.indptr, ordered.indices)[rank]


def best_partition(graph: Graph) -> NDArray[np.int32]:
    """The smaller of the greedy partitions by number (which finds planted groups) and by degree, low first.

    Of more than 20,000 vertices that by number alone, since a search could use the time better.
    """
    parts = [clique_partition(graph)]
    if graph.n <= 20_000:
        parts.append(clique_partition(graph, np.argsort(graph.degrees, kind="stable")))
    return min(parts, key=lambda part: part.max(initial=-1))


def clique_bound(graph: Graph) -> int:
    """No independent set is larger: it has at most one vertex of each clique of a partition."""
    return int(best_partition(graph).max(initial=-1)) + 1


@njit([types.boolean[::1](INTS, LONGS, LONGS, LONGS)], cache=True, nogil=True)
def _needed(edge, starts, order, covered):
    """Which stars are needed, looked at in `order`: those that have an edge that none taken before covers.

    Args:
        edge: the edges of the stars, one after the other.
        starts: (stars + 1,).
        covered: (edges,), zeros.
    """
    needed = np.zeros(order.size, np.bool_)
    for star in order:
        for k in range(starts[star], starts[star + 1]):
            if not covered[edge[k]]:
                needed[star] = True
        if needed[star]:
            for k in range(starts[star], starts[star + 1]):
                covered[edge[k]] = 1
    return needed


def clique_cover(graph: Graph) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Cliques that together hold every edge: the cliques of a partition, and stars, that is a vertex with its
    neighbours in one of them; larger stars are preferred.

    Returns:
        Entries (clique, vertex), int64 each, by clique; every vertex is in one at least.
    """
    part = best_partition(graph).astype(np.int64)
    cliques = int(part.max(initial=-1)) + 1
    centre = np.repeat(np.arange(graph.n), graph.degrees)
    leaf = graph.indices.astype(np.int64)
    between = part[centre] != part[leaf]
    centre, leaf = centre[between], leaf[between]
    pair = np.minimum(centre, leaf) * graph.n + np.maximum(centre, leaf)
    _, edge = np.unique(pair, return_inverse=True)
    key = centre * cliques + part[leaf]
    order = np.argsort(key, kind="stable")
    _, first, sizes = np.unique(key[order], return_index=True, return_counts=True)
    starts = np.append(first, order.size).astype(np.int64)
    edge = edge[order].astype(np.int32)
    by_size = np.argsort(-sizes, kind="stable")
    needed = _needed(edge, starts, by_size, np.zeros(order.size, np.int64))
    star = np.repeat(np.arange(sizes.size), sizes)
    number = np.cumsum(needed) - 1 + cliques
    inside = needed[star]
    row = np.concatenate([part, number[star[inside]], number[needed]])
    vertex = np.concatenate([np.arange(graph.n), leaf[order][inside], centre[order][first[needed]]])
    by_row = np.lexsort((vertex, row))
    return row[by_row], vertex[by_row]
