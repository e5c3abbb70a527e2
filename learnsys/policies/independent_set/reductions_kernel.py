"""Kernels of the exact reductions, on rows that may change.

Each vertex's row is a stretch of one pool. Deleted vertices stay in the rows of others until a row is tidied; what
counts is `degree`, below 0 for deleted ones. Folding writes a new row at the pool's end.
"""

from __future__ import annotations

from math import gcd

import numpy as np
from numba import njit

START, LENGTH = range(2)
"""rows of `rows`: where a vertex's row begins in the pool, and how long it is"""
SMALL, CHANGED, MARK, ROOM = range(4)
"""rows of `lists`: vertices of degree 2 or less, vertices with changed neighbourhoods, stamps, room for a few vertices;
then the flags of the first two"""
POOL_END, STAMP, LOG_END, OFFSET = range(2, 6)
"""places in `count`; the first ones are the lengths of the lists"""
TAKE, FOLD, TWIN = range(1, 4)
"""the entries of the log, last word first: v; v a b; u v a b c"""

_STATE = "int32[::1], int64[:, ::1], int32[::1], int32[:, ::1], int64[::1]"


@njit([f"void({_STATE}, int64)"], cache=True, nogil=True)
def touch(pool, rows, degree, lists, count, v):
    """Note that v's neighbourhood has changed."""
    if not lists[4, v] & 2:
        lists[4, v] |= 2
        lists[CHANGED, count[CHANGED]] = v
        count[CHANGED] += 1
    if degree[v] <= 2 and not lists[4, v] & 1:
        lists[4, v] |= 1
        lists[SMALL, count[SMALL]] = v
        count[SMALL] += 1


@njit([f"void({_STATE})"], cache=True, nogil=True)
def touch_all(pool, rows, degree, lists, count):
    """Note that all is new; the first vertices are looked at first."""
    for v in range(degree.size - 1, -1, -1):
        touch(pool, rows, degree, lists, count, v)


@njit([f"void({_STATE}, int64)"], cache=True, nogil=True)
def tidy(pool, rows, degree, lists, count, v):
    """Strike deleted vertices from v's row."""
    if rows[LENGTH, v] > degree[v]:
        place = rows[START, v]
        for k in range(place, place + rows[LENGTH, v]):
            if degree[pool[k]] >= 0:
                pool[place] = pool[k]
                place += 1
        rows[LENGTH, v] = place - rows[START, v]


@njit([f"void({_STATE}, int64)"], cache=True, nogil=True)
def delete(pool, rows, degree, lists, count, v):
    """Delete a vertex; its neighbours lose one."""
    degree[v] = -1
    for k in range(rows[START, v], rows[START, v] + rows[LENGTH, v]):
        u = pool[k]
        if degree[u] >= 0:
            degree[u] -= 1
            touch(pool, rows, degree, lists, count, u)


@njit([f"void({_STATE}, int32[::1], int64)"], cache=True, nogil=True)
def take(pool, rows, degree, lists, count, log, v):
    """Put v into the set: it and its neighbours are deleted."""
    degree[v] = -1
    for k in range(rows[START, v], rows[START, v] + rows[LENGTH, v]):
        if degree[pool[k]] >= 0:
            delete(pool, rows, degree, lists, count, pool[k])
    end = count[LOG_END]
    log[end], log[end + 1] = v, TAKE
    count[LOG_END] = end + 2
    count[OFFSET] += 1


@njit([f"boolean({_STATE}, int64, int64)"], cache=True, nogil=True)
def joined(pool, rows, degree, lists, count, a, b):
    """Whether two vertices are neighbours."""
    if degree[b] < degree[a]:
        a, b = b, a
    tidy(pool, rows, degree, lists, count, a)
    for k in range(rows[START, a], rows[START, a] + rows[LENGTH, a]):
        if pool[k] == b:
            return True
    return False


@njit([f"void({_STATE}, int64, int64)"], cache=True, nogil=True)
def merge(pool, rows, degree, lists, count, v, outside):
    """Turn v into the vertex whose neighbours are those of the `outside` vertices on `lists[ROOM]`; these are deleted
    already, and no other neighbour of v is alive. The pool must have room.
    """
    count[STAMP] += 1
    begin = end = count[POOL_END]
    degree[v] = -1
    for q in range(outside):
        a = lists[ROOM, q]
        for k in range(rows[START, a], rows[START, a] + rows[LENGTH, a]):
            w = pool[k]
            if degree[w] >= 0 and lists[MARK, w] != count[STAMP]:
                lists[MARK, w] = count[STAMP]
                pool[end] = w
                end += 1
    for k in range(begin, end):
        w = pool[k]
        place = rows[START, w]
        for e in range(place, place + rows[LENGTH, w]):
            if degree[pool[e]] >= 0:
                pool[place] = pool[e]
                place += 1
        pool[place] = v  # where one of the deleted ones stood
        rows[LENGTH, w] = degree[w] = place + 1 - rows[START, w]
    rows[START, v], rows[LENGTH, v] = begin, end - begin
    degree[v] = end - begin
    count[POOL_END] = end
    for k in range(begin, end):
        touch(pool, rows, degree, lists, count, pool[k])
    touch(pool, rows, degree, lists, count, v)


@njit([f"boolean({_STATE}, int32[::1], int64)"], cache=True, nogil=True)
def small(pool, rows, degree, lists, count, log, v):
    """Degrees 0 and 1, triangles, and folding of degree 2; False if the pool has no room for it."""
    tidy(pool, rows, degree, lists, count, v)
    if degree[v] < 2:
        take(pool, rows, degree, lists, count, log, v)
        return True
    a, b = pool[rows[START, v]], pool[rows[START, v] + 1]
    if joined(pool, rows, degree, lists, count, a, b):
        take(pool, rows, degree, lists, count, log, v)
        return True
    if count[POOL_END] + rows[LENGTH, a] + rows[LENGTH, b] > pool.size:
        return False
    degree[a] = degree[b] = -1
    lists[ROOM, 0], lists[ROOM, 1] = a, b
    merge(pool, rows, degree, lists, count, v, 2)
    end = count[LOG_END]
    log[end], log[end + 1], log[end + 2], log[end + 3] = b, a, v, FOLD
    count[LOG_END] = end + 4
    count[OFFSET] += 1
    return True


@njit([f"int64({_STATE}, int64)"], cache=True, nogil=True)
def dominated(pool, rows, degree, lists, count, v):
    """A neighbour of v that is joined to all others of v's neighbours, -1 if there is none: some maximum set does
    without it. The candidates, marked, shrink with each neighbour's row; neighbours with close numbers, which often
    have the same neighbours, are looked at far apart.
    """
    tidy(pool, rows, degree, lists, count, v)
    begin, end = rows[START, v], rows[START, v] + rows[LENGTH, v]
    count[STAMP] += 1
    for k in range(begin, end):
        lists[MARK, pool[k]] = count[STAMP]
    size = end - begin
    stride = max(1, size * 5 // 8)
    while gcd(stride, size) > 1:
        stride += 1
    for k in range(size):
        x = pool[begin + k * stride % size]
        now = count[STAMP]
        count[STAMP] += 1
        left = 0
        if lists[MARK, x] == now:
            lists[MARK, x] = count[STAMP]
            left += 1
        tidy(pool, rows, degree, lists, count, x)
        for e in range(rows[START, x], rows[START, x] + rows[LENGTH, x]):
            if lists[MARK, pool[e]] == now:
                lists[MARK, pool[e]] = count[STAMP]
                left += 1
        if left == 0:
            return np.int64(-1)
    for k in range(begin, end):
        if lists[MARK, pool[k]] == count[STAMP]:
            return np.int64(pool[k])
    return np.int64(-1)


@njit([f"int64({_STATE}, int64)"], cache=True, nogil=True)
def twin(pool, rows, degree, lists, count, v):
    """Another vertex with the same three neighbours as v, -1 if there is none; leaves them on `lists[ROOM]`."""
    tidy(pool, rows, degree, lists, count, v)
    count[STAMP] += 1
    least = pool[rows[START, v]]
    for k in range(3):
        a = pool[rows[START, v] + k]
        lists[ROOM, k] = a
        lists[MARK, a] = count[STAMP]
        if degree[a] < degree[least]:
            least = a
    for k in range(rows[START, least], rows[START, least] + rows[LENGTH, least]):
        u = pool[k]
        if degree[u] == 3 and u != v:
            same = 0
            for e in range(rows[START, u], rows[START, u] + rows[LENGTH, u]):
                same += degree[pool[e]] >= 0 and lists[MARK, pool[e]] == count[STAMP]
            if same == 3:
                return np.int64(u)
    return np.int64(-1)


@njit([f"boolean({_STATE}, int32[::1], int64, int64)"], cache=True, nogil=True)
def merge_twins(pool, rows, degree, lists, count, log, u, v):
    """Two vertices with the neighbours a, b, c: both are in, if two of these are joined; else it is both, or all three
    of these. False if the pool has no room.
    """
    a, b, c = lists[ROOM, 0], lists[ROOM, 1], lists[ROOM, 2]
    if (
        joined(pool, rows, degree, lists, count, a, b)
        or joined(pool, rows, degree, lists, count, a, c)
        or joined(pool, rows, degree, lists, count, b, c)
    ):
        take(pool, rows, degree, lists, count, log, u)
        take(pool, rows, degree, lists, count, log, v)
        return True
    if count[POOL_END] + rows[LENGTH, a] + rows[LENGTH, b] + rows[LENGTH, c] > pool.size:
        return False
    degree[a] = degree[b] = degree[c] = degree[v] = -1
    merge(pool, rows, degree, lists, count, u, 3)
    end = count[LOG_END]
    log[end], log[end + 1], log[end + 2], log[end + 3], log[end + 4], log[end + 5] = c, b, a, v, u, TWIN
    count[LOG_END] = end + 6
    count[OFFSET] += 2
    return True


@njit([f"boolean({_STATE}, int32[::1])"], cache=True, nogil=True)
def reduce(pool, rows, degree, lists, count, log):
    """Apply all reductions until none applies; False if the pool is full, to be gone on with after `compact`."""
    while True:
        if count[STAMP] > 2**30:
            lists[MARK] = 0
            count[STAMP] = 0
        if count[SMALL] > 0:
            v = lists[SMALL, count[SMALL] - 1]
            if 0 <= degree[v] <= 2 and not small(pool, rows, degree, lists, count, log, v):
                return False
            if lists[SMALL, count[SMALL] - 1] == v and not 0 <= degree[v] <= 2:
                count[SMALL] -= 1
                lists[4, v] &= ~1
        elif count[CHANGED] > 0:
            v = lists[CHANGED, count[CHANGED] - 1]
            if degree[v] >= 3:
                u = dominated(pool, rows, degree, lists, count, v)
                if u >= 0:
                    delete(pool, rows, degree, lists, count, u)
                    continue
                if degree[v] == 3:
                    u = twin(pool, rows, degree, lists, count, v)
                    if u >= 0:
                        if not merge_twins(pool, rows, degree, lists, count, log, v, u):
                            return False
                        continue
            if lists[CHANGED, count[CHANGED] - 1] == v:
                count[CHANGED] -= 1
                lists[4, v] &= ~2
        else:
            return True


@njit([f"void({_STATE}, int32[::1])"], cache=True, nogil=True)
def compact(pool, rows, degree, lists, count, other):
    """Copy the rows of living vertices, tidied, to the front of another pool, which takes this one's place."""
    end = 0
    for v in range(degree.size):
        if degree[v] >= 0:
            begin = end
            for k in range(rows[START, v], rows[START, v] + rows[LENGTH, v]):
                if degree[pool[k]] >= 0:
                    other[end] = pool[k]
                    end += 1
            rows[START, v], rows[LENGTH, v] = begin, end - begin
    count[POOL_END] = end


@njit(["void(boolean[::1], int32[::1], int64)"], cache=True, nogil=True)
def replay(chosen, log, end):
    """Undo the log, latest entry first, on the set of the kernel's vertices, (n,), which becomes one of the graph's."""
    while end > 0:
        kind = log[end - 1]
        v = log[end - 2]
        if kind == TAKE:
            chosen[v] = True
            end -= 2
        elif kind == FOLD:
            outside = chosen[v]
            chosen[v] = not outside
            chosen[log[end - 3]] = chosen[log[end - 4]] = outside
            end -= 4
        else:
            outside = chosen[v]
            chosen[v] = chosen[log[end - 3]] = not outside
            chosen[log[end - 4]] = chosen[log[end - 5]] = chosen[log[end - 6]] = outside
            end -= 6
