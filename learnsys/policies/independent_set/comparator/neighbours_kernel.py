"""Sums over the neighbours of each row of a CSR, with the running sums in vector registers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from learnsys.graphs.lanes import load, splat, store

_BIT, _TWO = np.uint64(1), np.uint64(2)
_ZERO = np.float32(0)


def _neighbour_sums(width: int) -> Any:
    @njit(
        ["void(float32[:, ::1], int32[::1], int32[::1], int64, int64, int64, float32[:, ::1])"],
        cache=True,
        nogil=True,
    )
    def kernel(table, ptr, sources, rows, begin, end, out):
        for column in range(begin, end, width):
            for r in range(rows):
                first, last = np.uint64(ptr[r]), np.uint64(ptr[r + 1])
                even, odd = splat(_ZERO, width), splat(_ZERO, width)  # two chains of additions at a time
                if (last - first) & _BIT:
                    even = load(table, sources[first], column, width)
                    first += _BIT
                for e in range(first, last, _TWO):
                    even = even + load(table, sources[e], column, width)
                    odd = odd + load(table, sources[e + _BIT], column, width)
                store(out, r, column, even + odd)

    return kernel


_sums_by_64, _sums_by_16 = _neighbour_sums(64), _neighbour_sums(16)


@njit(["void(float32[:, ::1], int32[::1], int32[::1], int64, int64, int64, float32[:, ::1])"], cache=True, nogil=True)
def sum_neighbours(table, ptr, sources, rows, begin, end, out):
    """Columns begin to end (their number divides by 16) of the neighbours' rows of a table, summed: into `out`'s."""
    middle = begin + (end - begin) // 64 * 64
    _sums_by_64(table, ptr, sources, rows, begin, middle, out)
    _sums_by_16(table, ptr, sources, rows, middle, end, out)
