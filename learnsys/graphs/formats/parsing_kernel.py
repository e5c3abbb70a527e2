"""Kernel that finds the whole numbers of a text, line by line."""

from __future__ import annotations

import numpy as np
from numba import njit, types

DATA, COMMENT, LEAD, SPECIAL = range(4)
"""what the first byte of a line says: numbers follow; pass over it; numbers follow after it; report the line"""

FINE, STRANGE, NEGATIVE, HUGE = range(4)
"""what is wrong with a text: nothing, something that is no number, a number below 0, one beyond 64 bits"""

_BYTES = types.Array(types.uint8, 1, "C", readonly=True)
_TABLE = types.uint8[::1]
_LONGS = types.int64[::1]


@njit([types.UniTuple(types.int64, 3)(_BYTES, _TABLE, _TABLE)], cache=True, nogil=True)
def count(data, kinds, blank):
    """Upper bounds on numbers, lines that hold some (or none, but are not passed over), and special lines."""
    numbers, lines, special = 0, 0, 0
    place = 0
    while place < data.size:
        while place < data.size and blank[data[place]]:
            place += 1
        kind = kinds[data[place]] if place < data.size else DATA
        if kind == SPECIAL:
            special += 1
        elif kind != COMMENT:
            lines += 1
        between = True
        while place < data.size and data[place] != 10:
            if kind == DATA or kind == LEAD:
                now = blank[data[place]] != 0
                numbers += between and not now
                between = now
            place += 1
        place += 1
    return numbers, lines, special


@njit(
    [types.UniTuple(types.int64, 5)(_BYTES, _TABLE, _TABLE, _LONGS, _LONGS, _LONGS, types.int64[:, ::1])],
    cache=True,
    nogil=True,
)
def parse(data, kinds, blank, values, starts, lines, special):
    """The numbers of all lines.

    Args:
        data: the text.
        kinds: (256,), what a line's first byte says (see above).
        blank: (256,), 1 for what separates numbers (not the newline).
        values: out, the numbers.
        starts: out, (lines + 1,), where each line's numbers begin; lines without any are kept.
        lines: out, the number of each such line, from 1.
        special: out, (s, 2), byte offset and line number of special lines.

    Returns:
        How many numbers, lines and special lines; what is wrong, and in which line.
    """
    numbers, n_lines, n_special, line = 0, 0, 0, 0
    place = 0
    starts[0] = 0
    while place < data.size:
        line += 1
        while place < data.size and blank[data[place]]:
            place += 1
        kind = kinds[data[place]] if place < data.size else np.uint8(DATA)
        if kind == COMMENT or kind == SPECIAL:
            if kind == SPECIAL:
                special[n_special, 0], special[n_special, 1] = place, line
                n_special += 1
            while place < data.size and data[place] != 10:
                place += 1
            place += 1
            continue
        if kind == LEAD:
            place += 1
            if place < data.size and data[place] != 10 and not blank[data[place]]:
                return numbers, n_lines, n_special, STRANGE, line
        while place < data.size and data[place] != 10:
            byte = data[place]
            if blank[byte]:
                place += 1
                continue
            if byte < 48 or byte > 57:
                negative = byte == 45 and place + 1 < data.size and 48 <= data[place + 1] <= 57
                return numbers, n_lines, n_special, NEGATIVE if negative else STRANGE, line
            value = np.int64(0)
            while place < data.size and 48 <= data[place] <= 57:
                digit = np.int64(data[place]) - 48
                if value > (2**63 - 1 - digit) // 10:
                    return numbers, n_lines, n_special, HUGE, line
                value = 10 * value + digit
                place += 1
            if place < data.size and data[place] != 10 and not blank[data[place]]:
                return numbers, n_lines, n_special, STRANGE, line
            values[numbers] = value
            numbers += 1
        if kind == LEAD and numbers == starts[n_lines]:
            return numbers, n_lines, n_special, STRANGE, line
        lines[n_lines] = line
        n_lines += 1
        starts[n_lines] = numbers
        place += 1
    return numbers, n_lines, n_special, FINE, line
