"""S4LRU: four queues with promotion, as the Parrot release codes it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from learnsys.envs.cache.geometry import CacheGeometry
from learnsys.errors import InputError
from learnsys.policies.cache.base import Chunk, SetPolicy, State

_QUEUES = 4


@njit(["void(int32[::1], int32[::1], int32[:, :, ::1], uint8[::1])"], cache=True, nogil=True)
def _s4lru(line, row, queues, hits):
    """`queues[r, level]` lists lines, newest first; -1 is a free place, and free places stand last."""
    levels, room = queues.shape[1], queues.shape[2]
    for t in range(line.size):
        held = queues[row[t]]
        wanted = line[t]
        found = -1
        for level in range(levels):
            for place in range(room):
                if held[level, place] == wanted:
                    found = level
                    for behind in range(place, room - 1):
                        held[level, behind] = held[level, behind + 1]
                    held[level, room - 1] = -1
                    break
            if found >= 0:
                break
        hits[t] = found >= 0
        level = min(found + 1, levels - 1)
        # What a full queue pushes out enters the queue below; what the lowest pushes out is evicted.
        while level >= 0 and wanted >= 0:
            pushed = held[level, room - 1]
            for place in range(room - 1, 0, -1):
                held[level, place] = held[level, place - 1]
            held[level, 0] = wanted
            wanted = pushed
            level -= 1


@dataclass(frozen=True)
class S4LRU(SetPolicy):
    """Four first-in-first-out queues of a quarter of the set; a hit enters the next higher one.

    Huang et al., "An analysis of Facebook photo caching", SOSP 2013. New lines enter the lowest queue and are
    evicted from it when it is full, even while ways stand free above it. The number of ways must be a multiple of
    four.
    """

    name = "s4lru"

    def start(self, geometry: CacheGeometry, seed: int = 0) -> State:
        if geometry.ways % _QUEUES:
            raise InputError(
                f"s4lru cannot split {geometry.ways} ways into {_QUEUES} queues", remedy="use a multiple of 4"
            )
        return {"queues": np.full((geometry.sets, _QUEUES, geometry.ways // _QUEUES), -1, np.int32)}

    def run(self, state: State, chunk: Chunk, hits: NDArray[np.uint8]) -> None:
        _s4lru(chunk.line, chunk.row, state["queues"], hits)

    def resident(self, state: State) -> NDArray[np.int32]:
        return state["queues"].reshape(state["queues"].shape[0], -1)
