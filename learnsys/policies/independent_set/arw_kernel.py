"""Kernels of the local search: what it knows of each vertex, (1,2)-swaps, perturbation, undoing.

A vertex that is in no set knows how many neighbours it has in the set, and the exclusive or of their numbers: of a
vertex with one such neighbour, that is the neighbour itself, found without looking around.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from learnsys.policies.independent_set.randomness import RNG, below, bits, unit

TIGHT, SOLE, SINCE, FLAGS = range(4)
"""columns of `node`: neighbours in the set, their exclusive or, iteration in which it last left, flags"""
MEMBER, WAITING, CANDIDATE, CHANGED = 1, 2, 4, 8
"""flags: in the set; on the list of free vertices; on that of candidates; on that of changes since the best set"""
FREE, CANDIDATES, CHANGES, JOURNAL, LOOSE, MARK = range(6)
"""rows of `lists`: the lists, the journal of an iteration (members that left as ~v), and room for `two_for_one`"""
SIZE, BEST, ITERATIONS, STAMP, UNDOABLE = range(6, 11)
"""places in `count`; the first ones are the lengths of the lists"""

_CSR = "int64[::1], int32[::1]"
_STATE = "int32[:, ::1], int32[:, ::1], int64[::1]"


@njit([f"void({_STATE}, int64, int64, int64)"], cache=True, nogil=True)
def push(node, lists, count, which, flag, v):
    """Put v on a list unless it is there."""
    if not node[v, FLAGS] & flag:
        node[v, FLAGS] |= flag
        lists[which, count[which]] = v
        count[which] += 1


@njit([f"void({_STATE}, int64)"], cache=True, nogil=True)
def note(node, lists, count, entry):
    """Write an insertion (v) or a removal (~v) into the journal."""
    if count[JOURNAL] < lists.shape[1]:
        lists[JOURNAL, count[JOURNAL]] = entry
        count[JOURNAL] += 1
    else:
        count[UNDOABLE] = 0


@njit([f"void({_CSR}, {_STATE}, int64)"], cache=True, nogil=True)
def insert(indptr, indices, node, lists, count, v):
    """Take v, which has no neighbour in the set, into it."""
    push(node, lists, count, CHANGES, CHANGED, v)
    node[v, FLAGS] |= MEMBER
    count[SIZE] += 1
    for e in range(indptr[v], indptr[v + 1]):
        u = indices[e]
        node[u, TIGHT] += 1
        node[u, SOLE] ^= v


@njit([f"void({_CSR}, {_STATE}, int64)"], cache=True, nogil=True)
def withdraw(indptr, indices, node, lists, count, v):
    """Take v out of the set, and nothing else: what undoing needs."""
    push(node, lists, count, CHANGES, CHANGED, v)
    node[v, FLAGS] &= ~MEMBER
    count[SIZE] -= 1
    for e in range(indptr[v], indptr[v + 1]):
        u = indices[e]
        node[u, TIGHT] -= 1
        node[u, SOLE] ^= v


@njit([f"void({_CSR}, {_STATE}, int64)"], cache=True, nogil=True)
def remove(indptr, indices, node, lists, count, v):
    """Take v out of the set; list the vertices that are free now, and the members that have a new loose neighbour."""
    push(node, lists, count, CHANGES, CHANGED, v)
    node[v, FLAGS] &= ~MEMBER
    node[v, SINCE] = count[ITERATIONS]
    count[SIZE] -= 1
    note(node, lists, count, ~v)
    push(node, lists, count, FREE, WAITING, v)
    for e in range(indptr[v], indptr[v + 1]):
        u = indices[e]
        node[u, TIGHT] -= 1
        node[u, SOLE] ^= v
        if node[u, TIGHT] == 0:
            push(node, lists, count, FREE, WAITING, u)
        elif node[u, TIGHT] == 1:
            push(node, lists, count, CANDIDATES, CANDIDATE, node[u, SOLE])


@njit([f"void({_CSR}, {_STATE}, int64)"], cache=True, nogil=True)
def force(indptr, indices, node, lists, count, v):
    """Take v into the set and its neighbours out."""
    left = node[v, TIGHT]
    if left == 1:
        remove(indptr, indices, node, lists, count, node[v, SOLE])
    elif left > 1:
        for e in range(indptr[v], indptr[v + 1]):
            if node[indices[e], FLAGS] & MEMBER:
                remove(indptr, indices, node, lists, count, indices[e])
                left -= 1
                if left == 0:
                    break
    insert(indptr, indices, node, lists, count, v)
    note(node, lists, count, v)
    push(node, lists, count, CANDIDATES, CANDIDATE, v)


@njit([f"void({_CSR}, {_STATE}, {RNG}, int64)"], cache=True, nogil=True)
def two_for_one(indptr, indices, node, lists, count, rng, x):
    """If two neighbours of the member x that have no other member beside them are not joined, they replace it.

    The second enters from the list of free vertices.
    """
    loose, mark = lists[LOOSE], lists[MARK]
    found = 0
    for e in range(indptr[x], indptr[x + 1]):
        if node[indices[e], TIGHT] == 1:
            loose[found] = indices[e]
            found += 1
    if found < 2:
        return
    count[STAMP] += 1
    stamp = np.int32(count[STAMP] & 0x7FFFFFFF)
    for k in range(found):
        mark[loose[k]] = stamp
    first = below(rng, found)
    for k in range(found):
        v = loose[(first + k) % found]
        joined = 0
        for e in range(indptr[v], indptr[v + 1]):
            joined += mark[indices[e]] == stamp
        if joined < found - 1:
            force(indptr, indices, node, lists, count, v)
            return


@njit([f"void({_CSR}, {_STATE}, {RNG})"], cache=True, nogil=True)
def climb(indptr, indices, node, lists, count, rng):
    """Take in free vertices, in random order, and make swaps until there is none; only candidates are looked at."""
    while count[FREE] > 0 or count[CANDIDATES] > 0:
        if count[FREE] > 0:
            place = below(rng, count[FREE])
            v = lists[FREE, place]
            count[FREE] -= 1
            lists[FREE, place] = lists[FREE, count[FREE]]
            node[v, FLAGS] &= ~WAITING
            if node[v, TIGHT] == 0 and not node[v, FLAGS] & MEMBER:
                force(indptr, indices, node, lists, count, v)
        else:
            count[CANDIDATES] -= 1
            x = lists[CANDIDATES, count[CANDIDATES]]
            node[x, FLAGS] &= ~CANDIDATE
            if node[x, FLAGS] & MEMBER:
                two_for_one(indptr, indices, node, lists, count, rng, x)


@njit([f"void({_STATE}, boolean[::1])"], cache=True, nogil=True)
def keep(node, lists, count, best):
    """Make the set the best one, at the cost of what has changed since the last."""
    for k in range(count[CHANGES]):
        v = lists[CHANGES, k]
        best[v] = node[v, FLAGS] & MEMBER != 0
        node[v, FLAGS] &= ~CHANGED
    count[CHANGES] = 0
    count[BEST] = count[SIZE]


@njit([f"void({_CSR}, {_STATE}, {RNG}, boolean[::1], boolean[::1])"], cache=True, nogil=True)
def start(indptr, indices, node, lists, count, rng, best, chosen):
    """Begin with the independent set `chosen`, (n,), and climb from there."""
    for v in range(chosen.size):
        if chosen[v]:
            insert(indptr, indices, node, lists, count, v)
            push(node, lists, count, CANDIDATES, CANDIDATE, v)
    for v in range(chosen.size):
        if not chosen[v] and node[v, TIGHT] == 0:
            push(node, lists, count, FREE, WAITING, v)
    climb(indptr, indices, node, lists, count, rng)
    keep(node, lists, count, best)


@njit([f"int64({_STATE}, {RNG}, int64)"], cache=True, nogil=True)
def pick(node, lists, count, rng, tries):
    """Of some random vertices that are not in the set: the one with the fewest neighbours there, then the one that has
    been out for the longest time.
    """
    n = node.shape[0]
    found = -1
    for _ in range(tries):
        v = below(rng, n)
        missed = 0
        while node[v, FLAGS] & MEMBER:
            missed += 1
            v = below(rng, n) if missed < 64 else (v + 1) % n
        if (
            found < 0
            or node[v, TIGHT] < node[found, TIGHT]
            or (node[v, TIGHT] == node[found, TIGHT] and node[v, SINCE] < node[found, SINCE])
        ):
            found = v
    return found


@njit([f"int64({_CSR}, {_STATE}, {RNG}, boolean[::1], int64, int64, int64)"], cache=True, nogil=True)
def search(indptr, indices, node, lists, count, rng, best, steps, tries, enough):
    """Do iterations until the best set has `enough` vertices; returns how many were done, at most `steps`."""
    n = node.shape[0]
    done = 0
    while done < steps and count[BEST] < enough and count[SIZE] < n:
        before = count[SIZE]
        count[JOURNAL] = 0
        count[UNDOABLE] = 1
        forced = 1
        if below(rng, 2 * before) == 0:
            forced = 2
            while bits(rng) & np.uint64(1):
                forced += 1
        for _ in range(forced):
            if count[SIZE] < n:
                force(indptr, indices, node, lists, count, pick(node, lists, count, rng, tries))
        climb(indptr, indices, node, lists, count, rng)
        count[ITERATIONS] += 1
        done += 1
        if count[SIZE] > count[BEST]:
            keep(node, lists, count, best)
        elif count[SIZE] < before and count[UNDOABLE]:
            loss = before - count[SIZE]
            if unit(rng) * (1 + loss * (count[BEST] - count[SIZE])) > 1.0:
                for k in range(count[JOURNAL] - 1, -1, -1):
                    v = lists[JOURNAL, k]
                    if v >= 0:
                        withdraw(indptr, indices, node, lists, count, v)
                    else:
                        insert(indptr, indices, node, lists, count, ~v)
    return done
