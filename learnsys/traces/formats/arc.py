"""The traces of the ARC paper (Megiddo and Modha, "ARC: a self-tuning, low overhead replacement cache", 2003)."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from learnsys.errors import InputError
from learnsys.traces.formats.base import Format, ReadOptions
from learnsys.traces.formats.text import lines_match
from learnsys.traces.streams import Source
from learnsys.traces.trace import Trace

_PIECE = 2**20


class ArcLis(Format):
    """Lines `start n ignored request`, decimal: each stands for accesses to the n blocks from `start` on."""

    summary = "text of the ARC traces, start n ignored request"
    suffixes = (".lis",)
    _LINE = re.compile(rb"\d+[ \t]+\d+[ \t]+\d+[ \t]+\d+")

    def recognises(self, head: bytes) -> bool:
        return lines_match(head, self._LINE)

    def blocks(self, source: Source, options: ReadOptions) -> Iterator[Trace]:
        from learnsys.traces.parsing import Field, Kind, rows

        fields = [Field(Kind.DECIMAL, 0), Field(Kind.DECIMAL, 1), Field(Kind.DECIMAL), Field(Kind.DECIMAL)]
        for start, count, line in rows(source, fields, delimiter="", blanks=True):
            wrong = np.flatnonzero(start > np.uint64(2**64 - 1) - count)
            if wrong.size:
                raise InputError(
                    f"has a run of {count[wrong[0]]} blocks from {start[wrong[0]]} on, past 64-bit block numbers",
                    file=source.path,
                    place=f"line {line[wrong[0]]}",
                    remedy="correct the line",
                )
            for piece in _pieces(start, count):
                source.budget.spend(piece.nbytes)
                yield Trace(address=piece, objects=True)


def _pieces(start: NDArray[np.uint64], count: NDArray[np.uint64]) -> Iterator[NDArray[np.uint64]]:
    """The blocks of all runs, in arrays of at most `_PIECE` blocks."""
    first = 0
    while first < start.size:
        total = np.cumsum(np.minimum(count[first:], np.uint64(_PIECE + 1)))
        taken = int(np.searchsorted(total, np.uint64(_PIECE), side="right"))
        if taken == 0:  # a run longer than a piece
            for offset in range(0, int(count[first]), _PIECE):
                length = min(_PIECE, int(count[first]) - offset)
                yield start[first] + np.arange(offset, offset + length, dtype=np.uint64)
            taken = 1
        else:
            counts = count[first : first + taken].astype(np.int64)
            step = np.arange(int(total[taken - 1]), dtype=np.int64) - np.repeat(np.cumsum(counts) - counts, counts)
            yield np.repeat(start[first : first + taken], counts) + step.astype(np.uint64)
        first += taken
