"""The scores of one graph's vertices, fused for inference: what `VertexScorer` computes."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from learnsys.graphs.lanes import aligned
from learnsys.policies.independent_set.comparator.activation_kernel import FAST, normal_cdf, normalise
from learnsys.policies.independent_set.comparator.neighbours_kernel import sum_neighbours


@njit(["void(float32[:, ::1], float32[::1], float32[:, ::1])"], cache=True, **FAST)
def add_gelu(pre, offset, out):
    """out += GELU(pre + offset), row by row."""
    for r in range(pre.shape[0]):
        for k in range(pre.shape[1]):
            z = pre[r, k] + offset[k]
            out[r, k] += z * normal_cdf(z)


NETWORK = (
    "float32[:, ::1], float32[::1], float32[:, :, ::1], float32[:, :, ::1], float32[:, ::1], float32[:, :, ::1],"
    "float32[:, ::1], float32[:, ::1], float32[:, ::1], float32[::1], float32[::1], float32"
)


@njit([f"void(int32[::1], int32[::1], int64, {NETWORK}, float32[::1])"], cache=True, nogil=True)
def score_vertices(
    ptr, idx, rows, enter, enter_bias, send, mix, mix_bias, context, gain, shift, hidden, hidden_bias, last, last_bias,
    out,
):  # fmt: skip
    """The scores of a graph in which each vertex has a neighbour.

    Args:
        ptr, idx, rows: its CSR, from entry 0 and numbered from 0, and its vertices.
        enter ... last_bias: the network (`Weights`).
        out: receives the scores, (rows,).
    """
    width = enter.shape[1]
    mean = np.float64(ptr[rows]) / rows
    told = np.empty((rows, enter.shape[0]), np.float32)
    share = np.empty(rows, np.float32)
    for r in range(rows):
        degree = ptr[r + 1] - ptr[r]
        told[r, 0] = 1
        told[r, 1] = math.log1p(degree) / 4
        told[r, 2] = degree / mean
        told[r, 3] = mean / (degree + 1.0) / 2
        told[r, 4] = degree / rows
        told[r, 5] = math.log1p(rows) / 8
        share[r] = 1.0 / degree
    x, pre = aligned(rows, width), aligned(rows, width)
    x[:] = 0
    np.dot(told, enter, pre)
    add_gelu(pre, enter_bias, x)
    sent, near, joined = aligned(rows, 2 * width), aligned(rows, 2 * width), aligned(rows, 3 * width)
    average, offset = np.empty(width, np.float32), np.empty(width, np.float32)
    for layer in range(send.shape[0]):
        average[:] = 0
        for r in range(rows):
            for k in range(width):
                average[k] += x[r, k]
        offset[:] = mix_bias[layer]
        for i in range(width):
            for k in range(width):
                offset[k] += average[i] / np.float32(rows) * context[layer, i, k]
        np.dot(x, send[layer], sent)
        for r in range(rows):
            for k in range(width, 2 * width):
                sent[r, k] *= share[r]
        sum_neighbours(sent, ptr, idx, rows, 0, 2 * width, near)
        for r in range(rows):
            for k in range(width):
                joined[r, k] = x[r, k]
                joined[r, width + k] = near[r, k] * share[r]
                joined[r, 2 * width + k] = near[r, width + k]
        np.dot(joined, mix[layer], pre)
        add_gelu(pre, offset, x)
        normalise(x, rows, gain[layer], shift[layer], x)
    np.dot(x, hidden, pre)
    x[:] = 0
    add_gelu(pre, hidden_bias, x)
    for r in range(rows):
        total = last_bias
        for k in range(width):
            total += x[r, k] * last[k]
        out[r] = total
