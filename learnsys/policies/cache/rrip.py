"""Re-reference interval prediction: SRRIP, BRRIP, and DRRIP, which duels the two.

Jaleel, Theobald, Steely and Emer, "High performance cache replacement using re-reference interval prediction
(RRIP)", ISCA 2010. Hit priority, 2-bit predictions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray

from learnsys.envs.cache.geometry import CacheGeometry
from learnsys.policies.cache.base import Chunk, SetPolicy, State

_SRRIP, _BRRIP, _FOLLOW = 0, 1, 2
_DISTANT = 3
_FREE = 255
_RARE = 32
_PSEL_MAX = 1023


@njit(
    ["void(int32[::1], int32[::1], int32[:, ::1], uint8[:, ::1], uint8[::1], int64[::1], uint8[::1])"],
    cache=True,
    nogil=True,
)
def _rrip(line, row, tags, rrpv, insertion, counters, hits):
    """`insertion[r]` says how set r inserts; `counters` holds the duel's selector and the count of BRRIP fills.

    Free ways have `_FREE` in `rrpv`, more than any line, so the victim is the lowest of them while there are any.
    """
    ways = tags.shape[1]
    for t in range(line.size):
        wanted, r = line[t], row[t]
        # Both scans go through all ways without a branch, which is faster than stopping early.
        found = np.int32(-1)
        for way in range(ways):
            found = max(found, np.int32(way) if tags[r, way] == wanted else np.int32(-1))
        if found >= 0:
            hits[t] = 1
            rrpv[r, found] = 0
            continue
        hits[t] = 0
        best = 0
        for way in range(ways):
            best = max(best, rrpv[r, way] * ways + ways - 1 - way)
        victim, oldest = ways - 1 - best % ways, best // ways
        if oldest < _DISTANT:
            for way in range(ways):
                rrpv[r, way] += np.uint8(_DISTANT - oldest)
        mode = insertion[r]
        if mode == _SRRIP:
            counters[0] = min(counters[0] + 1, _PSEL_MAX)
        elif mode == _BRRIP:
            counters[0] = max(counters[0] - 1, 0)
        else:
            mode = _BRRIP if counters[0] > _PSEL_MAX // 2 else _SRRIP
        predicted = _DISTANT - 1
        if mode == _BRRIP:
            counters[1] += 1
            if counters[1] % _RARE:
                predicted = _DISTANT
        tags[r, victim] = wanted
        rrpv[r, victim] = predicted


@dataclass(frozen=True)
class RRIP(SetPolicy):
    """Evict the lowest way whose predicted re-reference is distant (3 of 0..3), ageing the set until there is one.

    A hit predicts 0. SRRIP inserts at 2; BRRIP inserts at 3, and at 2 once in 32 fills; DRRIP follows whichever
    of the two misses less in its leader sets (at most 32 of each, chosen by complement-select, with a 10-bit
    selector).
    """

    name = "rrip"

    insertion: Literal["srrip", "brrip", "drrip"] = "srrip"
    """how a missed line is predicted"""

    def start(self, geometry: CacheGeometry, seed: int = 0) -> State:
        modes = {"srrip": _SRRIP, "brrip": _BRRIP, "drrip": _FOLLOW}
        insertion = np.full(geometry.sets, modes[self.insertion], np.uint8)
        if self.insertion == "drrip":
            # Group g (of equal consecutive groups) leads with its g-th set for SRRIP, its g-th from the end for BRRIP.
            leaders = max(1, min(32, geometry.sets // 4))
            width = geometry.sets // leaders
            group = np.arange(leaders)
            insertion[group * width + width - 1 - group % width] = _BRRIP
            insertion[group * width + group % width] = _SRRIP
        return {
            "tags": np.full((geometry.sets, geometry.ways), -1, np.int32),
            "rrpv": np.full((geometry.sets, geometry.ways), _FREE, np.uint8),
            "insertion": insertion,
            "counters": np.array([(_PSEL_MAX + 1) // 2 - 1, 0], np.int64),
        }

    def run(self, state: State, chunk: Chunk, hits: NDArray[np.uint8]) -> None:
        _rrip(chunk.line, chunk.row, state["tags"], state["rrpv"], state["insertion"], state["counters"], hits)
