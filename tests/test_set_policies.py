"""Set-associative policies: the optimum, the contract, and the properties that all of them share."""

from __future__ import annotations

from functools import partial
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba.core.dispatcher import Dispatcher

from learnsys.envs.cache.accesses import NEVER, Accesses
from learnsys.errors import InputError
from learnsys.policies.cache.base import sampled_sets, signatures
from learnsys.policies.cache.registry import SET_POLICIES, make_set_policy
from learnsys.policies.cache.simulation import fit, simulate
from learnsys.testing.policies import check_set_policy, geometry_of, varied_accesses


def best_by_search(lines: tuple[int, ...], ways: int, bypass: bool) -> int:
    """Most hits of any sequence of decisions."""
    best: dict[frozenset[int], int] = {frozenset(): 0}
    for line in lines:
        following: dict[frozenset[int], int] = {}
        for held, hits in best.items():
            if line in held:
                choices = [(held, hits + 1)]
            elif len(held) < ways:
                choices = [(held | {line}, hits)]
            else:
                choices = [((held - {victim}) | {line}, hits) for victim in held]
            if bypass and line not in held:
                choices.append((held, hits))
            for cache, total in choices:
                following[cache] = max(following.get(cache, 0), total)
        best = following
    return max(best.values())


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=16), st.integers(1, 3))
def test_belady_is_optimal(lines, ways):
    accesses = Accesses.prepare(np.array(lines, np.uint64) * 64, None, geometry_of(1, ways))
    for bypass in (False, True):
        policy = make_set_policy("belady", bypass=bypass)
        hits = int(simulate(policy, accesses, geometry_of(1, ways)).sum())
        assert hits == best_by_search(tuple(lines), ways, bypass)


@pytest.mark.parametrize("name", SET_POLICIES)
def test_contract(name):
    check_set_policy(make_set_policy(name))


@settings(max_examples=25, deadline=None)
@given(
    data=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 3)), min_size=1, max_size=120),
    shape=st.sampled_from([(1, 4), (2, 4), (4, 8)]),
)
def test_no_policy_beats_belady_with_bypass(data, shape):
    geometry = geometry_of(*shape)
    numbers, pcs = (np.array(column, np.uint64) for column in zip(*data, strict=True))
    accesses = Accesses.prepare(numbers * 64, pcs, geometry)
    most = int(simulate(make_set_policy("belady_bypass"), accesses, geometry).sum())
    for name in SET_POLICIES:
        hits = simulate(make_set_policy(name), accesses, geometry, seed=1)
        assert hits.sum() <= most, name


@pytest.mark.parametrize("ways", [1, 2, 3, 5])
def test_any_number_of_ways(ways):
    geometry = geometry_of(4, ways)
    accesses = varied_accesses(2000, geometry)
    most = int(simulate(make_set_policy("belady_bypass"), accesses, geometry).sum())
    for name in SET_POLICIES:
        if name != "s4lru":
            assert simulate(make_set_policy(name), accesses, geometry).sum() <= most, name


def test_one_way_leaves_no_choice():
    geometry = geometry_of(8, 1)
    accesses = varied_accesses(2000, geometry)
    expected = simulate(make_set_policy("lru"), accesses, geometry)
    for name in ("mru", "random", "srrip", "brrip", "drrip", "shippp", "hawkeye", "mockingjay_no_bypass", "belady"):
        assert np.array_equal(simulate(make_set_policy(name), accesses, geometry), expected), name


def test_seeds_decide_random_replacement():
    geometry = geometry_of(8, 4)
    accesses = varied_accesses(2000, geometry)
    runs = [simulate(make_set_policy("random"), accesses, geometry, seed=seed) for seed in (0, 0, 1)]
    assert np.array_equal(runs[0], runs[1]) and not np.array_equal(runs[0], runs[2])


def test_impossible_shapes_are_refused():
    with pytest.raises(InputError, match="s4lru cannot split 6 ways"):
        make_set_policy("s4lru").start(geometry_of(1, 6))
    with pytest.raises(InputError, match="256 ways"):
        make_set_policy("mockingjay").start(geometry_of(1, 256))
    with pytest.raises(InputError, match="48 sampled sets"):
        make_set_policy("hawkeye", samples=48).start(geometry_of(64, 4))
    with pytest.raises(InputError, match="no cache policy is called 'nothing'"):
        make_set_policy("nothing")


def test_kernels_are_compiled_for_one_signature():
    geometry = geometry_of(4, 4)
    accesses = varied_accesses(300, geometry)
    modules = {entry.split(":")[0] for entry, _ in SET_POLICIES.values()}
    for name in SET_POLICIES:
        policy = make_set_policy(name)
        simulate(policy, accesses, geometry, learnt=fit(policy, accesses, geometry, 0, 200))
    for module in modules:
        for kernel in vars(__import__(module, fromlist=["_"])).values():
            if isinstance(kernel, Dispatcher) and not kernel.targetoptions.get("inline"):
                assert len(kernel.signatures) == 1, f"{module}.{kernel.__name__}"


def test_drrip_leaders_are_32_of_each():
    insertion = make_set_policy("drrip").start(geometry_of(2048, 16))["insertion"]
    srrip, brrip = np.flatnonzero(insertion == 0), np.flatnonzero(insertion == 1)
    assert len(srrip) == len(brrip) == 32
    assert len(set((srrip // 64).tolist())) == len(set((brrip // 64).tolist())) == 32  # one in each group of 64


@pytest.mark.parametrize(("sets", "samples", "seed"), [*product((1, 16, 256, 2048), (1, 32, 64, None), (0, 5))])
def test_sampled_sets(sets, samples, seed):
    chosen = sampled_sets(sets, samples, seed)
    assert chosen.sum() == (sets if samples is None else min(sets, samples))
    if samples and sets > samples:  # not all in one stretch, not all in one residue class
        index = np.flatnonzero(chosen)
        assert samples == 1 or np.ptp(index) > sets // 2
        assert samples == 1 or len(set((index % (sets // samples)).tolist())) > 1
        assert any((chosen != sampled_sets(sets, samples, other)).any() for other in range(6, 12))


def test_signatures_spread_and_fit():
    many = signatures(4096, 11)
    assert many.min() >= 0 and many.max() < 2048
    expected = 2048 * (1 - np.exp(-2))  # distinct values of 4096 random draws from 2048
    assert abs(len(set(many.tolist())) - expected) < 60
    assert np.array_equal(signatures(8192, 11)[:4096], many)
    assert (signatures(4096, 11, 1) != many).mean() > 0.99
    assert np.array_equal(signatures(2048, 11, kinds=2), many)


def test_fit_sees_nothing_behind_its_part():
    geometry = geometry_of(4, 4)
    accesses = varied_accesses(2000, geometry)
    other = varied_accesses(2000, geometry, seed=1)
    line, row, pc = (
        np.concatenate([getattr(accesses, k)[:1000], getattr(other, k)[1000:]]) for k in ("line", "row", "pc")
    )
    seen = []

    class Spy(type(make_set_policy("lru"))):
        def fit(self, chunk, geometry):
            seen.append(chunk)
            return {}

    changed = Accesses(
        line, pc, row, np.full(2000, NEVER), np.arange(line.max() + 1, dtype=np.uint64), accesses.pc_value
    )
    look = partial(fit, Spy(), geometry=geometry, start=200, stop=1000)
    look(accesses=accesses)
    look(accesses=changed)
    assert np.array_equal(seen[0].next_use, seen[1].next_use)
    known = seen[0].next_use[seen[0].next_use != NEVER]
    assert known.min() > 200 and known.max() < 1000 and seen[0].start == 200
