"""The kernel of `inference`: from features to scores in one call."""

from __future__ import annotations

import numpy as np
from numba import njit, types

from learnsys.graphs.bipartite_kernel import (
    READ_FLOATS,
    READ_INTS,
    READ_ROWS,
    around,
    cut_out,
    fill_columns,
    narrow_columns,
)
from learnsys.graphs.edges_kernel import add_product, sum_messages

_ROWS = types.float32[:, ::1]
_GRAPH = (READ_INTS, READ_INTS, READ_FLOATS)


@njit([_ROWS(READ_ROWS, READ_ROWS, types.int64, types.boolean)], cache=True, nogil=True)
def _layer(x, weights, at, rectify):
    """x @ weights[at : at + depth] + the row below, rectified or not."""
    out = np.empty((x.shape[0], weights.shape[1]), np.float32)
    out[:] = weights[at + x.shape[1]]
    add_product(x, weights, at, rectify, out)
    return out


@njit(
    [
        types.Tuple((_ROWS, types.int64))(
            READ_ROWS, types.int64, types.boolean, types.float64, types.float64, READ_ROWS, READ_ROWS, *_GRAPH
        )
    ],
    cache=True,
    nogil=True,
)
def _convolve(weights, at, concatenated, edge_shift, edge_scale, targets, source_terms, pointers, sources, values):
    """A half-convolution and the layer that reads it; the place behind its weights."""
    n, width = targets.shape[0], weights.shape[1]
    out, sums = np.empty((n, width), np.float32), np.empty((n, width), np.float32)
    target_terms = _layer(targets, weights, at, concatenated)
    at += width + 1
    if concatenated:
        of_targets, positive, negative = at, weights[at + width], weights[at + width + 1]
        at += width + 2
    slope, of_sums, of_degree, own = weights[at : at + 1], at + 1, weights[at + 1 + width], at + 2 + width
    bias = weights[own + width]
    for i in range(n):
        degree = np.float32(pointers[i + 1] - pointers[i])
        for c in range(width):
            out[i, c] = bias[c] + degree * of_degree[c]
        if concatenated:
            above = below = 0.0
            for e in range(pointers[i], pointers[i + 1]):
                value = (values[e] + edge_shift) * edge_scale
                above += max(value, 0.0)
                below += max(-value, 0.0)
            for c in range(width):
                out[i, c] += np.float32(above) * positive[c] + np.float32(below) * negative[c]
                target_terms[i, c] *= degree
    add_product(targets, weights, own, False, out)
    if concatenated:
        add_product(target_terms, weights, of_targets, False, out)
        target_terms[:] = 0.0
    sum_messages(pointers, sources, values, target_terms, source_terms, slope, sums)
    add_product(sums, weights, of_sums, True, out)
    at = own + width + 1
    return _layer(out, weights, at, False), at + width + 1


@njit(
    [
        types.float32[::1](
            READ_ROWS,
            types.boolean,
            types.float64,
            types.float64,
            READ_ROWS,
            READ_ROWS,
            *_GRAPH,
            READ_INTS,
            types.int64,
        )
    ],
    cache=True,
    nogil=True,
)
def _scores(weights, concatenated, edge_shift, edge_scale, variables, rows, pointers, columns, values, place, k):
    """Logits of the k candidates; `place` has the place of each variable among them, or -1."""
    width = weights.shape[1]
    at = variables.shape[1] + 1
    embedded = _layer(_layer(variables, weights, 0, True), weights, at, True)
    at += width + 1
    embedded_rows = _layer(rows, weights, at, True)
    at += rows.shape[1] + 1
    embedded_rows = _layer(embedded_rows, weights, at, True)
    at += width + 1
    sent = _layer(embedded, weights, at, False)
    at += width + 1
    edge = (edge_shift, edge_scale)
    answered, at = _convolve(weights, at, concatenated, *edge, embedded_rows, sent, pointers, columns, values)

    chosen = np.empty((k, width), np.float32)
    for variable in range(place.size):
        if place[variable] >= 0:
            chosen[place[variable]] = embedded[variable]
    back = narrow_columns(columns, place, k)
    back_rows, back_values = np.empty(back[k], np.int32), np.empty(back[k], np.float32)
    fill_columns(pointers, columns, values, place, back, back_rows, back_values)
    found, at = _convolve(weights, at, concatenated, *edge, chosen, answered, back, back_rows, back_values)
    out = np.empty(k, np.float32)
    for i in range(k):
        total = np.float32(0.0)
        for c in range(width):
            total += max(found[i, c], np.float32(0.0)) * weights[at, c]
        out[i] = total
    return out


@njit(
    [
        types.float32[::1](
            READ_ROWS,
            types.boolean,
            types.float64,
            types.float64,
            READ_ROWS,
            READ_ROWS,
            *_GRAPH,
            types.Array(types.int64, 1, "C", readonly=True),
        )
    ],
    cache=True,
    nogil=True,
)
def scores(weights, concatenated, edge_shift, edge_scale, variables, rows, pointers, columns, values, candidates):
    """Logits of the candidates, float32 (k,); see `Scorer`. `weights` is from `pack`."""
    norms, n, k = (concatenated, edge_shift, edge_scale), variables.shape[0], candidates.size
    place = np.full(n, -1, np.int32)
    for i in range(k):
        place[candidates[i]] = i
    near_rows, near = around(pointers, columns, place)
    if near_rows.size == rows.shape[0] and near.size == n:
        return _scores(weights, *norms, variables, rows, pointers, columns, values, place, k)
    pointers, columns, values = cut_out(pointers, columns, values, n, near_rows, near)
    return _scores(weights, *norms, variables[near], rows[near_rows], pointers, columns, values, place[near], k)
