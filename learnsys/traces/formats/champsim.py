"""The instruction traces of ChampSim."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from learnsys.traces.blocks import filtered
from learnsys.traces.formats.base import ReadOptions
from learnsys.traces.formats.records import Check, Records, whole_records
from learnsys.traces.streams import Source
from learnsys.traces.trace import Trace

_LOADS, _STORES = 4, 2


class ChampSim(Records):
    """Records of 64 bytes, one for each instruction; a memory operand is a byte address, 0 where unused.

    An instruction's loads come before its stores. Sizes are not recorded, so an access counts for the line of its
    first byte. Passed through the hierarchy unless told otherwise.
    """

    summary = "ChampSim instruction records of 64 bytes"
    suffixes = (".champsimtrace", ".champsim")
    common_suffixes = (".trace",)
    record = np.dtype(
        [
            ("ip", "<u8"),
            ("is_branch", "u1"),
            ("taken", "u1"),
            ("destination_registers", "u1", (2,)),
            ("source_registers", "u1", (4,)),
            ("stores", "<u8", (_STORES,)),
            ("loads", "<u8", (_LOADS,)),
        ]
    )

    def recognises(self, head: bytes) -> bool:
        records = whole_records(head, self.record)
        flags = (records["is_branch"] <= 1) & (records["taken"] <= 1)
        code = (records["ip"] > 0) & (records["ip"] < 2**48)  # in user space
        # A virtual address has its upper 7 bits alike (57-bit addressing).
        upper = np.concatenate([records["loads"], records["stores"]], axis=1) >> np.uint64(57)
        plausible = flags & code & ((upper == 0) | (upper == 127)).all(axis=1)
        return bool(plausible.sum() * 2 > records.size)

    def describe(self, source: Source, options: ReadOptions) -> tuple[int | None, dict[str, str]]:
        return None, {}

    def blocks(self, source: Source, options: ReadOptions) -> Iterator[Trace]:
        return filtered(super().blocks(source, options), options.hierarchy)

    def decode(self, records: NDArray[np.void], first: int, check: Check) -> Trace:
        check(
            (records["is_branch"] > 1) | (records["taken"] > 1),
            "has a branch flag that is neither 0 nor 1",
        )
        operands = np.concatenate([records["loads"], records["stores"]], axis=1)
        used = operands != 0
        return Trace(
            address=operands[used],
            pc=np.repeat(records["ip"], used.sum(axis=1)),
            store=np.broadcast_to(np.arange(_LOADS + _STORES) >= _LOADS, used.shape)[used],
        )
