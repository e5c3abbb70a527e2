"""A guard that keeps a policy of object caches from doing much worse than LRU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from learnsys.errors import InputError
from learnsys.policies.cache.base import Chunk, ObjectPolicy, State, extended
from learnsys.policies.cache.objects.structures import append, oldest, unlink
from learnsys.policies.cache.replay import cut

POLICY, LRU, CACHE = np.uint8(1), np.uint8(2), np.uint8(4)
"""flags of an object: which of the two shadows hold it, and whether the cache does"""
_RECENT, _UNSHARED = 0, 1
"""lists: what LRU holds by last use; from here on, for each shadow, what the cache holds and it does not"""
_LISTS = 3
_BLOCK = 2**15
"""accesses whose departures are kept at a time"""


@njit(["int64(int64, int64)"], cache=True, nogil=True)
def _node(item, which):
    """The node that an object has in a list."""
    return _LISTS * (item + 1) + which


@njit(
    [
        f"void(int32[::1], {sizes}, uint8[::1], uint8[::1], int32[::1], int64[::1], uint8[::1], int32[::1], {sizes}, "
        f"{sizes}, int64[::1], int64[::1])"
        for sizes in ("none", "int64[::1]")
    ],
    cache=True,
    nogil=True,
)
def _follow(ids, size, hits, policy_hits, gone, ends, flag, links, held, lru_held, place, threshold):
    """Run LRU, then the cache itself, over a chunk whose departures from the policy's cache are known.

    `place`: capacity, used, shadow followed (0: the policy, 1: LRU), switches, by how much it missed more than the
    other, used by LRU. `threshold` (2,): at how much either is switched to.
    """
    capacity, used, followed = place[0], place[1], place[2]
    switches, excess, lru_used = place[3], place[4], place[5]
    left = np.int64(0)
    for t in range(ids.size):
        i = np.int64(ids[t])
        need = size[t] if held is not None else np.int64(1)
        lru_hit = (flag[i] & LRU) != 0
        if lru_hit:
            unlink(links, _node(i, _RECENT))
            append(links, _RECENT, _node(i, _RECENT))
        elif need <= capacity:
            while lru_used + need > capacity:
                victim = oldest(links, _RECENT) // _LISTS - 1
                unlink(links, _node(victim, _RECENT))
                lru_used -= lru_held[victim] if lru_held is not None else np.int64(1)
                flag[victim] &= ~LRU
                if flag[victim] & CACHE:
                    append(links, _UNSHARED + 1, _node(victim, _UNSHARED + 1))
            append(links, _RECENT, _node(i, _RECENT))
            lru_used += need
            if lru_held is not None:
                lru_held[i] = need
            if flag[i] & CACHE:
                unlink(links, _node(i, _UNSHARED + 1))
            flag[i] |= LRU
        if policy_hits[t] == 0:
            if flag[i] & CACHE:
                unlink(links, _node(i, _UNSHARED))
            flag[i] |= POLICY
        for k in range(left, ends[t]):
            item = np.int64(gone[k])
            flag[item] &= ~POLICY
            if flag[item] & CACHE:
                append(links, _UNSHARED, _node(item, _UNSHARED))
        left = ends[t]
        hits[t] = (flag[i] & CACHE) != 0
        if hits[t] == 0 and flag[i] & (POLICY << followed):
            candidates = _UNSHARED + followed
            while used + need > capacity and oldest(links, candidates) != candidates:
                victim = oldest(links, candidates) // _LISTS - 1
                unlink(links, _node(victim, candidates))
                if not flag[victim] & (LRU >> followed):
                    unlink(links, _node(victim, _UNSHARED + 1 - followed))
                flag[victim] &= ~CACHE
                used -= held[victim] if held is not None else np.int64(1)
            if used + need <= capacity:
                used += need
                if held is not None:
                    held[i] = need
                flag[i] |= CACHE
                if not flag[i] & (LRU >> followed):
                    append(links, _UNSHARED + 1 - followed, _node(i, _UNSHARED + 1 - followed))
        ahead = np.int64(lru_hit) - np.int64(policy_hits[t])
        excess = max(np.int64(0), excess + (ahead if followed == 0 else -ahead))
        if excess >= threshold[1 - followed]:
            followed = 1 - followed
            switches += 1
            excess = np.int64(0)
    place[1], place[2], place[3], place[4], place[5] = used, followed, switches, excess, lru_used


@dataclass(frozen=True)
class GuardedObjects(ObjectPolicy):
    """Follow a policy where it misses less than LRU, and LRU where that does.

    The guard of `learnsys.policies.cache.guard` for caches without sets. The policy and LRU run as shadows, in whole
    caches of their own, and the cache follows one of them: at a miss it evicts objects that the shadow does not hold
    after that access (first the one that the shadow has been without for longest), and declines to insert where the
    shadow does. A counter grows with a miss of the followed shadow that the other hits, shrinks with the reverse, never
    below 0; when it reaches the threshold of the other, that is followed, and the counter begins at 0. LRU is followed
    first.

    What holds, with thresholds T(e), k switches, n of the k + 1 stretches between them spent following the shadow e,
    and no shadow ever holding more than N objects (the capacity, where sizes do not count), on every trace in which an
    object has one size:

        misses <= misses of e + (k + 1 - n) T(e) + k N, for either shadow e.

    Proof. Let d be the number of objects that the followed shadow holds and the cache does not. An access that misses
    the cache and hits the shadow brings in one of them and evicts none that the shadow holds, so d falls by one. There
    is room: what the shadow and the cache both hold and the object itself are all in the shadow, hence fit, and
    everything else may go. No other access raises d: if both miss, either the shadow inserts, and then so does the
    cache, which gives up only what the shadow does not hold; or neither does. If the cache hits, a new object of the
    shadow is in the cache already. d is never negative, so a stretch has at most as many such accesses as d was at its
    start: N, and none in the first, where all is empty. In a stretch the followed shadow misses at most T(e) times
    more often than the other one, e, since the counter is never less than that excess and ends the stretch at T(e).

    An object whose size changes is kept at the size that it was inserted with, by each for itself; it can then lack
    room in the cache, and stays out.
    """

    name = "guard"
    per_object: ClassVar = {"flag": (np.uint8, 0)}
    lists = nodes = _LISTS
    counters = 4

    policy: ObjectPolicy
    """the policy that is guarded; it must tell its `departures`"""
    threshold: int = 300
    """T of LRU: misses in excess of its at which it is switched to"""
    entry: int = 100
    """T of the policy"""

    def __post_init__(self) -> None:
        if self.threshold < 1 or self.entry < 1:
            raise InputError("a guard needs thresholds of at least 1")
        if type(self.policy).departures is ObjectPolicy.departures:
            raise InputError(f"{self.policy.name} does not tell which objects it evicts, and cannot be guarded")

    def start(self, capacity: int, *, sized: bool = False, seed: int = 0) -> State:
        state = super().start(capacity, sized=sized)
        state["place"][2] = 1
        if sized:
            state["lru_held"] = np.zeros(0, np.int64)
        shadow = self.policy.start(capacity, sized=sized, seed=seed)
        return state | {f"policy/{name}": array for name, array in shadow.items()}

    def grow(self, state: State, n_objects: int) -> None:
        super().grow(state, n_objects)
        if "lru_held" in state:
            state["lru_held"] = extended(state["lru_held"], n_objects)
        shadow = _shadow(state)
        self.policy.grow(shadow, n_objects)
        state |= {f"policy/{name}": array for name, array in shadow.items()}

    def run(self, state: State, chunk: Chunk, hits: NDArray[np.uint8]) -> None:
        shadow = _shadow(state)
        arrays = [state.get(name) for name in ("flag", "links", "held", "lru_held", "place")]
        threshold = np.array([self.entry, self.threshold], np.int64)
        for low in range(0, hits.size, _BLOCK):
            block = cut(chunk, low, min(low + _BLOCK, hits.size))
            policy_hits = np.zeros(block.line.size, np.uint8)
            told = self.policy.departures(shadow, block, policy_hits)
            mine = hits[low : low + block.line.size]
            arguments: list[Any] = [block.line, block.size, mine, policy_hits, *told, *arrays, threshold]
            _follow(*arguments)
        state |= {f"policy/{name}": array for name, array in shadow.items()}

    def contents(self, state: State) -> NDArray[np.int64]:
        return np.flatnonzero(state["flag"] & CACHE)


def _shadow(state: State) -> State:
    """The state of the policy in its own cache; the arrays themselves."""
    return {name.removeprefix("policy/"): array for name, array in state.items() if name.startswith("policy/")}
