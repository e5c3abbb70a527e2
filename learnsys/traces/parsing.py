"""Fast parsing of numbers in text, with exact line numbers in errors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import IntEnum

import numpy as np
from numba import njit
from numpy.typing import NDArray

from learnsys.errors import InputError
from learnsys.traces.streams import Source

BLOCK = 2**22
"""Bytes read at a time."""

MAX_LINE = 2**20
"""Bytes in a line."""


class Kind(IntEnum):
    """How a field is written."""

    SKIP = 0
    """anything; not read"""
    DECIMAL = 1
    HEX = 2
    """hexadecimal, with or without 0x"""
    NUMBER = 3
    """decimal, or hexadecimal with 0x"""
    FLAG = 4
    """whether it is a write: 0, 1, r, w, read, write, load, store, get, set, false, true in any case"""


_WORDS = [
    b"0", b"r", b"read", b"load", b"get", b"false", b"1", b"w", b"write", b"store", b"set", b"true",
]  # fmt: skip
_FLAGS = np.zeros((len(_WORDS), 6), np.uint8)
for _i, _word in enumerate(_WORDS):
    _FLAGS[_i, : len(_word)] = np.frombuffer(_word, np.uint8)

_OK, _BAD, _LARGE, _FEW, _MANY, _QUOTE = range(6)
_REASONS = {
    _BAD: "holds {field}, which is no {kind}",
    _LARGE: "holds {field}, which is too large",
    _FEW: "has {found} fields, not {wanted}",
    _MANY: "has more than {wanted} fields",
    _QUOTE: "opens a quotation that does not end",
}


@njit(["boolean(uint8)"], cache=True, nogil=True)
def _is_blank(byte):
    return byte == 32 or byte == 9 or byte == 13


@njit(["int64(uint8[:], int64, int64, int64, uint64, uint8[:, :], uint64[:])"], cache=True, nogil=True)
def _field(text, start, stop, kind, limit, flags, value):
    """Read the field text[start:stop] into value[0]; return an error code."""
    if kind == 4:
        for word in range(flags.shape[0]):
            length = 0
            while length < flags.shape[1] and flags[word, length] != 0:
                length += 1
            if stop - start == length:
                same = True
                for i in range(length):
                    byte = text[start + i]
                    if 65 <= byte <= 90:
                        byte += np.uint8(32)
                    same = same and byte == flags[word, i]
                if same:
                    value[0] = np.uint64(1) if word >= flags.shape[0] // 2 else np.uint64(0)
                    return _OK
        return _BAD
    hexadecimal = kind == 2
    if kind != 1 and stop - start > 2 and text[start] == 48 and (text[start + 1] == 120 or text[start + 1] == 88):
        hexadecimal = True
        start += 2
    if start == stop:
        return _BAD
    number = np.uint64(0)
    error = _OK
    for i in range(start, stop):
        byte = text[i]
        if 48 <= byte <= 57:
            digit = np.uint64(byte - 48)
        elif hexadecimal and 97 <= byte <= 102:
            digit = np.uint64(byte - 87)
        elif hexadecimal and 65 <= byte <= 70:
            digit = np.uint64(byte - 55)
        else:
            return _BAD
        if hexadecimal:
            if number >> np.uint64(60):
                error = _LARGE
            number = (number << np.uint64(4)) | digit
        else:
            if number > (np.uint64(0xFFFFFFFFFFFFFFFF) - digit) // np.uint64(10):
                error = _LARGE
            number = number * np.uint64(10) + digit
    if error == _OK and number > limit:
        error = _LARGE
    value[0] = number
    return error


@njit(
    ["int64(uint8[:], int64, uint8, int64[:], int64[:], uint64[:], uint8[:, :], uint64[:, :], int64[:])"],
    cache=True,
    nogil=True,
)
def _rows(text, end, separator, kinds, targets, limits, flags, out, state):
    """Parse the whole lines in text[:end] until `out` is full.

    state: [bytes consumed, lines consumed, error code, field of the error, its start, its stop]. Returns rows.
    """
    value = np.zeros(1, np.uint64)
    rows = 0
    position = state[0]
    while position < end and rows < out.shape[1]:
        stop = position
        while text[stop] != 10:
            stop += 1
        state[0], state[1] = stop + 1, state[1] + 1
        right = stop
        while right > position and _is_blank(text[right - 1]):
            right -= 1
        while position < right and _is_blank(text[position]):
            position += 1
        field = 0
        more = position < right
        while more:
            if field == kinds.size:
                state[2], state[3] = _MANY, field
                return rows
            left = position
            quoted = text[position] == 34 if position < right else False
            if quoted:
                position += 1
                while position < right and (
                    text[position] != 34 or (position + 1 < right and text[position + 1] == 34)
                ):
                    position += 2 if text[position] == 34 else 1
                if position >= right:
                    state[2], state[3] = _QUOTE, field
                    return rows
                position += 1
            while position < right and (
                not _is_blank(text[position]) if separator == 32 else text[position] != separator
            ):
                position += 1
            last = position
            more = position < right
            position += 1
            if separator == 32:
                while position < right and _is_blank(text[position]):
                    position += 1
            while last > left and _is_blank(text[last - 1]):
                last -= 1
            while left < last and _is_blank(text[left]):
                left += 1
            if quoted and last - left >= 2 and text[last - 1] == 34:
                left, last = left + 1, last - 1
            if kinds[field] != 0:
                error = _field(text, left, last, kinds[field], limits[field], flags, value)
                if error != _OK:
                    state[2], state[3], state[4], state[5] = error, field, left, last
                    return rows
                if targets[field] >= 0:
                    out[targets[field], rows] = value[0]
            field += 1
        if 0 < field < kinds.size:
            state[2], state[3] = _FEW, field
            return rows
        if field:
            rows += 1
        position = stop + 1
    return rows


def lines(source: Source) -> Iterator[tuple[NDArray[np.uint8], int]]:
    """Blocks of whole lines, each with the number of lines before it; a last line without an end gets one.

    Raises:
        InputError: a line is longer than `MAX_LINE` bytes.
    """
    rest, before = b"", 0
    while True:
        data = source.read(BLOCK)
        final = len(data) < BLOCK
        text = bytearray(rest + data)
        if final and text and not text.endswith(b"\n"):
            text += b"\n"
        cut = text.rfind(b"\n") + 1
        rest = bytes(text[cut:])
        if len(rest) > MAX_LINE:
            place = f"line {before + text.count(10) + 1}"
            raise InputError(
                f"is longer than {MAX_LINE} bytes", file=source.path, place=place, remedy="is this a text file?"
            )
        if cut:
            block = np.frombuffer(text, np.uint8, cut)
            yield block, before
            before += int(np.count_nonzero(block == 10))
        if final:
            return


def rows(
    source: Source, separator: str, kinds: Sequence[Kind], targets: Sequence[int], limits: Sequence[int]
) -> Iterator[NDArray[np.uint64]]:
    """The numbers in lines of fields.

    Args:
        source: the text; blank lines are passed over.
        separator: one character; a space stands for any run of spaces and tabs.
        kinds: how each field of a line is written.
        targets: for each field the row of the result that takes it, -1 to check and drop it.
        limits: for each field the largest number.

    Yields:
        Arrays uint64 (number of targets, rows).

    Raises:
        InputError: with the line of the first wrong field.
    """
    taken = max(targets) + 1
    arguments = (
        np.uint8(ord(separator)),
        np.array(kinds, np.int64),
        np.array(targets, np.int64),
        np.array(limits, np.uint64),
        _FLAGS,
    )
    for text, before in lines(source):
        state = np.zeros(6, np.int64)
        state[1] = before
        while state[0] < text.size:
            out = np.empty((taken, 2**17), np.uint64)
            count = _rows(text, text.size, *arguments, out, state)
            if count:
                yield out[:, :count]
            if state[2]:
                _complain(source, kinds, text, state)


def _complain(source: Source, kinds: Sequence[Kind], text: NDArray[np.uint8], state: NDArray[np.int64]) -> None:
    code, field, start, stop = (int(each) for each in state[2:6])
    excerpt = text[start:stop][:40].tobytes().decode("ascii", "backslashreplace") + ("..." if stop - start > 40 else "")
    kind = {Kind.HEX: "hexadecimal number", Kind.FLAG: "sign of a read or write"}.get(
        kinds[field] if field < len(kinds) else Kind.SKIP, "whole number"
    )
    reason = _REASONS[code].format(
        field=repr(excerpt) if excerpt else "an empty field", kind=kind, found=field, wanted=len(kinds)
    )
    place = f"line {int(state[1])}" + (f", field {field + 1}" if code in (_BAD, _LARGE, _QUOTE) else "")
    raise InputError(reason, file=source.path, place=place, remedy="correct the line, or say the format with --format")
