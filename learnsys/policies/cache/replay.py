"""Replay of evictions that were decided elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

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


@njit(["void(int32[::1], int64[::1], int64[::1])"], cache=True, nogil=True)
def _split(row, seen, ends):
    """Cut accesses into stretches in which no set occurs twice: ends[0] of them, which end before ends[1], ...

    `seen` (sets,) holds -1 everywhere at first.
    """
    count, start = 0, 0
    for i in range(row.size):
        if seen[row[i]] >= start:
            count += 1
            ends[count] = i
            start = i
        seen[row[i]] = i
    ends[0] = count + 1
    ends[count + 1] = row.size


@njit(["void(int32[::1], int32[:, ::1], int32[:, ::1])"], cache=True, nogil=True)
def _keep(row, resident, held):
    """Copy the sets `row` (n,) of `resident` (sets, ways) into `held` (n, ways)."""
    for i in range(row.size):
        held[i] = resident[row[i]]


def stretches(row: NDArray[np.int32], sets: int) -> list[tuple[int, int]]:
    """Cut accesses to sets `row` (n,) into stretches (first, last plus one) in none of which a set comes twice."""
    ends = np.zeros(row.size + 2, np.int64)
    _split(row, np.full(sets, -1, np.int64), ends)
    return [*pairwise([0, *ends[1 : ends[0] + 1].tolist()])]


def followed(policy: SetPolicy, state: State, chunk: Chunk, hits: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Run `policy` over a chunk, and what it holds in the set of each access right after it, int32 (n, ways).

    For any policy, since it is run over stretches of accesses in which no set occurs twice.
    """
    sets, ways = policy.resident(state).shape
    held = np.zeros((hits.size, ways), np.int32)
    for low, high in stretches(chunk.row, sets):
        part = cut(chunk, low, high)
        policy.run(state, part, hits[low:high])
        _keep(part.row, policy.resident(state), held[low:high])
    return held


def cut(chunk: Chunk, low: int, high: int) -> Chunk:
    """Accesses `low` to `high` of a chunk."""
    arrays = {name: getattr(chunk, name)[low:high] for name in ("line", "row", "pc", "next_use")}
    size = None if chunk.size is None else chunk.size[low:high]
    return replace(chunk, start=chunk.start + low, size=size, **arrays)


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
