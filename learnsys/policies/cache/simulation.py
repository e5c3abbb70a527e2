"""The simulation driver: any policy over a prepared trace, whole or in parts, and many policies side by side."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learnsys.envs.cache.accesses import Accesses, next_uses
from learnsys.envs.cache.geometry import CacheGeometry
from learnsys.errors import InputError
from learnsys.policies.cache.base import Chunk, SetPolicy, State
from learnsys.policies.cache.registry import make_set_policy
from learnsys.statistics import normalised_hit_rate

_NONE = np.zeros(0, np.int32)


def chunk_of(accesses: Accesses, start: int, stop: int, next_use: NDArray[np.int32] | None = None) -> Chunk:
    """Accesses `start` to `stop`, with their next uses where given (of the whole trace)."""
    part = slice(start, stop)
    return Chunk(
        line=np.ascontiguousarray(accesses.line[part]),
        row=np.ascontiguousarray(accesses.row[part]),
        pc=np.ascontiguousarray(accesses.pc[part]),
        next_use=_NONE if next_use is None else np.ascontiguousarray(next_use[part]),
        start=start,
    )


def fit(policy: SetPolicy, accesses: Accesses, geometry: CacheGeometry, start: int, stop: int) -> State:
    """What `policy` learns from accesses `start` to `stop` alone: next uses behind `stop` are NEVER to it."""
    inside = next_uses(np.ascontiguousarray(accesses.line[start:stop]), accesses.line_number.size)
    known = inside < stop - start
    inside[known] += start
    part = chunk_of(accesses, start, stop)
    return policy.fit(Chunk(part.line, part.row, part.pc, inside, start), geometry)


def simulate(
    policy: Any,
    accesses: Accesses,
    geometry: CacheGeometry,
    *,
    seed: int = 0,
    chunk: int = 2**20,
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
    hits = np.zeros(len(accesses), np.uint8)
    state = policy.start(geometry, seed)
    state.update({name: array.copy() for name, array in (learnt or {}).items()})
    policy.grow(state, accesses.line_number.size, accesses.pc_value.size)
    for start in range(0, len(accesses), chunk):
        stop = min(start + chunk, len(accesses))
        future = accesses.next_use if policy.needs_future else None
        policy.run(state, chunk_of(accesses, start, stop, future), hits[start:stop])
    return hits


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
        policies: label -> policy. LRU and Belady are run in any case, for the normalised rate.
        window: the fractions of the trace between which hits are counted; before it the caches warm up.
        fit_on: the part on which policies that need it are fitted; it must end before `window` begins.
        workers: threads; the kernels release the interpreter.
        finished: called with a label as its simulation ends.

    Raises:
        InputError: no accesses, parts that overlap or are empty, or a policy to fit and no part for it.
    """
    if len(accesses) == 0:
        raise InputError("the trace holds no accesses")
    first, last = part_of(window, len(accesses))
    fitted = [name for name, policy in policies.items() if getattr(policy, "needs_fit", False)]
    if fitted and fit_on is None:
        raise InputError(f"{fitted[0]} must be fitted on an earlier part", remedy="give one, such as 0.0:0.8")
    if fitted and fit_on is not None and part_of(fit_on, len(accesses))[1] > first:
        raise InputError("the part to fit on reaches into the part where hits are counted", remedy="end it earlier")

    def run(name: str, policy: Any) -> tuple[NDArray[np.uint8], float]:
        learnt = None
        if getattr(policy, "needs_fit", False) and fit_on is not None:
            learnt = fit(policy, accesses, geometry, *part_of(fit_on, len(accesses)))
        before = time.thread_time()
        hits = simulate(policy, accesses, geometry, seed=seed, learnt=learnt)[first:last].copy()
        seconds = time.thread_time() - before
        finished(name)
        return hits, seconds

    wanted = {**policies}
    for bound in ("lru", "belady"):
        wanted.setdefault(bound, make_set_policy(bound))
    with ThreadPoolExecutor(max_workers=max(1, workers)) as pool:
        futures = {name: pool.submit(run, name, policy) for name, policy in wanted.items()}
        done = {name: future.result() for name, future in futures.items()}
    return summarise(done, list(policies), len(accesses))


def summarise(done: Mapping[str, tuple[NDArray[np.uint8], float]], names: list[str], simulated: int) -> list[Result]:
    """Results of `names` from label -> (hits in the window, CPU seconds); the labels include "lru" and "belady"."""
    lru, optimum = (float(done[bound][0].mean()) for bound in ("lru", "belady"))
    results = []
    for name in names:
        hits, seconds = done[name]
        rate = float(hits.mean())
        parts = np.array_split(hits, min(50, hits.size))
        results.append(
            Result(
                policy=name,
                accesses=hits.size,
                hits=int(hits.sum()),
                hit_rate=rate,
                normalised=normalised_hit_rate(rate, lru, optimum),
                misses_to_lru=(1 - rate) / (1 - lru) if lru < 1 else float("nan"),
                over_time=[float(part.mean()) for part in parts],
                seconds=seconds,
                accesses_per_second=simulated / max(seconds, 1e-9),
            )
        )
    return results
