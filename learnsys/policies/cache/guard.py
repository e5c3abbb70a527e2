"""A guard that keeps a policy from doing much worse than one to fall back on."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from learnsys.envs.cache.accesses import Accesses
from learnsys.envs.cache.geometry import CacheGeometry
from learnsys.errors import InputError
from learnsys.policies.cache.base import Chunk, SetPolicy, State
from learnsys.policies.cache.registry import make_set_policy
from learnsys.policies.cache.replay import Replay
from learnsys.policies.cache.simulation import simulate

_PARTS = ("policy", "fallback")


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


@njit(
    [
        "void(int32[::1], int32[::1], int64, int64, int64, uint8[::1], uint8[::1], uint8[::1], int32[:, ::1],"
        " int32[:, ::1], int32[:, ::1], int32[:, ::1], int64[:, ::1], int64, int64)"
    ],
    cache=True,
    nogil=True,
)
def _follow(
    line,
    row,
    low,
    high,
    start,
    hits,
    hits_policy,
    hits_fallback,
    policy,
    fallback,
    tags,
    touched,
    groups,
    sets,
    threshold,
):
    """Run the cache itself over accesses `low` to `high`, in which no set occurs twice.

    `policy` and `fallback` (sets, ways) are therefore what the shadows hold right after each of the accesses. `groups`
    (n, 3): which shadow a group follows (0: the policy), its excess of misses, and its switches so far.
    """
    ways = tags.shape[1]
    for i in range(low, high):
        wanted, r = line[i], row[i]
        group = groups[r // sets]
        held = policy[r] if group[0] == 0 else fallback[r]
        target, free = -1, -1
        for way in range(ways):
            if tags[r, way] == wanted:
                target = way
            elif tags[r, way] < 0 and free < 0:
                free = way
        hits[i] = target >= 0
        if target < 0:
            bypassed = True
            for way in range(ways):
                bypassed &= held[way] != wanted
            if not bypassed:
                target = free
            if target < 0 and not bypassed:
                oldest = np.int64(2**31)
                for way in range(ways):
                    if touched[r, way] < oldest:
                        followed = False
                        for other in range(ways):
                            followed |= held[other] == tags[r, way]
                        if not followed:
                            oldest = touched[r, way]
                            target = way
        if target >= 0:
            tags[r, target] = wanted
            touched[r, target] = start + i
        excess = np.int64(hits_fallback[i]) - np.int64(hits_policy[i])
        group[1] = max(0, group[1] + (excess if group[0] == 0 else -excess))
        if group[1] >= threshold:
            group[0] = 1 - group[0]
            group[1] = 0
            group[2] += 1


@dataclass(frozen=True)
class Guard(SetPolicy):
    """Follow a policy where it is the better of two, and a fallback where that is.

    Both run as shadows, simulations of whole caches of their own. The cache follows one of them for each group of
    sets: at a miss it evicts a line (the one unused for longest) that the shadow does not hold after that access, and
    declines to insert where the shadow does. So its contents drift to the shadow's, one line for each miss that it
    would have anyway. A counter for each group grows with a miss of the followed shadow that the other hits, shrinks
    with the reverse, never below 0; at `threshold` the group follows the other one, from counter 0. All groups begin
    with the fallback.

    What holds, for a group of S sets of W ways, on every trace, with threshold T:

    1. While it follows a shadow, the group misses at most as often as the shadow plus the lines that the shadow held
       and the cache did not when the stretch began, at most S W (none at the start, where both are empty).

       Proof. Let d be the number of lines that the shadow holds and the cache does not. An access that misses the
       cache and hits the shadow brings in a line that only the shadow held, and takes out one that the shadow does
       not hold: d falls by one. (There is such a line: the full cache did not hold the accessed line, the shadow
       does.) No other access raises d: if both miss, either both decline, or the new line is in both, the cache gives
       up none of the shadow's, and the shadow's victim can only leave d; if the cache hits, a line that the shadow
       takes in is in the cache already. As d is never negative, there are at most as many of the first kind as d was
       at the start.

    2. In such a stretch the followed shadow misses at most T times more often than the other one: the counter is
       never less than the excess since the stretch began, and the stretch ends when it reaches T.

    3. Hence, with k switches, p stretches that follow the policy and f that follow the fallback (p + f = k + 1):
       misses <= misses of the fallback + p T + k S W, and misses <= misses of the policy + f T + k S W.

    A switch to the policy moreover requires that it missed T times less often than the fallback over some stretch.

    State arrays of the two are kept under "policy/" and "fallback/".
    """

    name = "guard"

    policy: SetPolicy
    """the policy that is guarded"""
    fallback: SetPolicy = field(default_factory=lambda: make_set_policy("lru"))
    """what is followed where the policy misses more"""
    group: int = 128
    """sets that switch together"""
    threshold: int = 64
    """T: misses in excess of the other's at which a group switches"""
    needs_future = property(lambda self: self.policy.needs_future or self.fallback.needs_future)
    needs_fit = property(lambda self: self.policy.needs_fit or self.fallback.needs_fit)

    def __post_init__(self) -> None:
        if self.group < 1 or self.threshold < 1:
            raise InputError("a guard needs groups of at least 1 set and a threshold of at least 1")

    def start(self, geometry: CacheGeometry, seed: int = 0) -> State:
        shape = (geometry.sets, geometry.ways)
        groups = np.zeros((-(-geometry.sets // self.group), 3), np.int64)
        groups[:, 0] = 1
        state: State = {"tags": np.full(shape, -1, np.int32), "touched": np.zeros(shape, np.int32), "groups": groups}
        for part in _PARTS:
            of_part = getattr(self, part).start(geometry, seed)
            state |= {f"{part}/{name}": array for name, array in of_part.items()}
        return state

    def fit(self, chunk: Chunk, geometry: CacheGeometry) -> State:
        learnt: State = {}
        for part in _PARTS:
            if getattr(self, part).needs_fit:
                of_part = getattr(self, part).fit(chunk, geometry)
                learnt |= {f"{part}/{name}": array for name, array in of_part.items()}
        return learnt

    def grow(self, state: State, n_lines: int, n_pcs: int) -> None:
        for part in _PARTS:
            of_part = _of(state, part)
            getattr(self, part).grow(of_part, n_lines, n_pcs)
            state |= {f"{part}/{name}": array for name, array in of_part.items()}

    def run(self, state: State, chunk: Chunk, hits: NDArray[np.uint8]) -> None:
        self.follow(state, chunk, hits)

    def follow(self, state: State, chunk: Chunk, hits: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """As `run`; returns the hits of the policy and of the fallback, each in a cache of its own, uint8 (2, n)."""
        tags, touched, groups = (state[name] for name in ("tags", "touched", "groups"))
        shadows = [_of(state, part) for part in _PARTS]
        shadow_hits = np.zeros((2, hits.size), np.uint8)
        ends = np.zeros(hits.size + 2, np.int64)
        _split(chunk.row, np.full(tags.shape[0], -1, np.int64), ends)
        low = 0
        for high in ends[1 : ends[0] + 1].tolist():
            part = slice(low, high)
            short = replace(
                chunk,
                line=chunk.line[part],
                row=chunk.row[part],
                pc=chunk.pc[part],
                next_use=chunk.next_use[part],
                start=chunk.start + low,
            )
            for shadow, policy, found in zip(shadows, (self.policy, self.fallback), shadow_hits, strict=True):
                policy.run(shadow, short, found[part])
            held = (self.policy.resident(shadows[0]), self.fallback.resident(shadows[1]))
            accesses = (chunk.line, chunk.row, low, high, chunk.start, hits, *shadow_hits, *held)
            arguments: tuple[Any, ...] = (*accesses, tags, touched, groups, self.group, self.threshold)
            _follow(*arguments)
            low = high
        for prefix, shadow in zip(_PARTS, shadows, strict=True):
            state |= {f"{prefix}/{name}": array for name, array in shadow.items()}
        return shadow_hits


class GuardedReplay:
    """A guarded policy that is simulated as a whole, such as Parrot: its victims are found first, then replayed.

    Args:
        policy: has `victims(accesses, geometry, seed) -> int16 (n,)`, as in `Replay`.
        fallback: what is followed where the policy misses more.
        arguments: `group` and `threshold` of the guard.
    """

    def __init__(self, policy: Any, fallback: SetPolicy, **arguments: int) -> None:
        self.name = f"guard:{policy.name}"
        self.policy = policy
        self.guard = Guard(Replay(), fallback, **arguments)

    def simulate(self, accesses: Accesses, geometry: CacheGeometry, seed: int = 0) -> NDArray[np.uint8]:
        """Whether each access hits a cache that starts empty; uint8 (n,)."""
        victims = self.policy.victims(accesses, geometry, seed)
        return simulate(self.guard, accesses, geometry, seed=seed, learnt={"policy/victims": victims})


def guard(policy: Any, fallback: str | SetPolicy = "lru", **arguments: int) -> Any:
    """`policy` under a `Guard`.

    Args:
        policy: a `SetPolicy`, or a learned policy with `victims(accesses, geometry, seed)` (see `GuardedReplay`).
        fallback: a policy or the name of one.
        arguments: `group` and `threshold` of the guard.

    Raises:
        InputError: no such fallback, or a policy that does not tell its victims.
    """
    other = make_set_policy(fallback) if isinstance(fallback, str) else fallback
    if isinstance(policy, SetPolicy):
        return Guard(policy, other, **arguments)
    if not hasattr(policy, "victims"):
        raise InputError(
            f"{getattr(policy, 'name', policy)} does not tell which lines it evicts, and cannot be guarded"
        )
    return GuardedReplay(policy, other, **arguments)


def _of(state: State, part: str) -> State:
    return {name.removeprefix(f"{part}/"): array for name, array in state.items() if name.startswith(f"{part}/")}
