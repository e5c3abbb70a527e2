"""Random replacement."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from learnsys.envs.cache.geometry import CacheGeometry
from learnsys.policies.cache.base import Chunk, SetPolicy, State


@njit(["void(int32[::1], int32[::1], int32[:, ::1], int32[::1], uint64[::1], uint8[::1])"], cache=True, nogil=True)
def _random(line, row, tags, filled, generator, hits):
    """The ways from `filled[r]` on are free; `generator[0]` is the state of a SplitMix64 generator."""
    ways = tags.shape[1]
    counter = generator[0]
    for t in range(line.size):
        wanted, r = line[t], row[t]
        way = np.int32(-1)
        for other in range(ways):  # without a branch: faster than stopping early
            way = max(way, np.int32(other) if tags[r, other] == wanted else np.int32(-1))
        hits[t] = way >= 0
        if way >= 0:
            continue
        if filled[r] < ways:
            way = filled[r]
            filled[r] += 1
        else:
            counter += np.uint64(0x9E3779B97F4A7C15)
            z = counter
            z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            # The high half, scaled: less biased than a remainder, and without a division.
            way = np.int32(((z >> np.uint64(32)) * np.uint64(ways)) >> np.uint64(32))
        tags[r, way] = wanted
    generator[0] = counter


@dataclass(frozen=True)
class RandomWay(SetPolicy):
    """Evict any line of the set, each with the same probability."""

    name = "random"

    def start(self, geometry: CacheGeometry, seed: int = 0) -> State:
        tags = np.full((geometry.sets, geometry.ways), -1, np.int32)
        generator = np.random.SeedSequence(seed).generate_state(1, np.uint64)
        return {"tags": tags, "filled": np.zeros(geometry.sets, np.int32), "generator": generator}

    def run(self, state: State, chunk: Chunk, hits: NDArray[np.uint8]) -> None:
        _random(chunk.line, chunk.row, state["tags"], state["filled"], state["generator"], hits)
