"""Fast writing of numbers as text."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(["int64(uint64[:, :], uint8[:])"], cache=True, nogil=True)
def _hex_rows(columns, text):
    position = 0
    for row in range(columns.shape[1]):
        for column in range(columns.shape[0]):
            text[position], text[position + 1] = 48, 120
            position += 2
            value = columns[column, row]
            digits = 1
            while digits < 16 and value >> np.uint64(4 * digits):
                digits += 1
            for i in range(digits):
                digit = (value >> np.uint64(4 * (digits - 1 - i))) & np.uint64(15)
                text[position] = np.uint8(digit + (48 if digit < 10 else 87))
                position += 1
            text[position] = 44
            position += 1
        text[position - 1] = 10
    return position


def hex_rows(*columns: NDArray[np.uint64]) -> bytes:
    """Lines of comma-separated hexadecimal numbers with 0x, one line for each row of the columns, uint64 (n,)."""
    values = np.stack(columns).astype(np.uint64, copy=False)
    text = np.empty(values.size * 19, np.uint8)
    return text[: _hex_rows(values, text)].tobytes()
