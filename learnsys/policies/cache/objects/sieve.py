"""SIEVE: a queue in insertion order, and a hand that walks from its old end to its new one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from learnsys.envs.cache.intrinsics import prefetch
from learnsys.policies.cache.base import Chunk, ObjectPolicy, State

ABSENT, HELD, VISITED = np.uint8(0), np.uint8(1), np.uint8(2)
AHEAD = 48


@njit(
    [
        f"void(int32[::1], {sizes}, uint8[::1], int32[::1], {sizes}, int64[::1], uint8[::1])"
        for sizes in ("none", "int64[::1]")
    ],
    cache=True,
    nogil=True,
)
def sieve_kernel(ids, size, flag, queue, held, place, hits):
    """The queue stands in insertion order in `queue[:kept]` and `queue[hand:end]`; the evicted ones make the gap.

    What the hand passes over it moves down to `kept`, so that the gap closes when it reaches the end. `place`:
    capacity, used, kept, hand, end.
    """
    capacity, used, kept, hand, end = place[0], place[1], place[2], place[3], place[4]
    for t in range(ids.size):
        prefetch(flag, np.int64(ids[min(t + AHEAD, ids.size - 1)]))
        i = np.uint64(ids[t])
        if flag[i]:
            flag[i] = VISITED
            hits[t] = 1
            continue
        hits[t] = 0
        need = size[t] if held is not None else np.int64(1)
        if need > capacity:
            continue
        while used + need > capacity:
            candidate = np.uint64(queue[hand])
            hand += 1
            if flag[candidate] == HELD:
                flag[candidate] = ABSENT
                used -= held[candidate] if held is not None else np.int64(1)
            else:
                flag[candidate] = HELD
                queue[kept] = candidate
                kept += 1
            if hand == end:  # past the newest object: on with the oldest
                hand, end, kept = 0, kept, 0
        if end == queue.size:
            for p in range(hand, end):
                queue[kept + p - hand] = queue[p]
            hand, end = kept, kept + end - hand
        queue[end] = i
        end += 1
        flag[i] = HELD
        used += need
        if held is not None:
            held[i] = need
    place[1], place[2], place[3], place[4] = used, kept, hand, end


@dataclass(frozen=True)
class Sieve(ObjectPolicy):
    """Evict the next object, from old to new and over again, that was not hit since the hand last passed it.

    Zhang et al., "SIEVE is simpler than LRU", 2024, algorithm 1.
    """

    name = "sieve"
    per_object: ClassVar = {"flag": (np.uint8, 0)}
    queues = ("queue",)
    counters = 3

    def run(self, state: State, chunk: Chunk, hits: NDArray[np.uint8]) -> None:
        s = state
        sieve_kernel(chunk.line, chunk.size, s["flag"], s["queue"], s.get("held"), s["place"], hits)

    def contents(self, state: State) -> NDArray[np.int64]:
        return np.flatnonzero(state["flag"])
