"""Kernel of the learned policy of object caches: features, samples and evictions over a chunk of requests."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from learnsys.policies.cache.learned.network import (
    EDGES,
    embed,
    half_log,
    index,
    log,
    mix,
    shuffled,
)
from learnsys.policies.cache.learned.samples import STAGES, link, outlived, returned

ACCESS_FEATURES = (
    "the logs of the object's last two gaps (requests between its accesses)",
    "the log of its last gap, in halves, and its touches so far, at most 15",
    "the object",
    "the 64 objects that became known with it, and the log of its last gap",
    "the object requested before",
    "the step from the object requested before (at most 64), and the log of the last gap",
    "the logs of its last three gaps",
    "the log of its size, and its touches",
    "its touches with a half-life of 2^12 requests, and the log of its last gap",
    "its touches with a half-life of 2^17 requests, and those of 2^12",
)
"""meaning of the features of an access; a cached object carries those of its last access"""
CANDIDATE_FEATURES = (
    "log age, in halves",
    "and touches",
    "and the log of the last gap",
    "and those of the last two gaps",
    "and hits since insertion, at most 7",
    "and touches with a half-life of 2^12",
    "and the log of the size",
    "and whether the object requested before was a neighbour",
    "and touches with a half-life of 2^17",
)
"""meaning of the features of a cached object at an eviction"""
ACCESS, CANDIDATE = len(ACCESS_FEATURES), len(CANDIDATE_FEATURES)
ROOM = 2**18
_BEGINNING = 2**12
"""samples from which the network is asked; before, the oldest candidate leaves"""
_HALF_LIVES = (2**12, 2**17)


class Objects(NamedTuple):
    """What is remembered of every object."""

    last: NDArray[np.int64]
    """index of its last request plus one, 0: none"""
    gap: NDArray[np.uint8]
    """log of the gap before that"""
    earlier_gap: NDArray[np.uint8]
    touches: NDArray[np.uint8]
    recent: NDArray[np.float32]
    """touches, halved every 2^12 requests, at the last one"""
    frequent: NDArray[np.float32]
    """the same with 2^17"""
    place: NDArray[np.int32]
    """its slot plus one, 0: not cached"""


class Slots(NamedTuple):
    """What is cached, in slots 0 to count - 1."""

    item: NDArray[np.int32]
    """the object"""
    at: NDArray[np.int64]
    """index of its last request"""
    until: NDArray[np.int64]
    """index of the request from which its worth has to be computed anew"""
    worth: NDArray[np.float32]
    """the network's index of it when that was computed last"""
    past: NDArray[np.int32]
    """touches, gaps, touches by half-lives, log size, whether a neighbour, as `_describe` packs them"""
    reused: NDArray[np.uint8]
    """hits since insertion, at most 7"""
    access: NDArray[np.uint16]
    """(slots, ACCESS) features of its last access"""
    base: NDArray[np.float32]
    """(slots, D) the sum of their embeddings then"""


@njit(cache=True, nogil=True, fastmath=True)
def _describe(f, mask, objects, i, t, weight, previous):
    """Write the features of a request for object `i` into `f` and the request into its history; returns its past."""
    known = objects.last[i] > 0
    gap = t + 1 - objects.last[i] if known else np.int64(0)
    first, half = np.int64(log(gap)), half_log(gap)
    second = np.int64(objects.gap[i]) if known else 0
    third = np.int64(objects.earlier_gap[i]) if known else 0
    touches = np.int64(objects.touches[i])
    recent = objects.recent[i] * np.float32(2) ** np.float32(-gap / _HALF_LIVES[0]) + np.float32(1)
    frequent = objects.frequent[i] * np.float32(2) ** np.float32(-gap / _HALF_LIVES[1]) + np.float32(1)
    often: Any = min(np.int64(half_log(np.int64(recent * 4))), 31)
    long: Any = min(np.int64(half_log(np.int64(frequent * 4))), 31)
    size: Any = min(np.int64(log(weight)), 15)
    step = max(-64, min(64, i - previous))
    f[0] = mix(first, second, 10) & mask
    f[1] = mix(half, touches, 11) & mask
    f[2] = mix(i, 0, 12) & mask
    f[3] = mix(i >> 6, first, 13) & mask
    f[4] = mix(previous, 0, 14) & mask
    f[5] = mix(step + 100, first, 15) & mask
    f[6] = mix(first * 64 + second, third, 16) & mask
    f[7] = mix(size, touches, 17) & mask
    f[8] = mix(often, first, 18) & mask
    f[9] = mix(long, often, 19) & mask
    objects.earlier_gap[i] = second
    objects.gap[i] = first
    objects.touches[i] = min(touches + 1, 15)
    objects.recent[i], objects.frequent[i] = recent, frequent
    objects.last[i] = t + 1
    near = np.int64(abs(i - previous) <= 2)
    return touches | first << 4 | second << 10 | often << 16 | long << 21 | size << 26 | near << 30


@njit(cache=True, nogil=True, fastmath=True)
def _describe_candidate(g, mask, past, reused, waited):
    """Write the features of an object that has waited for so many requests into `g`."""
    age = np.int64(half_log(waited))
    g[0] = mix(age, 0, 30) & mask
    g[1] = mix(age, past & 15, 31) & mask
    g[2] = mix(age, past >> 4 & 63, 32) & mask
    g[3] = mix(age, past >> 4 & 4095, 33) & mask
    g[4] = mix(age, reused, 34) & mask
    g[5] = mix(age, past >> 16 & 31, 35) & mask
    g[6] = mix(age, past >> 26 & 15, 36) & mask
    g[7] = mix(age, past >> 30 & 1, 37) & mask
    g[8] = mix(age, past >> 21 & 31, 38) & mask


@njit(inline="always")
def _next_change(waited):
    """The least age above `waited` with other features."""
    n = log(waited)
    if n > 1 and waited < 3 << (n - 2):
        return np.int64(3 << (n - 2))
    return np.int64(1 << n)


@njit(cache=True, nogil=True, fastmath=True)
def _remove(objects, slots, slot, last):
    """Free a slot, by moving there what is in the `last` one."""
    objects.place[slots.item[slot]] = 0
    if slot != last:
        slots.item[slot], slots.at[slot], slots.until[slot] = slots.item[last], slots.at[last], slots.until[last]
        slots.worth[slot], slots.past[slot], slots.reused[slot] = (
            slots.worth[last],
            slots.past[last],
            slots.reused[last],
        )
        slots.access[slot], slots.base[slot] = slots.access[last], slots.base[last]
        objects.place[slots.item[slot]] = slot + 1


def run(ids, size, start, hits, gone, ends, objects, slots, net, samples, held, place, rate, candidates, draws, span):
    """Advance everything over a chunk.

    Args:
        gone, ends: the objects that leave, as `ObjectPolicy.departures` returns them; empty if nobody asks.
        place: capacity, used, count of slots taken, unit of time (0 before the first eviction), last request.
        rate: step size; 0 learns nothing.
        candidates: how many slots are drawn at an eviction.
        draws: how many candidates at most become samples.
        span: time in units of as many requests as the cache held objects when it was full for the first time.
    """
    width, units = net.table.shape[1], net.hidden.shape[0]
    bits = log(net.table.shape[0] // (ACCESS + CANDIDATE)) - 1
    mask = np.uint64((1 << bits) - 1)
    places = samples.line.size
    f, g = np.zeros(ACCESS, np.uint16), np.zeros(CANDIDATE, np.uint16)
    x, slope = np.zeros(width, np.float32), np.zeros(width, np.float32)
    hidden, down = np.zeros(units, np.float32), np.zeros(units, np.float32)
    clock = np.zeros(1, np.int64)
    capacity, used, count, unit, previous = place[0], place[1], place[2], place[3], place[4]
    edges = EDGES * np.float32(unit)
    newest, over = samples.counts[0], samples.counts[1]
    random = np.uint64(samples.counts[2])
    told, left = ends.size > 0, 0
    for position in range(ids.size):
        t = start + position
        clock[0] = t
        i = np.int64(ids[position])
        need = size[position] if held is not None else np.int64(1)
        if unit > 0:
            over += returned(samples, net, ids[position], t, edges, rate, bits, x, hidden, slope, down)
            for stage in range(STAGES.size):
                over += outlived(samples, net, clock, unit, t, newest, stage, edges, rate, bits, x, hidden, slope, down)
        past = _describe(f, mask, objects, i, t, need, previous)
        previous = i
        slot = np.int64(objects.place[i]) - 1
        hits[position] = slot >= 0
        if slot >= 0:
            slots.reused[slot] = min(slots.reused[slot] + 1, 7)
            if told:
                ends[position] = left
        else:
            declined, first = bool(need > capacity), True
            while used + need > capacity and not declined:
                if unit == 0:
                    unit = count * span
                    edges = EDGES * np.float32(unit)
                drawn, least = np.int64(-1), np.float32(np.inf)
                if first and over >= _BEGINNING:  # then what is requested is itself a candidate
                    _describe_candidate(g, mask, past, 0, 0)
                    x[:] = 0
                    embed(net, f, 0, bits, x)
                    embed(net, g, ACCESS, bits, x)
                    least = index(net, x, hidden, edges) / np.float32(need)
                for number in range(min(count, candidates)):
                    random = shuffled(random)
                    other = np.int64((random >> np.uint64(20)) % np.uint64(count))
                    if count <= candidates:
                        other = np.int64(number)
                    if over < _BEGINNING:  # the one unused for longest
                        if drawn < 0 or slots.at[other] < slots.at[drawn]:
                            drawn = other
                        continue
                    if slots.until[other] <= t:
                        waited = t - slots.at[other]
                        _describe_candidate(g, mask, slots.past[other], slots.reused[other], waited)
                        for d in range(width):
                            x[d] = slots.base[other, d]
                        embed(net, g, ACCESS, bits, x)
                        slots.worth[other] = index(net, x, hidden, edges)
                        slots.until[other] = slots.at[other] + _next_change(waited)
                    worth = slots.worth[other] / np.float32(held[slots.item[other]] if held is not None else 1)
                    if worth < least:
                        least, drawn = worth, other
                for _ in range(draws if rate > 0 and first else 0):
                    random = shuffled(random)
                    full = newest - samples.reached[STAGES.size - 1] >= places
                    if full or np.int64(random >> np.uint64(33)) % (STAGES[-1] * unit * draws) >= places // 2:
                        continue
                    random = shuffled(random)
                    arriving = (random >> np.uint64(20)) % np.uint64(min(count, candidates) + 1) == 0
                    random = shuffled(random)
                    other = np.int64((random >> np.uint64(20)) % np.uint64(count))
                    q = np.int32(newest % places)
                    samples.at[q], samples.row[q], samples.when[q], samples.outlived[q] = t, 0, t, 0
                    if arriving:
                        _describe_candidate(g, mask, past, 0, 0)
                        samples.features[q, :ACCESS] = f
                    else:
                        _describe_candidate(g, mask, slots.past[other], slots.reused[other], t - slots.at[other])
                        samples.features[q, :ACCESS] = slots.access[other]
                    samples.features[q, ACCESS:] = g
                    link(samples, q, ids[position] if arriving else slots.item[other])
                    newest += 1
                first = False
                declined = bool(drawn < 0)
                if not declined:
                    used -= held[slots.item[drawn]] if held is not None else np.int64(1)
                    count -= 1
                    if told:
                        gone[left] = slots.item[drawn]
                        left += 1
                    _remove(objects, slots, drawn, count)
            if told:
                if declined:
                    gone[left] = ids[position]
                    left += 1
                ends[position] = left
            if declined:
                continue
            used += need
            if held is not None:
                held[i] = need
            slot = count
            count += 1
            slots.item[slot] = i
            slots.reused[slot] = 0
            objects.place[i] = slot + 1
        slots.at[slot], slots.until[slot], slots.past[slot] = t, 0, past
        slots.access[slot] = f
        slots.base[slot] = 0
        embed(net, f, 0, bits, slots.base[slot])
    place[1], place[2], place[3], place[4] = used, count, unit, previous
    samples.counts[0], samples.counts[1], samples.counts[2] = newest, over, np.int64(random)
