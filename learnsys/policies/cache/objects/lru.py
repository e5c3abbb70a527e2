"""Least recently used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from learnsys.envs.cache.intrinsics import prefetch, trailing_zeros
from learnsys.policies.cache.base import Chunk, ObjectPolicy, State

AHEAD = 48


@njit(
    [
        f"void(int32[::1], {sizes}, int32[::1], uint8[::1], uint64[::1], int32[::1], {sizes}, int64[::1], uint8[::1])"
        for sizes in ("none", "int64[::1]")
    ],
    cache=True,
    nogil=True,
)
def lru_kernel(ids, size, last, live, live8, queue, held, place, hits):
    """LRU without links: `live` marks the positions in time that are the last access to a cached object.

    An object is cached iff its last access is not before `tail`, since LRU evicts in the order of last accesses;
    the victim is at the first live position from `tail` on, found eight at a time through `live8`, the same
    memory. A hit thus touches one number of its object, where a linked list touches three. `queue` holds the ids
    at the positions, for their sizes only. `place`: capacity, used, tail, end.
    """
    capacity, used, tail, end = place[0], place[1], place[2], place[3]
    for t in range(ids.size):
        prefetch(last, np.int64(ids[min(t + AHEAD, ids.size - 1)]))
        i = np.uint64(ids[t])
        position = np.int64(last[i])
        hit = position >= tail
        hits[t] = hit
        if hit:
            live[np.uint64(position)] = 0
        else:
            need = size[t] if held is not None else np.int64(1)
            if need > capacity:
                continue
            while used + need > capacity:
                word = live8[np.uint64(tail >> 3)] >> np.uint64(8 * (tail & 7))
                while word == 0:
                    tail = (tail | 7) + 1
                    word = live8[np.uint64(tail >> 3)]
                tail += np.int64(trailing_zeros(word) >> np.uint64(3))
                used -= held[queue[tail]] if held is not None else np.int64(1)
                tail += 1
            used += need
            if held is not None:
                held[i] = need
        last[i] = end
        live[np.uint64(end)] = 1
        if held is not None:
            queue[end] = i
        end += 1
    place[1], place[2], place[3] = used, tail, end


@dataclass(frozen=True)
class LRU(ObjectPolicy):
    """Evict the object whose last access is oldest."""

    name = "lru"
    per_object: ClassVar = {"last": (np.int32, -1)}
    counters = 2

    def start(self, capacity: int, *, sized: bool = False, seed: int = 0) -> State:
        state = super().start(capacity, sized=sized)
        return {**state, "live": np.zeros(0, np.uint8), "queue": np.zeros(0, np.int32)}

    def run(self, state: State, chunk: Chunk, hits: NDArray[np.uint8]) -> None:
        s = state
        if s["place"][3] + chunk.line.size > s["live"].size:
            _renumber(s, chunk.line.size)
        live8 = s["live"].view(np.uint64)
        lru_kernel(chunk.line, chunk.size, s["last"], s["live"], live8, s["queue"], s.get("held"), s["place"], hits)

    def contents(self, state: State) -> NDArray[np.int64]:
        return np.flatnonzero(state["last"] >= state["place"][2])


def _renumber(state: State, room: int) -> None:
    """Number the live positions 0, 1, ... and make room for twice `room` accesses behind them."""
    tail, end = state["place"][2:]
    positions = tail + np.flatnonzero(state["live"][tail:end])
    cached = np.flatnonzero(state["last"] >= tail)
    rank = np.searchsorted(positions, state["last"][cached])
    state["last"][:] = -1
    state["last"][cached] = rank
    # Large against the objects, so that each access's share of the renumbering stays small.
    size = min(max(4 * cached.size, state["last"].size) + 2 * room + 1024, 2**31 - 8) // 8 * 8
    state["live"] = np.zeros(size, np.uint8)
    state["live"][: cached.size] = 1
    if "held" in state:
        state["queue"] = np.zeros(size, np.int32)
        state["queue"][rank] = cached
    state["place"][2:] = 0, cached.size
