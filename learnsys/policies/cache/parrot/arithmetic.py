"""Exponentials, logistic functions and hyperbolic tangents that the compiler can vectorise, for use inside kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic


def _floor(typing_context, x):
    """The largest whole number not above a float32, as float32."""

    def generate(context, builder, signature, arguments):
        function = builder.module.declare_intrinsic("llvm.floor", [ir.FloatType()])
        return builder.call(function, arguments)

    return types.float32(types.float32), generate


def _power_of_two(typing_context, n):
    """2^n of a float32 that holds a whole number from -126 to 127."""

    def generate(context, builder, signature, arguments):
        number = ir.IntType(32)
        exponent = builder.add(builder.fptosi(arguments[0], number), number(127))
        return builder.bitcast(builder.shl(exponent, number(23)), ir.FloatType())

    return types.float32(types.float32), generate


floor: Any = intrinsic(_floor)
power_of_two: Any = intrinsic(_power_of_two)


@njit(inline="always", fastmath=True, error_model="numpy")
def exponential(x):
    """e^x of a float32 to 1e-7 relative, clamped to [-87, 88]: 2^n times a polynomial in what is left of x."""
    x = min(max(x, np.float32(-87)), np.float32(88))
    n = floor(x * np.float32(1.44269504) + np.float32(0.5))
    rest = x - n * np.float32(0.693359375) + n * np.float32(2.12194440e-4)  # ln 2 in two parts, the first one exact
    p = np.float32(1.9875691500e-4)  # minimax coefficients of the Cephes library's expf
    p = p * rest + np.float32(1.3981999507e-3)
    p = p * rest + np.float32(8.3334519073e-3)
    p = p * rest + np.float32(4.1665795894e-2)
    p = p * rest + np.float32(1.6666665459e-1)
    p = p * rest + np.float32(5.0000001201e-1)
    p = p * rest * rest + rest + np.float32(1)
    return p * power_of_two(n)


@njit(inline="always", fastmath=True, error_model="numpy")
def logistic(x):
    """1 / (1 + e^-x) of a float32."""
    return np.float32(1) / (np.float32(1) + exponential(-x))


@njit(inline="always", fastmath=True, error_model="numpy")
def tangent(x):
    """tanh of a float32, to 1e-7 absolute."""
    return np.float32(1) - np.float32(2) / (np.float32(1) + exponential(np.float32(2) * x))
