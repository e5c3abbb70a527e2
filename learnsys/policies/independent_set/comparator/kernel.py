"""The comparator's layers, fused: CSR in place of the dense adjacency, forward and backward.

Graphs are stacked: one CSR over the rows of all of them. A row stands for one vertex, or for many that no layer can
tell apart (all isolated vertices of a graph; all vertices of its isolated edges, whose one neighbour is then the row
itself), and counts with its weight in sums over the vertices.

The first layer sees X = 0 and yields a function of a vertex's degree and the graph's size. It is computed once for
each degree met in a graph (a class), and so is the product with the next layer's matrix.

Letters: R rows, C classes, G graphs, D width. The parts of a layer stand in the order S, F, A; "pre" is a layer's sum
before GELU and LayerNorm.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from learnsys.policies.independent_set.comparator.activation_kernel import FAST, activate
from learnsys.policies.independent_set.comparator.neighbours_kernel import sum_neighbours

_ONE = np.float32(1)
_EPS = np.float32(1e-5)


@njit(["int64(int32[::1], int32[::1], int32[::1], int32[::1], int32[::1])"], cache=True)
def classify(ptr, graph_rows, row_class, class_degree, class_graph):
    """Number the degrees met in each graph; the classes' degrees and graphs. How many classes there are."""
    classes = 0
    seen = np.full(1, -1, np.int32)
    for g in range(graph_rows.size - 1):
        largest = 0
        for r in range(graph_rows[g], graph_rows[g + 1]):
            largest = max(largest, ptr[r + 1] - ptr[r])
        if seen.size <= largest:
            seen = np.full(2 * largest + 2, -1, np.int32)
        start = classes
        for r in range(graph_rows[g], graph_rows[g + 1]):
            degree = ptr[r + 1] - ptr[r]
            if seen[degree] < 0:
                seen[degree] = classes
                class_degree[classes] = degree
                class_graph[classes] = g
                classes += 1
            row_class[r] = seen[degree]
        for c in range(start, classes):
            seen[class_degree[c]] = -1
    return classes


@njit(["void(int32[::1], int32[::1], int64, int64[::1], float32[::1], float32[:, ::1])"], cache=True)
def first_layer(class_degree, class_graph, classes, size, bias, pre):
    """The first layer's sums of each class: with X = 0 only the biases are left, (C, 3 D)."""
    width = bias.size // 3
    for c in range(classes):
        degree = np.float32(class_degree[c])
        others = np.float32(size[class_graph[c]] - class_degree[c])
        for k in range(width):
            pre[c, k] = bias[k]
            pre[c, width + k] = (degree + _ONE) * bias[width + k]
            pre[c, 2 * width + k] = others * bias[2 * width + k]


@njit(["void(int32[::1], int32[::1], int32[::1])"], cache=True, nogil=True)
def look_up(table, index, out):
    """out = table[index]."""
    for e in range(index.size):
        out[e] = table[np.uint64(index[e])]


@njit(
    [
        "void(float32[:, ::1], int32[::1], int32[::1], int32[::1], int32[::1], float32[::1], int64[::1], float32[::1],"
        "float32[:, ::1])"
    ],
    cache=True,
    nogil=True,
    **FAST,
)
def aggregate(product, row_class, ptr, sources, graph_rows, weight, size, bias, pre):
    """A layer's sums (R, 3 D) from the products [S X ; F X ; W X] of the classes (C, 3 D), without their bias.

    `sources` holds the neighbours' classes, in the order of the CSR.
    """
    inner = product.shape[1]
    width = inner // 3
    pooled = np.empty(width, np.float32)
    sum_neighbours(product, ptr, sources, graph_rows[-1], width, inner, pre)
    for g in range(graph_rows.size - 1):
        count = np.float32(size[g])
        for k in range(width):
            pooled[k] = count * bias[2 * width + k]
        for r in range(graph_rows[g], graph_rows[g + 1]):
            own = product[row_class[r]]
            for k in range(width):
                pooled[k] += weight[r] * own[2 * width + k]
        for r in range(graph_rows[g], graph_rows[g + 1]):
            own, out = product[row_class[r]], pre[r]
            degree = np.float32(ptr[r + 1] - ptr[r])
            for k in range(width):
                out[k] = own[k] + bias[k]
            for k in range(width, 2 * width):
                out[k] += own[k] + (degree + _ONE) * bias[k]
            for k in range(width):
                out[2 * width + k] = pooled[k] - (out[2 * width + k] + degree * bias[2 * width + k])


@njit(
    [
        "void(float32[:, ::1], int32[::1], int32[::1], int32[::1], int32[::1], float32[::1], float32[:, ::1],"
        "float32[:, ::1], float32[::1])"
    ],
    cache=True,
    nogil=True,
    **FAST,
)
def aggregate_backward(grad, row_class, ptr, idx, graph_rows, weight, near, grad_product, grad_bias):
    """d/d product (C, 3 D) and d/d bias, from d/d pre (R, 3 D). The adjacency is symmetric: the sums run as forward.

    Where there are fewer classes than rows, it adds to `grad_product`; `near` is room for (R, 3 D).
    """
    inner = grad.shape[1]
    width = inner // 3
    pooled, sums = np.empty(width, np.float32), np.zeros(inner, np.float32)
    adding = grad_product.shape[0] < grad.shape[0]
    sum_neighbours(grad, ptr, idx, graph_rows[-1], width, inner, near)
    for g in range(graph_rows.size - 1):
        pooled[:] = 0
        for r in range(graph_rows[g], graph_rows[g + 1]):
            for k in range(width):
                pooled[k] += grad[r, 2 * width + k]
        for r in range(graph_rows[g], graph_rows[g + 1]):
            part, own = near[r], grad[r]
            for k in range(width):
                part[k] = own[k]
            for k in range(width, 2 * width):
                part[k] += own[k]
            for k in range(width):
                part[2 * width + k] = weight[r] * pooled[k] - part[2 * width + k]
            for k in range(inner):
                sums[k] += part[k]
            out = grad_product[row_class[r]]
            if adding:
                for k in range(inner):
                    out[k] += part[k]
            else:
                for k in range(inner):
                    out[k] = part[k]
    grad_bias[:] = sums


@njit(
    [
        "void(int32[::1], int32[::1], int32[::1], float32[::1], int64[::1], float32[:, :, ::1], float32[:, ::1],"
        "float32[:, ::1], float32[:, ::1], float32[:, ::1], float32[:, ::1], float32[:, ::1], int32[::1],"
        "int32[:, ::1], int32[::1])"
    ],
    cache=True,
    nogil=True,
)
def embed(ptr, idx, graph_rows, weight, size, matrix, bias, gain, shift, x, pre, product, row_class, table, classed):
    """The rows' features after the last layer, in `x`.

    Args:
        ptr, idx, graph_rows: the stack, int32 (R + 1), (E,), (G + 1).
        weight: vertices that each row stands for, (R,).
        size: vertices of each graph, isolated ones included, (G,).
        matrix: of the layers after the first, transposed, (K - 1, 3 D, 3 D).
        bias, gain, shift: of each layer, (K, 3 D).
        x, pre, product: room for (R, 3 D) each.
        row_class, table, classed: room for (R,), (2, R) and (E,).
    """
    rows = graph_rows[-1]
    classes = classify(ptr, graph_rows, row_class, table[0], table[1])
    first_layer(table[0], table[1], classes, size, bias[0], pre)
    activate(pre, classes, gain[0], shift[0], x)
    count = classes
    look_up(row_class, idx[: ptr[rows]], classed)
    sources = classed
    for layer in range(1, bias.shape[0]):
        np.dot(x[:count], matrix[layer - 1], product[:count])
        if layer == 2:
            for r in range(rows):
                row_class[r] = r
            sources = idx
        aggregate(product, row_class, ptr, sources, graph_rows, weight, size, bias[layer], pre)
        activate(pre, rows, gain[layer], shift[layer], x)
        count = rows


@njit(["void(float32[:, ::1], int32[::1], float32[::1], int64[::1], float32[:, ::1])"], cache=True, **FAST)
def pool(x, graph_rows, weight, size, out):
    """The mean over each graph's vertices, (G, 3 D)."""
    for g in range(graph_rows.size - 1):
        out[g] = 0
        for r in range(graph_rows[g], graph_rows[g + 1]):
            for k in range(out.shape[1]):
                out[g, k] += weight[r] * x[r, k]
        for k in range(out.shape[1]):
            out[g, k] /= size[g]


@njit(
    [
        "float32(float32[::1], float32[:, ::1], float32[:, :, ::1], float32[:, ::1], float32[:, ::1], float32[:, ::1],"
        "float32[::1], float32)"
    ],
    cache=True,
    **FAST,
)
def read_out(pooled, first, dense, bias, gain, shift, last, last_bias):
    """A graph's logit from the mean of its vertices' features.

    Args:
        first, dense: matrices of the first dense layer and of the middle ones, transposed, (3 D, D), (Q - 2, D, D).
        bias, gain, shift: of all but the last layer and of their LayerNorms, (Q - 1, D).
        last, last_bias: of the last layer, which sees the last and the first output, (2 D,).
    """
    width = bias.shape[1]
    skip = np.empty(width, np.float32)
    h = np.empty(width, np.float32)
    z = np.empty(width, np.float32)
    for layer in range(bias.shape[0]):
        z[:] = bias[layer]
        if layer == 0:
            for i in range(pooled.size):
                for k in range(width):
                    z[k] += pooled[i] * first[i, k]
        else:
            for i in range(width):
                for k in range(width):
                    z[k] += h[i] * dense[layer - 1, i, k]
        total = np.float32(0)
        for k in range(width):
            z[k] = max(z[k], np.float32(0))
            total += z[k]
        mean = total / np.float32(width)
        squares = np.float32(0)
        for k in range(width):
            squares += (z[k] - mean) * (z[k] - mean)
        scale = _ONE / np.sqrt(squares / np.float32(width) + _EPS)
        for k in range(width):
            h[k] = (z[k] - mean) * scale * gain[layer, k] + shift[layer, k]
        if layer == 0:
            skip[:] = h
    logit = last_bias
    for k in range(width):
        logit += h[k] * last[k] + skip[k] * last[width + k]
    return logit
