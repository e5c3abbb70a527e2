"""The text formats of the Parrot release (Liu et al., "An imitation learning approach for cache replacement", 2020)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from learnsys.traces.blocks import byte_addresses
from learnsys.traces.formats.base import Format, ReadOptions
from learnsys.traces.formats.text import lines_match
from learnsys.traces.streams import Source
from learnsys.traces.trace import Trace


class ParrotCsv(Format):
    """One access in a line, `pc,address`: both hexadecimal, with or without 0x, no header; byte addresses.

    Written from a trace without PCs, the PC is 0; an object id becomes the byte address of a line of 64 bytes.
    """

    summary = "text, pc,address in hexadecimal"
    common_suffixes = (".csv",)
    writable = True
    _LINE = re.compile(rb"(0[xX])?[0-9a-fA-F]{1,16}\s*,\s*(0[xX])?[0-9a-fA-F]{1,16}")

    def recognises(self, head: bytes) -> bool:
        return lines_match(head, self._LINE)

    def blocks(self, source: Source, options: ReadOptions) -> Iterator[Trace]:
        from learnsys.traces.parsing import Field, Kind, rows

        for pc, address, _ in rows(source, [Field(Kind.HEX, 0), Field(Kind.HEX, 1)]):
            yield Trace(address=address, pc=pc)

    def write(self, path: Path, blocks: Iterator[Trace], metadata: Mapping[str, str]) -> None:
        from learnsys.traces.formatting import hex_rows

        with open(path, "wb") as file:
            for block in blocks:
                pc = np.zeros(len(block), np.uint64) if block.pc is None else block.pc
                file.write(hex_rows(pc, byte_addresses(block)))


class ParrotText(Format):
    """One access in a line, `type pc address`, decimal. The type is checked to be a number and not interpreted."""

    summary = "text, type pc address in decimal"
    common_suffixes = (".txt",)
    _LINE = re.compile(rb"\d+[ \t]+\d+[ \t]+\d+")

    def recognises(self, head: bytes) -> bool:
        return lines_match(head, self._LINE)

    def blocks(self, source: Source, options: ReadOptions) -> Iterator[Trace]:
        from learnsys.traces.parsing import Field, Kind, rows

        fields = [Field(Kind.DECIMAL), Field(Kind.DECIMAL, 0), Field(Kind.DECIMAL, 1)]
        for pc, address, _ in rows(source, fields, delimiter="", blanks=True):
            yield Trace(address=address, pc=pc)
