"""The text that Valgrind's lackey writes with --trace-mem=yes."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from learnsys.errors import InputError
from learnsys.traces.blocks import filtered
from learnsys.traces.formats.base import Format, ReadOptions
from learnsys.traces.formats.text import lines_match
from learnsys.traces.streams import Source
from learnsys.traces.trace import Trace

_WORDS = {b"i": 0, b"l": 1, b"s": 2, b"m": 3}
_INSTRUCTION, _, _STORE, _MODIFY = _WORDS.values()
_MAX_SIZE = 4096


class Lackey(Format):
    """Lines `I  address,size`, ` L address,size`, ` S ...`, ` M ...`; Valgrind's own lines (== or --) are passed over.

    The PC of an access is the last instruction's address. `M` (modify) is a load and then a store. With a
    hierarchy, an access that spans lines counts once for each line, from the second on at the line's first byte.
    """

    summary = "text of Valgrind's lackey --trace-mem=yes"
    suffixes = (".lackey",)
    _LINE = re.compile(rb"(I|L|S|M)\s+[0-9a-fA-F]{1,16},\d+|(==|--).*")

    def recognises(self, head: bytes) -> bool:
        return lines_match(head, self._LINE)

    def blocks(self, source: Source, options: ReadOptions) -> Iterator[Trace]:
        return filtered(self._all(source, options), options.hierarchy)

    def _all(self, source: Source, options: ReadOptions) -> Iterator[Trace]:
        from learnsys.traces.parsing import Field, Kind, rows

        fields = [Field(Kind.WORD, 0), Field(Kind.HEX, 1), Field(Kind.DECIMAL, 2, limit=_MAX_SIZE)]
        pc: np.uint64 | None = None
        for word, address, size, line in rows(source, fields, blanks=True, comments=True, words=_WORDS):
            instruction = word == _INSTRUCTION
            if pc is None and not instruction[0]:
                raise InputError(
                    "has a data access before the first instruction, so its PC is unknown",
                    file=source.path,
                    place=f"line {line[0]}",
                    remedy="let the trace begin at a line with I",
                )
            last = np.maximum.accumulate(np.where(instruction, np.arange(word.size), -1))
            pcs = np.where(last < 0, pc if pc is not None else np.uint64(0), address[last])
            pc = pcs[-1]
            data = np.flatnonzero(~instruction)
            repeats = np.ones(data.size, np.int64)
            if options.hierarchy is not None:
                bits = np.uint64(options.hierarchy.line_bits)
                begin = address[data]
                end = begin + np.minimum(np.maximum(size[data], np.uint64(1)) - np.uint64(1), ~begin)
                repeats = ((end >> bits) - (begin >> bits)).astype(np.int64) + 1
            yield _expand(word[data], address[data], pcs[data], repeats, options)


def _expand(word: np.ndarray, address: np.ndarray, pc: np.ndarray, lines: np.ndarray, options: ReadOptions) -> Trace:
    """One access for each line that is touched, twice for a modify: all its loads, then all its stores."""
    modify = word == _MODIFY
    repeats = np.where(modify, 2, 1) * lines
    position = np.arange(repeats.sum()) - np.repeat(np.cumsum(repeats) - repeats, repeats)
    lines, modify = np.repeat(lines, repeats), np.repeat(modify, repeats)
    number = (position % lines).astype(np.uint64)
    address = np.repeat(address, repeats)
    if options.hierarchy is not None:
        bits = np.uint64(options.hierarchy.line_bits)
        address = np.where(number == 0, address, ((address >> bits) + number) << bits)
    store = (np.repeat(word, repeats) == _STORE) | (modify & (position >= lines))
    return Trace(address=address, pc=np.repeat(pc, repeats), store=store)
