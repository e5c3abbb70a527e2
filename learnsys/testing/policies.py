"""The contract of a set-associative cache policy: `check_set_policy(MyPolicy())`."""

from __future__ import annotations

import pickle
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learnsys.envs.cache.accesses import Accesses
from learnsys.envs.cache.bounds import belady_hits
from learnsys.envs.cache.geometry import CacheGeometry
from learnsys.imitation import load_arrays, save_arrays
from learnsys.policies.cache.base import SetPolicy, State
from learnsys.policies.cache.simulation import Simulation, chunk_of, fit, simulate

SHAPES = ((1, 4), (4, 4), (8, 8), (32, 16))
"""(sets, ways) of the caches that policies are checked on"""


def geometry_of(sets: int, ways: int) -> CacheGeometry:
    """A cache of that shape, with lines of 64 bytes."""
    return CacheGeometry(sets * ways * 64, ways, 64)


def varied_accesses(n: int, geometry: CacheGeometry, seed: int = 0) -> Accesses:
    """A trace in which every kind of behaviour occurs: a loop, a stream, popular lines, and rare ones, by PC."""
    rng = np.random.default_rng(seed)
    lines = geometry.sets * geometry.ways
    kind = rng.integers(0, 4, n)
    number = np.select(
        [kind == 0, kind == 1, kind == 2],
        [
            np.cumsum(kind == 0) % (lines + lines // 2 + 1),
            10 * lines + np.cumsum(kind == 1),
            20 * lines + rng.zipf(1.3, n) % (4 * lines),
        ],
        30 * lines + rng.integers(0, 8 * lines, n),
    )
    pc = 4 * kind + rng.integers(0, 2, n)
    return Accesses.prepare(number.astype(np.uint64) * 64, pc.astype(np.uint64), geometry)


def check_set_policy(policy: SetPolicy, *, accesses: int = 3000, seed: int = 0) -> None:
    """Run the whole contract on a policy; takes about a second.

    Args:
        accesses: length of the random traces.
        seed: of the traces, and of the policy.

    Raises:
        AssertionError: a part of the contract that does not hold; the message says which.
    """
    assert isinstance(policy.name, str) and policy.name, "a policy has a name"
    assert pickle.loads(pickle.dumps(policy)) == policy, "a policy is equal to its pickled copy"
    for sets, ways in SHAPES:
        geometry = geometry_of(sets, ways)
        trace = varied_accesses(accesses, geometry, seed)
        learnt = fit(policy, trace, geometry, 0, accesses // 2) if policy.needs_fit else None
        _check_state(policy, geometry, learnt, seed)
        hits = simulate(policy, trace, geometry, seed=seed, learnt=learnt)
        _check_hits(policy, trace, geometry, hits, f"{sets} sets of {ways} ways")
        for chunk in (1, 97, 1024):
            parts = simulate(policy, trace, geometry, seed=seed, learnt=learnt, chunk=chunk)
            assert np.array_equal(parts, hits), f"chunks of {chunk} accesses change the hits ({sets} sets)"
        again = simulate(policy, trace, geometry, seed=seed, learnt=learnt)
        assert np.array_equal(again, hits), "the same seed gives the same hits"
        _check_resume(policy, trace, geometry, hits, learnt, seed)
    _check_room(policy, seed)


def _check_state(policy: SetPolicy, geometry: CacheGeometry, learnt: State | None, seed: int) -> None:
    one, other = policy.start(geometry, seed), policy.start(geometry, seed)
    assert one.keys() == other.keys(), "two starts make the same state"
    for name, array in one.items():
        assert isinstance(name, str) and isinstance(array, np.ndarray), f"state {name!r} is a named array"
        assert array.dtype != object, f"state {name!r} holds Python objects, which cannot be kept in a file"
        assert np.array_equal(array, other[name]), f"two starts under one seed differ in {name!r}"
        assert array.size == 0 or not np.shares_memory(array, other[name]), f"two starts share {name!r}"
    for name in learnt or {}:
        assert name in one, f"fit returns {name!r}, which start does not make"


def _check_hits(policy: SetPolicy, trace: Accesses, geometry: CacheGeometry, hits: NDArray[Any], where: str) -> None:
    assert hits.dtype == np.uint8 and hits.shape == (len(trace),) and hits.max() <= 1, "hits are 0 or 1, uint8 (n,)"
    first = np.unique(trace.line, return_index=True)[1]
    assert not hits[first].any(), f"the first access to a line cannot hit ({where})"
    best = int(belady_hits(trace, geometry.sets, geometry.ways, bypass=True).sum())
    assert hits.sum() <= best, f"{policy.name} hits {hits.sum()} times, Belady with bypass {best} times ({where})"


def _check_resume(
    policy: SetPolicy,
    trace: Accesses,
    geometry: CacheGeometry,
    hits: NDArray[Any],
    learnt: State | None,
    seed: int,
) -> None:
    ids = trace.line_number.size, trace.pc_value.size
    middle = len(trace) // 3
    before = Simulation(policy, geometry, seed, learnt)
    before.run(chunk_of(trace, 0, middle, policy.needs_future), *ids)
    after = Simulation(policy, geometry, seed + 1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state.safetensors"
        save_arrays(path, before.state)
        after.state = load_arrays(path)[0]
    rest = after.run(chunk_of(trace, middle, len(trace), policy.needs_future), *ids)
    assert np.array_equal(rest, hits[middle:]), "a state that was saved and loaded goes on to the same hits"


def _check_room(policy: SetPolicy, seed: int) -> None:
    """Room for everything, and for policies with queues a fourfold of it: only first accesses miss."""
    lines = np.random.default_rng(seed).integers(0, 24, 400).astype(np.uint64)
    geometry = geometry_of(1, 96)
    trace = Accesses.prepare(lines * 64, lines % 5, geometry)
    misses = len(trace) - int(simulate(policy, trace, geometry, seed=seed).sum())
    assert misses == trace.line_number.size, f"{misses} misses on {trace.line_number.size} lines that all fit"
