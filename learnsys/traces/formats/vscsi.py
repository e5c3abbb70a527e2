"""The vSCSI traces of virtual machines' block devices, as in the CloudPhysics collection."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from learnsys.errors import InputError
from learnsys.traces.formats.records import Check, Layout, Records, whole_records
from learnsys.traces.streams import Source
from learnsys.traces.trace import Trace

_LENGTHS = [("sn", "<u4"), ("len", "<u4"), ("sg", "<u4")]
_COMMAND = [("cmd", "<u2"), ("ver", "<u2")]
_TIMES = [("lbn", "<u8"), ("ts", "<u8")]
_VERSIONS = {
    1: np.dtype([*_LENGTHS, *_COMMAND, *_TIMES]),
    2: np.dtype([*_COMMAND, *_LENGTHS, *_TIMES, ("response", "<u8")]),
}
_READS = (0x08, 0x28, 0xA8, 0x88)
_WRITES = (0x0A, 0x2A, 0xAA, 0x8A)
"""SCSI operation codes READ and WRITE of 6, 10, 12 and 16 bytes."""
_TEST = 100


def _version(head: bytes) -> int | None:
    """The version that most of the first records bear in the place where that version keeps it."""
    for number, record in _VERSIONS.items():
        found = whole_records(head, record)[:_TEST]
        if found.size and np.count_nonzero(found["ver"] >> 8 == number) * 2 > found.size:
            return number
    return None


class Vscsi(Records):
    """One record for each command: the object is the first block, with the length in bytes, and the time in
    microseconds. A command of several blocks counts as one access to one object, as in libCacheSim.
    """

    summary = "vSCSI block traces, versions 1 and 2"
    suffixes = (".vscsi", ".vscsitrace", ".vscsi1", ".vscsi2")

    def recognises(self, head: bytes) -> bool:
        version = _version(head)
        if version is None:
            return False
        commands = whole_records(head, _VERSIONS[version])["cmd"]
        return bool(np.isin(commands, _READS + _WRITES).sum() * 2 > commands.size)

    def layout(self, source: Source) -> Layout:
        version = _version(source.peek(2**16))
        if version is None:
            raise InputError(
                "has no vSCSI version 1 or 2 in its first records",
                file=source.path,
                place="record 1 (byte 0)",
                remedy="say its format with --format if it is another",
            )
        return Layout(_VERSIONS[version])

    def decode(self, records: NDArray[np.void], first: int, check: Check) -> Trace:
        version = 1 if records.dtype == _VERSIONS[1] else 2
        check(records["ver"] >> 8 != version, f"is not of version {version} like those before")
        check(records["ts"] > 2**63 - 1, "has a time stamp past 63 bits")
        return Trace(
            address=records["lbn"].astype(np.uint64),
            store=np.isin(records["cmd"], _WRITES),
            size=records["len"].astype(np.uint32),
            time=records["ts"].astype(np.int64),
            objects=True,
        )
