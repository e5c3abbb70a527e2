"""Most recently used."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from learnsys.envs.cache.geometry import CacheGeometry
from learnsys.policies.cache.base import Chunk, SetPolicy, State


@njit(["void(int32[::1], int32[::1], int32[:, ::1], int32[::1], int32[::1], uint8[::1])"], cache=True, nogil=True)
def _mru(line, row, tags, filled, recent, hits):
    """`recent[r]` is the way of set r that was touched last; the ways from `filled[r]` on are free."""
    ways = tags.shape[1]
    for t in range(line.size):
        wanted, r = line[t], row[t]
        way = np.int32(-1)
        for other in range(ways):  # without a branch: faster than stopping early
            way = max(way, np.int32(other) if tags[r, other] == wanted else np.int32(-1))
        hits[t] = way >= 0
        if way < 0:
            way = recent[r]
            if filled[r] < ways:
                way = filled[r]
                filled[r] += 1
            tags[r, way] = wanted
        recent[r] = way


@dataclass(frozen=True)
class MRU(SetPolicy):
    """Evict the line whose last access is newest: near the optimum on loops that exceed the set."""

    name = "mru"

    def start(self, geometry: CacheGeometry, seed: int = 0) -> State:
        tags = np.full((geometry.sets, geometry.ways), -1, np.int32)
        filled, recent = np.zeros((2, geometry.sets), np.int32)
        return {"tags": tags, "filled": filled, "recent": recent}

    def run(self, state: State, chunk: Chunk, hits: NDArray[np.uint8]) -> None:
        _mru(chunk.line, chunk.row, state["tags"], state["filled"], state["recent"], hits)
