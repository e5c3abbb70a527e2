"""Building independent sets by scores: take a vertex, delete its neighbours, score what is left, and so on."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

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
    core_ptr, core_idx, core_vertex = cut_out(ptr, idx, 0, n)
    other_ptr, other_vertex = np.empty_like(core_ptr), core_vertex.copy()
    other_idx = np.empty(core_idx.size + 1, np.int32)
    spare_idx = np.empty(core_idx.size + 1, np.int32)
    spare_idx[: core_idx.size] = core_idx
    core_idx = spare_idx
    removed, degree, number = np.zeros(n, np.uint8), np.empty(n, np.int32), np.empty(n, np.int32)
    counts = np.zeros(4, np.int64)
    score = np.empty(n, np.float32)
    status[:] = 2
    order[:] = -1
    rows, taken = n, 0
    while True:
        # Here `removed` tells the rows that are gone since the last scoring; those left alone by it are in the set.
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
        if rows == 0 or taken == steps:
            return
        if reduce:
            found = False
            for r in range(rows):
                if core_ptr[r + 1] - core_ptr[r] == 1 and not removed[r]:
                    neighbour = core_idx[core_ptr[r]]
                    if not removed[neighbour]:
                        _take(core_ptr, core_idx, core_vertex, r, removed, status)
                        found = True
            if found:
                continue
        if source == LEARNED:
            score_vertices(
                core_ptr, core_idx, rows, enter, enter_bias, send, mix, mix_bias, context, gain, shift,
                hidden, hidden_bias, last, last_bias, score,
            )  # fmt: skip
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
