"""Vectors of floats in registers, for kernels over rows of features, where Numba's own vectoriser goes through memory.

A value of the Numba type `LanesType(width)` is `width` float32 that LLVM keeps in as many registers as the machine
needs for them (64 floats: four of AVX-512, sixteen of NEON). `+` and `*` work on two of them, lane by lane; a product
that is added may be rounded once instead of twice. None of the functions checks bounds.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model

_MAY_FUSE = ("contract", "nsz")
_LINE = 16
"""floats in a cache line"""


@njit(["float32[:, ::1](int64, int64)"], cache=True, nogil=True)
def aligned(rows, columns):
    """An array of any content that begins with a cache line, which a vector read twice if it lay across two.

    Sums of features over edges take half as long.
    """
    block = np.empty(rows * columns + _LINE, np.float32)
    skipped = (_LINE - block.ctypes.data // 4 % _LINE) % _LINE
    return block[skipped : skipped + rows * columns].reshape(rows, columns)


class LanesType(types.Type):
    """The Numba type of `width` float32."""

    def __init__(self, width: int) -> None:
        self.width = width
        super().__init__(name=f"lanes{width}")


@register_model(LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, lanes: Any) -> None:
        super().__init__(manager, lanes, _vector(lanes.width))


def _vector(width: int) -> ir.VectorType:
    return ir.VectorType(ir.FloatType(), width)


def _element(context: Any, builder: Any, array_type: Any, array: Any, indices: Any) -> Any:
    view = context.make_array(array_type)(context, builder, array)
    return cgutils.get_item_pointer(context, builder, array_type, view, list(indices))


def _spread(builder: Any, number: Any, width: int) -> Any:
    undefined = ir.Constant(_vector(width), ir.Undefined)
    first = builder.insert_element(undefined, number, ir.IntType(32)(0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(ir.IntType(32), width), [0] * width))


def _load(typing_context, array, row, column, width):
    """`array[row, column : column + width]` of a C-contiguous float32 array; `width` is a constant."""
    lanes = LanesType(width.literal_value)

    def generate(context, builder, signature, arguments):
        pointer = _element(context, builder, signature.args[0], arguments[0], arguments[1:3])
        return builder.load(builder.bitcast(pointer, _vector(lanes.width).as_pointer()), align=4)

    return lanes(array, types.intp, types.intp, width), generate


def _store(typing_context, array, row, column, value):
    """`array[row, column : column + width] = value`."""

    def generate(context, builder, signature, arguments):
        pointer = _element(context, builder, signature.args[0], arguments[0], arguments[1:3])
        builder.store(arguments[3], builder.bitcast(pointer, _vector(value.width).as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, value), generate


def _splat(typing_context, number, width):
    """The same float32 in all lanes; `width` is a constant."""
    lanes = LanesType(width.literal_value)

    def generate(context, builder, signature, arguments):
        return _spread(builder, arguments[0], lanes.width)

    return lanes(types.float32, width), generate


def _splat_at(typing_context, array, row, column, width):
    """`splat(array[row, column], width)`."""
    lanes = LanesType(width.literal_value)

    def generate(context, builder, signature, arguments):
        pointer = _element(context, builder, signature.args[0], arguments[0], arguments[1:3])
        return _spread(builder, builder.load(pointer), lanes.width)

    return lanes(array, types.intp, types.intp, width), generate


def _plus(typing_context, left, right):
    def generate(context, builder, signature, arguments):
        return builder.fadd(*arguments, flags=_MAY_FUSE)

    return left(left, right), generate


def _times(typing_context, left, right):
    def generate(context, builder, signature, arguments):
        return builder.fmul(*arguments, flags=_MAY_FUSE)

    return left(left, right), generate


def _total(typing_context, value):
    """The sum of all lanes, in any order."""

    def generate(context, builder, signature, arguments):
        vector = _vector(value.width)
        kind = ir.FunctionType(ir.FloatType(), [ir.FloatType(), vector])
        name = f"llvm.vector.reduce.fadd.v{value.width}f32"
        function = cgutils.get_or_insert_function(builder.module, kind, name)
        return builder.call(function, [ir.FloatType()(0.0), arguments[0]], fastmath=("reassoc", "nsz"))

    return types.float32(value), generate


def _where_positive(typing_context, value, chosen):
    """`chosen` in the lanes where value > 0, else 0: the gradient through `positive`."""

    def generate(context, builder, signature, arguments):
        zero = ir.Constant(_vector(value.width), [0.0] * value.width)
        return builder.select(builder.fcmp_ordered(">", arguments[0], zero), arguments[1], zero)

    return value(value, chosen), generate


def _positive(typing_context, value):
    """max(value, 0), lane by lane."""

    def generate(context, builder, signature, arguments):
        zero = ir.Constant(_vector(value.width), [0.0] * value.width)
        return builder.select(builder.fcmp_ordered(">", arguments[0], zero), arguments[0], zero)

    return value(value), generate


# Inside kernels they are called without the first argument, which Numba adds: hence no static types.
load: Any = intrinsic(prefer_literal=True)(_load)
store: Any = intrinsic(_store)
splat: Any = intrinsic(prefer_literal=True)(_splat)
splat_at: Any = intrinsic(prefer_literal=True)(_splat_at)
total: Any = intrinsic(_total)
positive: Any = intrinsic(_positive)
where_positive: Any = intrinsic(_where_positive)
plus: Any = intrinsic(_plus)
times: Any = intrinsic(_times)


@overload(operator.add)
def _add(left, right):
    if isinstance(left, LanesType) and left == right:
        return lambda left, right: plus(left, right)  # noqa: PLW0108
    return None


@overload(operator.mul)
def _multiply(left, right):
    if isinstance(left, LanesType) and left == right:
        return lambda left, right: times(left, right)  # noqa: PLW0108
    return None
