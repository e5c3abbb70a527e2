"""Least frequently used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from learnsys.envs.cache.intrinsics import prefetch
from learnsys.policies.cache.base import Chunk, ObjectPolicy, State, extended
from learnsys.policies.cache.objects.structures import insert, oldest, unlink

AHEAD = 24
_MOST = 2**24
"""The frequency at which counting stops."""


@njit(
    [
        f"void(int32[::1], {sizes}, int32[::1], int32[::1], int32[::1], {sizes}, int64[::1], uint8[::1])"
        for sizes in ("none", "int64[::1]")
    ],
    cache=True,
    nogil=True,
)
def lfu_kernel(ids, size, links, frequency, newest, held, place, hits):
    """One list of all cached objects, from the least to the most frequent and then from old to new.

    `newest[f]` is the newest node of frequency f, 0 if there is none: behind it an object goes that reaches f.
    Frequencies are counted while an object is cached, and 0 outside. `place`: capacity, used, highest frequency.
    """
    capacity, used, highest = place[0], place[1], place[2]
    for t in range(ids.size):
        ahead = np.int64(ids[min(t + AHEAD, ids.size - 1)])
        prefetch(frequency, ahead)
        prefetch(links, 2 * (ahead + 1))
        i = np.int64(ids[t])
        node = i + 1
        before = np.int64(frequency[i])
        hits[t] = before > 0
        if before > 0:
            count = min(before + 1, _MOST - 1)
            older = np.int64(links[2 * node])
            behind = np.int64(newest[count])
            if newest[before] == node:
                newest[before] = older if older > 0 and frequency[older - 1] == before else 0
            if behind == 0:  # the first of its frequency: behind those of the one below, if any are left
                behind = np.int64(newest[before]) if newest[before] else older
            if behind != node:
                unlink(links, node)
                insert(links, behind, node)
        else:
            need = size[t] if held is not None else np.int64(1)
            if need > capacity:
                continue
            while used + need > capacity:
                victim = oldest(links, np.int64(0))
                count = np.int64(frequency[victim - 1])
                if newest[count] == victim:
                    newest[count] = 0
                frequency[victim - 1] = 0
                unlink(links, victim)
                used -= held[victim - 1] if held is not None else np.int64(1)
            used += need
            if held is not None:
                held[i] = need
            count = np.int64(1)
            insert(links, np.int64(newest[1]), node)
        frequency[i] = count
        newest[count] = node
        highest = max(highest, count)
    place[1], place[2] = used, highest


@dataclass(frozen=True)
class LFU(ObjectPolicy):
    """Evict the object with the fewest accesses since it was inserted, of these the one that has them longest.

    The list by frequency is that of Shah, Mitra and Matani, "An O(1) algorithm for implementing the LFU cache
    eviction scheme", 2010, flattened into one.
    """

    name = "lfu"
    per_object: ClassVar = {"frequency": (np.int32, 0)}
    lists = 1
    counters = 1

    def start(self, capacity: int, *, sized: bool = False, seed: int = 0) -> State:
        return {**super().start(capacity, sized=sized), "newest": np.zeros(2, np.int32)}

    def run(self, state: State, chunk: Chunk, hits: NDArray[np.uint8]) -> None:
        highest = min(int(state["place"][2]) + chunk.line.size + 2, _MOST)
        state["newest"] = extended(state["newest"], highest)
        arrays = [state.get(name) for name in ("links", "frequency", "newest", "held", "place")]
        lfu_kernel(*[chunk.line, chunk.size, *arrays, hits])

    def contents(self, state: State) -> NDArray[np.int64]:
        return np.flatnonzero(state["frequency"])
