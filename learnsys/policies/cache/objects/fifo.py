"""First in, first out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from learnsys.envs.cache.intrinsics import prefetch
from learnsys.policies.cache.base import Chunk, ObjectPolicy, State, extended
from learnsys.policies.cache.objects.clock import AHEAD, HELD, Clock, clock_kernel

_MOST = 2**30


@njit(["void(int32[::1], int32[::1], int64[::1], uint8[::1])"], cache=True, nogil=True)
def fifo_kernel(ids, inserted, place, hits):
    """FIFO without a queue: an object leaves with the `capacity`-th insertion after its own.

    `inserted` is the number of each object's last insertion; `place`: capacity, unused, insertions so far. Nothing
    branches on the outcome, which is what makes it fast: a processor cannot predict hits.
    """
    capacity, now = np.int32(place[0]), np.int32(place[2])
    for t in range(ids.size):
        prefetch(inserted, np.int64(ids[min(t + AHEAD, ids.size - 1)]))
        i = np.uint64(ids[t])
        own = inserted[i]
        miss = np.int32(now - own > capacity)
        inserted[i] = now if miss else own
        now += miss
        hits[t] = 1 - miss
    place[2] = now


@dataclass(frozen=True)
class FIFO(ObjectPolicy):
    """Evict the object that was inserted first."""

    name = "fifo"
    counters = 1

    def start(self, capacity: int, *, sized: bool = False, seed: int = 0) -> State:
        if sized:
            return Clock().start(capacity, sized=True)
        return {"inserted": np.zeros(0, np.int32), "place": super().start(min(capacity, _MOST))["place"]}

    def grow(self, state: State, n_objects: int) -> None:
        if "inserted" in state:
            absent = -int(state["place"][0]) - 1
            state["inserted"] = extended(state["inserted"], n_objects, absent)
        else:
            Clock().grow(state, n_objects)

    def run(self, state: State, chunk: Chunk, hits: NDArray[np.uint8]) -> None:
        s = state
        if "inserted" not in s:
            clock_kernel(chunk.line, chunk.size, s["flag"], s["queue"], s.get("held"), s["place"], HELD, hits)
            return
        if s["place"][2] > _MOST:  # start the count anew before it leaves int32
            s["inserted"][:] = np.maximum(s["inserted"] - s["place"][2], -s["place"][0] - 1)
            s["place"][2] = 0
        fifo_kernel(chunk.line, s["inserted"], s["place"], hits)

    def contents(self, state: State) -> NDArray[np.int64]:
        if "inserted" not in state:
            return Clock().contents(state)
        return np.flatnonzero(state["place"][2] - state["inserted"] <= state["place"][0])
