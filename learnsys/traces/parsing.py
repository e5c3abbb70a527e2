"""Fast parsing of numbers in text, with exact line numbers in errors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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
    WORD = 4
    """one of a set of words, in any case; its value is its code"""


@dataclass(frozen=True)
class Field:
    """One field of a line."""

    kind: Kind
    target: int = -1
    """row of the result that takes the value; -1 checks and drops it"""
    limit: int = 2**64 - 1
    """largest number allowed"""


READ_OR_WRITE = {b"0": 0, b"r": 0, b"read": 0, b"load": 0, b"get": 0, b"false": 0} | {
    b"1": 1, b"w": 1, b"write": 1, b"store": 1, b"set": 1, b"true": 1
}  # fmt: skip
"""The words for whether an access writes."""

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


@njit(["int64(uint8[:], int64, int64, uint8[:, :], uint64[:], uint64[:])"], cache=True, nogil=True)
def _word(text, start, stop, words, codes, value):
    """Find the word text[start:stop] and put its code into value[0]; return an error code."""
    for word in range(words.shape[0]):
        length = 0
        while length < words.shape[1] and words[word, length] != 0:
            length += 1
        same = stop - start == length
        i = 0
        while same and i < length:
            byte = text[start + i]
            same = words[word, i] == (byte + 32 if 65 <= byte <= 90 else byte)
            i += 1
        if same:
            value[0] = codes[word]
            return _OK
    return _BAD


@njit(["int64(uint8[:], int64, int64, int64, uint64, uint64[:])"], cache=True, nogil=True)
def _number(text, start, stop, kind, limit, value):
    """Read the number text[start:stop] into value[0]; return an error code."""
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


@njit(["int64(uint8[:], int64, int64, uint8, boolean)"], cache=True, nogil=True)
def _end_of_field(text, position, right, delimiter, blanks):
    """Index just past the field that starts at `position`; -1 if a quotation in it does not end."""
    if position < right and text[position] == 34:
        position += 1
        while position < right and (text[position] != 34 or (position + 1 < right and text[position + 1] == 34)):
            position += 2 if text[position] == 34 else 1
        if position >= right:
            return -1
        position += 1
    while position < right and text[position] != delimiter and not (blanks and _is_blank(text[position])):
        position += 1
    return position


@njit(
    ["int64(uint8[:], uint8, boolean, boolean, int64[:, :], uint64[:], uint8[:, :], uint64[:], uint64[:, :],int64[:])"],
    cache=True,
    nogil=True,
)
def _rows(text, delimiter, blanks, comments, fields, limits, words, codes, out, state):
    """Parse whole lines of `text`, from byte state[0] on, until `out` is full or a field is wrong.

    fields: int64 (fields, 2), kind and target. state: bytes consumed, lines consumed, error code, field of the
    error, its start, its stop. Returns the number of rows.
    """
    value = np.zeros(1, np.uint64)
    rows = 0
    while state[0] < text.size and rows < out.shape[1]:
        position = state[0]
        right = position
        while text[right] != 10:
            right += 1
        state[0], state[1] = right + 1, state[1] + 1
        while right > position and _is_blank(text[right - 1]):
            right -= 1
        while position < right and _is_blank(text[position]):
            position += 1
        first = text[position]
        comment = comments and right - position > 1 and (first == 61 or first == 45) and first == text[position + 1]
        if position == right or comment:
            continue
        field = 0
        more = True
        while more:
            if field == fields.shape[0]:
                state[2], state[3] = _MANY, field
                return rows
            start = position
            stop = _end_of_field(text, position, right, delimiter, blanks)
            if stop < 0:
                state[2], state[3] = _QUOTE, field
                return rows
            position = stop
            while position < right and _is_blank(text[position]):
                position += 1
            more = position < right
            if more and text[position] == delimiter:
                position += 1
                while position < right and _is_blank(text[position]):
                    position += 1
            while stop > start and _is_blank(text[stop - 1]):
                stop -= 1
            if stop - start > 1 and text[start] == 34 and text[stop - 1] == 34:
                start, stop = start + 1, stop - 1
            error = _OK
            if fields[field, 0] == 4:
                error = _word(text, start, stop, words, codes, value)
            elif fields[field, 0] != 0:
                error = _number(text, start, stop, fields[field, 0], limits[field], value)
            if error != _OK:
                state[2], state[3], state[4], state[5] = error, field, start, stop
                return rows
            if fields[field, 1] >= 0:
                out[fields[field, 1], rows] = value[0]
            field += 1
        out[out.shape[0] - 1, rows] = state[1]
        if field < fields.shape[0]:
            state[2], state[3] = _FEW, field
            return rows
        rows += 1
    return rows


def lines(source: Source, before: int = 0) -> Iterator[tuple[NDArray[np.uint8], int]]:
    """Blocks of whole lines, each with the number of lines before it; a last line without an end gets one.

    Args:
        source: the text.
        before: lines that have been read from it already.

    Raises:
        InputError: a line is longer than `MAX_LINE` bytes.
    """
    rest = b""
    if before == 0 and source.peek(3) == b"\xef\xbb\xbf":  # a byte order mark
        source.read(3)
    while True:
        data = source.read(BLOCK)
        final = len(data) < BLOCK
        text = bytearray(rest + data)
        if final and text and not text.endswith(b"\n"):
            text += b"\n"
        cut = text.rfind(b"\n") + 1
        rest = bytes(text[cut:])
        if len(rest) > MAX_LINE:
            raise InputError(
                f"is longer than {MAX_LINE} bytes",
                file=source.path,
                place=f"line {before + text.count(10) + 1}",
                remedy="this is no text trace; say its format with --format",
            )
        if cut:
            block = np.frombuffer(text, np.uint8, cut)
            yield block, before
            before += int(np.count_nonzero(block == 10))
        if final:
            return


def rows(
    source: Source,
    fields: Sequence[Field],
    *,
    delimiter: str = ",",
    blanks: bool = False,
    comments: bool = False,
    words: Mapping[bytes, int] = READ_OR_WRITE,
    before: int = 0,
) -> Iterator[NDArray[np.uint64]]:
    """The numbers in lines of fields. Blank lines are passed over, and blanks around fields.

    Args:
        source: the text.
        fields: the fields of every line.
        delimiter: the character between fields ("": none).
        blanks: whether spaces and tabs, too, stand between fields.
        comments: whether lines that begin with == or -- are passed over.
        words: the values of fields of kind WORD, in lower case.
        before: lines that have been read from the source already.

    Yields:
        Arrays uint64 (targets + 1, rows), of at most 2^17 rows; the last is the number of each row's line.

    Raises:
        InputError: with the line of the first wrong field.
    """
    taken = max(field.target for field in fields) + 1
    table = np.zeros((len(words), max(map(len, words))), np.uint8)
    for i, word in enumerate(words):
        table[i, : len(word)] = np.frombuffer(word, np.uint8)
    arguments = (
        np.uint8(ord(delimiter or "\n")),
        blanks,
        comments,
        np.array([(field.kind, field.target) for field in fields], np.int64),
        np.array([field.limit for field in fields], np.uint64),
        table,
        np.array(list(words.values()), np.uint64),
    )
    for text, above in lines(source, before):
        state = np.zeros(6, np.int64)
        state[1] = above
        while state[0] < text.size:
            out = np.empty((taken + 1, 2**17), np.uint64)
            count = _rows(text, *arguments, out, state)
            if count:
                yield out[:, :count]
            if state[2]:
                raise _error(source, fields, text, state)


def _error(source: Source, fields: Sequence[Field], text: NDArray[np.uint8], state: NDArray[np.int64]) -> InputError:
    line, code, number, start, stop = (int(each) for each in state[1:6])
    excerpt = repr(text[start:stop][:40].tobytes())[1:] + ("..." if stop - start > 40 else "")
    kind = fields[number].kind if number < len(fields) else Kind.SKIP
    reason = _REASONS[code].format(
        field=excerpt if stop > start else "an empty field",
        kind={Kind.HEX: "hexadecimal number", Kind.WORD: "word known here"}.get(kind, "whole number"),
        found=number,
        wanted=len(fields),
    )
    place = f"line {line}" + (f", field {number + 1}" if code in (_BAD, _LARGE, _QUOTE) else "")
    remedy = "correct the line, or say the format with --format"
    if code == _BAD and kind == Kind.NUMBER:
        remedy = "write decimal digits, or hexadecimal ones after 0x"
    return InputError(reason, file=source.path, place=place, remedy=remedy)
