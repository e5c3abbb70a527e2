"""Replacement decisions of many caches side by side: the state behind the single and the vector environment.

A lane is one episode: a cache of its own that plays a window of accesses and waits, at each decision, for an
action. One kernel call carries out the actions of all lanes, runs each to its next decision and says what may be
done there. (`stepper.py` serves policies that need every access's outcome; this serves agents.)
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from learnsys.envs.cache.accesses import NEVER
from learnsys.envs.cache.instances import Instances

_STARTING, _OVER = -1, -2


@njit(
    [
        "void(int64[:], int64[:], boolean, boolean, int32[:], int32[:], int32[:], int32[:, :], int32[:, :], int32[:], "
        "int64[:], int64[:], int64[:], int64[:], int64[:], int64[:], int8[:, :], int8[:, :], int64[:], int64[:], "
        "boolean[:], int64[:], int64[:], boolean[:])"
    ],
    cache=True,
    nogil=True,
)
def _step(
    lanes,
    actions,
    every_access,
    bypass,
    line,
    row,
    next_use,
    tags,
    touched,
    filled,
    end,
    time,
    cache_row,
    found,
    hits,
    seen,
    mask,
    optimal,
    default,
    belady,
    invalid,
    step_hits,
    step_misses,
    agreed,
):
    ways = tags.shape[1]
    sets = tags.shape[0] // end.size
    for i in range(lanes.size):
        lane = lanes[i]
        invalid[lane] = False
        agreed[lane] = False
        step_hits[lane] = 0
        step_misses[lane] = 0
        way = found[lane]
        if way == _OVER:
            continue

        t = time[lane]
        if way != _STARTING:
            action = actions[i]
            if not mask[lane, action]:
                invalid[lane] = True
                action = default[lane]
            if way == ways:
                agreed[lane] = optimal[lane, action]
                way = action if action < ways else -1
            r = cache_row[lane]
            if way >= 0:
                if way == filled[r]:
                    filled[r] += 1
                tags[r, way] = line[t]
                touched[r, way] = t

        found[lane] = _OVER
        t += 1
        while t < end[lane]:
            r = lane * sets + row[t]
            way = 0
            while way < filled[r] and tags[r, way] != line[t]:
                way += 1
            if way < filled[r]:
                step_hits[lane] += 1
            else:
                step_misses[lane] += 1
            if every_access or way == ways:
                found[lane] = way
                break
            if way == filled[r]:
                tags[r, way] = line[t]
                filled[r] += 1
            touched[r, way] = t
            t += 1
        hits[lane] += step_hits[lane]
        seen[lane] += step_hits[lane] + step_misses[lane]

        mask[lane] = 0
        optimal[lane] = 0
        if found[lane] == _OVER:
            time[lane] = -1
            default[lane] = 0
            belady[lane] = 0
            continue
        time[lane] = t
        cache_row[lane] = r
        if way < ways:  # a hit or a free way: there is nothing to choose
            mask[lane, ways] = 1
            optimal[lane, ways] = 1
            default[lane] = ways
            belady[lane] = ways
            continue
        oldest = 0
        furthest = np.int32(-1)
        for w in range(ways):
            mask[lane, w] = 1
            if touched[r, w] < touched[r, oldest]:
                oldest = w
            use = next_use[touched[r, w]]
            if use >= end[lane]:
                use = NEVER
            if use > furthest:
                furthest = use
                belady[lane] = w
        default[lane] = oldest
        own = next_use[t] if next_use[t] < end[lane] else NEVER
        if bypass:
            mask[lane, ways] = 1
            if own >= furthest:
                optimal[lane, ways] = 1
                belady[lane] = ways
        if not bypass or own <= furthest:
            for w in range(ways):
                use = next_use[touched[r, w]]
                optimal[lane, w] = use == furthest or (use >= end[lane] and furthest == NEVER)


class Outcome(NamedTuple):
    """What happened between an action and the next decision, for each lane; a reward function turns it into numbers.

    The accesses that count are those after the one decided on, up to and including the one at which the next
    decision falls (or the end of the episode).
    """

    hits: NDArray[np.int64]
    """hits among them, (lanes,)"""
    misses: NDArray[np.int64]
    """misses among them, (lanes,)"""
    agreed: NDArray[np.bool_]
    """whether the action evicted a line that Belady may evict too (or bypassed where that is optimal), (lanes,)"""


class Decisions:
    """The decisions that `lanes` caches wait for, and what led to them.

    Args:
        instances: the accesses that all lanes' windows are cut from, and the size of a cache.
        lanes: number of caches.
        every_access: decide at each access instead of at each miss in a full set.
        bypass: a missed line may be left out of the cache.

    Attributes (all arrays; observation functions read them and must copy what they return):
        tags: dense line ids held, int32 (lanes * sets, ways), -1 where free; ways fill from the lowest.
        touched: index of the access that last touched each way, int32 (lanes * sets, ways), -1 where free.
        filled: ways in use, int32 (lanes * sets,).
        begin, end: each lane's window of accesses, int64 (lanes,).
        time: index of the access decided on, int64 (lanes,), -1 where the episode is over.
        cache_row: the row of `tags` and `touched` that it falls into, int64 (lanes,).
        hits, seen: hits and accesses of the episode so far, the one decided on included, int64 (lanes,).
        mask: allowed actions, int8 (lanes, actions); all 0 where the episode is over. Action w below `ways` evicts
            way w; action `ways` (where there is one) leaves the cache's contents to themselves.
        default: the action that replaces a masked-out one (the least recently used way), int64 (lanes,).
        belady: an optimal action, int64 (lanes,), 0 where the episode is over.
        invalid: whether the last action was masked out, bool (lanes,).
    """

    def __init__(self, instances: Instances, lanes: int, *, every_access: bool = False, bypass: bool = False):
        self.instances = instances
        self.lanes, self.sets, self.ways = lanes, instances.sets, instances.geometry.ways
        self.every_access, self.bypass = every_access, bypass
        self.actions = self.ways + (every_access or bypass)
        self.tags = np.full((lanes * self.sets, self.ways), -1, np.int32)
        self.touched = np.full((lanes * self.sets, self.ways), -1, np.int32)
        self.filled = np.zeros(lanes * self.sets, np.int32)
        self.begin, self.end, self.cache_row, self.hits, self.seen = np.zeros((5, lanes), np.int64)
        self.time, self.default, self.belady = np.full(lanes, -1), *np.zeros((2, lanes), np.int64)
        self.mask, self._optimal = np.zeros((2, lanes, self.actions), np.int8)
        self.invalid = np.zeros(lanes, np.bool_)
        self._found = np.full(lanes, _OVER, np.int64)
        self._outcome = Outcome(np.zeros(lanes, np.int64), np.zeros(lanes, np.int64), np.zeros(lanes, np.bool_))

    def start(self, lane: int, begin: int, end: int) -> None:
        """Empty the lane's cache and run it from access `begin` to its first decision before `end`."""
        rows = slice(lane * self.sets, (lane + 1) * self.sets)
        self.tags[rows] = -1
        self.touched[rows] = -1
        self.filled[rows] = 0
        self.begin[lane], self.end[lane] = begin, end
        self.time[lane] = begin - 1
        self._found[lane] = _STARTING
        self.hits[lane] = self.seen[lane] = 0
        lanes = np.array([lane])
        self.step(lanes, lanes)

    def step(self, lanes: NDArray[np.int64], actions: NDArray[np.int64]) -> Outcome:
        """Carry out `actions[i]` (below `self.actions`) in `lanes[i]` and run to the next decision of each.

        Lanes whose episode is over stay as they are. The arrays of the outcome are overwritten by the next call.
        """
        a = self.instances.accesses
        _step(
            lanes,
            actions,
            self.every_access,
            self.bypass,
            a.line,
            a.row,
            a.next_use,
            self.tags,
            self.touched,
            self.filled,
            self.end,
            self.time,
            self.cache_row,
            self._found,
            self.hits,
            self.seen,
            self.mask,
            self._optimal,
            self.default,
            self.belady,
            self.invalid,
            *self._outcome,
        )
        return self._outcome
