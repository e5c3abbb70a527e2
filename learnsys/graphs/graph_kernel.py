"""Kernels of the graph container: rows from edges, induced subgraphs, complements, checks."""

from __future__ import annotations

import numpy as np
from numba import njit, types

INTS = types.int32[::1]
LONGS = types.int64[::1]
PAIR = types.Tuple((LONGS, INTS))


@njit([PAIR(types.int64, INTS, INTS)], cache=True, nogil=True)
def rows_of(n, first, second):
    """Sorted rows (indptr, indices) of the undirected edges; loops are dropped, doubles kept once.

    Two stable counting sorts, by the second end and then by the first: linear in vertices and edges.
    """
    ends = 0
    for e in range(first.size):
        ends += 2 * (first[e] != second[e])
    count = np.zeros(n + 1, np.int64)
    for e in range(first.size):
        if first[e] != second[e]:
            count[first[e] + 1] += 1
            count[second[e] + 1] += 1
    for v in range(n):
        count[v + 1] += count[v]
    place = count[:n].copy()
    row = np.empty(ends, np.int32)  # by column: the vertices whose rows the column stands in
    for e in range(first.size):
        u, v = first[e], second[e]
        if u != v:
            row[place[v]] = u
            place[v] += 1
            row[place[u]] = v
            place[u] += 1
    place[:] = count[:n]
    column = np.empty(ends, np.int32)
    for v in range(n):
        for k in range(count[v], count[v + 1]):
            u = row[k]
            column[place[u]] = v
            place[u] += 1
    kept = 0
    indptr = np.zeros(n + 1, np.int64)
    for u in range(n):
        before = -1
        for k in range(count[u], count[u + 1]):
            if column[k] != before:
                before = column[k]
                column[kept] = before
                kept += 1
        indptr[u + 1] = kept
    return indptr, column[:kept].copy()


@njit([PAIR(LONGS, INTS, LONGS)], cache=True, nogil=True)
def induce(indptr, indices, vertices):
    """Rows of the subgraph on `vertices`, which ascend; they are numbered in that order."""
    n = indptr.size - 1
    number = np.full(n, -1, np.int32)
    for k in range(vertices.size):
        number[vertices[k]] = k
    starts = np.zeros(vertices.size + 1, np.int64)
    for k in range(vertices.size):
        degree = 0
        for e in range(indptr[vertices[k]], indptr[vertices[k] + 1]):
            degree += number[indices[e]] >= 0
        starts[k + 1] = starts[k] + degree
    kept = np.empty(starts[-1], np.int32)
    place = 0
    for k in range(vertices.size):
        for e in range(indptr[vertices[k]], indptr[vertices[k] + 1]):
            if number[indices[e]] >= 0:
                kept[place] = number[indices[e]]
                place += 1
    return starts, kept


@njit([PAIR(LONGS, INTS)], cache=True, nogil=True)
def complement(indptr, indices):
    """Rows of the graph that has the edges that this one has not."""
    n = indptr.size - 1
    starts = np.zeros(n + 1, np.int64)
    for u in range(n):
        starts[u + 1] = starts[u] + n - 1 - (indptr[u + 1] - indptr[u])
    others = np.empty(starts[n], np.int32)
    place = 0
    for u in range(n):
        k = indptr[u]
        for v in range(n):
            if k < indptr[u + 1] and indices[k] == v:
                k += 1
            elif v != u:
                others[place] = v
                place += 1
    return starts, others


@njit([types.int64(LONGS, INTS)], cache=True, nogil=True)
def first_fault(indptr, indices):
    """The first vertex whose row is not sorted, out of range, holds the vertex itself or is one-sided; -1 if none.

    Rows are visited in order and each directed edge ticks off its partner: the partners of row v's smaller neighbours
    must come in exactly the order in which those rows were visited.
    """
    n = indptr.size - 1
    if n < 0 or indptr[0] != 0 or indptr[n] != indices.size:
        return np.int64(0)
    for u in range(n):
        if indptr[u] > indptr[u + 1]:
            return np.int64(u)
        before = -1
        for k in range(indptr[u], indptr[u + 1]):
            v = indices[k]
            if v <= before or v >= n or v == u:
                return np.int64(u)
            before = v
    place = indptr[:n].copy()
    for u in range(n):
        for k in range(indptr[u], indptr[u + 1]):
            v = indices[k]
            if place[v] >= indptr[v + 1] or indices[place[v]] != u:
                return np.int64(u)
            place[v] += 1
    return np.int64(-1)


@njit([types.int64(LONGS, INTS, types.boolean[::1])], cache=True, nogil=True)
def conflict(indptr, indices, chosen):
    """A chosen vertex that has a chosen neighbour; -1 if the chosen vertices are independent."""
    for u in range(indptr.size - 1):
        if chosen[u]:
            for k in range(indptr[u], indptr[u + 1]):
                if chosen[indices[k]]:
                    return np.int64(u)
    return np.int64(-1)
