"""A trace made ready for simulation: dense ids, sets and next uses, each computed once.

The hash kernels are resumable: one `DenseIds` serves a whole trace at once or chunk by chunk.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from learnsys.envs.cache.geometry import CacheGeometry
from learnsys.errors import InputError

NEVER = np.int32(2**31 - 1)
"""The next use of a line that is not accessed again."""


@njit(["void(uint64[:], int32[:], uint64[:], int32[:], uint64[:], int64[:])"], cache=True, nogil=True)
def _remap(keys, ids, table_key, table_id, values, count):
    """Give each key its dense id, in the order of first appearance (open addressing, linear probing)."""
    mask = np.uint64(table_key.size - 1)
    n = count[0]
    for i in range(keys.size):
        key = keys[i]
        mixed = key ^ (key >> np.uint64(32))
        slot = ((mixed * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(20)) & mask
        while True:
            found = table_id[slot]
            if found < 0:
                table_key[slot] = key
                table_id[slot] = n
                values[n] = key
                found = n
                n += 1
                break
            if table_key[slot] == key:
                break
            slot = (slot + np.uint64(1)) & mask
        ids[i] = found
    count[0] = n


class DenseIds:
    """Maps 64-bit keys to 0, 1, 2, ... in the order of first appearance; resumable over chunks."""

    def __init__(self) -> None:
        self._count = np.zeros(1, np.int64)
        self._allocate(2**12)

    def _allocate(self, slots: int) -> None:
        self._key = np.zeros(slots, np.uint64)
        self._id = np.full(slots, -1, np.int32)
        self._values = np.zeros(slots // 2 + 1, np.uint64)

    def __len__(self) -> int:
        return int(self._count[0])

    @property
    def values(self) -> NDArray[np.uint64]:
        """The key of each id so far, shape (len(self),)."""
        return self._values[: len(self)]

    def map(self, keys: NDArray[np.uint64]) -> NDArray[np.int32]:
        """Ids (int32, same shape) of `keys` (uint64, one-dimensional)."""
        keys = np.ascontiguousarray(keys, np.uint64)
        ids = np.empty(keys.size, np.int32)
        start = 0
        while start < keys.size:
            room = self._id.size // 2 - len(self)
            if room < min(keys.size - start, 2**16):
                self._grow()
                continue
            stop = min(start + room, keys.size)
            _remap(keys[start:stop], ids[start:stop], self._key, self._id, self._values, self._count)
            start = stop
        return ids

    def _grow(self) -> None:
        values = self.values.copy()
        if len(self) * 2 >= 2**31:
            raise InputError("more than 2^30 distinct keys", remedy="split the trace")
        self._allocate(self._id.size * 4)
        self._count[0] = 0
        _remap(values, np.empty(values.size, np.int32), self._key, self._id, self._values, self._count)


@njit(["void(int32[:], int32[:], int32[:], int64)"], cache=True, nogil=True)
def _next_use(ids, next_use, upcoming, offset):
    for i in range(ids.size - 1, -1, -1):
        next_use[i] = upcoming[ids[i]]
        upcoming[ids[i]] = offset + i


def next_uses(ids: NDArray[np.int32], n_ids: int) -> NDArray[np.int32]:
    """For each access the index of the next access to the same id, or `NEVER`; shape (n,)."""
    if ids.size >= NEVER:
        raise InputError(f"a trace of {ids.size} accesses is too long", remedy="split it below 2^31 - 1 accesses")
    result = np.empty(ids.size, np.int32)
    _next_use(ids, result, np.full(n_ids, NEVER, np.int32), 0)
    return result


@dataclass(frozen=True)
class Accesses:
    """A whole trace in the form that every simulator kernel reads.

    Shapes: `line`, `pc`, `row`, `next_use` are int32 (n,); `line_number` is uint64 (n_lines,), `pc_value`
    uint64 (n_pcs,).
    """

    line: NDArray[np.int32]
    """dense id of the line (or object) accessed"""
    pc: NDArray[np.int32]
    """dense id of the program counter (all 0 where the trace has none)"""
    row: NDArray[np.int32]
    """cache set of the line"""
    next_use: NDArray[np.int32]
    """index of the next access to the same line, or NEVER"""
    line_number: NDArray[np.uint64]
    """byte address >> log2(line size) of each dense line id"""
    pc_value: NDArray[np.uint64]
    """raw program counter of each dense pc id"""

    def __len__(self) -> int:
        return self.line.size

    @classmethod
    def prepare(cls, address: NDArray[np.uint64], pc: NDArray[np.uint64] | None, geometry: CacheGeometry) -> Accesses:
        """Ids, sets and next uses of byte addresses (n,) and program counters (n,) or None."""
        lines, pcs = DenseIds(), DenseIds()
        number = np.asarray(address, np.uint64) >> np.uint64(geometry.line_bits)
        line = lines.map(number)
        row = (number & np.uint64(geometry.sets - 1)).astype(np.int32)
        return cls(
            line=line,
            pc=pcs.map(np.zeros(line.size, np.uint64) if pc is None else pc),
            row=row,
            next_use=next_uses(line, len(lines)),
            line_number=lines.values.copy(),
            pc_value=pcs.values.copy(),
        )
