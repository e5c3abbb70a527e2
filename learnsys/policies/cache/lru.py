"""Least recently used."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learnsys.envs.cache.bounds import lru_kernel
from learnsys.envs.cache.geometry import CacheGeometry
from learnsys.policies.cache.base import Chunk, SetPolicy, State


@dataclass(frozen=True)
class LRU(SetPolicy):
    """Evict the line whose last access is oldest."""

    name = "lru"

    def start(self, geometry: CacheGeometry, seed: int = 0) -> State:
        return {"stack": np.full((geometry.sets, geometry.ways), -1, np.int32)}

    def run(self, state: State, chunk: Chunk, hits: NDArray[np.uint8]) -> None:
        lru_kernel(chunk.line, chunk.row, state["stack"], hits)

    def resident(self, state: State) -> NDArray[np.int32]:
        return state["stack"]
