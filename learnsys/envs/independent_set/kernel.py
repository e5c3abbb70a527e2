"""What taking or deleting a vertex does to a graph."""

from __future__ import annotations

from numba import njit

OUT, IN, OPEN = 0, 1, 2
"""status of a vertex: deleted, in the set, or still to be decided on"""

_ROWS = "int64[::1], int32[::1], int8[::1], int32[::1]"


@njit([f"int64({_ROWS}, int64)"], cache=True, nogil=True)
def delete(indptr, indices, status, degree, v):
    """Delete the open vertex v. Open neighbours that lose their last neighbour enter the set: how many do."""
    status[v] = OUT
    entered = 0
    for e in range(indptr[v], indptr[v + 1]):
        u = indices[e]
        if status[u] == OPEN:
            degree[u] -= 1
            if degree[u] == 0:
                status[u] = IN
                entered += 1
    degree[v] = 0
    return entered


@njit([f"int64({_ROWS}, int64)"], cache=True, nogil=True)
def take(indptr, indices, status, degree, v):
    """Put the open vertex v into the set and delete its neighbours: how many vertices enter the set."""
    status[v] = IN
    entered = 1
    for e in range(indptr[v], indptr[v + 1]):
        u = indices[e]
        if status[u] == OPEN:
            entered += delete(indptr, indices, status, degree, u)
    degree[v] = 0
    return entered


@njit([f"int64({_ROWS})"], cache=True, nogil=True)
def begin(indptr, indices, status, degree):
    """Open all vertices but the isolated ones, which enter the set: how many do."""
    entered = 0
    for v in range(status.size):
        degree[v] = indptr[v + 1] - indptr[v]
        status[v] = OPEN
        if degree[v] == 0:
            status[v] = IN
            entered += 1
    return entered
