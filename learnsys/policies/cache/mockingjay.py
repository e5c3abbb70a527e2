"""Mockingjay: mimic Belady's MIN with predicted times of arrival."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from learnsys.envs.cache.geometry import CacheGeometry
from learnsys.errors import InputError
from learnsys.policies.cache.base import Chunk, SetPolicy, State, sampled_sets, signatures

_HISTORY = 8
_GRANULARITY = 8
_STAMPS = 256
_SAMPLER_SETS = 16
_SAMPLER_WAYS = 5
_SIGNATURE_BITS = 11
_UNTRAINED = -1


@njit(inline="always")
def _detrain(distance, owner, infinite):
    """A sampled line left unused: its signature's distance grows."""
    distance[owner] = infinite if distance[owner] == _UNTRAINED else min(distance[owner] + 1, infinite)


@njit(inline="always")
def _sample(wanted, caller, now, infinite, distance, sample_line, sample_signature, sample_stamp):
    """Look an access up in its sampler set (arrays of one set, shape (ways,)), train with it and enter it."""
    for way in range(_SAMPLER_WAYS):
        elapsed = (now - sample_stamp[way]) & (_STAMPS - 1)
        if sample_line[way] == wanted and elapsed <= infinite:
            owner = sample_signature[way]
            # The published step, an integer part: one if the prediction is off by at least 16.
            if distance[owner] == _UNTRAINED:
                distance[owner] = elapsed
            elif elapsed - distance[owner] >= 16:
                distance[owner] += 1
            elif distance[owner] - elapsed >= 16:
                distance[owner] -= 1
            sample_line[way] = -1
            break
    place, age = -1, -1
    for way in range(_SAMPLER_WAYS):
        if sample_line[way] < 0:
            place, age = way, infinite + 1
            continue
        elapsed = (now - sample_stamp[way]) & (_STAMPS - 1)
        if elapsed > infinite:
            _detrain(distance, sample_signature[way], infinite)
            sample_line[way] = -1
            place, age = way, infinite + 1
        elif elapsed > age:
            place, age = way, elapsed
    if sample_line[place] >= 0:
        _detrain(distance, sample_signature[place], infinite)
    sample_line[place] = wanted
    sample_signature[place] = caller
    sample_stamp[place] = now


@njit(
    [
        "void(int32[::1], int32[::1], int32[::1], uint8[::1], boolean, int32[::1], int32[:, ::1], int32[::1],"
        " int8[:, ::1], uint8[::1], int16[::1], uint8[::1], int32[:, :, ::1], int32[:, :, ::1], int16[:, :, ::1],"
        " int16[::1])"
    ],
    cache=True,
    nogil=True,
)
def _mockingjay(
    line,
    row,
    pc,
    hits,
    bypass,
    signature,
    tags,
    filled,
    etr,
    clock,
    distance,
    sampled,
    sample_line,
    sample_signature,
    sample_stamp,
    stamp,
):
    """`distance` is the predicted reuse distance of each signature, `etr` the estimated time remaining of each line.

    `signature[2 pc + 1]` is that of a hit. The sampler of set r is `sample_*[r]`: small sets of recently seen lines,
    each with its signature and time stamp; a `sample_line` of -1 is free. `clock` counts accesses between two ageings,
    `stamp` the accesses of a sampled set.
    """
    ways = tags.shape[1]
    infinite = ways * _HISTORY - 1
    longest = infinite * 105 // 127
    etr_max = ways * _HISTORY // _GRANULARITY - 1
    for t in range(line.size):
        wanted, r = line[t], row[t]
        target = np.int32(-1)
        for way in range(ways):  # without a branch: faster than stopping early
            target = max(target, np.int32(way) if tags[r, way] == wanted else np.int32(-1))
        hit = target >= 0
        hits[t] = hit
        caller = signature[2 * pc[t] + hit]
        expected = distance[caller]
        if not hit and filled[r] < ways:
            target = filled[r]
            filled[r] += 1
        elif not hit:
            # The largest |etr|; among equals the last negative one, else the first.
            worst = 0
            for way in range(ways):
                worst = max(worst, abs(np.int32(etr[r, way])) * 2 + (etr[r, way] < 0))
            if not (bypass and (expected > longest or expected // _GRANULARITY > worst // 2)):
                for way in range(ways):
                    if abs(np.int32(etr[r, way])) * 2 + (etr[r, way] < 0) == worst:
                        target = np.int32(way)
                        if worst % 2 == 0:
                            break

        if sampled[r]:
            bucket = np.int64((np.uint32(wanted) * np.uint32(0x9E3779B1)) >> np.uint32(16)) & (_SAMPLER_SETS - 1)
            _sample(
                wanted,
                caller,
                stamp[r],
                infinite,
                distance,
                sample_line[r, bucket],
                sample_signature[r, bucket],
                sample_stamp[r, bucket],
            )
            stamp[r] = (stamp[r] + 1) & (_STAMPS - 1)

        if clock[r] == _GRANULARITY:
            for way in range(ways):
                etr[r, way] -= np.int8(way != target and abs(np.int32(etr[r, way])) < etr_max)
            clock[r] = 0
        clock[r] += 1
        if target < 0:
            continue
        tags[r, target] = wanted
        expected = distance[caller]
        if expected == _UNTRAINED:
            etr[r, target] = 0
        elif expected > longest:
            etr[r, target] = etr_max
        else:
            etr[r, target] = expected // _GRANULARITY


@dataclass(frozen=True)
class Mockingjay(SetPolicy):
    """Predict from its PC when a line comes back, and evict the one that is expected last, or is overdue by as much.

    Shah, Jain and Lin, "Effective mimicry of Belady's MIN policy", HPCA 2022; its part for demand accesses on one core,
    with the sizes of a 2 MiB 16-way cache: reuse distances (accesses to the set) up to 127 under signatures of 11 bits
    that tell hits from misses, learnt by a sampler of 16 sets of 5 lines for each sampled set; estimated times
    remaining of -15 to 15 in units of 8 accesses. Other numbers of ways scale the distances. A signature without
    training expects its line at once.
    """

    name = "mockingjay"

    samples: int | None = None
    """how many sets have a sampler (a power of two; 32 in the paper); None means all. Which ones, and how PCs are
    hashed, depends on the simulation's seed"""
    bypass: bool = True
    """do not insert a line that is expected later than all residents"""

    def start(self, geometry: CacheGeometry, seed: int = 0) -> State:
        shape = (geometry.sets, geometry.ways)
        sampler = (geometry.sets, _SAMPLER_SETS, _SAMPLER_WAYS)
        if geometry.ways > 128:
            raise InputError(f"mockingjay cannot keep the times of {geometry.ways} ways", remedy="use at most 128")
        return {
            "seed": np.array([seed]),
            "signature": np.zeros(0, np.int32),
            "tags": np.full(shape, -1, np.int32),
            "filled": np.zeros(geometry.sets, np.int32),
            "etr": np.zeros(shape, np.int8),
            "clock": np.full(geometry.sets, _GRANULARITY, np.uint8),
            "distance": np.full(2**_SIGNATURE_BITS, _UNTRAINED, np.int16),
            "sampled": sampled_sets(geometry.sets, self.samples, seed),
            "sample_line": np.full(sampler, -1, np.int32),
            "sample_signature": np.zeros(sampler, np.int32),
            "sample_stamp": np.zeros(sampler, np.int16),
            "stamp": np.zeros(geometry.sets, np.int16),
        }

    def grow(self, state: State, n_lines: int, n_pcs: int) -> None:
        if state["signature"].size < 2 * n_pcs:
            state["signature"] = signatures(2 * n_pcs, _SIGNATURE_BITS, int(state["seed"][0]), 2)

    def run(self, state: State, chunk: Chunk, hits: NDArray[np.uint8]) -> None:
        predictor = ("signature", "tags", "filled", "etr", "clock", "distance")
        sampler = ("sampled", "sample_line", "sample_signature", "sample_stamp", "stamp")
        arrays = (state[name] for name in predictor + sampler)
        _mockingjay(chunk.line, chunk.row, chunk.pc, hits, self.bypass, *arrays)
