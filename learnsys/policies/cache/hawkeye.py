"""Hawkeye: learn from what Belady's MIN would have kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from learnsys.envs.cache.geometry import CacheGeometry
from learnsys.policies.cache.base import Chunk, SetPolicy, State, extended, sampled_sets, signatures

_AVERSE = 7
_FREE = 255
_COUNTER_MAX = 31
_FRIENDLY = 16
_QUANTA = 128
_SIGNATURE_BITS = 11


@njit(inline="always")
def _fullest(occupancy, low, high):
    """The largest of `occupancy[low:high]`."""
    most = np.uint8(0)
    for quantum in range(low, high):
        most = max(most, occupancy[quantum])
    return most


@njit(inline="always")
def _occupy(occupancy, low, high):
    for quantum in range(low, high):
        occupancy[quantum] += np.uint8(1)


@njit(inline="always")
def _would_hit(occupancy, before, now, capacity):
    """OPTgen: whether MIN keeps a line from quantum `before` to `now`, less than 128 apart; if so, account for it."""
    low, high = before % _QUANTA, now % _QUANTA
    if low <= high:
        fits = _fullest(occupancy, low, high) < capacity
        if fits:
            _occupy(occupancy, low, high)
    else:
        fits = max(_fullest(occupancy, low, _QUANTA), _fullest(occupancy, 0, high)) < capacity
        if fits:
            _occupy(occupancy, low, _QUANTA)
            _occupy(occupancy, 0, high)
    return fits


@njit(
    [
        "void(int32[::1], int32[::1], int32[::1], uint8[::1], int32[::1], int32[:, ::1], uint8[:, ::1], int32[:, ::1],"
        " uint8[::1], uint8[::1], uint8[:, ::1], int32[::1], int32[::1], int32[::1])"
    ],
    cache=True,
    nogil=True,
)
def _hawkeye(
    line, row, pc, hits, signature, tags, rrpv, toucher, counter, sampled, occupancy, clock, last, last_toucher
):
    """`toucher` is the signature that touched each resident last, `last_toucher` that of each line, resident or not.

    In a sampled set `clock[r]` counts accesses (quanta), `last` is the quantum of each line's last access, and
    `occupancy[r, quantum % 128]` how many lines MIN would hold over that quantum. Free ways have `_FREE` in `rrpv`.
    """
    ways = tags.shape[1]
    capacity = max(ways - 2, 1)
    for t in range(line.size):
        wanted, r, caller = line[t], row[t], signature[pc[t]]
        # All scans go through all ways without a branch, which is faster than stopping early.
        target = np.int32(-1)
        for way in range(ways):
            target = max(target, np.int32(way) if tags[r, way] == wanted else np.int32(-1))
        hit = target >= 0
        hits[t] = hit
        if not hit:
            best = 0
            for way in range(ways):
                best = max(best, rrpv[r, way] * ways + ways - 1 - way)
            target, oldest = np.int32(ways - 1 - best % ways), best // ways
            if oldest < _AVERSE:  # all are friendly: the oldest, the highest way among equals, and a wrong prediction
                for way in range(ways):
                    target = max(target, np.int32(way) if rrpv[r, way] == oldest else np.int32(-1))
                if sampled[r] and counter[toucher[r, target]] > 0:
                    counter[toucher[r, target]] -= 1

        if sampled[r]:
            now, before = clock[r], last[wanted]
            if before >= 0 and now - before < _QUANTA:
                owner = last_toucher[wanted]
                if _would_hit(occupancy[r], before, now, capacity):
                    counter[owner] = min(counter[owner] + 1, _COUNTER_MAX)
                else:
                    counter[owner] = max(counter[owner] - 1, 0)
            occupancy[r, now % _QUANTA] = 0
            last[wanted] = now
            last_toucher[wanted] = caller
            clock[r] = now + 1

        tags[r, target] = wanted
        toucher[r, target] = caller
        if counter[caller] < _FRIENDLY:
            rrpv[r, target] = _AVERSE
            continue
        rrpv[r, target] = 0
        if not hit:
            saturated = False
            for way in range(ways):
                saturated |= rrpv[r, way] == _AVERSE - 1
            if not saturated:
                for way in range(ways):
                    rrpv[r, way] += np.uint8(rrpv[r, way] < _AVERSE - 1)
                rrpv[r, target] = 0


@dataclass(frozen=True)
class Hawkeye(SetPolicy):
    """Predict from its PC whether MIN would have kept a line, and evict those that it would not.

    Jain and Lin, "Back to the future: leveraging Belady's algorithm for improved cache replacement", ISCA 2016. OPTgen
    replays MIN (with two ways less) over the last 128 accesses of a set and trains 2^11 counters of 5 bits, which
    start at 16 and call a PC friendly from 16 on. Averse lines stand at 7 and go first (lowest way); friendly ones
    enter at 0 and age up to 6 with each friendly fill, unless one stands at 6 already; evicting one trains against its
    last PC. A line that returns after 128 or more accesses of its set trains nothing.
    """

    name = "hawkeye"

    samples: int | None = None
    """how many sets train the counters (a power of two; 64 in the paper); None means all. Which ones, and how PCs are
    hashed, depends on the simulation's seed"""

    def start(self, geometry: CacheGeometry, seed: int = 0) -> State:
        shape = (geometry.sets, geometry.ways)
        return {
            "seed": np.array([seed]),
            "signature": np.zeros(0, np.int32),
            "tags": np.full(shape, -1, np.int32),
            "rrpv": np.full(shape, _FREE, np.uint8),
            "toucher": np.zeros(shape, np.int32),
            "counter": np.full(2**_SIGNATURE_BITS, _FRIENDLY, np.uint8),
            "sampled": sampled_sets(geometry.sets, self.samples, seed),
            "occupancy": np.zeros((geometry.sets, _QUANTA), np.uint8),
            "clock": np.zeros(geometry.sets, np.int32),
            "last": np.zeros(0, np.int32),
            "last_toucher": np.zeros(0, np.int32),
        }

    def grow(self, state: State, n_lines: int, n_pcs: int) -> None:
        state["last"] = extended(state["last"], n_lines, -1)
        state["last_toucher"] = extended(state["last_toucher"], n_lines)
        if state["signature"].size < n_pcs:
            state["signature"] = signatures(2 * n_pcs, _SIGNATURE_BITS, int(state["seed"][0]))

    def run(self, state: State, chunk: Chunk, hits: NDArray[np.uint8]) -> None:
        predictor = ("signature", "tags", "rrpv", "toucher", "counter")
        optgen = ("sampled", "occupancy", "clock", "last", "last_toucher")
        _hawkeye(chunk.line, chunk.row, chunk.pc, hits, *(state[name] for name in predictor + optgen))
