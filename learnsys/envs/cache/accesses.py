"""A trace made ready for simulation: dense ids, sets and next uses, each computed once.

The hash kernels are resumable: one `DenseIds` serves a whole trace at once or chunk by chunk.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from learnsys.envs.cache.geometry import CacheGeometry
from learnsys.envs.cache.intrinsics import prefetch
from learnsys.errors import InputError

NEVER = np.int32(2**31 - 1)
"""The next use of a line that is not accessed again."""


_BLOCK = 1024
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@njit(
    ["int64(uint64[::1], int32[::1], int32[::1], uint64[::1], int64[::1], uint64)"],
    cache=True,
    nogil=True,
)
def _remap(keys, ids, table, values, count, factor):
    """Give each key its dense id, in the order of first appearance; return for how many keys there was room.

    `table` holds ids at the slots that their keys hash to (the upper bits of a product, then linear probing), -1
    elsewhere; `values` the keys by id. A block of keys is looked up at a time, each stage asking for the memory of
    the next, since it is memory that the time goes to. Stops before a block for which the table, once half full,
    has no room, and after one whose keys collide out of all proportion.
    """
    shift = np.uint64(64)
    while (1 << (64 - np.int64(shift))) < table.size:
        shift -= np.uint64(1)
    mask = np.uint64(table.size - 1)
    slots = np.empty(_BLOCK, np.uint64)
    n = count[0]
    done = 0
    while done < keys.size and n + _BLOCK <= table.size >> 1:
        block = keys[done : done + _BLOCK]
        for i in range(block.size):
            slot = ((block[i] ^ (block[i] >> np.uint64(32))) * factor) >> shift
            slots[i] = slot
            prefetch(table, np.int64(slot))
        for i in range(block.size):
            prefetch(values, np.int64(max(table[slots[i]], np.int32(0))))
        collisions = 0
        for i in range(block.size):
            key = block[i]
            slot = slots[i]
            found = table[slot]
            while found >= 0 and values[np.uint64(found)] != key:
                slot = (slot + np.uint64(1)) & mask
                found = table[slot]
                collisions += 1
            if found < 0:
                found = np.int32(n)
                table[slot] = found
                values[n] = key
                n += 1
            ids[done + i] = found
        done += block.size
        if collisions > 64 * _BLOCK:
            break
    count[0] = n
    return done


class DenseIds:
    """Maps 64-bit keys to 0, 1, 2, ... in the order of first appearance; resumable over chunks."""

    def __init__(self) -> None:
        self._count = np.zeros(1, np.int64)
        self._values = np.zeros(0, np.uint64)
        self._factor = _GOLDEN
        self._allocate(2**13)

    def _allocate(self, slots: int) -> None:
        self._table = np.full(slots, -1, np.int32)
        values = np.empty(slots // 2, np.uint64)
        values[: len(self)] = self._values[: len(self)]
        self._values = values

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
        done = self._fill(keys, ids)
        while done < keys.size:
            self._rebuild()
            done += self._fill(keys[done:], ids[done:])
        return ids

    def _fill(self, keys: NDArray[np.uint64], ids: NDArray[np.int32]) -> int:
        return _remap(keys, ids, self._table, self._values, self._count, self._factor)

    def _rebuild(self) -> None:
        """Make the table larger; or, if it is not full, keys were made to collide: hash them in another way."""
        slots = self._table.size
        if len(self) + _BLOCK > slots // 2:
            if slots >= 2**31:
                raise InputError("more than 2^30 distinct keys", remedy="split the trace")
            slots *= 4 if slots < 2**20 else 2
        else:
            self._factor = np.uint64(int.from_bytes(os.urandom(8), "little") | 1)
        values = self.values.copy()
        self._allocate(slots)
        self._count[0] = 0
        done = self._fill(values, np.empty(values.size, np.int32))
        while done < values.size:
            done += self._fill(values[done:], np.empty(values.size - done, np.int32))


@njit(["void(int32[::1], int32[::1], int32[::1], int64)"], cache=True, nogil=True)
def _next_use(ids, next_use, upcoming, offset):
    for i in range(ids.size - 1, -1, -1):
        prefetch(upcoming, np.int64(ids[max(i - 48, 0)]))
        own = np.uint64(ids[i])
        next_use[i] = upcoming[own]
        upcoming[own] = offset + i


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
