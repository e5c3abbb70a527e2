"""CLOCK: first in, first out, with a second chance for what was hit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from learnsys.envs.cache.intrinsics import prefetch
from learnsys.policies.cache.base import Chunk, ObjectPolicy, State
from learnsys.policies.cache.objects.structures import push

ABSENT, HELD, REFERENCED = np.uint8(0), np.uint8(1), np.uint8(2)
AHEAD = 48


@njit(
    [
        f"void(int32[::1], {sizes}, uint8[::1], int32[::1], {sizes}, int64[::1], uint8, uint8[::1])"
        for sizes in ("none", "int64[::1]")
    ],
    cache=True,
    nogil=True,
)
def clock_kernel(ids, size, flag, queue, held, place, mark, hits):
    """CLOCK as a queue whose oldest object, if it is referenced, goes to the back instead of out.

    `mark` is the flag that a hit sets: REFERENCED, or HELD for plain FIFO. `place`: capacity, used, tail, end.
    """
    capacity, used, tail, end = place[0], place[1], place[2], place[3]
    for t in range(ids.size):
        prefetch(flag, np.int64(ids[min(t + AHEAD, ids.size - 1)]))
        i = np.uint64(ids[t])
        if flag[i]:
            flag[i] = mark
            hits[t] = 1
            continue
        hits[t] = 0
        need = size[t] if held is not None else np.int64(1)
        if need > capacity:
            continue
        while used + need > capacity:
            prefetch(flag, np.int64(queue[min(tail + 16, queue.size - 1)]))
            oldest = queue[tail]
            tail += 1
            if flag[oldest] == HELD:
                flag[oldest] = ABSENT
                used -= held[oldest] if held is not None else np.int64(1)
            else:
                flag[oldest] = HELD
                tail, end = push(queue, tail, end, oldest)
        tail, end = push(queue, tail, end, ids[t])
        flag[i] = HELD
        used += need
        if held is not None:
            held[i] = need
    place[1], place[2], place[3] = used, tail, end


@dataclass(frozen=True)
class Clock(ObjectPolicy):
    """Evict the oldest object that was not hit since it was inserted or last passed over.

    Corbato, "A paging experiment with the Multics system", 1968.
    """

    name = "clock"
    per_object: ClassVar = {"flag": (np.uint8, 0)}
    queues = ("queue",)
    counters = 2

    def run(self, state: State, chunk: Chunk, hits: NDArray[np.uint8]) -> None:
        s = state
        clock_kernel(chunk.line, chunk.size, s["flag"], s["queue"], s.get("held"), s["place"], REFERENCED, hits)

    def contents(self, state: State) -> NDArray[np.int64]:
        return np.flatnonzero(state["flag"])
