"""learnsys_cache: its gradient, labels, features, OPTgen, and what it learns."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from learnsys.cli.cache_jobs import parse_policies
from learnsys.envs.cache.accesses import Accesses
from learnsys.errors import InputError
from learnsys.policies.cache.guard import Guard
from learnsys.policies.cache.learned import kernel
from learnsys.policies.cache.learned.features import ACCESS_FEATURES, CANDIDATE_FEATURES
from learnsys.policies.cache.learned.policy import LearnsysCache
from learnsys.policies.cache.learned.state import FIRST_SQUARE, Network
from learnsys.policies.cache.registry import load_learned_policy, make_set_policy
from learnsys.policies.cache.simulation import Simulation, chunk_of, compare, fit, simulate
from learnsys.testing.policies import geometry_of, varied_accesses
from learnsys.traces.synthetic import synthesize

WIDTH, UNITS, BITS, RATE = 4, 3, 2, 0.05
COUNT = len(ACCESS_FEATURES) + len(CANDIDATE_FEATURES)


@pytest.mark.parametrize("kept", [0, 1])
def test_a_step_follows_the_gradient(kept):
    rng = np.random.default_rng(kept)
    net = Network(
        table=rng.normal(size=(COUNT << BITS, WIDTH)).astype(np.float32),
        squares=rng.uniform(0.1, 2, COUNT << BITS).astype(np.float32),
        hidden=rng.normal(size=(UNITS, WIDTH + 1)).astype(np.float32),
        output=rng.normal(size=UNITS + 1).astype(np.float32),
    )
    features = rng.integers(0, 1 << BITS, COUNT).astype(np.uint16)
    rows = (np.arange(COUNT) << BITS) + features
    table, hidden, output = (torch.tensor(array, requires_grad=True) for array in (net.table, net.hidden, net.output))
    x = table[torch.from_numpy(rows)].sum(0)
    units = torch.nn.functional.leaky_relu(hidden[:, :-1] @ x + hidden[:, -1], 0.1)
    logit = units @ output[:-1] + output[-1]
    torch.nn.functional.binary_cross_entropy_with_logits(logit, torch.tensor(float(kept))).backward()
    before = Network(*(array.copy() for array in net))
    room = np.zeros(WIDTH, np.float32), np.zeros(UNITS, np.float32), np.zeros(WIDTH, np.float32)
    kernel._train(net, features, kept, np.float32(RATE), BITS, *room)

    close = {"rtol": 1e-4, "atol": 1e-6}
    np.testing.assert_allclose(before.hidden - net.hidden, 0.2 * RATE * hidden.grad, **close)
    np.testing.assert_allclose(before.output - net.output, 0.2 * RATE * output.grad, **close)
    slope = table.grad.numpy()
    squares = before.squares.copy()
    squares[rows] += (slope[rows] ** 2).mean(1)
    np.testing.assert_allclose(net.squares, squares, **close)
    np.testing.assert_allclose(before.table - net.table, RATE * slope / np.sqrt(squares)[:, None], **close)


def test_optgen_counts_the_hits_of_belady_with_bypass():
    """Lines that MIN keeps, one set, distances below 128: as many as an optimal cache that may decline has hits."""
    for seed, ways in itertools.product(range(5), (1, 2, 3)):
        lines = np.random.default_rng(seed).integers(0, 9, 120)
        occupancy, last, kept = np.zeros(128, np.uint8), {}, 0
        for clock, line in enumerate(lines.tolist(), 1):
            occupancy[clock % 128] = 0
            if line in last:
                kept += kernel._optimal(occupancy, last[line], clock, ways)
            last[line] = clock
        trace = Accesses.prepare(lines.astype(np.uint64) * 64, None, geometry_of(1, ways))
        assert kept == simulate(make_set_policy("belady_bypass"), trace, geometry_of(1, ways)).sum()


def test_samples_are_labelled_when_their_line_returns_or_the_window_ends():
    sets, ways, window = 2, 4, 3.0
    geometry = geometry_of(sets, ways)
    trace = varied_accesses(400, geometry)
    simulation = Simulation(LearnsysCache(window=window), geometry)
    waiting: dict[int, tuple[int, int]] = {}
    learnt = newest = 0
    for t in range(len(trace)):
        gone = [q for q, (line, at) in waiting.items() if line == trace.line[t] or at < t - window * sets * ways]
        learnt += len(gone)
        for q in gone:
            del waiting[q]
        before = simulation.state["tags"][trace.row[t]].copy()
        simulation.run(chunk_of(trace, t, t + 1), trace.line_number.size, trace.pc_value.size)
        held = {name: simulation.state[f"samples.{name}"] for name in ("line", "at", "links", "heads", "counts")}
        evicted = trace.line[t] not in before and (before >= 0).all()
        assert held["counts"][1] - newest == (2 if evicted else 0)
        for number in range(newest, held["counts"][1]):
            q = number % held["line"].size
            assert held["line"][q] in before and held["at"][q] == t
            waiting[q] = (int(held["line"][q]), t)
        newest = held["counts"][1]
        assert held["counts"][2] == learnt
        assert set(np.flatnonzero(held["line"] >= 0)) == set(waiting)
        listed = []
        for head, first in enumerate(held["heads"]):
            previous, q = -2 - head, first
            while q >= 0:
                assert held["links"][q, 0] == previous
                listed.append(q)
                previous, q = q, held["links"][q, 1]
        assert sorted(listed) == sorted(waiting)
    assert learnt > 100


def test_features_by_hand():
    """Line 5 by PC 7, line 6 by PC 9, line 5 by PC 7 again, one set: the features of the last access."""
    number, pc = np.array([5, 6, 5], np.uint64), np.array([7, 9, 7], np.uint64)
    geometry = geometry_of(1, 4)
    simulation = Simulation(LearnsysCache(), geometry)
    trace = Accesses.prepare(number * 64, pc, geometry)
    assert simulation.run(chunk_of(trace, 0, 3), 2, 2).tolist() == [0, 0, 1]
    seven, nine = (kernel._mix(np.uint64(p), 0, 5) & 0xFFFFFFFF for p in (7, 9))
    gap, mask = 2, (1 << 14) - 1  # two accesses to the set: two binary digits
    found = simulation.state["access"][0, 0]
    expected = {
        0: kernel._mix(seven, 0, 10),
        1: kernel._mix(seven, gap, 11),
        2: kernel._mix(int(seven) * 64 + gap, 0, 12),
        3: kernel._mix(seven, seven, 13),
        4: kernel._mix(seven, nine, 14),
        5: kernel._mix(nine, seven, 15),
        6: kernel._mix(0, 0, 16),
        7: kernel._mix(0, seven, 17),
        8: kernel._mix(gap * 64, 1, 4),
        9: kernel._mix(seven, 5, 19),
        10: kernel._mix(int(seven) * 64 + 1, 2, 20),  # the page: one access ago, touched twice
        11: kernel._mix(seven, 0 + 100, 21),  # from line 5 to line 5, where it came by a step of 5
        12: kernel._mix(5, 0, 22),
        13: kernel._mix(nine, seven, 23),
        14: kernel._mix(seven, 1, 24),
        15: kernel._mix(nine, seven, 25),
    }
    assert {k: int(found[k]) for k in range(16)} == {k: int(value) & mask for k, value in expected.items()}
    assert simulation.state["reused"][0, 0] == 1 and simulation.state["clock"][0] == 3


@pytest.mark.parametrize("kind", ["cyclic-scan", "pointer-chase"])
def test_loops_that_do_not_fit(kind):
    """LRU hits nothing; in the second half, whole rounds, the policy goes 0.95 of the way to Belady, guarded or not."""
    geometry = geometry_of(64, 16)
    trace = synthesize(kind, 153600, lines=1536)
    accesses = Accesses.prepare(trace.address, trace.pc, geometry)
    names = ("learnsys_cache", "guard:learnsys_cache")
    policies = {"a": make_set_policy(names[0]), "b": Guard(make_set_policy(names[0]), group=16)}
    for result in compare(policies, accesses, geometry, window=(0.5, 1.0)):
        assert result.normalised >= 0.95, result.policy


def test_without_pcs_it_still_learns():
    geometry = geometry_of(64, 16)
    trace = synthesize("cyclic-scan", 40000, lines=1536)
    accesses = Accesses.prepare(trace.address, None, geometry)
    (result,) = compare({"a": make_set_policy("learnsys_cache")}, accesses, geometry, window=(0.5, 1.0))
    assert result.normalised > 0.8


def test_what_was_fitted_is_saved_and_loaded(tmp_path):
    geometry = geometry_of(16, 8)
    trace = varied_accesses(6000, geometry)
    policy = LearnsysCache(passes=1, bits=10)
    learnt = fit(policy, trace, geometry, 0, 3000)
    assert (learnt["network.squares"] > FIRST_SQUARE).any()
    policy.save(tmp_path, learnt)
    loaded = load_learned_policy("learnsys_cache", str(tmp_path))
    state = loaded.start(geometry)
    for name, array in learnt.items():
        np.testing.assert_allclose(state[name], array, rtol=1e-3, atol=1e-3)
    still = LearnsysCache(bits=10, folder=str(tmp_path), learn=False)
    one, two = Simulation(still, geometry, 0), Simulation(still, geometry, 1)
    ids = trace.line_number.size, trace.pc_value.size
    assert np.array_equal(one.run(chunk_of(trace, 0, 6000), *ids), two.run(chunk_of(trace, 0, 6000), *ids))
    assert np.array_equal(one.state["network.table"], state["network.table"])  # it learnt nothing
    (tmp_path / "config.json").write_text('{"policy": "parrot", "model": {}}')
    with pytest.raises(InputError, match="holds no learnsys_cache"):
        LearnsysCache.load(tmp_path)


def test_the_command_guards_learned_policies():
    plain, guarded = parse_policies("lru,learnsys_cache"), parse_policies("lru,learnsys_cache,guard:srrip", True)
    assert isinstance(plain["learnsys_cache"], LearnsysCache)
    assert list(guarded) == ["lru", "guard:learnsys_cache", "guard:srrip"]
    assert guarded["guard:learnsys_cache"].policy == LearnsysCache()
    assert not isinstance(guarded["lru"], Guard)


def test_impossible_settings_are_refused():
    for wrong in ({"rate": 0}, {"window": 0}, {"bits": 17}, {"draws": 0}, {"embedding": 0}, {"passes": -1}):
        with pytest.raises(InputError):
            LearnsysCache(**wrong)
