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
from learnsys.policies.cache.learned import kernel, network
from learnsys.policies.cache.learned.features import ACCESS_FEATURES, CANDIDATE_FEATURES
from learnsys.policies.cache.learned.policy import LearnsysCache
from learnsys.policies.cache.learned.samples import STAGES, Samples
from learnsys.policies.cache.registry import load_learned_policy, make_set_policy
from learnsys.policies.cache.simulation import Simulation, chunk_of, compare, fit, simulate
from learnsys.testing.policies import geometry_of, varied_accesses
from learnsys.traces.synthetic import synthesize

WIDTH, UNITS, BITS, RATE = 4, 3, 2, 0.05
COUNT = len(ACCESS_FEATURES) + len(CANDIDATE_FEATURES)
K = network.EDGES.size


def some_network(seed: int) -> network.Network:
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(COUNT << BITS, WIDTH)).astype(np.float32)
    table[:, -1] = rng.uniform(0.1, 2, COUNT << BITS)
    hidden = rng.normal(size=(UNITS, WIDTH + 1)).astype(np.float32)
    return network.Network(table, hidden, rng.normal(size=(K, UNITS + 1)).astype(np.float32))


@pytest.mark.parametrize(
    ("first", "last", "back"), [(0, 0, True), (0, 3, True), (2, 3, True), (1, 4, False), (3, K, False)]
)
def test_a_step_follows_the_gradient(first, last, back):
    """A line that outlived the intervals first to last - 1, and came back in `last` or is still away."""
    net = some_network(first + last)
    features = np.random.default_rng(last).integers(0, 1 << BITS, COUNT).astype(np.uint16)
    rows = (np.arange(COUNT) << BITS) + features
    table, hidden, output = (torch.tensor(array, requires_grad=True) for array in net)
    x = table[torch.from_numpy(rows), :-1].sum(0)
    units = torch.nn.functional.leaky_relu(hidden[:, : WIDTH - 1] @ x + hidden[:, -1], 0.1)
    hazards = torch.sigmoid(output[:, :-1] @ units + output[:, -1])
    likelihood = torch.prod(1 - hazards[first:last]) * (hazards[last] if back else 1)
    (-torch.log(likelihood)).backward()
    before = network.Network(*(array.copy() for array in net))
    room = [np.zeros(size, np.float32) for size in (WIDTH, UNITS, WIDTH, UNITS)]
    network.train(net, features, first, last, back, np.float32(RATE), BITS, *room)

    close = {"rtol": 1e-3, "atol": 1e-6}
    np.testing.assert_allclose(before.hidden - net.hidden, 0.2 * RATE * hidden.grad, **close)
    np.testing.assert_allclose(before.output - net.output, 0.2 * RATE * output.grad, **close)
    slope = table.grad.numpy()[:, :-1]
    squares = before.table[:, -1].copy()
    squares[rows] += (slope[rows] ** 2).mean(1)
    np.testing.assert_allclose(net.table[:, -1], squares, **close)
    np.testing.assert_allclose(
        before.table[:, :-1] - net.table[:, :-1], RATE * slope / np.sqrt(squares)[:, None], **close
    )


def test_the_index_is_the_best_rate_of_hits():
    edges = network.EDGES * 16
    for seed in range(20):
        net, x = some_network(seed), np.append(np.random.default_rng(seed).normal(size=WIDTH - 1), 0).astype(np.float32)
        units = net.hidden[:, :-1] @ x + net.hidden[:, -1]
        units = np.where(units > 0, units, 0.1 * units)
        hazard = 1 / (1 + np.exp(-(net.output[:, :-1] @ units + net.output[:, -1])))
        away = np.concatenate([[1], np.cumprod(1 - hazard)])
        back = away[:-1] - away[1:]  # in each interval, on average in its middle
        middle = (edges + np.concatenate([[0], edges[:-1]])) / 2
        rates = [
            back[: k + 1].sum() / ((back * middle)[: k + 1].sum() + away[k + 1] * edges[k]) for k in range(edges.size)
        ]
        found = network.index(net, x, np.zeros(UNITS, np.float32), edges)
        assert found == pytest.approx(max(rates), rel=1e-4)
    assert [network.interval(np.float32(time), edges) for time in (1, 8, 8.5, 256, 257)] == [0, 0, 1, K - 1, K]


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


def test_samples_wait_for_their_line_until_the_last_stage():
    """The ring, its lists and the outlived intervals, against a dictionary of what waits."""
    sets, ways = 2, 4
    geometry = geometry_of(sets, ways)
    trace = varied_accesses(500, geometry)
    simulation = Simulation(LearnsysCache(), geometry)
    waiting: dict[int, tuple[int, int, int, int]] = {}
    over = newest = 0
    clock = np.zeros(sets, int)
    for t in range(len(trace)):
        row = trace.row[t]
        clock[row] += 1
        for q, (line, at, *_) in list(waiting.items()):
            if line == trace.line[t] or at < t - STAGES[-1] * sets * ways:
                over += 1
                del waiting[q]
        before = simulation.state["tags"][row].copy()
        simulation.run(chunk_of(trace, t, t + 1), trace.line_number.size, trace.pc_value.size)
        held = {name: simulation.state[f"samples.{name}"] for name in Samples._fields}
        evicted = trace.line[t] not in before and (before >= 0).all()
        assert held["counts"][0] - newest == (2 if evicted else 0)
        for number in range(newest, held["counts"][0]):
            q = number % held["line"].size
            assert held["line"][q] in (*before, trace.line[t]) and held["at"][q] == t
            assert held["when"][q] == clock[row] and held["row"][q] == row and held["outlived"][q] == 0
            waiting[q] = (int(held["line"][q]), t, int(clock[row]), int(row))
        newest = held["counts"][0]
        assert held["counts"][1] == over
        assert set(np.flatnonzero(held["line"] >= 0)) == set(waiting)
        for q, (_, at, when, of_row) in waiting.items():
            stages = (STAGES * sets * ways < t - at).sum()  # passed
            most = network.interval(np.float32(clock[of_row] - when), network.EDGES * ways)
            assert 0 <= held["outlived"][q] <= (most if stages else 0)
        listed = []
        for head, first in enumerate(held["heads"]):
            previous, q = -2 - head, first
            while q >= 0:
                assert held["links"][q, 0] == previous
                listed.append(q)
                previous, q = q, held["links"][q, 1]
        assert sorted(listed) == sorted(waiting)
    assert over > 100


def test_features_by_hand():
    """Line 5 by PC 7, line 6 by PC 9, line 5 by PC 7 again, one set: the features of the last access."""
    number, pc = np.array([5, 6, 5], np.uint64), np.array([7, 9, 7], np.uint64)
    geometry = geometry_of(1, 4)
    simulation = Simulation(LearnsysCache(), geometry)
    trace = Accesses.prepare(number * 64, pc, geometry)
    assert simulation.run(chunk_of(trace, 0, 3), 2, 2).tolist() == [0, 0, 1]
    seven, nine = (network.mix(np.uint64(p), 0, 5) & 0xFFFFFFFF for p in (7, 9))
    gap, mask = 2, (1 << 14) - 1  # two accesses to the set: two binary digits
    found = simulation.state["access"][0, 0]
    expected = {
        0: network.mix(seven, 0, 10),
        1: network.mix(seven, gap, 11),
        2: network.mix(int(seven) * 64 + gap, 0, 12),
        3: network.mix(seven, seven, 13),
        4: network.mix(seven, nine, 14),
        5: network.mix(nine, seven, 15),
        6: network.mix(0, 0, 16),
        7: network.mix(0, seven, 17),
        8: network.mix(gap * 64, 1, 4),
        9: network.mix(seven, 5, 19),
        10: network.mix(int(seven) * 64 + 1, 2, 20),  # the page: one access ago, touched twice
        11: network.mix(seven, 0 + 100, 21),  # from line 5 to line 5, where it came by a step of 5
        12: network.mix(5, 0, 22),
        13: network.mix(nine, seven, 23),
        14: network.mix(seven, 1, 24),
        15: network.mix(nine, seven, 25),
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
    policies = {"a": make_set_policy(names[0]), "b": Guard(make_set_policy(names[0]))}
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
    assert (learnt["network.table"][:, -1] > network.FIRST_SQUARE).any()
    policy.save(tmp_path, learnt)
    loaded = load_learned_policy("learnsys_cache", str(tmp_path))
    state = loaded.start(geometry)
    for name, array in learnt.items():
        np.testing.assert_allclose(state[name], array, rtol=1e-3, atol=1e-3)
    still = LearnsysCache(bits=10, folder=str(tmp_path), learn=False)
    one, two = Simulation(still, geometry), Simulation(still, geometry)
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
    for wrong in ({"rate": 0}, {"bits": 17}, {"draws": 0}, {"embedding": 1}, {"passes": -1}):
        with pytest.raises(InputError):
            LearnsysCache(**wrong)
