"""The contract of an object-cache policy: `check_object_policy(MyPolicy())`."""

from __future__ import annotations

import pickle
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from learnsys.envs.cache.accesses import DenseIds, next_uses
from learnsys.imitation import load_arrays, save_arrays
from learnsys.policies.cache.base import ObjectPolicy, State
from learnsys.policies.cache.object_simulation import ObjectSimulation, simulate_objects


def varied_objects(n: int, capacity: int, seed: int = 0) -> NDArray[np.int32]:
    """Dense ids, int32 (n,), of a trace in which every kind of behaviour occurs: a loop somewhat larger than the
    cache, a stream, popular objects, and rare ones.
    """
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 4, n)
    number = np.select(
        [kind == 0, kind == 1, kind == 2],
        [
            np.cumsum(kind == 0) % (capacity + capacity // 2 + 1),
            10 * capacity + np.cumsum(kind == 1),
            -1 - rng.zipf(1.3, n) % (4 * capacity),
        ],
        -5 * capacity - rng.integers(0, 8 * capacity, n),
    )
    return DenseIds().map(number.astype(np.int64).view(np.uint64))


def check_object_policy(policy: ObjectPolicy, *, accesses: int = 3000, seed: int = 0) -> None:
    """Run the whole contract on a policy; takes about a second.

    Args:
        accesses: length of the random traces.
        seed: of the traces, and of the policy.

    Raises:
        AssertionError: a part of the contract that does not hold; the message says which.
    """
    assert isinstance(policy.name, str) and policy.name, "a policy has a name"
    assert pickle.loads(pickle.dumps(policy)) == policy, "a policy is equal to its pickled copy"
    for capacity in (1, 2, 7, 100, 1000):
        ids = varied_objects(accesses, capacity, seed)
        weight = np.random.default_rng(seed).integers(1, 60, ids.max() + 1)[ids]
        _check(policy, ids, capacity, None, seed)
        _check(policy, ids, 30 * capacity, weight, seed)
        uniform = simulate_objects(policy, ids, int(ids.max()) + 1, capacity, seed=seed)
        ones = simulate_objects(policy, ids, int(ids.max()) + 1, capacity, sizes=np.ones(ids.size, int), seed=seed)
        if not np.array_equal(uniform, ones):
            raise AssertionError("objects of 1 byte each are cached otherwise than objects without sizes")
    _check_room(policy, seed)


def _check(
    policy: ObjectPolicy, ids: NDArray[np.int32], capacity: int, sizes: NDArray[np.int64] | None, seed: int
) -> None:
    where = f"a cache of {capacity} {'objects' if sizes is None else 'bytes'}"
    n = int(ids.max()) + 1
    hits = simulate_objects(policy, ids, n, capacity, sizes=sizes, seed=seed)
    assert hits.dtype == np.uint8 and hits.shape == ids.shape and hits.max() <= 1, "hits are 0 or 1, uint8 (n,)"
    assert not hits[np.unique(ids, return_index=True)[1]].any(), f"a first access cannot hit ({where})"
    if sizes is None:
        best = int(simulate_objects("belady", ids, n, capacity + 1).sum())  # room for one is as good as bypass
        assert hits.sum() <= best, f"{policy.name} hits {hits.sum()} times, the optimum {best} times ({where})"
    for chunk in (1, 97, 1024):
        _check_chunks(policy, ids, capacity, sizes, seed, chunk, hits, where)


def _check_chunks(
    policy: ObjectPolicy,
    ids: NDArray[np.int32],
    capacity: int,
    sizes: NDArray[np.int64] | None,
    seed: int,
    chunk: int,
    hits: NDArray[np.uint8],
    where: str,
) -> None:
    """The same hits in chunks, with ids that become known as they come and a state saved and loaded in between; and
    in chunks of one access, that what hits is what was cached.
    """
    next_use = next_uses(ids, int(ids.max()) + 1)
    steps = ids.size if chunk > 1 else min(ids.size, 400)
    run = ObjectSimulation(policy, capacity, sized=sizes is not None, seed=seed)
    known = 0
    for start in range(0, steps, chunk):
        part = slice(start, min(start + chunk, steps))
        known = max(known, int(ids[part].max()) + 1)
        before = run.policy.contents(run.state) if chunk == 1 and start else np.zeros(0, np.int64)
        got = run.run(
            ids[part],
            known,
            sizes=None if sizes is None else sizes[part],
            next_use=next_use[part] if policy.needs_future else None,
        )
        assert np.array_equal(got, hits[part]), f"chunks of {chunk} accesses change the hits ({where})"
        if chunk == 1:
            expected = start if policy.needs_future else ids[start]
            assert bool(got[0]) == (expected in before), f"access {start} hits iff its object is cached ({where})"
        if not policy.needs_future:
            cached = run.policy.contents(run.state)
            weight = 1 if sizes is None else sizes[np.unique(ids, return_index=True)[1]][cached]
            held = int(np.sum(weight * np.ones(cached.size, np.int64)))
            assert held <= capacity, f"{held} are held in {where}"
        if start // chunk == 1:
            run.state = _kept(run.state)


def _kept(state: State) -> State:
    """The state after it was saved and loaded."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state.safetensors"
        save_arrays(path, state)
        return load_arrays(path)[0]


def _check_room(policy: ObjectPolicy, seed: int) -> None:
    """Room for everything, and for policies with queues a manifold of it: only first accesses miss."""
    ids = DenseIds().map(np.random.default_rng(seed).integers(0, 24, 600).astype(np.uint64))
    misses = ids.size - int(simulate_objects(policy, ids, 24, 2400, seed=seed).sum())
    assert misses == int(ids.max()) + 1, f"{misses} misses on {ids.max() + 1} objects that all fit"
