"""LIRS: evict by the recency between accesses, not by that of the last one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from learnsys.envs.cache.intrinsics import prefetch
from learnsys.errors import InputError
from learnsys.policies.cache.base import Chunk, ObjectPolicy, State
from learnsys.policies.cache.objects.structures import append, oldest, unlink

ABSENT, LIR, HIR, HIR_DEEP, GHOST = np.uint8(0), np.uint8(1), np.uint8(2), np.uint8(3), np.uint8(4)
"""Unknown; low recency between accesses; high and in the stack; high and fallen out of it; in the stack only."""
STACK, QUEUE, GHOSTS = 0, 1, 2
LISTS = 3
AHEAD = 24


@njit(["int64(int32[::1], uint8[::1], int64)"], cache=True, nogil=True)
def _prune(links, status, ghosts):
    """Take what is below the oldest LIR object out of the stack; return the ghosts that are left."""
    bottom = oldest(links, STACK)
    while bottom != STACK and status[(bottom - LISTS) >> 1] != LIR:
        i = (bottom - LISTS) >> 1
        unlink(links, bottom)
        if status[i] == GHOST:
            status[i] = ABSENT
            unlink(links, bottom + 1)
            ghosts -= 1
        else:
            status[i] = HIR_DEEP
        bottom = oldest(links, STACK)
    return ghosts


@njit(["int64(int32[::1], uint8[::1], int64, int64)"], cache=True, nogil=True)
def _forget(links, status, ghosts, most):
    """Take the oldest ghosts out of the stack until `most` are left; return how many are."""
    while ghosts > most:
        node = oldest(links, GHOSTS)
        unlink(links, node)
        unlink(links, node - 1)
        status[(node - LISTS) >> 1] = ABSENT
        ghosts -= 1
    return ghosts


@njit(
    [
        f"void(int32[::1], {sizes}, int32[::1], uint8[::1], {sizes}, int64[::1], uint8[::1])"
        for sizes in ("none", "int64[::1]")
    ],
    cache=True,
    nogil=True,
)
def lirs_kernel(ids, size, links, status, held, place, hits):
    """Object i is node LISTS + 2 i of the stack, and node LISTS + 2 i + 1 of the queue of HIR objects or of ghosts.

    `place`: capacity, used, used by LIR objects, their limit, cached objects, ghosts, their limit for each of these.
    """
    capacity, used, lir_used, lir_limit = place[0], place[1], place[2], place[3]
    cached, ghosts, ghost_share = place[4], place[5], place[6]
    for t in range(ids.size):
        ahead = np.int64(ids[min(t + AHEAD, ids.size - 1)])
        prefetch(status, ahead)
        prefetch(links, 2 * (2 * ahead + LISTS))
        i = np.int64(ids[t])
        node = LISTS + 2 * i
        state = status[i]
        hits[t] = state == LIR or state == HIR or state == HIR_DEEP
        need = size[t] if held is not None else np.int64(1)
        if hits[t]:
            if held is not None:
                need = held[i]
            if state != HIR_DEEP:
                unlink(links, node)
            if state != LIR:
                unlink(links, node + 1)
        else:
            if need > capacity:
                continue
            if state == GHOST:
                unlink(links, node)
                unlink(links, node + 1)
                ghosts -= 1
            elif need > max(capacity - lir_limit, lir_limit - lir_used):  # fits neither part: only remembered
                append(links, STACK, node)
                append(links, GHOSTS, node + 1)
                status[i] = GHOST
                ghosts = _forget(links, status, ghosts + 1, ghost_share * cached)
                continue
            while used + need > capacity:
                victim = oldest(links, QUEUE)
                if victim == QUEUE:  # only LIR objects: the one at the stack's bottom becomes HIR
                    bottom = oldest(links, STACK)
                    j = (bottom - LISTS) >> 1
                    unlink(links, bottom)
                    append(links, QUEUE, bottom + 1)
                    status[j] = HIR_DEEP
                    lir_used -= held[j] if held is not None else np.int64(1)
                    ghosts = _prune(links, status, ghosts)
                    continue
                j = (victim - LISTS) >> 1
                unlink(links, victim)
                used -= held[j] if held is not None else np.int64(1)
                cached -= 1
                if status[j] == HIR:
                    status[j] = GHOST
                    append(links, GHOSTS, victim)
                    ghosts += 1
                else:
                    status[j] = ABSENT
            used += need
            cached += 1
            if held is not None:
                held[i] = need
        append(links, STACK, node)
        # In the stack before, or room for LIR objects that was never used: low recency between accesses.
        if state == LIR or state == HIR or state == GHOST or lir_used + need <= lir_limit:
            status[i] = LIR
            if state != LIR:
                lir_used += need
            ghosts = _prune(links, status, ghosts)
            while lir_used > lir_limit:
                bottom = oldest(links, STACK)
                j = (bottom - LISTS) >> 1
                unlink(links, bottom)
                append(links, QUEUE, bottom + 1)
                status[j] = HIR_DEEP
                lir_used -= held[j] if held is not None else np.int64(1)
                ghosts = _prune(links, status, ghosts)
        else:
            status[i] = HIR
            append(links, QUEUE, node + 1)
        ghosts = _forget(links, status, ghosts, ghost_share * cached)
    place[1], place[2], place[4], place[5] = used, lir_used, cached, ghosts


@dataclass(frozen=True)
class LIRS(ObjectPolicy):
    """Keep the objects whose last two accesses are closest in the number of others between them.

    Jiang and Zhang, "LIRS: an efficient low inter-reference recency set replacement policy", 2002, section 3.3. The
    paper leaves the stack unbounded; here it remembers at most `ghosts` objects for each cached one. With object
    sizes, both parts are counted in bytes, and an object that fits neither is remembered only.

    Raises:
        InputError: a share outside of (0, 1), or fewer than 1 ghost for each cached object.
    """

    name = "lirs"
    per_object: ClassVar = {"status": (np.uint8, 0)}
    lists = LISTS
    nodes = 2
    counters = 5

    hir_share: float = 0.01
    """the share of the capacity that is left to objects of high recency between accesses"""
    ghosts: int = 1
    """objects remembered that are not cached, for each that is"""

    def __post_init__(self) -> None:
        if not 0 < self.hir_share < 1 or self.ghosts < 1:
            raise InputError(f"a share of {self.hir_share:g} and {self.ghosts} ghosts make no LIRS")

    def start(self, capacity: int, *, sized: bool = False, seed: int = 0) -> State:
        state = super().start(capacity, sized=sized)
        capacity = int(state["place"][0])
        state["place"][3] = capacity - max(1, int(capacity * self.hir_share))
        state["place"][6] = self.ghosts
        return state

    def run(self, state: State, chunk: Chunk, hits: NDArray[np.uint8]) -> None:
        arrays = [state.get(name) for name in ("links", "status", "held", "place")]
        lirs_kernel(*[chunk.line, chunk.size, *arrays, hits])

    def contents(self, state: State) -> NDArray[np.int64]:
        return np.flatnonzero((state["status"] >= LIR) & (state["status"] <= HIR_DEEP))
