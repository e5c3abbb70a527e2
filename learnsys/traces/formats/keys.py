"""Bare binary keys, as in the traces of cache2k."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from learnsys.traces.formats.records import Check, Records
from learnsys.traces.trace import Trace


class BigEndianKeys(Records):
    """Object ids as big-endian 32-bit integers, taken as unsigned, and nothing else."""

    summary = "cache2k: big-endian 32-bit keys"
    common_suffixes = (".trace",)
    needs_name = True
    record = np.dtype([("key", ">u4")])

    def recognises(self, head: bytes) -> bool:
        text = bytes(range(32, 127)) + b"\t\n\r"
        return bool(head.translate(None, text))

    def decode(self, records: NDArray[np.void], first: int, check: Check) -> Trace:
        return Trace(address=records["key"].astype(np.uint64), objects=True)
