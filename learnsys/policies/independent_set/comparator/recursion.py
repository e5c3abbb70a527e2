"""The recursion that the comparator decides, for many graphs at once and in lock-step.

A recursion is told by its core: the vertices that decisions are still about. Each decision draws a vertex v of the
core and removes either v alone or all neighbours of v:

- independent set: what is removed is gone. The core are the vertices with a neighbour. In the end it is empty, and
  what was never removed is the set.
- vertex cover: what is removed is in the cover; it loses its edges and gets a new neighbour of its own. The core are
  the vertices with a neighbour that are not both ends of an isolated edge. In the end the graph is a matching, and the
  cover is what was removed and one end of each isolated edge among the others.

So all vertices outside of the core are alike in a graph: isolated, or ends of isolated edges. The stack for the
network holds the core's rows and one row for each of these two kinds.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from learnsys.graphs.lanes import aligned
from learnsys.policies.independent_set.comparator.core_kernel import cut_out, draw, shrink
from learnsys.policies.independent_set.comparator.kernel import embed, pool, read_out

TIE = np.float32(1e-5)
"""Logits this close are a tie: rounding differs between summation orders, as in two graphs that are isomorphic."""


@njit(["int64(int64, int64, int64, int64, int64, int32[::1], int32[::1], int32[::1], float32[::1])"], cache=True)
def close_stack(row, place, kept, isolated, pairs, ptr, idx, graph_rows, weight):
    """Add the rows of isolated vertices and of isolated edges to a graph's `kept` rows in the stack: its last row + 1.

    `graph_rows` receives that number at its end.
    """
    for r in range(row, row + kept):
        weight[r] = 1
    end = row + kept
    if isolated:
        weight[end] = isolated
        end += 1
        ptr[end] = place
    if pairs:
        weight[end] = 2 * pairs
        idx[place] = end
        end += 1
        ptr[end] = place + 1
    graph_rows[-1] = end
    return end


@njit(
    [
        "Tuple((int32[::1], int32[::1], int32[::1], float32[::1], int64[::1]))"
        "(int64[::1], int32[::1], int64[::1], int64[::1], int64[::1], uint8[::1], boolean)"
    ],
    cache=True,
    nogil=True,
)
def stack_graphs(ptr, idx, starts, root, lane_start, kept, cover):
    """The stack of one graph for each lane: its root with the vertices removed that are not `kept`.

    Args:
        ptr, idx, starts, root, lane_start, kept, cover: as for `roll_out`.

    Returns:
        ptr, idx, graph_rows, weight and size, as `learnsys.policies.independent_set.comparator.kernel.embed` has them.
    """
    lanes, entries, largest = root.size, np.int64(0), np.int64(0)
    for a in range(lanes):
        low, high = starts[root[a]], starts[root[a] + 1]
        entries += ptr[high] - ptr[low]
        largest = max(largest, high - low)
    total = lane_start[lanes] + 2 * lanes
    new_ptr, new_vertex = np.zeros(total + 1, np.int32), np.empty(total, np.int32)
    new_idx, weight = np.empty(entries + lanes + 1, np.int32), np.empty(total, np.float32)
    graph_rows, size = np.zeros(lanes + 1, np.int32), np.empty(lanes, np.int64)
    removed = np.empty(largest, np.uint8)
    degree, number, counts = np.empty(largest, np.int32), np.empty(largest, np.int32), np.empty(4, np.int64)
    row, place = np.int64(0), np.int64(0)
    for a in range(lanes):
        own_ptr, own_idx, own_vertex = cut_out(ptr, idx, starts[root[a]], starts[root[a] + 1])
        n = own_vertex.size
        gone = 0
        for v in range(n):
            removed[v] = 1 - kept[lane_start[a] + v]
            gone += removed[v]
        shrink(
            own_ptr, own_idx, own_vertex, n, removed, cover,
            new_ptr, new_idx, new_vertex, row, place, degree, number, counts,
        )  # fmt: skip
        size[a] = n + gone if cover else n - gone
        row = close_stack(
            row, place + counts[1], counts[0], counts[2], counts[3] + (gone if cover else 0),
            new_ptr, new_idx, graph_rows[: a + 2], weight,
        )  # fmt: skip
        place = new_ptr[row]
    return new_ptr[: row + 1].copy(), new_idx[:place].copy(), graph_rows, weight[:row].copy(), size


_NETWORK = (
    "float32[:, :, ::1], float32[:, ::1], float32[:, ::1], float32[:, ::1],"
    "float32[:, ::1], float32[:, :, ::1], float32[:, ::1], float32[:, ::1], float32[:, ::1], float32[::1], float32"
)


@njit(
    [
        "void(int64[::1], int32[::1], int64[::1], int64[::1], int64[::1], uint8[::1], uint64[::1], boolean, int64,"
        f"{_NETWORK}, int32[:, ::1], int8[:, ::1])"
    ],
    cache=True,
    nogil=True,
)
def roll_out(
    ptr, idx, starts, root, lane_start, kept, state, cover, steps,
    matrix, bias, gain, shift, first, dense, read_bias, read_gain, read_shift, last, last_bias,
    picks, choices,
):  # fmt: skip
    """Run recursions in lock-step until each has ended, or for `steps` decisions at most.

    Args:
        ptr, idx, starts: graphs side by side (`learnsys.graphs.Batch`).
        root: the graph of each lane, (L,).
        lane_start: where each lane's vertices begin in `kept`, (L + 1,).
        kept: in, 1 for the vertices that the lane starts with; out, 1 for those never removed.
        state: each lane's random stream, (L,).
        cover: whether the recursion is the one of vertex covers.
        steps: decisions at most; 0 for no limit.
        matrix ... last_bias: the network (`Weights`).
        picks, choices: (L, S) record the first S decisions: the vertex drawn (-1 after the end), numbered in its
            graph, and 1 where its neighbours were removed. S may be 0.
    """
    lanes = root.size
    inner = bias.shape[1]
    edge_start = np.zeros(lanes + 1, np.int64)
    for a in range(lanes):
        low, high = starts[root[a]], starts[root[a] + 1]
        edge_start[a + 1] = edge_start[a] + ptr[high] - ptr[low]
    total, entries = lane_start[lanes], edge_start[lanes]
    largest = 0
    for a in range(lanes):
        largest = max(largest, lane_start[a + 1] - lane_start[a])

    core_ptr, core_vertex = np.zeros(total + lanes, np.int32), np.empty(total, np.int32)
    core_idx = np.empty(entries + 1, np.int32)
    rows, size = np.zeros(lanes, np.int64), np.zeros(lanes, np.int64)
    isolated, pairs = np.zeros(lanes, np.int64), np.zeros(lanes, np.int64)
    stack_ptr = np.zeros(2 * (total + 2 * lanes) + 1, np.int32)
    stack_vertex = np.empty(2 * (total + 2 * lanes), np.int32)
    stack_idx = np.empty(2 * (entries + lanes) + 1, np.int32)
    classed = np.empty_like(stack_idx)
    weight = np.empty(2 * (total + 2 * lanes), np.float32)
    graph_rows = np.zeros(2 * lanes + 1, np.int32)
    graph_size = np.empty(2 * lanes, np.int64)
    outcome = np.empty((2 * lanes, 4), np.int64)  # of each candidate: its rows, and what `shrink` counted but the rows
    x = np.empty((0, inner), np.float32)
    pre, product = x, x
    table = np.empty((2, 0), np.int32)
    row_class = np.empty(0, np.int32)
    pooled = np.empty((2 * lanes, inner), np.float32)
    removed = np.zeros(largest, np.uint8)
    degree, number = np.empty(largest, np.int32), np.empty(largest, np.int32)
    counts = np.zeros(4, np.int64)
    drawn, logit = np.empty(lanes, np.int64), np.empty(2 * lanes, np.float32)

    for a in range(lanes):
        n = lane_start[a + 1] - lane_start[a]
        own = core_ptr[lane_start[a] + a : lane_start[a + 1] + a + 1]
        whole_ptr, whole_idx, whole_vertex = cut_out(ptr, idx, starts[root[a]], starts[root[a] + 1])
        gone = 0
        for v in range(n):
            removed[v] = 1 - kept[lane_start[a] + v]
            gone += removed[v]
        shrink(
            whole_ptr, whole_idx, whole_vertex, n, removed, cover,
            own, core_idx[edge_start[a] :], core_vertex[lane_start[a] :], 0, 0, degree, number, counts,
        )  # fmt: skip
        removed[:n] = 0
        rows[a], isolated[a], pairs[a] = counts[0], counts[2], counts[3] + (gone if cover else 0)
        size[a] = n + gone if cover else n - gone

    step = 0
    while True:
        live, row, place = 0, 0, 0
        for a in range(lanes):
            if rows[a] == 0 or (steps and step >= steps):
                continue
            own_ptr = core_ptr[lane_start[a] + a :]
            own_idx, own_vertex = core_idx[edge_start[a] :], core_vertex[lane_start[a] :]
            v = int(draw(state, a) * rows[a])
            drawn[a] = v
            if step < picks.shape[1]:
                picks[a, step] = own_vertex[v]
            neighbours = own_ptr[v + 1] - own_ptr[v]
            for side in range(2):
                gone = neighbours if side else 1
                if side:
                    removed[v] = 0
                    for e in range(own_ptr[v], own_ptr[v + 1]):
                        removed[own_idx[e]] = 1
                else:
                    removed[v] = 1
                shrink(
                    own_ptr, own_idx, own_vertex, rows[a], removed, cover,
                    stack_ptr, stack_idx, stack_vertex, row, place, degree, number, counts,
                )  # fmt: skip
                graph = 2 * live + side
                new_isolated, new_pairs = isolated[a] + counts[2], pairs[a] + counts[3] + (gone if cover else 0)
                outcome[graph, 0] = counts[0]
                outcome[graph, 1] = new_isolated
                outcome[graph, 2] = new_pairs
                outcome[graph, 3] = row
                graph_size[graph] = size[a] + gone if cover else size[a] - gone
                place += counts[1]
                row = close_stack(
                    row, place, counts[0], new_isolated, new_pairs,
                    stack_ptr, stack_idx, graph_rows[: graph + 2], weight,
                )  # fmt: skip
                place = stack_ptr[row]
            for e in range(own_ptr[v], own_ptr[v + 1]):
                removed[own_idx[e]] = 0
            live += 1
        if live == 0:
            return
        if x.shape[0] < row:
            x = aligned(row + row // 4, inner)
            pre, product = aligned(x.shape[0], inner), aligned(x.shape[0], inner)
            row_class, table = np.empty(x.shape[0], np.int32), np.empty((2, x.shape[0]), np.int32)
        marks = graph_rows[: 2 * live + 1]
        embed(
            stack_ptr, stack_idx, marks, weight, graph_size, matrix, bias, gain, shift,
            x, pre, product, row_class, table, classed,
        )  # fmt: skip
        pool(x, marks, weight, graph_size, pooled)
        live = 0
        for a in range(lanes):
            if rows[a] == 0 or (steps and step >= steps):
                continue
            for graph in range(2 * live, 2 * live + 2):
                logit[graph] = read_out(pooled[graph], first, dense, read_bias, read_gain, read_shift, last, last_bias)
            side = 1 if logit[2 * live + 1] > logit[2 * live] + TIE else 0
            if step < choices.shape[1]:
                choices[a, step] = side
            v = drawn[a]
            own_ptr = core_ptr[lane_start[a] + a : lane_start[a + 1] + a + 1]
            own_idx, own_vertex = core_idx[edge_start[a] :], core_vertex[lane_start[a] :]
            if side:
                for e in range(own_ptr[v], own_ptr[v + 1]):
                    kept[lane_start[a] + own_vertex[own_idx[e]]] = 0
            else:
                kept[lane_start[a] + own_vertex[v]] = 0
            graph = 2 * live + side
            begin = outcome[graph, 3]
            rows[a], isolated[a], pairs[a] = outcome[graph, 0], outcome[graph, 1], outcome[graph, 2]
            size[a] = graph_size[graph]
            base = stack_ptr[begin]
            for r in range(rows[a]):
                own_vertex[r] = stack_vertex[begin + r]
                own_ptr[r + 1] = stack_ptr[begin + r + 1] - base
            for e in range(own_ptr[rows[a]]):
                own_idx[e] = stack_idx[base + e] - begin
            live += 1
        step += 1
