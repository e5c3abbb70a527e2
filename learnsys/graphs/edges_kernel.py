"""Kernels of `edges` and `dense`. Features lie in float32 rows whose number is a multiple of 16.

Each kernel exists for blocks of 64 columns, whose values stay in registers, and for the rest in blocks of 16.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types

from learnsys.graphs.bipartite_kernel import READ_FLOATS, READ_INTS, READ_ROWS
from learnsys.graphs.lanes import load, positive, splat, splat_at, store, where_positive

BLOCKS = (64, 16)
"""columns that a kernel keeps in registers"""

_ZERO = np.float32(0)
_GRAPH = (READ_INTS, READ_INTS, READ_FLOATS)
_READ, _ROWS = READ_ROWS, types.float32[:, ::1]


def _sums(width: int) -> Any:
    @njit([types.void(*_GRAPH, *[_READ] * 3, _ROWS, types.int64, types.int64)], cache=True, nogil=True)
    def kernel(pointers, sources, values, target_terms, source_terms, slope, out, begin, end):
        for column in range(begin, end, width):
            per_value = load(slope, 0, column, width)
            for target in range(pointers.size - 1):
                base = load(target_terms, target, column, width)
                total = splat(_ZERO, width)
                for e in range(np.uint64(pointers[target]), np.uint64(pointers[target + 1])):
                    message = base + splat(values[e], width) * per_value
                    total = total + positive(message + load(source_terms, sources[e], column, width))
                store(out, target, column, total)

    return kernel


def _gradients(width: int) -> Any:
    signature = types.void(*_GRAPH, *[_READ] * 4, *[_ROWS] * 3, types.int64, types.int64)

    @njit([signature], cache=True, nogil=True)
    def kernel(
        pointers,
        sources,
        values,
        target_terms,
        source_terms,
        slope,
        gradient,
        by_target,
        by_source,
        by_slope,
        begin,
        end,
    ):
        for column in range(begin, end, width):
            per_value = load(slope, 0, column, width)
            of_slope = splat(_ZERO, width)
            for target in range(pointers.size - 1):
                base = load(target_terms, target, column, width)
                arriving = load(gradient, target, column, width)
                of_target = splat(_ZERO, width)
                for e in range(np.uint64(pointers[target]), np.uint64(pointers[target + 1])):
                    source = sources[e]
                    value = splat(values[e], width)
                    message = base + value * per_value + load(source_terms, source, column, width)
                    passed = where_positive(message, arriving)
                    of_target = of_target + passed
                    of_slope = of_slope + value * passed
                    store(by_source, source, column, load(by_source, source, column, width) + passed)
                store(by_target, target, column, of_target)
            store(by_slope, 0, column, of_slope)

    return kernel


def _products(width: int) -> Any:
    @njit(
        [types.void(_READ, _READ, types.int64, types.boolean, _ROWS, types.int64, types.int64)], cache=True, nogil=True
    )
    def kernel(x, weights, first, rectify, out, begin, end):
        n, depth = x.shape
        for column in range(begin, end, width):
            for r in range(0, n - 5, 6):  # six rows at a time fill 24 of 32 registers
                a0, a1 = load(out, r, column, width), load(out, r + 1, column, width)
                a2, a3 = load(out, r + 2, column, width), load(out, r + 3, column, width)
                a4, a5 = load(out, r + 4, column, width), load(out, r + 5, column, width)
                for k in range(depth):
                    weight = load(weights, first + k, column, width)
                    a0 = a0 + splat_at(x, r, k, width) * weight
                    a1 = a1 + splat_at(x, r + 1, k, width) * weight
                    a2 = a2 + splat_at(x, r + 2, k, width) * weight
                    a3 = a3 + splat_at(x, r + 3, k, width) * weight
                    a4 = a4 + splat_at(x, r + 4, k, width) * weight
                    a5 = a5 + splat_at(x, r + 5, k, width) * weight
                if rectify:
                    a0, a1, a2 = positive(a0), positive(a1), positive(a2)
                    a3, a4, a5 = positive(a3), positive(a4), positive(a5)
                store(out, r, column, a0)
                store(out, r + 1, column, a1)
                store(out, r + 2, column, a2)
                store(out, r + 3, column, a3)
                store(out, r + 4, column, a4)
                store(out, r + 5, column, a5)
            for r in range(n - n % 6, n):
                a0 = load(out, r, column, width)
                for k in range(depth):
                    a0 = a0 + splat_at(x, r, k, width) * load(weights, first + k, column, width)
                store(out, r, column, positive(a0) if rectify else a0)

    return kernel


sums64, sums16 = (_sums(width) for width in BLOCKS)
gradients64, gradients16 = (_gradients(width) for width in BLOCKS)
products64, products16 = (_products(width) for width in BLOCKS)


@njit([types.void(*_GRAPH, *[_READ] * 3, _ROWS)], cache=True, nogil=True)
def sum_messages(pointers, sources, values, target_terms, source_terms, slope, out):
    """out[t] = the sum of relu(target_terms[t] + values[e] slope[0] + source_terms[sources[e]]) over t's edges e.

    Args:
        pointers: int32 (T + 1,), where each target's edges begin.
        sources, values: int32 and float32 (E,).
        target_terms, source_terms, slope, out: float32 (T, W), (S, W), (1, W), (T, W), W a multiple of 16.
    """
    width = out.shape[1]
    middle = width - width % 64
    sums64(pointers, sources, values, target_terms, source_terms, slope, out, 0, middle)
    sums16(pointers, sources, values, target_terms, source_terms, slope, out, middle, width)


@njit([types.void(*_GRAPH, *[_READ] * 4, *[_ROWS] * 3)], cache=True, nogil=True)
def sum_messages_backward(
    pointers, sources, values, target_terms, source_terms, slope, gradient, by_target, by_source, by_slope
):
    """The gradients of `sum_messages` for `gradient` (T, W) of its result.

    Args:
        by_target, by_slope: (T, W), (1, W), overwritten.
        by_source: (S, W), added to.
    """
    width = gradient.shape[1]
    middle = width - width % 64
    terms = (target_terms, source_terms, slope, gradient, by_target, by_source, by_slope)
    gradients64(pointers, sources, values, *terms, 0, middle)
    gradients16(pointers, sources, values, *terms, middle, width)


@njit([types.void(_READ, _READ, types.int64, types.boolean, _ROWS)], cache=True, nogil=True)
def add_product(x, weights, first, rectify, out):
    """out += x @ weights[first : first + x.shape[1]], then relu if `rectify`; x (n, depth), weights (_, W), out (n, W).

    A product this small is not worth BLAS: it would start threads, and could not add and rectify on the way.
    """
    width = out.shape[1]
    middle = width - width % 64
    products64(x, weights, first, rectify, out, 0, middle)
    products16(x, weights, first, rectify, out, middle, width)


@njit(
    [types.Tuple((types.float64, types.float64, types.int64))(*_GRAPH, *[_READ] * 3)],
    cache=True,
    nogil=True,
    fastmath=True,
)
def message_moments(pointers, sources, values, target_terms, source_terms, slope):
    """Sum and sum of squares of what `sum_messages` rectifies, and how many numbers these are."""
    total = squares = 0.0
    width = slope.shape[1]
    for target in range(pointers.size - 1):
        for e in range(np.uint64(pointers[target]), np.uint64(pointers[target + 1])):
            source, value = sources[e], values[e]
            part = square = np.float32(0)
            for c in range(width):
                z = target_terms[target, c] + value * slope[0, c] + source_terms[source, c]
                part += z
                square += z * z
            total += float(part)
            squares += float(square)
    return total, squares, sources.size * width
