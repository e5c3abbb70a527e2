"""Samples: candidates of past evictions, and how the network learns from what becomes of them.

Q: places for samples.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from learnsys.policies.cache.learned.network import interval, mix, train


class Samples(NamedTuple):
    """Candidates of past evictions whose return is awaited: a ring, and lists of those of the same line."""

    line: NDArray[np.int32]
    """(Q,) -1 where it is over"""
    at: NDArray[np.int64]
    """(Q,) index of the access that evicted"""
    row: NDArray[np.int32]
    """(Q,) the set"""
    when: NDArray[np.int64]
    """(Q,) its clock at that access"""
    outlived: NDArray[np.uint8]
    """(Q,) intervals that the network has learnt the line to have outlived"""
    features: NDArray[np.uint16]
    """(Q, features)"""
    links: NDArray[np.int32]
    """(Q, 2) the sample before and after in the same list; before the first of list b stands -2 - b, at the end -1"""
    heads: NDArray[np.int32]
    """(a power of two,) first sample of each list, -1: none"""
    reached: NDArray[np.int64]
    """(STAGES,) first sample that is not yet as old as each stage"""
    counts: NDArray[np.int64]
    """(3,) one past the newest sample, samples that are over, state of the random numbers"""


STAGES = np.array([2, 6, 16])
"""ages, in units of the cache's size, at which the network learns what a line has outlived so far; after the last, the
line is not waited for any longer"""


def no_samples(room: int, features: int, rng: np.random.Generator) -> Samples:
    """Room for Q = `room` samples of `features` features."""
    return Samples(
        line=np.full(room, -1, np.int32),
        at=np.zeros(room, np.int64),
        row=np.zeros(room, np.int32),
        when=np.zeros(room, np.int64),
        outlived=np.zeros(room, np.uint8),
        features=np.zeros((room, features), np.uint16),
        links=np.zeros((room, 2), np.int32),
        heads=np.full(1 << (room - 1).bit_length(), -1, np.int32),
        reached=np.zeros(STAGES.size, np.int64),
        counts=np.array([0, 0, rng.integers(1, 2**62)], np.int64),
    )


@njit(inline="always")
def _list_of(samples, line):
    return np.int32(mix(line, 0, 6) & np.uint64(samples.heads.size - 1))


@njit(inline="always")
def link(samples, q, line):
    """Put sample `q` of a line in front of its list."""
    head = _list_of(samples, line)
    after = samples.heads[head]
    samples.line[q] = line
    samples.links[q, 0], samples.links[q, 1] = -2 - head, after
    if after >= 0:
        samples.links[after, 0] = q
    samples.heads[head] = q


@njit(inline="always")
def _unlink(samples, q):
    """Take sample `q` out of its list."""
    before, after = samples.links[q, 0], samples.links[q, 1]
    if before < -1:
        samples.heads[-2 - before] = after
    else:
        samples.links[before, 1] = after
    if after >= 0:
        samples.links[after, 0] = before
    samples.line[q] = -1


@njit(cache=True, nogil=True, fastmath=True)
def returned(samples, net, line, now, edges, rate, bits, x, hidden, slope, down):
    """The samples of `line`, accessed at its set's clock `now`, are over; returns how many."""
    over = 0
    q = samples.heads[_list_of(samples, line)]
    while q >= 0:
        following = samples.links[q, 1]
        if samples.line[q] == line:
            last = interval(np.float32(now - samples.when[q]), edges)
            first = min(np.int64(samples.outlived[q]), last)
            train(net, samples.features[q], first, last, last < edges.size, rate, bits, x, hidden, slope, down)
            over += 1
            _unlink(samples, q)
        q = following
    return over


@njit(cache=True, nogil=True, fastmath=True)
def outlived(samples, net, clock, size, t, newest, stage, edges, rate, bits, x, hidden, slope, down):
    """Samples as old as a stage outlived the intervals until now; after the last one all, and they are over.

    Args:
        clock: of each set.
        size: of the cache.

    Returns how many are over.
    """
    room, final, over = samples.line.size, stage == STAGES.size - 1, 0
    before = t - STAGES[stage] * size
    number = samples.reached[stage]
    while number < newest and samples.at[number % room] < before:
        q = np.int32(number % room)
        if samples.line[q] >= 0:
            waited = np.float32(clock[samples.row[q]] - samples.when[q])
            last = edges.size if final else interval(waited, edges)
            first = np.int64(samples.outlived[q])
            if last > first:
                train(net, samples.features[q], first, last, False, rate, bits, x, hidden, slope, down)
                samples.outlived[q] = last
            if final:
                over += 1
                _unlink(samples, q)
        number += 1
    samples.reached[stage] = number
    return over
