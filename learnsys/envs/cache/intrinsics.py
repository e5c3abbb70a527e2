"""Single machine instructions that Numba offers no name for, for use inside kernels."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic


def _popcount(typing_context, word):
    """The number of set bits of a uint64, as uint64."""

    def generate(context, builder, signature, arguments):
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


def _leading_zeros(typing_context, word):
    """The number of zero bits above the highest set bit of a uint64 (not 0), as uint64."""

    def generate(context, builder, signature, arguments):
        return builder.ctlz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), generate


def _trailing_zeros(typing_context, word):
    """The number of zero bits below the lowest set bit of a uint64 (not 0), as uint64."""

    def generate(context, builder, signature, arguments):
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), generate


def _prefetch(typing_context, array, index):
    """Ask for the cache line of `array[index]` (one-dimensional, the index in range) ahead of its use."""

    def generate(context, builder, signature, arguments):
        array_type = signature.args[0]
        view = context.make_array(array_type)(context, builder, arguments[0])
        pointer = cgutils.get_item_pointer(context, builder, array_type, view, [arguments[1]])
        pointer = builder.bitcast(pointer, ir.IntType(8).as_pointer())
        number = ir.IntType(32)
        function = builder.module.declare_intrinsic(
            "llvm.prefetch", [pointer.type], ir.FunctionType(ir.VoidType(), [pointer.type, number, number, number])
        )
        to_write, keep, data = number(1), number(3), number(1)
        builder.call(function, [pointer, to_write, keep, data])
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


# Inside kernels they are called without the first argument, which Numba adds: hence no static types.
popcount: Any = intrinsic(_popcount)
leading_zeros: Any = intrinsic(_leading_zeros)
trailing_zeros: Any = intrinsic(_trailing_zeros)
prefetch: Any = intrinsic(_prefetch)
