"""A guard that keeps a policy from doing much worse than one to fall back on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from learnsys.envs.cache.accesses import Accesses
from learnsys.envs.cache.geometry import CacheGeometry
from learnsys.errors import InputError
from learnsys.policies.cache.base import Chunk, SetPolicy, State
from learnsys.policies.cache.registry import make_set_policy
from learnsys.policies.cache.replay import Replay, cut, followed
from learnsys.policies.cache.simulation import simulate

_BLOCK = 2**15
"""accesses whose shadows are kept at a time"""


@njit(
    [
        "void(int32[::1], int32[::1], int64, uint8[::1], uint8[::1], uint8[:, ::1], int32[:, :, ::1], int32[:, ::1],"
        " int32[:, ::1], int64[:, ::1], int64, int64[::1])"
    ],
    cache=True,
    nogil=True,
)
def _follow(line, row, start, hits, leader, shadow_hits, shadows, tags, touched, groups, sets, threshold):
    """Run the cache itself.

    `leader` (n,) becomes which shadow each access's group follows. `shadow_hits` (E, n) are those of E shadows, and
    `shadows` (E, n, ways) what each holds in the accessed set right after the access. `groups` (n, 2 + E): which shadow
    a group of `sets` sets follows, its switches so far, and by how much the followed one missed more than each;
    `threshold` (E,): at how much a group switches to each.
    """
    ways = tags.shape[1]
    for i in range(line.size):
        wanted, r = line[i], row[i]
        group = groups[r // sets]
        followed = group[0]
        leader[i] = followed
        held = shadows[followed, i]
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
                        shared = False
                        for other in range(ways):
                            shared |= held[other] == tags[r, way]
                        if not shared:
                            oldest = touched[r, way]
                            target = way
        if target >= 0:
            tags[r, target] = wanted
            touched[r, target] = start + i
        best, most = -1, np.int64(-1)
        for e in range(threshold.size):
            if e != followed:
                excess = np.int64(shadow_hits[e, i]) - np.int64(shadow_hits[followed, i])
                group[2 + e] = max(np.int64(0), group[2 + e] + excess)
                if group[2 + e] - threshold[e] > most:
                    best, most = e, group[2 + e] - threshold[e]
        if best >= 0:
            group[0] = best
            group[1] += 1
            group[2:] = 0


@dataclass(frozen=True)
class Guard(SetPolicy):
    """Follow a policy where it is the best of several, and a fallback where that is.

    All run as shadows, simulations of whole caches of their own. The cache follows one of them (or one for each group
    of sets): at a miss it evicts a line (the one unused for longest) that the shadow does not hold after that access,
    and declines to insert where the shadow does. So its contents drift to the shadow's, one line for each miss that it
    would have anyway. A counter for each other shadow grows with a miss of the followed one that the other hits,
    shrinks with the reverse, never below 0; when one reaches the threshold for its shadow, the group follows that, and
    all counters begin at 0. All groups begin with the fallback.

    What holds, for a group of S sets of W ways, on every trace, with threshold T(e) for shadow e:

    1. While it follows a shadow, the group misses at most as often as the shadow plus the lines that the shadow held
       and the cache did not when the stretch began, at most S W (none at the start, where both are empty).

       Proof. Let d be the number of lines that the shadow holds and the cache does not. An access that misses the
       cache and hits the shadow brings in a line that only the shadow held, and takes out one that the shadow does
       not hold: d falls by one. (There is such a line: the full cache did not hold the accessed line, the shadow
       does.) No other access raises d: if both miss, either both decline, or the new line is in both, the cache gives
       up none of the shadow's, and the shadow's victim can only leave d; if the cache hits, a line that the shadow
       takes in is in the cache already. As d is never negative, there are at most as many of the first kind as d was
       at the start.

    2. In such a stretch the followed shadow misses at most T(e) times more often than any other shadow e: e's counter
       is never less than the excess since the stretch began, and the stretch ends when it reaches T(e).

    3. Hence, with k switches, for every shadow e, followed in n of the k + 1 stretches:
       misses <= misses of e + (k + 1 - n) T(e) + k S W.

    A switch to a shadow e moreover requires that it missed T(e) times less often than the one followed before over
    some stretch. State arrays of the shadows are kept under "policy/", "other0/", ..., "fallback/".
    """

    name = "guard"

    policy: SetPolicy
    """the policy that is guarded"""
    fallback: SetPolicy = field(default_factory=lambda: make_set_policy("lru"))
    """what is followed where nothing else misses less"""
    group: int | None = None
    """sets that switch together; None: all"""
    threshold: int = 300
    """T of the fallback: misses in excess of its at which a group switches to it"""
    entry: int = 100
    """T of the others"""
    others: tuple[SetPolicy, ...] = ()
    """more policies to choose from"""
    needs_future = property(lambda self: any(policy.needs_future for policy in self.shadows.values()))
    needs_fit = property(lambda self: any(policy.needs_fit for policy in self.shadows.values()))

    def __post_init__(self) -> None:
        if (self.group is not None and self.group < 1) or self.threshold < 1 or self.entry < 1:
            raise InputError("a guard needs groups of at least 1 set and thresholds of at least 1")

    @property
    def shadows(self) -> dict[str, SetPolicy]:
        """The policies to choose from, by the name of their part of the state."""
        others = {f"other{number}": policy for number, policy in enumerate(self.others)}
        return {"policy": self.policy, **others, "fallback": self.fallback}

    def held(self, state: State) -> list[NDArray[np.int32]]:
        """What each shadow holds, int32 (sets, ways) for each; -1 where free."""
        return [policy.resident(_of(state, part)) for part, policy in self.shadows.items()]

    def start(self, geometry: CacheGeometry, seed: int = 0) -> State:
        shape = (geometry.sets, geometry.ways)
        count = len(self.shadows)
        groups = np.zeros((-(-geometry.sets // (self.group or geometry.sets)), 2 + count), np.int64)
        groups[:, 0] = count - 1
        state: State = {"tags": np.full(shape, -1, np.int32), "touched": np.zeros(shape, np.int32), "groups": groups}
        for part, policy in self.shadows.items():
            state |= {f"{part}/{name}": array for name, array in policy.start(geometry, seed).items()}
        return state

    def fit(self, chunk: Chunk, geometry: CacheGeometry) -> State:
        learnt: State = {}
        for part, policy in self.shadows.items():
            if policy.needs_fit:
                learnt |= {f"{part}/{name}": array for name, array in policy.fit(chunk, geometry).items()}
        return learnt

    def grow(self, state: State, n_lines: int, n_pcs: int) -> None:
        for part, policy in self.shadows.items():
            of_part = _of(state, part)
            policy.grow(of_part, n_lines, n_pcs)
            state |= {f"{part}/{name}": array for name, array in of_part.items()}

    def run(self, state: State, chunk: Chunk, hits: NDArray[np.uint8]) -> None:
        self.follow(state, chunk, hits)

    def follow(
        self, state: State, chunk: Chunk, hits: NDArray[np.uint8], leader: NDArray[np.uint8] | None = None
    ) -> NDArray[np.uint8]:
        """As `run`; returns the hits of the shadows, each in a cache of its own, uint8 (E, n), the fallback's last.

        Args:
            leader: becomes the number of the shadow that is followed at each access, uint8 (n,).
        """
        tags, touched, groups = (state[name] for name in ("tags", "touched", "groups"))
        sets = len(tags)
        shadow_hits = np.zeros((len(self.shadows), hits.size), np.uint8)
        leader = np.zeros(hits.size, np.uint8) if leader is None else leader
        threshold = np.full(len(self.shadows), self.entry, np.int64)
        threshold[-1] = self.threshold
        states = {part: _of(state, part) for part in self.shadows}
        for low in range(0, hits.size, _BLOCK):
            block = cut(chunk, low, min(low + _BLOCK, hits.size))
            found = np.zeros((len(self.shadows), block.line.size), np.uint8)
            held = np.stack(
                [
                    followed(policy, states[part], block, found[e])
                    for e, (part, policy) in enumerate(self.shadows.items())
                ]
            )
            of_block = slice(low, low + block.line.size)
            accesses = (block.line, block.row, block.start, hits[of_block], leader[of_block], found, held)
            arguments: tuple[Any, ...] = (*accesses, tags, touched, groups, self.group or sets, threshold)
            _follow(*arguments)
            shadow_hits[:, of_block] = found
        for part, of_part in states.items():
            state |= {f"{part}/{name}": array for name, array in of_part.items()}
        return shadow_hits


class GuardedReplay:
    """A guarded policy that is simulated as a whole, such as Parrot: its victims are found first, then replayed.

    Args:
        policy: has `victims(accesses, geometry, seed) -> int16 (n,)`, as in `Replay`.
        fallback: what is followed where the policy misses more.
        arguments: `group`, `threshold`, `entry` and `others` of the guard.
    """

    def __init__(self, policy: Any, fallback: SetPolicy, **arguments: Any) -> None:
        self.name = f"guard:{policy.name}"
        self.policy = policy
        self.guard = Guard(Replay(), fallback, **arguments)

    def simulate(self, accesses: Accesses, geometry: CacheGeometry, seed: int = 0) -> NDArray[np.uint8]:
        """Whether each access hits a cache that starts empty; uint8 (n,)."""
        victims = self.policy.victims(accesses, geometry, seed)
        return simulate(self.guard, accesses, geometry, seed=seed, learnt={"policy/victims": victims})


def guard(policy: Any, fallback: str | SetPolicy = "lru", **arguments: Any) -> Any:
    """`policy` under a `Guard`.

    Args:
        policy: a `SetPolicy`, or a learned policy with `victims(accesses, geometry, seed)` (see `GuardedReplay`).
        fallback: a policy or the name of one.
        arguments: `group`, `threshold`, `entry` and `others` of the guard.

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
