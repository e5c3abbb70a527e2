"""Building independent sets by scores: take a vertex, delete its neighbours, score what is left, and so on."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from learnsys.graphs import Graph
from learnsys.policies.independent_set.comparator.core_kernel import cut_out, draw, shrink
from learnsys.policies.independent_set.learned.kernel import NETWORK, score_vertices

LEARNED, RANDOM, DEGREE = 0, 1, 2
"""where scores come from: the network, chance, or minus the degree (ties at random)"""


@njit(["void(int32[::1], int32[::1], int32[::1], int64, uint8[::1], uint8[::1])"], cache=True)
def _take(ptr, idx, vertex, row, removed, status):
    """Put the vertex of a row into the set and its neighbours out."""
    removed[row] = 1
    status[vertex[row]] = 1
    for e in range(ptr[row], ptr[row + 1]):
        removed[idx[e]] = 1
        status[vertex[idx[e]]] = 0


_ROOM = "int32[::1], " * 6
"""the graph that is left in CSR with the vertex of each row, and as much room for what will be left of it"""


@njit(
    ["Tuple((int32[::1], int32[::1], int32[::1], int32[::1], int32[::1], int32[::1]))(int64[::1], int32[::1])"],
    cache=True,
    nogil=True,
)
def begin(ptr, idx):
    """A whole graph as what is left, and room."""
    core_ptr, core_idx, core_vertex = cut_out(ptr, idx, 0, ptr.size - 1)
    room_idx, other_idx = np.empty(core_idx.size + 1, np.int32), np.empty(core_idx.size + 1, np.int32)
    room_idx[: core_idx.size] = core_idx
    return core_ptr, room_idx, core_vertex, np.empty_like(core_ptr), other_idx, core_vertex.copy()


@njit(
    [
        "Tuple((int32[::1], int32[::1], int32[::1], int32[::1], int32[::1], int32[::1], int64))"
        f"({_ROOM}int64, uint8[::1], int32[:, ::1], boolean, uint8[::1])"
    ],
    cache=True,
    nogil=True,
)
def settle(
    core_ptr, core_idx, core_vertex, other_ptr, other_idx, other_vertex, rows, removed, spare, reduce, status
):  # fmt: skip
    """What is left without the rows that are `removed`: its arrays and room, and its rows.

    Those left alone by it are in the set. With `reduce` vertices with one neighbour are taken, which loses nothing.

    Args:
        removed: of the first `rows`, which are gone; zeros afterwards, (n,).
        spare: room, (2, n).
    """
    degree, number, counts = spare[0], spare[1], np.zeros(4, np.int64)
    while True:
        other_ptr[0] = 0
        shrink(
            core_ptr, core_idx, core_vertex, rows, removed, False,
            other_ptr, other_idx, other_vertex, 0, 0, degree, number, counts,
        )  # fmt: skip
        for r in range(rows):
            if not removed[r] and number[r] < 0:
                status[core_vertex[r]] = 1
        core_ptr, other_ptr = other_ptr, core_ptr
        core_idx, other_idx = other_idx, core_idx
        core_vertex, other_vertex = other_vertex, core_vertex
        rows = counts[0]
        removed[:rows] = 0
        found = False
        if reduce:
            for r in range(rows):
                if core_ptr[r + 1] - core_ptr[r] == 1 and not removed[r]:
                    neighbour = core_idx[core_ptr[r]]
                    if not removed[neighbour]:
                        _take(core_ptr, core_idx, core_vertex, r, removed, status)
                        found = True
        if not found:
            return core_ptr, core_idx, core_vertex, other_ptr, other_idx, other_vertex, rows


@njit(
    [
        "int64(int32[::1], int32[::1], int32[::1], int64, uint64[::1], int64, float64, int64, int64, float32[::1],"
        "uint8[::1], uint8[::1], int32[::1], int64)"
    ],
    cache=True,
    nogil=True,
)
def pick(
    core_ptr, core_idx, core_vertex, rows, state, source, temperature, picks, steps, score, removed, status, order,
    taken,
):  # fmt: skip
    """Take the best vertices by their scores; how many are taken by now.

    Args:
        score: of each row where `source` is LEARNED; else room.
        state, source, temperature, picks, steps, status, order: as for `construct`.
        taken: before.
    """
    for r in range(rows):
        if source == RANDOM:
            score[r] = draw(state, 0)
        elif source == DEGREE:
            score[r] = -(core_ptr[r + 1] - core_ptr[r]) + (0.5 * draw(state, 0) if temperature == 0 else 0.0)
        if temperature > 0:
            score[r] -= temperature * math.log(-math.log(draw(state, 0) + 1e-300))
    for _ in range(picks):
        best = -1
        for r in range(rows):
            if not removed[r] and (best < 0 or score[r] > score[best]):
                best = r
        if best < 0 or taken == steps:
            break
        order[taken] = core_vertex[best]
        taken += 1
        _take(core_ptr, core_idx, core_vertex, best, removed, status)
    return taken


@njit(
    [
        f"void(int64[::1], int32[::1], uint64[::1], int64, float64, int64, boolean, int64, {NETWORK}, uint8[::1],"
        "int32[::1])"
    ],
    cache=True,
    nogil=True,
)
def construct(
    ptr, idx, state, source, temperature, picks, reduce, steps,
    enter, enter_bias, send, mix, mix_bias, context, gain, shift, hidden, hidden_bias, last, last_bias,
    status, order,
):  # fmt: skip
    """Build one independent set.

    Args:
        ptr, idx: the graph (`learnsys.graphs.Graph`).
        state: the random stream, (1,).
        source: LEARNED, RANDOM or DEGREE.
        temperature: of the choice; 0 takes the best score.
        picks: vertices taken for each scoring, best first, as long as they are not joined.
        reduce: take vertices with one neighbour at once, which loses nothing.
        steps: vertices to take by score at most; -1 for no limit.
        enter ... last_bias: the network (`Weights`).
        status: (n,) receives 1 for vertices in the set, 0 for those with a neighbour in it, 2 for those left open.
        order: room for (n,): the vertices taken by score, in their order, then -1.
    """
    n = ptr.size - 1
    core_ptr, core_idx, core_vertex, other_ptr, other_idx, other_vertex = begin(ptr, idx)
    removed, spare, score = np.zeros(n, np.uint8), np.empty((2, n), np.int32), np.empty(n, np.float32)
    status[:] = 2
    order[:] = -1
    rows, taken = n, 0
    while True:
        core_ptr, core_idx, core_vertex, other_ptr, other_idx, other_vertex, rows = settle(
            core_ptr, core_idx, core_vertex, other_ptr, other_idx, other_vertex, rows, removed, spare,
            reduce and taken != steps, status,
        )  # fmt: skip
        if rows == 0 or taken == steps:
            return
        if source == LEARNED:
            score_vertices(
                core_ptr, core_idx, rows, enter, enter_bias, send, mix, mix_bias, context, gain, shift,
                hidden, hidden_bias, last, last_bias, score,
            )  # fmt: skip
        taken = pick(
            core_ptr, core_idx, core_vertex, rows, state, source, temperature, picks, steps, score, removed, status,
            order, taken,
        )  # fmt: skip


def construct_by(
    scores: Callable[[NDArray[np.int32]], NDArray[np.float32]],
    graph: Graph,
    state: NDArray[np.uint64],
    temperature: float,
    picks: int,
    reduce: bool,
    steps: int,
    status: NDArray[np.uint8],
    order: NDArray[np.int32],
) -> None:
    """`construct` by scores from elsewhere: vertices that are left, ascending (k,), each with a neighbour among them ->
    their scores (k,)."""
    room: tuple[Any, ...] = begin(graph.indptr, graph.indices)
    removed, spare = np.zeros(graph.n, np.uint8), np.empty((2, graph.n), np.int32)
    status[:] = 2
    order[:] = -1
    rows, taken = graph.n, 0
    while True:
        arguments = (*room, rows, removed, spare, reduce and taken != steps, status)
        *room, rows = settle(*arguments)
        if rows == 0 or taken == steps:
            return
        found = scores(room[2][:rows])
        core, how = tuple(room[:3]), (state, LEARNED, temperature, picks, steps)
        arguments = (*core, rows, *how, found, removed, status, order, taken)
        taken = pick(*arguments)
