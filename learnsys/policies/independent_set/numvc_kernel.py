"""Kernels of NuMVC. The cover is the complement of the set that is looked for.

Edges stand twice in the rows; both halves hold the edge's weight, and `mate` leads from one to the other, so that a
vertex's edges are read in one sweep. An edge is named by its first half.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from learnsys.policies.independent_set.randomness import RNG, below

OUT = 2**30
"""`loss` of a vertex outside of the cover"""
LOSS, GAIN, FRESH = range(3)
"""rows of `vertex`: the weight that would be uncovered by leaving the cover; that would be covered by entering it;
whether a neighbour has changed since it left"""
WEIGHT, MATE, SOURCE, PLACE, OPEN = range(5)
"""rows of `half`: the edge's weight, its other half, the vertex whose row it stands in; place of an open (uncovered)
edge on the list of these, and that list"""
N_OPEN, STEPS, BEST, TOTAL, LATEST, COVER = range(6)
"""places in `count`: open edges, steps done, size of the best set, weight of all edges, vertex that came last, size of
the cover"""

_CSR = "int64[::1], int32[::1]"
_STATE = "int32[:, ::1], int32[:, ::1], int64[::1], int64[::1]"
_BLOCK = 64


@njit([f"void({_CSR}, {_STATE}, boolean[::1], boolean[::1])"], cache=True, nogil=True)
def start(indptr, indices, vertex, half, since, count, best, chosen):
    """Begin with the complement of the independent set `chosen`, (n,); vertices without edges are never in a cover."""
    n = indptr.size - 1
    place = indptr[:n].copy()
    for u in range(n):
        for k in range(indptr[u], indptr[u + 1]):
            v = indices[k]
            half[WEIGHT, k] = 1
            half[SOURCE, k] = u
            if u < v:  # the smaller ends come in order in v's row
                half[MATE, k] = place[v]
                half[MATE, place[v]] = k
                place[v] += 1
    for v in range(n):
        vertex[FRESH, v] = 1
        vertex[LOSS, v] = OUT
        best[v] = chosen[v] or indptr[v] == indptr[v + 1]
        count[BEST] += best[v]
        if not best[v]:
            count[COVER] += 1
            vertex[LOSS, v] = 0
            for k in range(indptr[v], indptr[v + 1]):
                vertex[LOSS, v] += chosen[indices[k]]
    count[TOTAL] = indices.size // 2
    count[LATEST] = -1


@njit(["int64(int32[::1], int64[::1], int32[::1])"], cache=True, nogil=True)
def cheapest(loss, since, block):
    """The vertex of the cover with the least loss, of equal ones that which has not moved for the longest time; -1 if
    the cover is empty. Blocks of vertices are compared at once by vector instructions.
    """
    n = loss.size
    least = np.int32(OUT)
    for b in range(block.size):
        low = b * _BLOCK
        smallest = np.int32(OUT)
        if low + _BLOCK <= n:
            part = loss[low : low + _BLOCK]
            for k in range(_BLOCK):
                smallest = min(smallest, part[k])
        else:
            for k in range(low, n):
                smallest = min(smallest, loss[k])
        block[b] = smallest
        least = min(least, smallest)
    found = -1
    if least < OUT:
        for b in range(block.size):
            if block[b] == least:
                for v in range(b * _BLOCK, min(n, (b + 1) * _BLOCK)):
                    if loss[v] == least and (found < 0 or since[v] < since[found]):
                        found = v
    return found


@njit([f"void({_CSR}, {_STATE}, int64)"], cache=True, nogil=True)
def leave(indptr, indices, vertex, half, since, count, u):
    """Take u out of the cover."""
    loss, gain, fresh = vertex[LOSS], vertex[GAIN], vertex[FRESH]
    weight = half[WEIGHT]
    loss[u] = OUT
    fresh[u] = 0
    since[u] = count[STEPS]
    count[COVER] -= 1
    opened = np.int32(0)
    for k in range(indptr[u], indptr[u + 1]):
        z = indices[k]
        if loss[z] == OUT:
            opened += weight[k]
            gain[z] += weight[k]
            fresh[z] = 1
            edge = min(k, half[MATE, k])
            half[PLACE, edge] = count[N_OPEN]
            half[OPEN, count[N_OPEN]] = edge
            count[N_OPEN] += 1
        else:
            loss[z] += weight[k]
    gain[u] = opened


@njit([f"void({_CSR}, {_STATE}, int64)"], cache=True, nogil=True)
def enter(indptr, indices, vertex, half, since, count, v):
    """Take v into the cover."""
    loss, gain, fresh = vertex[LOSS], vertex[GAIN], vertex[FRESH]
    weight = half[WEIGHT]
    since[v] = count[STEPS]
    count[COVER] += 1
    alone = np.int32(0)  # weight of the edges that v covers alone
    for k in range(indptr[v], indptr[v + 1]):
        z = indices[k]
        if loss[z] == OUT:
            alone += weight[k]
            gain[z] -= weight[k]
            fresh[z] = 1
            edge = min(k, half[MATE, k])
            count[N_OPEN] -= 1
            other = half[OPEN, count[N_OPEN]]
            half[OPEN, half[PLACE, edge]] = other
            half[PLACE, other] = half[PLACE, edge]
        else:
            loss[z] -= weight[k]
    loss[v] = alone


@njit([f"void({_CSR}, {_STATE})"], cache=True, nogil=True)
def forget(indptr, indices, vertex, half, since, count):
    """Multiply all weights by 0.3, rounding down, and add up again what vertices lose and gain."""
    total = 0
    for k in range(indices.size):
        half[WEIGHT, k] = np.int32(half[WEIGHT, k] * 0.3)
        total += half[WEIGHT, k]
    count[TOTAL] = total // 2
    for v in range(indptr.size - 1):
        outside = np.int32(0)
        for k in range(indptr[v], indptr[v + 1]):
            if vertex[LOSS, indices[k]] == OUT:
                outside += half[WEIGHT, k]
        vertex[GAIN if vertex[LOSS, v] == OUT else LOSS, v] = outside


@njit([f"int64({_CSR}, {_STATE}, int32[::1], {RNG}, boolean[::1], int64, int64)"], cache=True, nogil=True)
def search(indptr, indices, vertex, half, since, count, block, rng, best, steps, enough):
    """Do exchanges until the best set has `enough` vertices; returns how many were done, at most `steps`."""
    n = indptr.size - 1
    loss, gain, fresh = vertex[LOSS], vertex[GAIN], vertex[FRESH]
    most = min(indices.size // 4 * n, 2**29)  # half of n on average; less than OUT in all, whatever happens
    done = 0
    while done < steps:
        while count[N_OPEN] == 0:  # a cover: note the set, and go on with a vertex less
            if n - count[COVER] > count[BEST]:
                count[BEST] = n - count[COVER]
                for v in range(n):
                    best[v] = loss[v] == OUT
            if count[BEST] >= enough or count[COVER] == 0:
                return done
            leave(indptr, indices, vertex, half, since, count, cheapest(loss, since, block))
        latest = count[LATEST]
        held = np.int32(0)
        if latest >= 0:  # what came last may not leave at once
            held = loss[latest]
            loss[latest] = OUT - 1 if held != OUT else OUT
        u = cheapest(loss, since, block)
        if latest >= 0:
            loss[latest] = held
        if u >= 0:
            leave(indptr, indices, vertex, half, since, count, u)
        edge = half[OPEN, below(rng, count[N_OPEN])]
        a, b = half[SOURCE, edge], indices[edge]
        if not fresh[a]:
            v = b
        elif not fresh[b]:
            v = a
        elif gain[a] != gain[b]:
            v = a if gain[a] > gain[b] else b
        else:
            v = a if since[a] < since[b] else b
        enter(indptr, indices, vertex, half, since, count, v)
        count[LATEST] = v
        for k in range(count[N_OPEN]):
            edge = half[OPEN, k]
            half[WEIGHT, edge] += 1
            half[WEIGHT, half[MATE, edge]] += 1
            gain[half[SOURCE, edge]] += 1
            gain[indices[edge]] += 1
        count[TOTAL] += count[N_OPEN]
        if count[TOTAL] > most:
            forget(indptr, indices, vertex, half, since, count)
        count[STEPS] += 1
        done += 1
    return done
