"""The guard: its theorem, access by access, on random traces and on the policies that ship."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from learnsys.envs.cache.accesses import Accesses
from learnsys.errors import InputError
from learnsys.policies.cache.guard import Guard, guard
from learnsys.policies.cache.parrot.config import ModelConfig
from learnsys.policies.cache.parrot.embedders import Vocabulary
from learnsys.policies.cache.parrot.policy import ParrotPolicy
from learnsys.policies.cache.registry import make_set_policy
from learnsys.policies.cache.simulation import Simulation, chunk_of, simulate
from learnsys.testing.policies import check_set_policy, geometry_of, varied_accesses

PAIRS = [("mru", "lru"), ("random", "lru"), ("hawkeye", "srrip"), ("mockingjay", "lru"), ("belady_bypass", "lru")]


def trace_of(lines: list[int], sets: int, ways: int) -> Accesses:
    numbers = np.array(lines, np.uint64)
    return Accesses.prepare(numbers * 64, numbers % 3, geometry_of(sets, ways))


def history(policy: Guard, trace: Accesses, sets: int, ways: int):
    """One access at a time: hits, the hits of the shadows, and groups and contents before each access."""
    geometry = geometry_of(sets, ways)
    simulation = Simulation(policy, geometry)
    shadows = [Simulation(shadow, geometry) for shadow in policy.shadows.values()]
    ids = trace.line_number.size, trace.pc_value.size
    hits, shadow_hits, groups, missing = [], [], [], []
    for t in range(len(trace)):
        groups.append(simulation.state["groups"].copy())
        held = [each.policy.resident(each.state) for each in shadows]
        tags = simulation.state["tags"]
        missing.append([[len(set(h[r]) - set(tags[r]) - {-1}) for r in range(sets)] for h in held])
        part = chunk_of(trace, t, t + 1, policy.needs_future)
        hits.append(int(simulation.run(part, *ids)[0]))
        shadow_hits.append([int(each.run(part, *ids)[0]) for each in shadows])
    groups.append(simulation.state["groups"].copy())
    return np.array(hits), np.array(shadow_hits), np.array(groups), np.array(missing)


@pytest.mark.parametrize("names", [*PAIRS, ("mru", "random", "lru"), ("hawkeye", "mockingjay", "srrip", "lru")])
@settings(max_examples=10, deadline=None)
@given(
    lines=st.lists(st.integers(0, 23), min_size=40, max_size=160),
    threshold=st.integers(1, 6),
    entry=st.integers(1, 6),
    group=st.sampled_from([1, 2, None]),
)
def test_the_theorem_holds(names, lines, threshold, entry, group):
    sets, ways = 4, 2
    trace = trace_of(lines, sets, ways)
    first, *others, last = (make_set_policy(name) for name in names)
    policy = Guard(first, last, group=group, threshold=threshold, entry=entry, others=tuple(others))
    hits, shadow_hits, groups, missing = history(policy, trace, sets, ways)
    misses, shadow_misses = 1 - hits, 1 - shadow_hits
    limit = np.array([entry] * (len(names) - 1) + [threshold])
    size = group or sets
    for g in range(sets // size):
        mine = trace.row // size == g
        following = groups[:-1, g, 0]
        switches = groups[-1, g, 1]
        edges = [0, *(1 + np.flatnonzero(np.diff(groups[:, g, 1])))]
        stretches = list(zip(edges, [*edges[1:], len(trace)], strict=True))
        assert len(stretches) == switches + 1
        times = np.zeros(len(names), int)
        for low, high in stretches:
            if low == high:  # a switch at the very end
                times[groups[-1, g, 0]] += 1
                continue
            followed = following[low]
            times[followed] += 1
            assert (following[low:high] == followed).all()
            part = slice(low, high)
            mine_misses = misses[part][mine[part]].sum()
            theirs = shadow_misses[part][mine[part]].sum(0)
            at_start = missing[low, followed, g * size : (g + 1) * size].sum()
            assert mine_misses <= theirs[followed] + at_start <= theirs[followed] + size * ways
            assert (theirs[followed] <= theirs + limit * (np.arange(len(names)) != followed)).all()
        total = misses[mine].sum()
        bound = shadow_misses[mine].sum(0) + (switches + 1 - times) * limit + switches * size * ways
        assert (total <= bound).all()


@pytest.mark.parametrize("name", ["lru", "mru", "hawkeye", "mockingjay", "srrip", "table_pc", "belady"])
def test_a_guarded_policy_keeps_the_contract(name):
    check_set_policy(guard(make_set_policy(name)), accesses=600)


def test_without_switches_the_cache_is_the_fallback():
    geometry = geometry_of(8, 8)
    trace = varied_accesses(4000, geometry)
    policy = guard(make_set_policy("mru"), "srrip", entry=10**6)
    assert np.array_equal(simulate(policy, trace, geometry), simulate(make_set_policy("srrip"), trace, geometry))


def test_the_shadows_run_as_if_alone():
    geometry = geometry_of(8, 8)
    trace = varied_accesses(3000, geometry)
    policy, ids = guard(make_set_policy("drrip"), threshold=4, entry=4), (trace.line_number.size, trace.pc_value.size)
    guarded, alone = Simulation(policy, geometry, 5), Simulation(make_set_policy("drrip"), geometry, 5)
    for simulation in (guarded, alone):
        simulation.run(chunk_of(trace, 0, len(trace)), *ids)
    for name, array in alone.state.items():
        assert np.array_equal(guarded.state[f"policy/{name}"], array), name


def test_the_better_of_two_is_followed():
    """A loop over one line more than a set holds: LRU never hits, MRU nearly always."""
    geometry = geometry_of(4, 8)
    trace = trace_of(list(np.arange(36000) % 36), 4, 8)
    mru, lru = (simulate(make_set_policy(name), trace, geometry).mean() for name in ("mru", "lru"))
    assert lru == 0 and mru > 0.8
    good = simulate(guard(make_set_policy("mru"), threshold=32, entry=32), trace, geometry).mean()
    assert good > mru - 0.01
    swapped = Guard(make_set_policy("lru"), make_set_policy("mru"), threshold=32, entry=32)
    assert simulate(swapped, trace, geometry).mean() > mru - 0.01


def test_a_policy_simulated_as_a_whole_is_guarded_by_replay():
    """What Parrot and its like offer: victims; a replay of them under the guard is the guard of the policy itself."""
    geometry = geometry_of(4, 4)
    trace = varied_accesses(2000, geometry)
    mru = make_set_policy("mru")

    class Told:
        name = "told"

        def victims(self, accesses, geometry, seed):
            simulation = Simulation(mru, geometry, seed)
            ways = np.full(len(accesses), -1, np.int16)
            for t in range(len(accesses)):
                before = simulation.state["tags"].copy()
                simulation.run(chunk_of(accesses, t, t + 1), accesses.line_number.size, accesses.pc_value.size)
                for way in np.flatnonzero((before != simulation.state["tags"])[accesses.row[t]]):
                    ways[t] = way if before[accesses.row[t], way] >= 0 else -1
            return ways

    replayed = guard(Told(), threshold=3, entry=2, group=1).simulate(trace, geometry)
    assert np.array_equal(replayed, simulate(guard(mru, threshold=3, entry=2, group=1), trace, geometry))
    with pytest.raises(InputError, match="does not tell"):
        guard(object())


def test_a_guarded_parrot_runs():
    torch.manual_seed(0)
    geometry = geometry_of(2, 4)
    trace = varied_accesses(600, geometry)
    words = (Vocabulary.build(ids, np.ones(ids.size, np.int64), 40) for ids in (trace.pc_value, trace.line_number))
    config = ModelConfig(address_vocabulary=40, pc_vocabulary=40, embedding=16, hidden=24, history=7)
    parrot = ParrotPolicy(config, *words)
    parrot.model.eval()
    assert (parrot.victims(trace, geometry) >= 0).any()
    never = guard(parrot, entry=10**6).simulate(trace, geometry)
    assert np.array_equal(never, simulate(make_set_policy("lru"), trace, geometry))
    assert guard(parrot, threshold=1, group=1).simulate(trace, geometry).shape == (len(trace),)


def test_impossible_guards_are_refused():
    for wrong in ({"group": 0}, {"threshold": 0}, {"entry": 0}):
        with pytest.raises(InputError):
            guard(make_set_policy("mru"), **wrong)
    with pytest.raises(InputError):
        guard(make_set_policy("mru"), "nothing")
