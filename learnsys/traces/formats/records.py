"""What the binary formats share: records of one fixed layout, after a header or without one."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learnsys.errors import InputError
from learnsys.traces.formats.base import Format, ReadOptions
from learnsys.traces.streams import Source
from learnsys.traces.trace import Trace

_BLOCK = 2**22

Check = Callable[[Any, str], None]
"""check(mask, reason): an InputError with that reason at the first record where mask, bool (n,), is set."""


@dataclass(frozen=True)
class Layout:
    """How a file is laid out."""

    record: np.dtype
    """the type of a record"""
    start: int = 0
    """bytes before the first record"""
    count: int | None = None
    """records that a header promises"""


def whole_records(head: bytes, record: np.dtype) -> NDArray[np.void]:
    """The records that lie wholly in `head`."""
    return np.frombuffer(head, record, len(head) // record.itemsize)


class Records(Format):
    """A binary format of fixed-size records."""

    record = np.dtype("V1")
    """the type of a record, for formats with one layout"""

    def layout(self, source: Source) -> Layout:
        """The layout of a file; peeks at the source without reading from it.

        Raises:
            InputError: a damaged header, or an unknown version.
        """
        return Layout(self.record)

    @abstractmethod
    def decode(self, records: NDArray[np.void], first: int, check: Check) -> Trace:
        """The accesses in `records`, of which the first is number `first` of the file, from 0."""

    def describe(self, source: Source, options: ReadOptions) -> tuple[int | None, dict[str, str]]:
        layout = self.layout(source)
        if layout.count is None and source.size is not None and source.compression is None:
            return source.size // layout.record.itemsize, {}
        return layout.count, {}

    def blocks(self, source: Source, options: ReadOptions) -> Iterator[Trace]:
        layout = self.layout(source)
        size = layout.record.itemsize
        source.read(layout.start)
        first = 0

        def check(wrong: Any, reason: str) -> None:
            places = np.flatnonzero(wrong)
            if places.size:
                number = first + int(places[0])
                raise InputError(
                    reason,
                    file=source.path,
                    place=f"record {number + 1} ({source.place(layout.start + number * size)})",
                    remedy=f"fetch or make the file again; if it is not {self.name}, say its format with --format",
                )

        while True:
            data = bytearray(source.read(_BLOCK // size * size))
            whole, rest = divmod(len(data), size)
            if whole:
                yield self.decode(np.frombuffer(data, layout.record, whole), first, check)
                first += whole
            check([rest > 0], f"is cut off: {rest} of {size} bytes")
            if not whole:
                break
        if layout.count is not None and layout.count != first:
            raise InputError(
                f"holds {first} requests where its header promises {layout.count}",
                file=source.path,
                remedy="fetch or make the file again",
            )
