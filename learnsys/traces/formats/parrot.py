"""The text formats of the Parrot release (Liu et al., 2020, "An Imitation Learning Approach for Cache Replacement")."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from learnsys.traces.blocks import byte_addresses
from learnsys.traces.formats.base import Format, ReadOptions
from learnsys.traces.formats.text import full_lines
from learnsys.traces.streams import Source
from learnsys.traces.trace import Trace

_U64 = 2**64 - 1


class ParrotCsv(Format):
    """One access in a line, `pc,address`: both hexadecimal, with or without 0x, no header. Byte addresses.

    Written from a trace without PCs, the PC is 0; object ids become byte addresses `id * 64`, one line for each.
    """

    summary = "Parrot CSV: pc,address in hexadecimal"
    suffixes = (".csv",)

    def recognises(self, head: bytes) -> bool:
        line = rb"\s*(0[xX])?[0-9a-fA-F]{1,16}\s*,\s*(0[xX])?[0-9a-fA-F]{1,16}\s*"
        found = full_lines(head)
        return bool(found) and all(re.fullmatch(line, each) for each in found[:20])

    def blocks(self, source: Source, options: ReadOptions) -> Iterator[Trace]:
        from learnsys.traces.parsing import Kind, rows

        for part in rows(source, ",", [Kind.HEX] * 2, [0, 1], [_U64] * 2):
            yield Trace(address=part[1].copy(), pc=part[0].copy())

    def write(self, path: Path, blocks: Iterator[Trace], metadata: Mapping[str, str]) -> None:
        from learnsys.traces.formatting import hex_rows

        with open(path, "wb") as file:
            for block in blocks:
                pc = np.zeros(len(block), np.uint64) if block.pc is None else block.pc
                file.write(hex_rows(pc, byte_addresses(block)))
