"""The decision-stepping simulator: it runs many lanes of accesses and stops each where a line must be evicted.

A lane is an independent stream of accesses with cache rows of its own: a whole trace (one lane, all rows), one
set of a trace (as many lanes as sets), or one of many traces. Sets never interact, so the lanes of one trace can
advance in any order, or all in lock-step as one batch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from learnsys.envs.cache.accesses import Accesses


@njit(
    [
        "void(int64[:], int64[:], int64[:], int64, int32[:], int32[:], int32[:, :], int32[:, :], int32[:], uint8[:], "
        "boolean[:])",
    ],
    cache=True,
    nogil=True,
)
def _advance(position, end, order, until, line, row, tags, touched, filled, hits, waiting):
    """Run every lane to its next miss in a full set, to access `until` or to its end; tell which ones wait."""
    ways = tags.shape[1]
    for lane in range(position.size):
        waiting[lane] = False
        p = position[lane]
        while p < end[lane]:
            t = order[p]
            if t >= until:
                break
            r = row[t]
            wanted = line[t]
            way = 0
            while way < filled[r] and tags[r, way] != wanted:
                way += 1
            hits[t] = way < filled[r]
            if way == ways:
                waiting[lane] = True
                break
            if way == filled[r]:
                tags[r, way] = wanted
                filled[r] += 1
            touched[r, way] = t
            p += 1
        position[lane] = p


@njit(
    ["void(int64[:], int64[:], int64[:], int32[:], int32[:], int32[:, :], int32[:, :], int64[:], int64[:])"],
    cache=True,
    nogil=True,
)
def _evict(position, end, order, line, row, tags, touched, lanes, ways):
    for i in range(lanes.size):
        lane = lanes[i]
        t = order[position[lane]]
        way = ways[i]
        if way >= 0:
            tags[row[t], way] = line[t]
            touched[row[t], way] = t
        position[lane] += 1


class Stepper:
    """Steps a set-associative cache from one eviction decision to the next.

    Args:
        accesses: the prepared trace.
        sets, ways: the cache; `accesses.row` must be below `sets`.
        by_set: one lane for each set (True), or one lane in the trace's own order (False).

    Attributes:
        tags: line ids held, int32 (sets, ways), -1 where free; ways fill from the lowest.
        touched: index of the access that last touched each way, int32 (sets, ways). It gives the line's last
            PC (`accesses.pc[touched]`), its next use (`accesses.next_use[touched]`) and its recency.
        hits: uint8 (n,), final once a lane has passed the access.
        order, ends: the accesses of all lanes, one lane after the other, int64 (n,), and where each lane ends there,
            int64 (lanes,).
    """

    def __init__(self, accesses: Accesses, sets: int, ways: int, *, by_set: bool = False) -> None:
        self.accesses = accesses
        self.tags = np.full((sets, ways), -1, np.int32)
        self.touched = np.full((sets, ways), -1, np.int32)
        self.hits = np.zeros(len(accesses), np.uint8)
        self._filled = np.zeros(sets, np.int32)
        if by_set:
            self.order = np.argsort(accesses.row, kind="stable").astype(np.int64)
            counts = np.bincount(accesses.row, minlength=sets)
            self.ends = np.cumsum(counts).astype(np.int64)
            self._position = self.ends - counts
        else:
            self.order = np.arange(len(accesses), dtype=np.int64)
            self.ends = np.array([len(accesses)], np.int64)
            self._position = np.zeros(1, np.int64)

    def advance(self, until: int | None = None) -> NDArray[np.int64]:
        """Run all lanes to their next decision; return the lanes that wait for one, int64 (k,), k = 0 at the end.

        Args:
            until: stop each lane before this access; a later call without it, or with a later one, goes on there.
        """
        a = self.accesses
        waiting = np.empty(self._position.size, np.bool_)
        _advance(
            self._position,
            self.ends,
            self.order,
            len(a) if until is None else until,
            a.line,
            a.row,
            self.tags,
            self.touched,
            self._filled,
            self.hits,
            waiting,
        )
        return np.flatnonzero(waiting)

    def skip(self, start: int) -> None:
        """Leave out the accesses before `start`, as if the trace began there; the caches stay empty."""
        for lane, end in enumerate(self.ends.tolist()):
            first = int(self._position[lane])
            self._position[lane] = first + np.searchsorted(self.order[first:end], start)

    def state(self) -> dict[str, NDArray[Any]]:
        """The cache and each lane's place in the trace, by name (the arrays themselves, not copies)."""
        return {"tags": self.tags, "touched": self.touched, "filled": self._filled, "position": self._position}

    def restore(self, state: dict[str, NDArray[Any]]) -> None:
        """Go on from the `state` of a stepper of the same shape over the same accesses.

        Raises:
            KeyError, ValueError: it is none; kernels would look where nothing is.
        """
        n, lines, ways = len(self.accesses), int(self.accesses.line.max(initial=-1)) + 1, self.tags.shape[1]
        begins = np.concatenate([[0], self.ends[:-1]])
        limits = {"tags": (-1, lines - 1), "touched": (-1, n - 1), "filled": (0, ways), "position": (begins, self.ends)}
        for name, array in self.state().items():
            given, (low, high) = state[name], limits[name]
            if given.shape != array.shape or (given < low).any() or (given > high).any():
                raise ValueError(f"{name} is not that of such a cache")
            array[...] = given

    def pending(self, lanes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Index of the access that each of the waiting `lanes` misses on, int64 (k,)."""
        return self.order[self._position[lanes]]

    def evict(self, lanes: NDArray[np.int64], ways: NDArray[np.int64]) -> None:
        """Evict way `ways[i]` for the waiting `lanes[i]` and insert the missed line; -1 bypasses the cache."""
        a = self.accesses
        _evict(self._position, self.ends, self.order, a.line, a.row, self.tags, self.touched, lanes, ways)
