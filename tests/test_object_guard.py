"""The guard of object caches: by hand, its theorem access by access, and the contract of object policies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learnsys.envs.cache.accesses import DenseIds
from learnsys.errors import InputError
from learnsys.policies.cache.base import ObjectPolicy
from learnsys.policies.cache.object_simulation import ObjectSimulation, simulate_objects
from learnsys.policies.cache.objects.guard import GuardedObjects
from learnsys.policies.cache.objects.learned import LearnedObjects
from learnsys.policies.cache.registry import make_object_policy
from learnsys.testing.object_policies import check_object_policy, varied_objects

GUARDED, LRU = "guard:learnsys_cache", make_object_policy("lru")


@dataclass(frozen=True)
class Newest(ObjectPolicy):
    """Evicts what was used last, and declines every `declines`-th miss: often much worse than LRU, or much better."""

    name = "newest"
    per_object: ClassVar = {"at": (np.int64, -1)}
    counters = 1
    declines: int = 0

    def run(self, state, chunk, hits):
        self.departures(state, chunk, hits)

    def departures(self, state, chunk, hits):
        at, place, gone, ends = state["at"], state["place"], [], []
        for t, i in enumerate(chunk.line.tolist()):
            need = 1 if chunk.size is None else int(chunk.size[t])
            hits[t] = at[i] >= 0
            if not hits[t]:
                place[2] += 1
                if need > place[0] or (self.declines and place[2] % self.declines == 0):
                    gone.append(i)
                    ends.append(len(gone))
                    continue
                while place[1] + need > place[0]:
                    victim = int(at.argmax())
                    at[victim] = -1
                    place[1] -= state["held"][victim] if chunk.size is not None else 1
                    gone.append(victim)
                place[1] += need
                if chunk.size is not None:
                    state["held"][i] = need
            at[i] = chunk.start + t
            ends.append(len(gone))
        return np.array(gone, np.int32), np.array(ends, np.int64)

    def contents(self, state):
        return np.flatnonzero(state["at"] >= 0)


def history(policy, ids, capacity, sizes):
    """One access at a time: hits of the cache, of the policy and of LRU; and the guard's `place` and, for either
    shadow, how many objects it held, and how many of those the cache did not, before each access and at the end.
    """
    n = int(ids.max()) + 1
    three = [ObjectSimulation(each, capacity, sized=sizes is not None) for each in (policy, policy.policy, LRU)]
    hits, places, held, missing = [], [], [], []
    for t in range(ids.size + 1):
        cached, *shadows = [set(each.policy.contents(each.state)) if t else set() for each in three]
        places.append(three[0].state["place"].copy())
        held.append([len(shadow) for shadow in shadows])
        missing.append([len(shadow - cached) for shadow in shadows])
        if t < ids.size:
            part = slice(t, t + 1)
            size = None if sizes is None else sizes[part]
            hits.append([int(each.run(ids[part], n, sizes=size)[0]) for each in three])
    return np.array(hits), np.array(places), np.array(held), np.array(missing)


def test_by_hand():
    """Room for two, thresholds of 1. The policy evicts what was used last, so that it keeps 0 for good."""
    ids = np.array([0, 1, 2, 0, 1, 0, 2, 0, 2, 2], np.int32)
    policy = GuardedObjects(Newest(), threshold=1, entry=1)
    hits, places, _, _ = history(policy, ids, 2, None)
    # newest:  0 | 0 1 | 0 2 (1 goes) | hit 0 | 0 goes: 2 1 | 1 goes: 2 0 | hit 2 | hit 0 | hit 2 | hit 2
    # LRU:     0 | 0 1 | 1 2          | 2 0   | 0 1         | hit 0       | 0 2   | hit 0 | hit 2 | hit 2
    assert hits[:, 1].tolist() == [0, 0, 0, 1, 0, 0, 1, 1, 1, 1]
    assert hits[:, 2].tolist() == [0, 0, 0, 0, 0, 1, 0, 1, 1, 1]
    # LRU is followed up to access 3, where it misses and the policy hits: 2 0. Then the policy: at 4 it holds 2 1, so
    # 0 goes; at 5 it misses what LRU hits and holds 2 0, so 1 goes; back to LRU. At 6 LRU misses, the policy again.
    assert places[:, 2].tolist() == [1, 1, 1, 1, 0, 0, 1, 0, 0, 0, 0]
    assert places[:, 3].tolist() == [0, 0, 0, 0, 1, 1, 2, 3, 3, 3, 3]
    assert hits[:, 0].tolist() == [0, 0, 0, 0, 0, 0, 1, 1, 1, 1]


@settings(max_examples=150, deadline=None)
@given(
    lines=st.lists(st.integers(0, 11), min_size=30, max_size=120),
    weights=st.none() | st.lists(st.integers(1, 4), min_size=12, max_size=12),
    capacity=st.integers(1, 7),
    declines=st.integers(0, 3),
    threshold=st.integers(1, 5),
    entry=st.integers(1, 5),
)
def test_the_theorem_holds(lines, weights, capacity, declines, threshold, entry):
    ids = DenseIds().map(np.array(lines, np.uint64))
    sizes = None if weights is None else np.array(weights)[ids]
    policy = GuardedObjects(Newest(declines), threshold=threshold, entry=entry)
    hits, places, held, missing = history(policy, ids, capacity, sizes)
    misses, limit = 1 - hits, np.array([entry, threshold])
    followed, switches = places[:, 2], int(places[-1, 3])
    edges = [0, *(1 + np.flatnonzero(np.diff(places[:, 3])))]
    assert len(edges) == switches + 1
    times = np.zeros(2, int)
    for low, high in zip(edges, [*edges[1:], ids.size], strict=True):
        leader = followed[low]
        times[leader] += 1
        assert (followed[low:high] == leader).all()
        mine, *theirs = misses[low:high].sum(0)
        assert mine <= theirs[leader] + missing[low, leader] <= theirs[leader] + held.max()
        assert theirs[leader] <= theirs[1 - leader] + limit[1 - leader]
        assert (np.diff(missing[low : high + 1, leader]) <= 0).all()
    total, *theirs = misses.sum(0)
    assert (total <= np.array(theirs) + (switches + 1 - times) * limit + switches * held.max()).all()
    if sizes is None:
        assert held.max() <= capacity


@pytest.mark.parametrize("sized", [False, True])
def test_the_contract(sized):
    check_object_policy(GuardedObjects(Newest(3), threshold=3, entry=2) if sized else GuardedObjects(Newest(), entry=1))


def test_the_guarded_learner_keeps_the_contract():
    check_object_policy(make_object_policy(GUARDED), accesses=400)


def test_objects_whose_sizes_change_never_overfill_the_cache():
    ids = varied_objects(6000, 20)
    sizes = np.random.default_rng(0).integers(1, 40, ids.size)
    for policy in (GuardedObjects(Newest(5), threshold=3, entry=2), make_object_policy(GUARDED)):
        run = ObjectSimulation(policy, 200, sized=True)
        for part in np.array_split(np.arange(ids.size), 300):
            run.run(ids[part], int(ids.max()) + 1, sizes=sizes[part])
            cached = run.policy.contents(run.state)
            assert run.state["held"][cached].sum() == run.state["place"][1] <= 200


def test_without_switches_the_cache_is_lru():
    ids = varied_objects(20_000, 50)
    sizes = 1 + ids % 7
    policy = GuardedObjects(LearnedObjects(), entry=10**9)
    for capacity, weight in ((50, None), (300, sizes)):
        assert np.array_equal(
            simulate_objects(policy, ids, int(ids.max()) + 1, capacity, sizes=weight),
            simulate_objects("lru", ids, int(ids.max()) + 1, capacity, sizes=weight),
        )


@pytest.mark.parametrize("sized", [False, True])
def test_the_learner_tells_what_leaves_and_runs_as_if_alone(sized):
    """After a start with no network yet, with samples, and with declined objects."""
    ids = varied_objects(40_000, 60)
    n, sizes = int(ids.max()) + 1, 1 + ids % 5 if sized else None
    capacity = 180 if sized else 60
    telling, alone = (ObjectSimulation(LearnedObjects(), capacity, sized=sized, seed=3) for _ in range(2))
    expected = alone.run(ids, n, sizes=sizes)
    held, declined = set(), 0
    told = {}

    def listening(state, chunk, hits):
        told["gone"], told["ends"] = LearnedObjects().departures(state, chunk, hits)

    class Listening(LearnedObjects):
        run = staticmethod(listening)

    telling.policy = Listening()
    assert np.array_equal(telling.run(ids, n, sizes=sizes), expected)
    left = 0
    for t, i in enumerate(ids.tolist()):
        assert (i in held) == bool(expected[t])
        held.add(i)
        leaving = told["gone"][left : told["ends"][t]].tolist()
        assert len(set(leaving)) == len(leaving) and held.issuperset(leaving)
        declined += i in leaving
        held.difference_update(leaving)
        left = told["ends"][t]
    assert held == set(alone.policy.contents(alone.state).tolist())
    assert declined > 100
    guarded = ObjectSimulation(GuardedObjects(LearnedObjects()), capacity, sized=sized, seed=3)
    guarded.run(ids, n, sizes=sizes)
    for name, array in alone.state.items():
        assert np.array_equal(guarded.state[f"policy/{name}"], array), name


def test_the_better_of_two_is_followed():
    """A loop of 150 over room for 100, which LRU never hits; then objects of which it hits all that it can."""
    loop, recent = np.tile(np.arange(150), 200), 150 + np.arange(30_000) // 3
    ids = np.concatenate([loop, recent]).astype(np.int32)
    n = int(ids.max()) + 1
    guarded, alone, lru = (simulate_objects(name, ids, n, 100) for name in (GUARDED, "learnsys_cache", "lru"))
    late = slice(15_000, 30_000)
    assert lru[:30_000].sum() == 0
    assert guarded[late].mean() > alone[late].mean() - 0.01 > 0.6
    assert guarded[30_000:].mean() > lru[30_000:].mean() - 0.02


def test_what_cannot_be_guarded_is_refused():
    for wrong in ({"threshold": 0}, {"entry": 0}):
        with pytest.raises(InputError, match="thresholds of at least 1"):
            GuardedObjects(Newest(), **wrong)
    with pytest.raises(InputError, match="s3fifo does not tell"):
        make_object_policy("guard:s3fifo")
    with pytest.raises(InputError, match="no cache policy is called 'nothing'"):
        make_object_policy("guard:nothing")
