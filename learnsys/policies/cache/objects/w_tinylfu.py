"""W-TinyLFU: a small window, and a main cache that admits an object only if it is used more than its victim."""

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

WINDOW, PROBATION, PROTECTED, ABSENT = 0, 1, 2, 3
LISTS = 3
AHEAD = 24
_ROWS = 4
_MOST = 15


@njit(["int64(int64, int64, int64)"], cache=True, nogil=True)
def _cell(i, row, shift):
    """The sketch's cell for object i in `row`; a row has 2^(64 - shift) cells."""
    mixed = (np.uint64(i) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(32))) * (np.uint64(0xD6E8FEB86659FD93) + np.uint64(2 * row))
    return (np.int64(row) << (64 - shift)) + np.int64(mixed >> np.uint64(shift))


@njit(["uint8(uint8[::1], int64, int64)"], cache=True, nogil=True)
def _estimate(sketch, i, shift):
    least = np.uint8(_MOST)
    for row in range(_ROWS):
        least = min(least, sketch[_cell(i, row, shift)])
    return least


@njit(
    [
        f"void(int32[::1], {sizes}, int32[::1], uint8[::1], uint8[::1], {sizes}, int64[::1], uint8[::1])"
        for sizes in ("none", "int64[::1]")
    ],
    cache=True,
    nogil=True,
)
def w_tinylfu_kernel(ids, size, links, where, sketch, held, place, hits):
    """`place`: capacity, used, limits of window and protected segment, used of window, probation and protected
    segment, cached objects, accesses counted since the sketch was halved, accesses for each object until it is.
    """
    capacity, window_limit, protected_limit = place[0], place[2], place[3]
    used = place[4:7]
    cached, counted, period = place[7], place[8], place[9]
    main_limit = capacity - window_limit
    shift = np.int64(64)
    while _ROWS << (64 - shift) < sketch.size:
        shift -= 1
    for t in range(ids.size):
        ahead = np.int64(ids[min(t + AHEAD, ids.size - 1)])
        prefetch(where, ahead)
        prefetch(links, 2 * (ahead + LISTS))
        for row in range(_ROWS):
            prefetch(sketch, _cell(ahead, row, shift))
        i = np.int64(ids[t])
        for row in range(_ROWS):
            cell = _cell(i, row, shift)
            sketch[cell] += np.uint8(sketch[cell] < _MOST)
        counted += 1
        if counted >= period * max(cached, 1):
            for cell in range(sketch.size):
                sketch[cell] >>= np.uint8(1)
            counted //= 2
        source = np.int64(where[i])
        hits[t] = source != ABSENT
        if source != ABSENT:
            unlink(links, i + LISTS)
            if source == PROBATION:
                weight = held[i] if held is not None else np.int64(1)
                used[PROBATION] -= weight
                used[PROTECTED] += weight
                where[i] = PROTECTED
            append(links, np.int64(where[i]), i + LISTS)
            while used[PROTECTED] > protected_limit:
                node = oldest(links, PROTECTED)
                unlink(links, node)
                append(links, PROBATION, node)
                weight = held[node - LISTS] if held is not None else np.int64(1)
                used[PROTECTED] -= weight
                used[PROBATION] += weight
                where[node - LISTS] = PROBATION
            continue
        need = size[t] if held is not None else np.int64(1)
        if need > capacity:
            continue
        append(links, WINDOW, i + LISTS)
        where[i] = WINDOW
        used[WINDOW] += need
        cached += 1
        if held is not None:
            held[i] = need
        while used[WINDOW] > window_limit:
            node = oldest(links, WINDOW)
            candidate = node - LISTS
            weight = held[candidate] if held is not None else np.int64(1)
            unlink(links, node)
            used[WINDOW] -= weight
            frequency = _estimate(sketch, candidate, shift)
            admitted = weight <= main_limit
            while admitted and used[PROBATION] + used[PROTECTED] + weight > main_limit:
                segment = PROBATION if used[PROBATION] > 0 else PROTECTED
                victim = oldest(links, segment) - LISTS
                admitted = frequency > _estimate(sketch, victim, shift)
                if admitted:
                    unlink(links, victim + LISTS)
                    used[segment] -= held[victim] if held is not None else np.int64(1)
                    where[victim] = ABSENT
                    cached -= 1
            if admitted:
                append(links, PROBATION, node)
                used[PROBATION] += weight
                where[candidate] = PROBATION
            else:
                where[candidate] = ABSENT
                cached -= 1
    place[1] = used.sum()
    place[7], place[8] = cached, counted


@dataclass(frozen=True)
class WTinyLFU(ObjectPolicy):
    """New objects pass a small LRU window; its victim replaces that of the main segmented LRU if it is more frequent.

    Einziger, Friedman and Manes, "TinyLFU: a highly efficient cache admission policy", 2017, section 4: frequencies
    of all objects are estimated by a count-min sketch of counters up to 15, halved each `period` accesses for each
    cached object.

    Raises:
        InputError: a share outside of (0, 1), or a period below 1.
    """

    name = "w_tinylfu"
    per_object: ClassVar = {"where": (np.uint8, ABSENT)}
    lists = LISTS
    counters = 8

    window_share: float = 0.01
    """the window's share of the capacity"""
    protected_share: float = 0.8
    """the share of the main cache that is kept for objects that were hit there"""
    period: int = 10
    """accesses until the frequencies are halved, for each cached object"""

    def __post_init__(self) -> None:
        if not (0 < self.window_share < 1 and 0 < self.protected_share < 1 and self.period >= 1):
            raise InputError(f"shares {self.window_share:g} and {self.protected_share:g} make no W-TinyLFU")

    def start(self, capacity: int, *, sized: bool = False, seed: int = 0) -> State:
        state = super().start(capacity, sized=sized)
        capacity = int(state["place"][0])
        window = max(1, int(capacity * self.window_share))
        state["place"][2:4] = window, int((capacity - window) * self.protected_share)
        state["place"][9] = self.period
        # Four cells in each row for an object that fits; how many fit into many bytes is not known before.
        most = 2**18 if sized else 2**24
        cells = 4 * 2 ** int(np.clip(capacity - 1, 2**8, most - 1)).bit_length()
        return {**state, "sketch": np.zeros(_ROWS * cells, np.uint8)}

    def run(self, state: State, chunk: Chunk, hits: NDArray[np.uint8]) -> None:
        arrays = [state.get(name) for name in ("links", "where", "sketch", "held", "place")]
        w_tinylfu_kernel(*[chunk.line, chunk.size, *arrays, hits])

    def contents(self, state: State) -> NDArray[np.int64]:
        return np.flatnonzero(state["where"] != ABSENT)
