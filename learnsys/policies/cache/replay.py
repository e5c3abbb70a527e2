"""Replay of evictions that were decided elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from learnsys.envs.cache.geometry import CacheGeometry
from learnsys.policies.cache.base import Chunk, SetPolicy, State


@njit(["void(int32[::1], int32[::1], int64, int16[::1], int32[:, ::1], uint8[::1])"], cache=True, nogil=True)
def _replay(line, row, start, victims, tags, hits):
    ways = tags.shape[1]
    for i in range(line.size):
        wanted, r = line[i], row[i]
        target = -1
        for way in range(ways):
            if tags[r, way] == wanted or tags[r, way] < 0:  # ways fill lowest first
                target = way
                break
        hits[i] = target >= 0 and tags[r, target] == wanted
        if target < 0:
            target = victims[start + i]
        if target >= 0:
            tags[r, target] = wanted


@dataclass(frozen=True)
class Replay(SetPolicy):
    """Evictions decided before; `learnt` must give the state array `victims`.

    `victims`, int16 (accesses of the whole trace,): the way that each access evicts, -1 where it evicts nothing; ways
    fill from the lowest. A miss in a full set with -1 bypasses the cache.
    """

    name = "replay"

    def start(self, geometry: CacheGeometry, seed: int = 0) -> State:
        return {"tags": np.full((geometry.sets, geometry.ways), -1, np.int32), "victims": np.zeros(0, np.int16)}

    def run(self, state: State, chunk: Chunk, hits: NDArray[np.uint8]) -> None:
        if chunk.start + hits.size > state["victims"].size:
            raise ValueError("a replay needs the victims of all accesses")
        _replay(chunk.line, chunk.row, chunk.start, state["victims"], state["tags"], hits)
