"""The simulation driver: any policy over a prepared trace, whole or in parts, and many policies side by side."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learnsys.envs.cache.accesses import Accesses, next_uses
from learnsys.envs.cache.geometry import CacheGeometry
from learnsys.errors import InputError
from learnsys.policies.cache.base import Chunk, SetPolicy, State
from learnsys.policies.cache.registry import make_set_policy
from learnsys.statistics import normalised_hit_rate

CHUNK = 2**20
"""accesses that a kernel gets at a time"""
PARTS = 50
"""points of a curve of hit rate over time"""

_NONE = np.zeros(0, np.int32)


class Simulation:
    """One policy on one cache, from chunk to chunk.

    Args:
        learnt: what `fit` returned, for a policy that needs it.

    Attributes:
        state: named arrays; with `position` all that a later chunk depends on.
        position: accesses run so far.
    """

    def __init__(self, policy: SetPolicy, geometry: CacheGeometry, seed: int = 0, learnt: State | None = None) -> None:
        self.policy = policy
        self.position = 0
        self.state = policy.start(geometry, seed)
        self.state.update({name: array.copy() for name, array in (learnt or {}).items()})

    def run(self, chunk: Chunk, n_lines: int, n_pcs: int) -> NDArray[np.uint8]:
        """Whether each access of the next chunk hits, uint8 (n,); all its ids are below `n_lines` and `n_pcs`."""
        hits = np.zeros(chunk.line.size, np.uint8)
        self.policy.grow(self.state, n_lines, n_pcs)
        self.policy.run(self.state, chunk, hits)
        self.position += hits.size
        return hits


def simulate(
    policy: Any,
    accesses: Accesses,
    geometry: CacheGeometry,
    *,
    seed: int = 0,
    chunk: int = CHUNK,
    learnt: State | None = None,
) -> NDArray[np.uint8]:
    """Whether each access hits a cache under `policy` that starts empty; uint8 (n,).

    Args:
        policy: a `SetPolicy`, or any object with `simulate(accesses, geometry, seed) -> hits` of its own.
        accesses: the trace; its arrays may be memory-mapped, since only `chunk` accesses are read at a time.
        learnt: what `fit` returned, for a policy that needs it.
    """
    if not isinstance(policy, SetPolicy):
        return policy.simulate(accesses, geometry, seed)
    simulation = Simulation(policy, geometry, seed, learnt)
    hits = np.zeros(len(accesses), np.uint8)
    for start in range(0, len(accesses), chunk):
        part = chunk_of(accesses, start, min(start + chunk, len(accesses)), policy.needs_future)
        hits[start : start + chunk] = simulation.run(part, accesses.line_number.size, accesses.pc_value.size)
    return hits


def chunk_of(accesses: Accesses, start: int, stop: int, future: bool = False) -> Chunk:
    """Accesses `start` to `stop`, with their next uses if `future`."""
    part = slice(start, stop)
    return Chunk(
        line=np.ascontiguousarray(accesses.line[part]),
        row=np.ascontiguousarray(accesses.row[part]),
        pc=np.ascontiguousarray(accesses.pc[part]),
        next_use=np.ascontiguousarray(accesses.next_use[part]) if future else _NONE,
        start=start,
        line_number=accesses.line_number,
        pc_value=accesses.pc_value,
    )


def fit(policy: SetPolicy, accesses: Accesses, geometry: CacheGeometry, start: int, stop: int) -> State:
    """What `policy` learns from accesses `start` to `stop` alone: next uses behind `stop` are NEVER to it."""
    part = chunk_of(accesses, start, stop)
    inside = next_uses(part.line, accesses.line_number.size)
    inside[inside < stop - start] += start
    return policy.fit(replace(part, next_use=inside), geometry)


@dataclass(frozen=True)
class Tally:
    """The hits that one policy made in the counted part of a trace."""

    hits: int
    accesses: int
    over_time: list[float]
    seconds: float
    simulated: int
    byte_hit_rate: float

    @classmethod
    def of(
        cls, hits: NDArray[np.uint8], first: int, last: int, seconds: float, sizes: NDArray[np.int64] | None = None
    ) -> Tally:
        """Count between two accesses of `hits` (n,); `sizes` are the bytes of each access, int64 (n,)."""
        counted = hits[first:last]
        edges = np.linspace(0, counted.size, min(PARTS, counted.size) + 1).astype(np.int64)
        counts = [np.count_nonzero(counted[a:b]) for a, b in pairwise(edges)]  # reduceat would widen a copy
        parts = np.array(counts, np.int64)
        over_time = (parts / np.diff(edges)).tolist()
        byte_hit_rate = math.nan if sizes is None else _byte_hit_rate(counted, sizes[first:last])
        return cls(int(parts.sum()), counted.size, over_time, seconds, hits.size, byte_hit_rate)


def _byte_hit_rate(hits: NDArray[np.uint8], sizes: NDArray[np.int64]) -> float:
    """Bytes hit / bytes accessed, part by part: sizes may be a memory map larger than memory."""
    hit = total = 0
    for start in range(0, hits.size, CHUNK):
        part = slice(start, start + CHUNK)
        size = np.maximum(sizes[part], 1)
        total += int(size.sum())
        hit += int(size[hits[part] != 0].sum())
    return hit / max(1, total)


@dataclass(frozen=True)
class Result:
    """How one policy did on the counted part of one trace."""

    policy: str
    accesses: int
    """accesses counted"""
    hits: int
    hit_rate: float
    normalised: float
    """(hit rate - LRU's) / (Belady's - LRU's) on the same accesses; NaN without headroom"""
    misses_to_lru: float
    """misses relative to LRU's: 0.9 means a tenth fewer; NaN where LRU misses nothing"""
    over_time: list[float]
    """hit rate in each of (up to) 50 equal consecutive parts of the counted accesses"""
    seconds: float
    """CPU seconds for the whole trace, fitting left out"""
    accesses_per_second: float
    """accesses simulated in each CPU second"""
    byte_hit_rate: float = math.nan
    """bytes hit / bytes accessed; NaN where sizes do not count"""


def summarise(tallies: Mapping[str, Tally], names: Sequence[str]) -> list[Result]:
    """Results of `names`, next to the labels "lru" and "belady" among the tallies."""
    lru, optimum = (tallies[bound].hits / tallies[bound].accesses for bound in ("lru", "belady"))
    results = []
    for name in names:
        tally = tallies[name]
        rate = tally.hits / tally.accesses
        results.append(
            Result(
                policy=name,
                accesses=tally.accesses,
                hits=tally.hits,
                hit_rate=rate,
                normalised=normalised_hit_rate(rate, lru, optimum),
                misses_to_lru=(1 - rate) / (1 - lru) if lru < 1 else math.nan,
                over_time=tally.over_time,
                seconds=tally.seconds,
                accesses_per_second=tally.simulated / max(tally.seconds, 1e-9),
                byte_hit_rate=tally.byte_hit_rate,
            )
        )
    return results


def part_of(window: tuple[float, float], n: int) -> tuple[int, int]:
    """First and last-plus-one index of the part of `n` accesses between two fractions.

    Raises:
        InputError: no fractions in order, or nothing between them.
    """
    low, high = window
    if not 0.0 <= low < high <= 1.0:
        raise InputError(f"{low:g}:{high:g} is no part of a trace", remedy="give two fractions such as 0.9:1.0")
    start, stop = round(low * n), round(high * n)
    if start == stop:
        raise InputError(f"{low:g}:{high:g} of {n} accesses holds none", remedy="widen it")
    return start, stop


def needs_fit(policy: Any) -> bool:
    """Whether the policy has to be fitted on an earlier part of the trace."""
    return isinstance(policy, SetPolicy) and policy.needs_fit


def compare(
    policies: Mapping[str, Any],
    accesses: Accesses,
    geometry: CacheGeometry,
    *,
    window: tuple[float, float] = (0.0, 1.0),
    fit_on: tuple[float, float] | None = None,
    seed: int = 0,
    workers: int = 1,
    finished: Callable[[str], None] = lambda name: None,
) -> list[Result]:
    """Simulate each of `policies` over the whole trace and count the hits in `window`, next to LRU and Belady.

    Args:
        policies: label -> policy. LRU and Belady are run in any case, for the normalised rate, under the labels
            "lru" and "belady", which therefore nothing else may have.
        window: the fractions of the trace between which hits are counted; before it the caches warm up.
        fit_on: the part on which policies that need it are fitted; it must end before `window` begins.
        workers: threads; the kernels release the interpreter.
        finished: called with a label as its simulation ends.

    Raises:
        InputError: no accesses, parts that overlap or are empty, or a policy to fit and no part for it.
    """
    if len(accesses) == 0:
        raise InputError("the trace holds no accesses")
    counted = part_of(window, len(accesses))
    wanted = {**policies}
    for bound in ("lru", "belady"):
        wanted.setdefault(bound, make_set_policy(bound))
    learnt: dict[str, State] = {}
    for name, policy in wanted.items():
        if not needs_fit(policy):
            continue
        if fit_on is None:
            raise InputError(f"{name} must be fitted on an earlier part", remedy="give one, such as 0.0:0.8")
        start, stop = part_of(fit_on, len(accesses))
        if stop > counted[0]:
            raise InputError(
                f"{name} would be fitted on accesses where hits are counted",
                remedy="end the part to fit on before the window",
            )
        learnt[name] = fit(policy, accesses, geometry, start, stop)

    def job(name: str, policy: Any) -> Callable[[], NDArray[np.uint8]]:
        return lambda: simulate(policy, accesses, geometry, seed=seed, learnt=learnt.get(name))

    jobs = {name: job(name, policy) for name, policy in wanted.items()}
    alone = {name for name, policy in wanted.items() if not isinstance(policy, SetPolicy)}
    return summarise(sweep(jobs, *counted, workers=workers, alone=alone, finished=finished), list(policies))


def sweep(
    jobs: Mapping[str, Callable[[], NDArray[np.uint8]]],
    first: int,
    last: int,
    *,
    workers: int = 1,
    alone: Collection[str] = (),
    sizes: NDArray[np.int64] | None = None,
    finished: Callable[[str], None] = lambda name: None,
) -> dict[str, Tally]:
    """Run simulations in a pool of threads and count their hits from access `first` to `last`.

    Args:
        jobs: label -> what runs the whole trace and returns whether each access hits, uint8 (n,).
        alone: labels of jobs with threads of their own: they run one by one at the end, and all threads count.
        sizes: bytes of the object in each access, int64 (n,), where they count.
        finished: called with a label as its job ends.
    """

    def run(name: str, clock: Callable[[], float]) -> Tally:
        before = clock()
        hits = jobs[name]()
        tally = Tally.of(hits, first, last, clock() - before, sizes)
        finished(name)
        return tally

    with ThreadPoolExecutor(max_workers=max(1, workers)) as pool:
        futures = {name: pool.submit(run, name, time.thread_time) for name in jobs if name not in alone}
        tallies = {name: future.result() for name, future in futures.items()}
    return tallies | {name: run(name, time.process_time) for name in jobs if name in alone}
