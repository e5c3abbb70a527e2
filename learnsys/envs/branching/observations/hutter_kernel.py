"""The variable graph of `Hutter2011`; no call to SCIP."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(
    ["int64[::1](int64[::1], int64[::1], int64[::1], int64[::1])"],
    cache=True,
    nogil=True,
)
def neighbours(start, column, begin, row):
    """Number of other variables that each variable shares a constraint with, (n,).

    Args:
        start, column: variables of each constraint.
        begin, row: constraints of each variable.
    """
    n = begin.size - 1
    degree = np.zeros(n, np.int64)
    met_by = np.full(n, -1, np.int64)
    for j in range(n):
        met_by[j] = j
        for i in row[begin[j] : begin[j + 1]]:
            if degree[j] == n - 1:
                break
            for other in column[start[i] : start[i + 1]]:
                if met_by[other] != j:
                    met_by[other] = j
                    degree[j] += 1
    return degree
