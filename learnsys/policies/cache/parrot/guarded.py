"""What a guard around a Parrot does in a stretch of a trace: which shadow it follows, and what it evicts."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learnsys.envs.cache.accesses import Accesses
from learnsys.envs.cache.geometry import CacheGeometry
from learnsys.policies.cache.guard import Guard
from learnsys.policies.cache.replay import Replay, stretches
from learnsys.policies.cache.simulation import CHUNK, Simulation, chunk_of

SHADOWS = ("parrot", "lru")
"""the shadows, by their numbers"""


@dataclass(frozen=True)
class Lead:
    """A guarded cache and its E shadows in a stretch of m accesses, in which it evicts n times."""

    start: int
    """the first access"""
    followed: NDArray[np.uint8]
    """number of the shadow that is followed at each access, (m,)"""
    hits: NDArray[np.uint8]
    """of the guarded cache, (m,)"""
    shadow_hits: NDArray[np.uint8]
    """of each shadow in a cache of its own, (E, m)"""
    held: NDArray[np.bool_]
    """whether each shadow still holds each line of the set where one is evicted, (n, E, ways)"""

    def leader(self, time: int) -> str:
        """The shadow that is followed at an access."""
        return SHADOWS[self.followed[time - self.start]]

    def holders(self, i: int, way: int) -> list[str]:
        """The shadows that hold a line of the set at eviction `i`."""
        return [name for name, held in zip(SHADOWS, self.held[i, :, way], strict=True) if held]

    def parts(self) -> list[dict[str, Any]]:
        """The parts in which one shadow is followed: `from` and `to` (accesses), `follows`, and hits of all three."""
        edges = [0, *(1 + np.flatnonzero(np.diff(self.followed))).tolist(), self.followed.size]
        return [
            {
                "from": self.start + low,
                "to": self.start + high,
                "follows": SHADOWS[self.followed[low]],
                "guarded hits": int(self.hits[low:high].sum()),
                **{f"{name} hits": int(self.shadow_hits[e, low:high].sum()) for e, name in enumerate(SHADOWS)},
            }
            for low, high in pairwise(edges)
        ]


def guarded_evictions(
    victims: NDArray[np.int16], accesses: Accesses, geometry: CacheGeometry, start: int, stop: int
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64], Lead]:
    """Evictions of a guarded cache from access `start` to `stop`, simulated from the trace's beginning.

    Args:
        victims: what the policy evicts in its own cache, int16 (at least `stop`,), as `Replay` wants it.

    Returns:
        The n accesses that evict; the last access to each line of their sets, (n, ways); the way evicted; and the lead.
    """
    guard = Guard(Replay())
    simulation = Simulation(guard, geometry, learnt={"policy/victims": victims})
    state = simulation.state
    ids = accesses.line_number.size, accesses.pc_value.size
    for low in range(0, start, CHUNK):
        simulation.run(chunk_of(accesses, low, min(low + CHUNK, start)), *ids)
    hits, leader = np.zeros(stop - start, np.uint8), np.zeros(stop - start, np.uint8)
    shadow_hits = np.zeros((len(SHADOWS), stop - start), np.uint8)
    found: list[tuple[NDArray[Any], ...]] = []
    for low, high in stretches(accesses.row[start:stop], geometry.sets):
        chunk = chunk_of(accesses, start + low, start + high)
        before, touched = state["tags"][chunk.row], state["touched"][chunk.row]
        shadow_hits[:, low:high] = guard.follow(state, chunk, hits[low:high], leader[low:high])
        evicted = (before >= 0) & (before != state["tags"][chunk.row])
        at = np.flatnonzero(evicted.any(1))
        held = [(before[at, :, None] == lines[chunk.row[at], None, :]).any(2) for lines in guard.held(state)]
        found.append((start + low + at, touched[at], evicted[at].argmax(1), np.stack(held, 1)))
    time, touched, victim, both = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
    return time, touched, victim, Lead(start, leader, hits, shadow_hits, both)
