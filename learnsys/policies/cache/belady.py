"""Belady's MIN, with and without bypass."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learnsys.envs.cache.bounds import belady_kernel
from learnsys.envs.cache.geometry import CacheGeometry
from learnsys.policies.cache.base import Chunk, SetPolicy, State


@dataclass(frozen=True)
class Belady(SetPolicy):
    """Evict the line whose next use is furthest: the optimum, which needs the future."""

    name = "belady"
    needs_future = True

    bypass: bool = False
    """may decline to insert a line"""

    def start(self, geometry: CacheGeometry, seed: int = 0) -> State:
        tags, upcoming = np.full((2, geometry.sets, geometry.ways), -1, np.int32)
        return {"tags": tags, "upcoming": upcoming}

    def run(self, state: State, chunk: Chunk, hits: NDArray[np.uint8]) -> None:
        belady_kernel(chunk.line, chunk.row, chunk.next_use, state["tags"], state["upcoming"], self.bypass, hits)
