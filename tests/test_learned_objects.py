"""learnsys_cache on object caches: what its features say, when worth is computed anew, and what it learns."""

from __future__ import annotations

import numpy as np
import pytest

from learnsys.errors import InputError
from learnsys.policies.cache.learned import network
from learnsys.policies.cache.object_simulation import ObjectSimulation, simulate_objects
from learnsys.policies.cache.objects import learned_kernel
from learnsys.policies.cache.objects.learned import LearnedObjects


def test_a_loop_that_does_not_fit():
    """LRU hits nothing; the least that must be missed is what has no room, 50 of 150 in each round."""
    ids = np.tile(np.arange(150, dtype=np.int32), 300)
    hits = simulate_objects(LearnedObjects(), ids, 150, 100)
    assert simulate_objects("lru", ids, 150, 100).sum() == 0
    assert hits[len(ids) // 2 :].mean() > 0.6  # of at most 0.667


def test_scans_do_not_evict_what_is_used_again():
    """20 objects used all the time, among requests that are never repeated."""
    rng = np.random.default_rng(0)
    popular, n = rng.integers(0, 20, 30000), 30000
    scan = rng.random(n) < 0.7
    keys = np.where(scan, 1000 + np.arange(n), popular)
    ids = np.unique(keys, return_inverse=True)[1].astype(np.int32)
    order = np.full(ids.max() + 1, -1, np.int32)
    order[ids[np.sort(np.unique(ids, return_index=True)[1])]] = np.arange(ids.max() + 1)
    dense = order[ids]
    late = slice(n // 2, n)
    ours, lru = (simulate_objects(policy, dense, ids.max() + 1, 22) for policy in (LearnedObjects(), "lru"))
    assert ours[late][~scan[late]].mean() > 0.97 > lru[late][~scan[late]].mean() + 0.2


def test_features_by_hand():
    """Objects 0, 1 and 0 again, which are neighbours: the features of the last request."""
    simulation = ObjectSimulation(LearnedObjects(), 4)
    assert simulation.run(np.array([0, 1, 0], np.int32), 2).tolist() == [0, 0, 1]
    state, mask = simulation.state, (1 << 14) - 1
    gap, half = 2, 4  # requests, and their halved log: two binary digits, the second one 0
    often = network.half_log(int(4 * (2 ** (-2 / 2**12) + 1)))
    expected = [(gap, 0), (half, 1), (0, 0), (0, gap), (1, 0), (-1 + 100, gap), (gap * 64, 0), (1, 1), (often, gap)]
    for k, (a, b) in enumerate(expected):
        assert int(state["slots.access"][0, k]) == int(network.mix(a, b, 10 + k)) & mask, k
    past = int(state["slots.past"][0])
    assert [past & 15, past >> 4 & 63, past >> 10 & 63, past >> 16 & 31] == [1, gap, 0, often]
    assert past >> 26 == 16 | 1  # a neighbour, and one binary digit of size 1
    assert state["slots.reused"][:2].tolist() == [1, 0] and state["touches"].tolist()[:2] == [2, 1]


def test_worth_is_computed_anew_when_the_age_looks_different():
    for age in range(1, 300):
        change = learned_kernel._next_change(age)
        assert network.half_log(age) == network.half_log(change - 1) < network.half_log(change)


@pytest.mark.parametrize("name", ["rate", "bits", "candidates", "draws", "embedding", "hidden", "span"])
def test_impossible_settings_are_refused(name):
    with pytest.raises(InputError):
        LearnedObjects(**{name: 0})
