"""Stack distances and miss-ratio curves against lists, and against each other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learnsys.envs.cache.stack_distance import StackDistances, lru_miss_curve, shards_curve, stack_distances
from learnsys.errors import InputError


def by_list(ids):
    """Stack distances by the definition: an explicit stack, top first."""
    stack, distances = [], []
    for i in ids:
        distances.append(stack.index(i) if i in stack else -1)
        if i in stack:
            stack.remove(i)
        stack.insert(0, i)
    return distances


def zipf(n, n_ids, exponent, seed=0):
    weight = np.cumsum(np.arange(1, n_ids + 1) ** -exponent)
    drawn = np.searchsorted(weight, np.random.default_rng(seed).random(n) * weight[-1])
    return drawn.astype(np.int32)


def test_by_hand():
    ids = np.array([0, 1, 2, 0, 0, 2, 1, 3, 0, 3], np.int32)
    assert stack_distances(ids, 4).tolist() == [-1, -1, -1, 2, 0, 1, 2, -1, 3, 1]
    curve = lru_miss_curve(ids, 4)
    # Hits need a capacity above the distance: distances 2 0 1 2 3 1.
    assert curve.misses([0, 1, 2, 3, 4, 5]).tolist() == [10, 9, 7, 5, 4, 4]
    assert curve.miss_ratio([2]).tolist() == [0.7]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 40), max_size=300), st.integers(1, 50))
def test_equals_the_definition_in_any_chunks(ids, chunk):
    array = np.array(ids, np.int32)
    assert stack_distances(array, 41).tolist() == by_list(ids)
    pieces = StackDistances()
    parts = [pieces.run(array[i : i + chunk]) for i in range(0, len(ids), chunk)]
    assert np.concatenate([*parts, np.zeros(0, np.int32)]).tolist() == by_list(ids)


def test_compaction_and_growth():
    """More accesses than slots (each compaction renumbers all), and ids that grow over the chunks."""
    ids = zipf(200_000, 700, 0.7)
    expected = by_list(ids[:4000].tolist())
    assert stack_distances(ids, 700)[:4000].tolist() == expected
    growing = np.concatenate([ids[:4000] % 50, zipf(150_000, 40_000, 0.5)])
    pieces = StackDistances()
    parts = np.concatenate([pieces.run(part) for part in np.array_split(growing, 13)])
    np.testing.assert_array_equal(parts, stack_distances(growing, 40_000))
    # Against an independent count on a sample of accesses: distinct ids in between.
    last = {}
    for t, i in enumerate(growing.tolist()):
        if t % 997 == 0 and i in last:
            assert parts[t] == len(set(growing[last[i] + 1 : t].tolist()))
        last[i] = t


def test_shards_approximates_the_exact_curve():
    ids = zipf(1_000_000, 100_000, 0.9)
    capacities = np.linspace(500, 90_000, 50)
    exact = lru_miss_curve(ids, 100_000).miss_ratio(capacities)
    for rate, error in ((0.1, 0.01), (0.03, 0.02)):
        sampled = shards_curve(ids, 100_000, rate).miss_ratio(capacities)
        assert np.abs(sampled - exact).mean() < error
    np.testing.assert_array_equal(shards_curve(ids, 100_000, 1.0).miss_ratio(capacities), exact)
    assert shards_curve(ids, 100_000, 0.03, seed=1).histogram.size != shards_curve(ids, 100_000, 0.03).histogram.size


def test_empty_and_bad():
    assert stack_distances(np.zeros(0, np.int32), 0).size == 0
    assert lru_miss_curve(np.zeros(0, np.int32), 0).miss_ratio([1, 2]).tolist() == [0, 0]
    assert shards_curve(np.zeros(0, np.int32), 0, 0.5).miss_ratio([1]).tolist() == [0]
    for rate in (0, -1, 1.5, float("nan")):
        with pytest.raises(InputError, match="rate"):
            shards_curve(np.zeros(1, np.int32), 1, rate)
