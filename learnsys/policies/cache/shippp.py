"""SHiP++: signature-based hit prediction on top of SRRIP."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from learnsys.envs.cache.geometry import CacheGeometry
from learnsys.policies.cache.base import Chunk, SetPolicy, State, sampled_sets, signatures

_DISTANT = 3
_FREE = 255
_COUNTER_MAX = 7
_SIGNATURE_BITS = 14


@njit(
    [
        "void(int32[::1], int32[::1], int32[::1], uint8[::1], int32[::1], int32[:, ::1], uint8[:, ::1], uint8[:, ::1],"
        " int32[:, ::1], uint8[::1], uint8[::1])"
    ],
    cache=True,
    nogil=True,
)
def _shippp(line, row, pc, hits, signature, tags, rrpv, used, filler, counter, sampled):
    """`filler` is the signature that brought each line in; `used` whether it has been re-referenced since.

    Free ways have `_FREE` in `rrpv`, more than any line, so the victim is the lowest of them while there are any.
    """
    ways = tags.shape[1]
    for t in range(line.size):
        wanted, r, caller = line[t], row[t], signature[pc[t]]
        # Both scans go through all ways without a branch, which is faster than stopping early.
        found = np.int32(-1)
        for way in range(ways):
            found = max(found, np.int32(way) if tags[r, way] == wanted else np.int32(-1))
        if found >= 0:
            hits[t] = 1
            rrpv[r, found] = 0
            if sampled[r] and not used[r, found]:
                used[r, found] = 1
                if counter[filler[r, found]] < _COUNTER_MAX:
                    counter[filler[r, found]] += 1
            continue
        hits[t] = 0
        best = 0
        for way in range(ways):
            best = max(best, rrpv[r, way] * ways + ways - 1 - way)
        victim, oldest = ways - 1 - best % ways, best // ways
        if oldest < _DISTANT:
            for way in range(ways):
                rrpv[r, way] += np.uint8(_DISTANT - oldest)
        if sampled[r] and oldest != _FREE and not used[r, victim] and counter[filler[r, victim]] > 0:
            counter[filler[r, victim]] -= 1
        tags[r, victim] = wanted
        filler[r, victim] = caller
        used[r, victim] = 0
        confidence = counter[caller]
        if confidence == 0:
            rrpv[r, victim] = _DISTANT
        elif confidence == _COUNTER_MAX:
            rrpv[r, victim] = 0
        else:
            rrpv[r, victim] = _DISTANT - 1


@dataclass(frozen=True)
class SHiPPP(SetPolicy):
    """SRRIP whose insertion depends on whether lines that the same PC brought in were used again.

    Young, Chishti, Hermanek, Jaleel and Qureshi, "SHiP++: enhancing signature-based hit predictor for improved
    cache performance", 2nd Cache Replacement Championship, 2017; its part for demand accesses. 2^14 counters of
    3 bits start at 1, go up at the first re-reference of a line and down when a line leaves unused; lines enter at
    3 where the counter is 0, at 0 where it is 7, else at 2.
    """

    name = "shippp"

    samples: int | None = 64
    """how many sets train the counters; None means all. Which ones, and how PCs are hashed, depends on the seed"""

    def start(self, geometry: CacheGeometry, seed: int = 0) -> State:
        shape = (geometry.sets, geometry.ways)
        return {
            "seed": np.array([seed]),
            "signature": np.zeros(0, np.int32),
            "tags": np.full(shape, -1, np.int32),
            "rrpv": np.full(shape, _FREE, np.uint8),
            "used": np.zeros(shape, np.uint8),
            "filler": np.zeros(shape, np.int32),
            "counter": np.ones(2**_SIGNATURE_BITS, np.uint8),
            "sampled": sampled_sets(geometry.sets, self.samples, seed),
        }

    def grow(self, state: State, n_lines: int, n_pcs: int) -> None:
        if state["signature"].size < n_pcs:
            state["signature"] = signatures(2 * n_pcs, _SIGNATURE_BITS, int(state["seed"][0]))

    def run(self, state: State, chunk: Chunk, hits: NDArray[np.uint8]) -> None:
        names = ("signature", "tags", "rrpv", "used", "filler", "counter", "sampled")
        _shippp(chunk.line, chunk.row, chunk.pc, hits, *(state[name] for name in names))
