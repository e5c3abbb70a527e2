"""Tables of reuse distances, learnt offline: what a learned policy has to beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray

from learnsys.envs.cache.accesses import NEVER
from learnsys.envs.cache.geometry import CacheGeometry
from learnsys.policies.cache.base import Chunk, SetPolicy, State

_EMPTY = np.zeros(0, np.float32)


@njit(
    [
        "void(int32[::1], int32[::1], int32[::1], int64, uint8[::1], boolean, int32[:, ::1], float64[:, ::1],"
        " float32[::1], float32[::1], float32[::1], int32[::1], int32[::1], float32[::1])"
    ],
    cache=True,
    nogil=True,
)
def _table(line, row, pc, start, hits, arrival, tags, predicted, overall, by_pc, by_line, pair_start, pair_pc, by_pair):
    """`predicted` is each resident's reuse distance, or with `arrival` the time at which it should come back.

    `by_pc` and `by_line` are NaN where nothing is known; `by_pair[pair_start[l]:pair_start[l + 1]]` belongs to line l
    and the PCs that stand at the same places of `pair_pc`.
    """
    ways = tags.shape[1]
    for t in range(line.size):
        wanted, r = line[t], row[t]
        now = np.float64(start + t) if arrival else 0.0
        target, victim = -1, 0
        furthest = -1.0
        for way in range(ways):
            if tags[r, way] == wanted or tags[r, way] < 0:  # ways fill lowest first
                target = way
                break
            distance = abs(predicted[r, way] - now)
            if distance > furthest:
                furthest = distance
                victim = way
        if target < 0:
            target = victim
        hits[t] = tags[r, target] == wanted

        # The most specific key that the training part knew decides.
        expected = np.float32(np.nan)
        if wanted < pair_start.size - 1:
            for pair in range(pair_start[wanted], pair_start[wanted + 1]):
                if pair_pc[pair] == pc[t]:
                    expected = by_pair[pair]
                    break
        if np.isnan(expected) and wanted < by_line.size:
            expected = by_line[wanted]
        if np.isnan(expected) and pc[t] < by_pc.size:
            expected = by_pc[pc[t]]
        if np.isnan(expected):
            expected = overall[0]
        tags[r, target] = wanted
        predicted[r, target] = now + expected


@dataclass(frozen=True)
class ReuseTable(SetPolicy):
    """Evict the line that a table says is used last, where the table holds past reuse distances of each key.

    An entry is the geometric mean of the distances (in accesses) after which accesses of the training part were
    repeated; an access that is not repeated there counts as one repeated after the length of that part. A key that
    did not occur falls back: (PC, address) to address, address to PC, PC to the mean over all accesses.

    The static form ranks lines by the entry of their last access. The ETA form ranks them by how far their estimated
    time of arrival is from now, in either direction: a line long overdue is as poor a guess as one expected late
    (the ranking of Mockingjay, Shah, Jain and Lin, HPCA 2022).
    """

    name = "table"
    needs_fit = True

    key: Literal["address", "pc", "both"] = "pc"
    """what the table is indexed by, where it knows it"""
    arrival: bool = False
    """ETA form instead of static"""

    def start(self, geometry: CacheGeometry, seed: int = 0) -> State:
        return {
            "tags": np.full((geometry.sets, geometry.ways), -1, np.int32),
            "predicted": np.zeros((geometry.sets, geometry.ways)),
            "overall": np.zeros(1, np.float32),
            "by_pc": _EMPTY,
            "by_line": _EMPTY,
            "pair_start": np.zeros(1, np.int32),
            "pair_pc": np.zeros(0, np.int32),
            "by_pair": _EMPTY,
        }

    def fit(self, chunk: Chunk, geometry: CacheGeometry) -> State:
        n = chunk.line.size
        if n == 0:
            return {}
        distance = np.where(chunk.next_use == NEVER, n, chunk.next_use - np.arange(chunk.start, chunk.start + n))
        log = np.log(distance)
        learnt: State = {"overall": np.exp(log.mean(keepdims=True)).astype(np.float32)}
        learnt["by_pc"] = _geometric_means(chunk.pc, log)
        if self.key != "pc":
            learnt["by_line"] = _geometric_means(chunk.line, log)
        if self.key == "both":
            pairs, which = np.unique(chunk.line.astype(np.int64) << 32 | chunk.pc, return_inverse=True)
            learnt["by_pair"] = _geometric_means(which, log)
            learnt["pair_pc"] = (pairs & 0xFFFFFFFF).astype(np.int32)
            counts = np.bincount(pairs >> 32)
            learnt["pair_start"] = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
        return learnt

    def run(self, state: State, chunk: Chunk, hits: NDArray[np.uint8]) -> None:
        names = ("tags", "predicted", "overall", "by_pc", "by_line", "pair_start", "pair_pc", "by_pair")
        arrays = (state[name] for name in names)
        _table(chunk.line, chunk.row, chunk.pc, chunk.start, hits, self.arrival, *arrays)


def _geometric_means(key: NDArray[np.integer], log: NDArray[np.float64]) -> NDArray[np.float32]:
    """exp of the mean of `log` (n,) for each value of `key` (n,), float32 (max key + 1,); NaN where a key is absent."""
    counts = np.bincount(key)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.exp(np.bincount(key, log) / counts).astype(np.float32)
