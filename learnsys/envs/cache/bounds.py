"""The two ends of the normalised hit rate on a set-associative cache: LRU, and Belady's MIN.

They belong to the system (every environment reports them), so they stand here; the policies of the same names
use these kernels.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from learnsys.envs.cache.accesses import Accesses
from learnsys.envs.cache.intrinsics import prefetch


@njit(["void(int32[::1], int32[::1], int32[:, ::1], uint8[::1])"], cache=True, nogil=True)
def lru_kernel(line, row, stack, hits):
    """LRU by move-to-front: `stack[r]` lists the lines of set r, most recent first; -1 is a free way."""
    ways = stack.shape[1]
    flat = stack.reshape(-1)
    for t in range(line.size):
        prefetch(flat, np.int64(row[min(t + 16, line.size - 1)]) * ways)
        wanted = line[t]
        lines = stack[row[t]]
        held = lines[0]
        if held == wanted:
            hits[t] = 1
            continue
        way = 0
        while held != wanted and way < ways - 1:
            way += 1
            following = lines[way]
            lines[way] = held
            held = following
        lines[0] = wanted
        hits[t] = held == wanted


@njit(
    ["void(int32[::1], int32[::1], int32[::1], int32[:, ::1], int32[:, ::1], boolean, uint8[::1])"],
    cache=True,
    nogil=True,
)
def belady_kernel(line, row, next_use, tags, upcoming, bypass, hits):
    """Belady's MIN: evict the line whose next use is furthest (the lowest such way).

    With `bypass`, a line is not inserted when its own next use is at least as far as that of every resident.
    `tags` is -1 and `upcoming` -1 in free ways, which are filled lowest first.
    """
    ways = tags.shape[1]
    for t in range(line.size):
        wanted, r = line[t], row[t]
        victim, furthest, found = -1, np.int32(-1), -1
        for way in range(ways):
            tag = tags[r, way]
            if tag == wanted:
                found = way
                break
            if tag < 0:
                victim = way
                furthest = np.int32(2**31 - 1)
                break
            if upcoming[r, way] > furthest:
                furthest = upcoming[r, way]
                victim = way
        if found >= 0:
            hits[t] = 1
            upcoming[r, found] = next_use[t]
            continue
        hits[t] = 0
        if bypass and tags[r, victim] >= 0 and next_use[t] >= furthest:
            continue
        tags[r, victim] = wanted
        upcoming[r, victim] = next_use[t]


def lru_hits(accesses: Accesses, sets: int, ways: int) -> NDArray[np.uint8]:
    """Whether each access hits an LRU cache that starts empty; uint8 (n,)."""
    hits = np.zeros(len(accesses), np.uint8)
    lru_kernel(accesses.line, accesses.row, np.full((sets, ways), -1, np.int32), hits)
    return hits


def belady_hits(accesses: Accesses, sets: int, ways: int, bypass: bool = False) -> NDArray[np.uint8]:
    """Whether each access hits an optimally managed cache that starts empty; uint8 (n,).

    Belady, "A study of replacement algorithms for virtual storage computers", 1966. Without `bypass` every
    missed line must be inserted; with it the cache may decline, which can only gain.
    """
    hits = np.zeros(len(accesses), np.uint8)
    tags, upcoming = np.full((2, sets, ways), -1, np.int32)
    belady_kernel(accesses.line, accesses.row, accesses.next_use, tags, upcoming, bypass, hits)
    return hits
