"""LayerNorm(GELU(x)) of rows of features, forward and backward. Rows hold a multiple of 8 float32."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from learnsys.graphs.lanes import load, splat, store, total

FAST: dict[str, Any] = {"fastmath": {"reassoc", "contract", "arcp", "nsz", "nnan"}, "error_model": "numpy"}
"""Without Python's error model no division has a branch, and loops become vector instructions."""
_CLAMP = np.float32(5.4)
# erf(x / sqrt 2) = x P(x^2) / Q(x^2) within 5e-7 for |x| <= 5.4, in float32; fitted by reweighted least squares
_P0, _P1, _P2, _P3, _P4 = (np.float32(c) for c in (0.79788345, 0.10979294, 0.0118121505, 7.4612285e-4, 1.3523879e-5))
_Q1, _Q2, _Q3, _Q4, _Q5 = (np.float32(c) for c in (0.30426267, 0.040531196, 3.04642e-3, 1.3386528e-4, 5.633299e-7))
_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)
_DENSITY = np.float32(0.3989422804)
_LIMIT = np.float32(16)
_EPS = np.float32(1e-5)

_ROWS, _ROW = "float32[:, ::1]", "float32[::1]"


@njit(["float32(float32)"], cache=True, inline="always", **FAST)
def normal_cdf(x):
    y = x if x < _CLAMP else _CLAMP
    y = y if y > -_CLAMP else -_CLAMP
    u = y * y
    p = (((_P4 * u + _P3) * u + _P2) * u + _P1) * u + _P0
    q = ((((_Q5 * u + _Q4) * u + _Q3) * u + _Q2) * u + _Q1) * u + _ONE
    return _HALF + _HALF * y * p / q


@njit(["float32(float32)"], cache=True, inline="always", **FAST)
def _normal_density(x):
    y = x * x * _HALF
    y = (y if y < _LIMIT else _LIMIT) * np.float32(1 / 32)
    e = _ONE - y * (_ONE - y * (_HALF - y * (np.float32(1 / 6) - y * (np.float32(1 / 24) - y * np.float32(1 / 120)))))
    e *= e
    e *= e
    e *= e
    e *= e
    return e * e * _DENSITY


def _normalising(width: int) -> Any:
    @njit([f"void({_ROWS}, int64, {_ROW}, {_ROW}, {_ROWS})"], cache=True, **FAST)
    def kernel(value, rows, gain, shift, out):
        columns = value.shape[1]
        gains, shifts, count = gain.reshape(1, columns), shift.reshape(1, columns), np.float32(columns)
        for r in range(rows):
            sums = splat(_ZERO, width)
            for k in range(0, columns, width):
                sums = sums + load(value, r, k, width)
            offset, squares = splat(-total(sums) / count, width), splat(_ZERO, width)
            for k in range(0, columns, width):
                centred = load(value, r, k, width) + offset
                squares = squares + centred * centred
            scale = splat(_ONE / np.sqrt(total(squares) / count + _EPS), width)
            for k in range(0, columns, width):
                normal = (load(value, r, k, width) + offset) * scale
                store(out, r, k, normal * load(gains, 0, k, width) + load(shifts, 0, k, width))

    return kernel


def _normalising_keeping(width: int) -> Any:
    @njit([f"void({_ROWS}, {_ROW}, {_ROW}, {_ROW}, {_ROWS})"], cache=True, **FAST)
    def kernel(value, gain, shift, scale, out):
        columns = value.shape[1]
        gains, shifts, count = gain.reshape(1, columns), shift.reshape(1, columns), np.float32(columns)
        for r in range(value.shape[0]):
            sums = splat(_ZERO, width)
            for k in range(0, columns, width):
                sums = sums + load(value, r, k, width)
            offset, squares = splat(-total(sums) / count, width), splat(_ZERO, width)
            for k in range(0, columns, width):
                centred = load(value, r, k, width) + offset
                squares = squares + centred * centred
            scale[r] = _ONE / np.sqrt(total(squares) / count + _EPS)
            factor = splat(scale[r], width)
            for k in range(0, columns, width):
                normal = (load(value, r, k, width) + offset) * factor
                store(value, r, k, normal)
                store(out, r, k, normal * load(gains, 0, k, width) + load(shifts, 0, k, width))

    return kernel


def _normalising_backward(width: int) -> Any:
    @njit([f"void({_ROWS}, {_ROWS}, {_ROW}, {_ROW}, {_ROWS}, {_ROW}, {_ROW})"], cache=True, **FAST)
    def kernel(normal, slope, scale, gain, grad, grad_gain, grad_shift):
        columns = normal.shape[1]
        gains, count = gain.reshape(1, columns), np.float32(columns)
        gain_sums, shift_sums = grad_gain.reshape(1, columns), grad_shift.reshape(1, columns)
        for r in range(normal.shape[0]):
            along, across = splat(_ZERO, width), splat(_ZERO, width)
            for k in range(0, columns, width):
                given, own = load(grad, r, k, width), load(normal, r, k, width)
                store(gain_sums, 0, k, load(gain_sums, 0, k, width) + given * own)
                store(shift_sums, 0, k, load(shift_sums, 0, k, width) + given)
                scaled = given * load(gains, 0, k, width)
                along = along + scaled
                across = across + scaled * own
            mean, tilt = splat(-total(along) / count, width), splat(-total(across) / count, width)
            factor = splat(scale[r], width)
            for k in range(0, columns, width):
                scaled = load(grad, r, k, width) * load(gains, 0, k, width)
                rest = scaled + mean + load(normal, r, k, width) * tilt
                store(grad, r, k, rest * factor * load(slope, r, k, width))

    return kernel


_normalise_by_32, _normalise_by_8 = _normalising(32), _normalising(8)
_normalise_keeping_by_32, _normalise_keeping_by_8 = _normalising_keeping(32), _normalising_keeping(8)
_backward_by_32, _backward_by_8 = _normalising_backward(32), _normalising_backward(8)


@njit([f"void({_ROWS}, int64, {_ROW}, {_ROW}, {_ROWS})"], cache=True, nogil=True)
def normalise(value, rows, gain, shift, out):
    """out = LayerNorm(value) of the first rows; `out` may be `value`."""
    if value.shape[1] % 32 == 0:
        _normalise_by_32(value, rows, gain, shift, out)
    else:
        _normalise_by_8(value, rows, gain, shift, out)


@njit([f"void({_ROWS}, int64, {_ROW}, {_ROW}, {_ROWS})"], cache=True, nogil=True, **FAST)
def activate(pre, rows, gain, shift, out):
    """out = LayerNorm(GELU(pre)) of the first rows."""
    for r in range(rows):
        given, value = pre[r], out[r]
        for k in range(given.size):
            value[k] = given[k] * normal_cdf(given[k])
    normalise(out, rows, gain, shift, out)


@njit([f"void({_ROWS}, {_ROW}, {_ROW}, {_ROWS}, {_ROW}, {_ROWS})"], cache=True, nogil=True, **FAST)
def activate_keeping(pre, gain, shift, slope, scale, out):
    """`activate` of all rows, and what `activate_backward` needs: `pre` becomes the normalised rows, `slope` GELU's
    derivative (R, F), `scale` the factors of the normalisation (R,).
    """
    for r in range(pre.shape[0]):
        given, steep = pre[r], slope[r]
        for k in range(given.size):
            phi = normal_cdf(given[k])
            steep[k] = phi + given[k] * _normal_density(given[k])
            given[k] = given[k] * phi
    if pre.shape[1] % 32 == 0:
        _normalise_keeping_by_32(pre, gain, shift, scale, out)
    else:
        _normalise_keeping_by_8(pre, gain, shift, scale, out)


@njit([f"void({_ROWS}, {_ROWS}, {_ROW}, {_ROW}, {_ROWS}, {_ROW}, {_ROW})"], cache=True, nogil=True)
def activate_backward(normal, slope, scale, gain, grad, grad_gain, grad_shift):
    """From d/d out to d/d pre of rows, in place in `grad`; adds to the gradients of gain and shift.

    Args:
        normal, slope, scale: what `activate_keeping` kept.
    """
    if normal.shape[1] % 32 == 0:
        _backward_by_32(normal, slope, scale, gain, grad, grad_gain, grad_shift)
    else:
        _backward_by_8(normal, slope, scale, gain, grad, grad_gain, grad_shift)
