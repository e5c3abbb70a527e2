"""The contract of trace readers, and what a reader is tried with to break it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from learnsys.errors import InputError
from learnsys.traces.blocks import COLUMNS, columns_of, join
from learnsys.traces.io import open_trace, read_trace
from learnsys.traces.trace import Trace


def equal(a: Trace, b: Trace) -> bool:
    """Whether two traces are of the same kind and hold the same columns with the same values."""
    columns, others = columns_of(a), columns_of(b)
    return (
        a.objects == b.objects
        and columns.keys() == others.keys()
        and all(np.array_equal(columns[name], others[name]) for name in columns)
    )


def check_trace_reader(path: str | os.PathLike[str], **arguments: Any) -> Trace:
    """Check that a good file reads the same whole and in chunks of any length, and again, into arrays that
    compiled kernels accept; return the trace.

    Args:
        path: a trace file.
        arguments: those of `learnsys.traces.open_trace`.

    Raises:
        AssertionError: the contract is broken.
        InputError: the file cannot be read.
    """
    whole = read_trace(path, **arguments)
    assert len(whole), "a reader never gives an empty trace"
    for name, column in columns_of(whole).items():
        assert column.dtype == COLUMNS[name], f"{name} is {column.dtype}"
    reader = open_trace(path, **arguments)
    assert reader.accesses in (None, len(whole)), f"announces {reader.accesses} accesses, holds {len(whole)}"
    for n in sorted({1, 7, len(whole) // 2 + 1, len(whole), len(whole) + 1}):
        if len(whole) > 10_000 * n:
            continue
        chunks = list(reader.chunks(n))
        assert [len(chunk) for chunk in chunks[:-1]] == [n] * (len(chunks) - 1), f"chunks are not of {n} accesses"
        assert 0 < len(chunks[-1]) <= n, "the last chunk is too long or empty"
        assert equal(join(chunks), whole), f"chunks of {n} differ from the whole"
        for name, column in columns_of(chunks[0]).items():
            assert column.flags.writeable and column.flags.c_contiguous, f"{name} is read-only or not contiguous"
    return whole


def refusal(path: str | os.PathLike[str], **arguments: Any) -> str:
    """The line with which a path is refused.

    Raises:
        AssertionError: it is read.
    """
    try:
        read_trace(path, **arguments)
    except InputError as error:
        return str(error)
    raise AssertionError(f"{path} is read")


def read_or_refuse(path: str | os.PathLike[str], **arguments: Any) -> Trace | InputError:
    """The trace, or the InputError that says why there is none. Anything else that is raised breaks the contract.

    Raises:
        AssertionError: the error does not name the file, or is not one line.
    """
    try:
        return read_trace(path, **arguments)
    except InputError as error:
        assert str(path) in str(error), f"the error does not name the file: {error}"
        assert "\n" not in str(error), f"the error is not one line: {error}"
        return error


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """One damaged version of `data`, by one to four random edits of a few kinds."""
    result = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        result = _edited(result, rng)
    return bytes(result)


_NUMBERS = (0, 1, 2**7, 2**8 - 1, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1)
_TEXTS = (
    b"",
    b"-1",
    b"0x",
    b"1e9",
    b"nan",
    b"18446744073709551616",
    b"0",
    b",",
    b"\n",
    b"\r\n",
    b'"',
    b"\0",
    b" ",
    b"==",
)


def _edited(data: bytearray, rng: np.random.Generator) -> bytearray:
    if not data:
        return bytearray(rng.bytes(3))
    place = int(rng.integers(len(data)))
    length = int(rng.integers(1, 17))
    kind = int(rng.integers(9))
    if kind == 0:
        data[place] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        data[place] = int(rng.integers(256))
    elif kind == 2:
        del data[place:]
    elif kind == 3:
        del data[place : place + length]
    elif kind == 4:
        data[place:place] = rng.bytes(length)
    elif kind == 5:
        data[place:place] = data[place : place + 4 * length]
    elif kind == 6:
        width = int(rng.choice([1, 2, 4, 8]))
        number = _NUMBERS[int(rng.integers(len(_NUMBERS)))] % 2 ** (8 * width)
        data[place : place + width] = number.to_bytes(width, "little")
    elif kind == 7:
        data[place] = b"0123456789abcdefILSM"[int(rng.integers(20))]
    else:
        data[place : place + int(rng.integers(0, 4))] = _TEXTS[int(rng.integers(len(_TEXTS)))]
    return data


def truncated(data: bytes) -> Iterator[bytes]:
    """`data` cut off at every byte."""
    for end in range(len(data)):
        yield data[:end]
