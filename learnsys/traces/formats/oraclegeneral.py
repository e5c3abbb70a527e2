"""The oracleGeneral format of libCacheSim."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from learnsys.errors import InputError
from learnsys.traces.blocks import object_ids
from learnsys.traces.formats.records import Check, Records, whole_records
from learnsys.traces.trace import Trace

_NEVER = -1
_MOST = 2**40
"""A trace does not hold more requests."""
_LINE = 64
_BLOCK = 2**20


class OracleGeneral(Records):
    """Records of 24 bytes: time, object id, size, and the number of the next request for the object.

    Requests are numbered from 1; -1 (or 2^63 - 1) stands for never. Reading drops the number, since learnsys finds
    next uses itself. Writing an address trace makes each 64-byte line an object; PCs and store flags have no
    place in the format.
    """

    summary = "libCacheSim oracleGeneral"
    suffixes = (".oraclegeneral", ".oraclegeneral.bin")
    writable = True
    record = np.dtype([("time", "<u4"), ("id", "<u8"), ("size", "<u4"), ("next", "<i8")])

    def recognises(self, head: bytes) -> bool:
        records = whole_records(head, self.record)
        plausible = _possible(records["next"]) & (
            (records["next"] > np.arange(records.size)) | (records["next"] == _NEVER)
        )
        plausible[1:] &= np.diff(records["time"].astype(np.int64)) >= 0
        return bool(plausible.sum() * 2 > records.size)

    def decode(self, records: NDArray[np.void], first: int, check: Check) -> Trace:
        check(~_possible(records["next"]), "has a next request that is neither -1 nor a count of requests")
        return Trace(
            address=records["id"].astype(np.uint64),
            size=records["size"].astype(np.uint32),
            time=records["time"].astype(np.int64),
            objects=True,
        )

    def write(self, path: Path, blocks: Iterator[Trace], metadata: Mapping[str, str]) -> None:
        with open(path, "w+b") as file:
            count = 0
            for block in blocks:
                records = np.zeros(len(block), self.record)
                records["id"] = object_ids(block)
                records["size"] = (1 if block.objects else _LINE) if block.size is None else block.size
                time = np.arange(count, count + len(block)) if block.time is None else block.time
                if time.min() < 0 or time.max() >= 2**32:
                    raise InputError(
                        f"{self.name} has 32 bits for the time, too few for {time.min()} to {time.max()}",
                        remedy="write parquet, or change the unit of time",
                    )
                records["time"] = time
                file.write(records.tobytes())
                count += len(block)
            _fill_next(file, count)


def _possible(following: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether a next request can be one."""
    return ((following >= _NEVER) & (following <= _MOST)) | (following == 2**63 - 1)


def _fill_next(file: BinaryIO, count: int) -> None:
    """Fill the `next` field of `count` records, from the last block to the first."""
    from learnsys.envs.cache.accesses import DenseIds

    record = OracleGeneral.record
    known = DenseIds()
    upcoming = np.zeros(0, np.int64)  # of each dense id: the number of its next request
    for start in range((count - 1) // _BLOCK * _BLOCK, -1, -_BLOCK):
        file.seek(start * record.itemsize)
        records = np.frombuffer(bytearray(file.read(_BLOCK * record.itemsize)), record)
        ids = known.map(records["id"])
        upcoming = np.concatenate([upcoming, np.full(len(known) - upcoming.size, _NEVER)])
        records["next"] = upcoming[ids]
        order = np.argsort(ids, kind="stable")
        again = ids[order[1:]] == ids[order[:-1]]
        records["next"][order[:-1][again]] = start + order[1:][again] + 1
        first = order[np.concatenate([[True], ~again])]
        upcoming[ids[first]] = start + first + 1
        file.seek(start * record.itemsize)
        file.write(records.tobytes())
