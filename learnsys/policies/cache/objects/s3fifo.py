"""S3-FIFO: a small queue that most objects pass through once, a main queue, and a ghost queue of ids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from learnsys.envs.cache.intrinsics import prefetch
from learnsys.errors import InputError
from learnsys.policies.cache.base import Chunk, ObjectPolicy, State
from learnsys.policies.cache.objects.structures import push

ABSENT, GHOST, SMALL, MAIN = np.uint8(0), np.uint8(1), np.uint8(4), np.uint8(8)
"""Flags of an object; those of a cached one carry its hits, up to 3, in the two lowest bits."""
AHEAD = 48


@njit(["int64(int32[::1], int32[::1], int64, int64)"], cache=True, nogil=True)
def _close_gaps(ghost, ghost_at, tail, end):
    """Move the ids that are left in the ghost queue to its array's front; return the new end."""
    kept = 0
    for p in range(tail, end):
        if ghost[p] >= 0:
            ghost[kept] = ghost[p]
            ghost_at[ghost[p]] = kept
            kept += 1
    return kept


@njit(
    [
        f"void(int32[::1], {sizes}, uint8[::1], {4 * 'int32[::1], '} {sizes}, int64[::1], uint8[::1])"
        for sizes in ("none", "int64[::1]")
    ],
    cache=True,
    nogil=True,
)
def s3fifo_kernel(ids, size, flag, small, main, ghost, ghost_at, held, place, hits):
    """Queues are the parts of `small`, `main` and `ghost` between their tails and ends.

    An object that leaves the ghost queue from its middle (at `ghost_at`) leaves -1 there. `place`: capacity, used,
    limits of the small and of the ghost queue, used of each, whether anything was evicted yet, tails and ends.
    """
    capacity, used, small_limit, ghost_limit = place[0], place[1], place[2], place[3]
    small_used, ghost_used, evicted = place[4], place[5], place[6]
    small_tail, small_end, main_tail, main_end = place[7], place[8], place[9], place[10]
    ghost_tail, ghost_end = place[11], place[12]
    for t in range(ids.size):
        ahead = np.int64(ids[min(t + AHEAD, ids.size - 1)])
        prefetch(flag, ahead)
        prefetch(ghost_at, ahead)
        i = np.uint64(ids[t])
        state = flag[i]
        if state >= SMALL:
            flag[i] = state + np.uint8((state & 3) != 3)
            hits[t] = 1
            continue
        hits[t] = 0
        need = size[t] if held is not None else np.int64(1)
        if need > capacity:
            continue
        if state == GHOST:
            ghost[ghost_at[i]] = -1
            ghost_used -= held[i] if held is not None else np.int64(1)
            flag[i] = ABSENT
        while used + need > capacity:
            evicted = np.int64(1)
            victim = np.int64(-1)
            if used - small_used <= capacity - small_limit:
                while victim < 0 and small_tail < small_end:
                    ahead = np.int64(small[min(small_tail + 16, small.size - 1)])
                    prefetch(flag, ahead)
                    prefetch(ghost_at, ahead)
                    oldest = np.int64(small[small_tail])
                    small_tail += 1
                    small_used -= held[oldest] if held is not None else np.int64(1)
                    if flag[oldest] < SMALL + 2:
                        victim = oldest
                    else:
                        flag[oldest] = MAIN
                        main_tail, main_end = push(main, main_tail, main_end, oldest)
            forget = victim < 0
            while victim < 0:
                prefetch(flag, np.int64(main[min(main_tail + 16, main.size - 1)]))
                oldest = np.int64(main[main_tail])
                main_tail += 1
                if flag[oldest] == MAIN:
                    victim = oldest
                else:
                    flag[oldest] -= np.uint8(1)
                    main_tail, main_end = push(main, main_tail, main_end, oldest)
            flag[victim] = ABSENT
            weight = held[victim] if held is not None else np.int64(1)
            used -= weight
            if forget or weight > ghost_limit:
                continue
            while ghost_used + weight > ghost_limit:
                prefetch(flag, max(np.int64(ghost[min(ghost_tail + 16, ghost.size - 1)]), np.int64(0)))
                oldest = np.int64(ghost[ghost_tail])
                ghost_tail += 1
                if oldest >= 0:
                    flag[oldest] = ABSENT
                    ghost_used -= held[oldest] if held is not None else np.int64(1)
            if ghost_end == ghost.size:
                ghost_end = _close_gaps(ghost, ghost_at, ghost_tail, ghost_end)
                ghost_tail = np.int64(0)
            ghost[ghost_end] = victim
            ghost_at[victim] = ghost_end
            ghost_end += 1
            ghost_used += weight
            flag[victim] = GHOST
        used += need
        if held is not None:
            held[i] = need
        # Until the first eviction a full small queue spills over into the main one.
        if state == GHOST or (small_used + need > small_limit and not evicted):
            flag[i] = MAIN
            main_tail, main_end = push(main, main_tail, main_end, ids[t])
        else:
            flag[i] = SMALL
            small_tail, small_end = push(small, small_tail, small_end, ids[t])
            small_used += need
    place[1], place[4], place[5], place[6] = used, small_used, ghost_used, evicted
    place[7], place[8], place[9], place[10] = small_tail, small_end, main_tail, main_end
    place[11], place[12] = ghost_tail, ghost_end


@dataclass(frozen=True)
class S3FIFO(ObjectPolicy):
    """Insert into a small queue; what was hit twice there, or is missed while its id is remembered, goes to main.

    Yang et al., "FIFO queues are all you need for cache eviction", 2023, algorithm 1. Like the authors' simulator
    it fills the main queue, too, before anything is evicted.

    Raises:
        InputError: a share outside of (0, 1), or a negative ghost share.
    """

    name = "s3fifo"
    per_object: ClassVar = {"flag": (np.uint8, 0), "ghost_at": (np.int32, 0)}
    queues = ("small", "main", "ghost")
    counters = 11

    small_share: float = 0.1
    """the small queue's share of the capacity"""
    ghost_share: float = 0.9
    """capacity of the ghost queue, relative to the cache's"""

    def __post_init__(self) -> None:
        if not (0 < self.small_share < 1 and 0 <= self.ghost_share <= 1):
            raise InputError(f"shares {self.small_share:g} and {self.ghost_share:g} make no S3-FIFO")

    def start(self, capacity: int, *, sized: bool = False, seed: int = 0) -> State:
        state = super().start(capacity, sized=sized)
        capacity = int(state["place"][0])
        state["place"][2] = max(1, int(capacity * self.small_share))
        state["place"][3] = int(capacity * self.ghost_share)
        return state

    def run(self, state: State, chunk: Chunk, hits: NDArray[np.uint8]) -> None:
        arrays = [state.get(name) for name in ("flag", "small", "main", "ghost", "ghost_at", "held", "place")]
        s3fifo_kernel(*[chunk.line, chunk.size, *arrays, hits])

    def contents(self, state: State) -> NDArray[np.int64]:
        return np.flatnonzero(state["flag"] >= SMALL)
