"""Item placement, workload apportionment and maritime inventory routing: by hand, by size, by playing solutions."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from learnsys.envs.branching.instances import make_family, parse_family
from learnsys.envs.branching.instances.family import fits
from learnsys.envs.branching.instances.workload import largest_scale
from learnsys.errors import InputError

# ---- item placement and workloads ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("preset", "shape"), [("competition", (195, 1083)), ("small", (78, 183)), ("tiny", (32, 50))])
def test_item_placement_sizes(preset, shape):
    assert parse_family(f"item_placement:{preset}").instance(0).shape == shape


def test_item_placement_by_hand(solve):
    """Four equal items, two bins: two in each leave no deficit; three to one leaves one bin half short."""
    family = make_family(
        "item_placement", small_items=0, big_items=4, bins=2, resources=1, big_size=(1.0, 1.0), capacity_factor=1.5
    )
    milp = family.instance(0)
    assert milp.shape == (4 + 3 * 2, 4 * 2 + 2 + 1)
    dense = milp.matrix.toarray()
    assert dense[4].tolist() == [1, 0] * 4 + [0, 0, 0] and milp.right[4] == 3.0
    assert dense[6].tolist() == [0.5, 0] * 4 + [1, 0, 0] and milp.left[6] == 1.0
    assert dense[9].tolist() == [0] * 8 + [0, -1, 1] and milp.left[9] == 0.0
    assert milp.objective.tolist() == [0] * 8 + [1, 1, 20]
    assert solve(milp)[1] == pytest.approx(0.0, abs=1e-9)
    fixed = replace(milp, lower=np.array([1.0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0]))
    assert solve(fixed)[1] == pytest.approx(20 * 0.5 + 0.5)


def test_item_placement_that_cannot_be():
    family = make_family("item_placement", small_items=0, big_items=3, bins=2, resources=1, capacity_factor=1.0)
    with pytest.raises(InputError, match="no placement"):
        family.instance(0)
    assert fits(np.array([[2.0], [2.0], [3.0]]), np.array([[4.0], [4.0]]))
    assert not fits(np.array([[2.0], [3.0], [3.0]]), np.array([[4.0], [4.0]]))
    assert fits(np.array([[4.0, 0.0], [0.0, 4.0]]), np.array([[4.0, 4.0]]))


def test_workload_scale_by_hand():
    """Two workers of capacity 1, any of which may fail: each must carry the whole load alone."""
    both = np.ones((1, 2), bool)
    assert largest_scale(np.ones(2), np.array([2.0]), both) == pytest.approx(0.5)
    assert largest_scale(np.ones(4), np.array([1.0]), np.ones((1, 4), bool)) == pytest.approx(3.0)
    shared = np.array([[1, 1, 0], [0, 1, 1]], bool)  # the middle worker is halved between two equal loads
    assert largest_scale(np.ones(3), np.ones(2), shared) == pytest.approx(0.5)


def test_workload_by_hand(solve):
    """One load on three workers of capacity 1, at most 97 % of what they can carry: 2, after one of them failed."""
    family = make_family(
        "workload",
        light_workloads=1,
        heavy_workloads=0,
        strong_workers=3,
        weak_workers=0,
        light_load=(4.0, 4.0),
        strong_capacity=(1.0, 1.0),
        strong_allowed=1.0,
    )
    milp = family.instance(0)
    load = 4.0 * math.floor(0.97 * 0.5 * 1e4) / 1e4
    assert milp.shape == (3 + 3 + 3, 3 + 3)
    assert np.array_equal(milp.matrix.toarray()[:3], np.hstack([-np.eye(3), load * np.eye(3)]))
    assert milp.matrix.toarray()[6:].tolist() == [[0, 1, 1, 0, 0, 0], [1, 0, 1, 0, 0, 0], [1, 1, 0, 0, 0, 0]]
    assert np.all(milp.left[6:] == load) and load == pytest.approx(1.94)
    assert solve(milp)[1] == 3
    light = replace(family, light_load=(0.5, 0.5)).instance(0)  # light enough to stay as it is
    assert np.all(light.left[6:] == 0.5) and solve(light)[1] == 2


def test_workload_competition_size():
    milp = parse_family("workload:competition").instance(0)
    rows, columns = milp.shape
    assert columns == 61_000
    assert rows == 61_000 + (milp.upper[:60_000] > 0).sum()
    assert 64_000 < rows < 64_600


def test_workload_without_allowed_workers_gets_two(solve):
    milp = make_family("workload", "tiny", strong_allowed=0.0).instance(0)
    assert np.all((milp.upper[:-30].reshape(6, 30) > 0).sum(axis=1) == 2)
    assert solve(milp, gap=0.5)[1] >= 2


# ---- maritime inventory routing --------------------------------------------------------------------------------------


def maritime_solution(solve):
    family = make_family("maritime", "tiny", periods=6)
    milp = family.instance(1)
    _, value, x = solve(milp)
    return family, milp, value, dict(zip(milp.columns, x, strict=True))


def test_maritime_solution_is_a_schedule(solve):
    """Played by its own rules: vessels are at one place, holds and stores stay in bounds, the cost adds up."""
    family, milp, value, x = maritime_solution(solve)
    ports, loading = family.loading_ports + family.discharging_ports, family.loading_ports
    sails = [tuple(map(int, name.split("_")[1:])) for name in x if name.startswith("sail") and x[name] > 0.5]
    limit = dict(zip(milp.columns, milp.upper, strict=True))
    right = dict(zip(milp.rows, milp.right, strict=True))
    served = 0
    for v in range(family.vessels):
        where = next(p for p in range(ports) if right[f"flow_{v}_{p}_0"] == 1)
        assert where < loading
        hold, t = 0.0, 0
        while t < family.periods:
            for p in range(ports):
                amount = x[f"amount_{v}_{p}_{t}"]
                assert p == where or amount < 1e-6
                hold += amount if p < loading else -amount
                served += amount > 1e-6
            assert -1e-5 <= hold <= limit[f"load_{v}_0"] + 1e-5
            assert hold == pytest.approx(x[f"load_{v}_{t}"], abs=1e-5)
            leg = [s for s in sails if s[0] == v and s[1] == where and s[3] == t]
            assert len(leg) <= 1
            if leg:
                where = leg[0][2]
                column = milp.columns.index("sail_{}_{}_{}_{}".format(*leg[0]))
                arrival = milp.matrix.tocsc()[:, [column]].nonzero()[0]
                arrival = [milp.rows[row] for row in arrival if milp.rows[row].startswith("present")]
                later = int(arrival[0].split("_")[-1])
                for between in range(t + 1, later):
                    assert all(x[f"amount_{v}_{p}_{between}"] < 1e-6 for p in range(ports))
                t = later
            else:
                t += 1
    assert served > 0
    assert value == pytest.approx(sum(cost * x[name] for name, cost in zip(milp.columns, milp.objective, strict=True)))
    for p, t in itertools.product(range(ports), range(family.periods)):
        assert sum(x[f"serve_{v}_{p}_{t}"] for v in range(family.vessels)) <= family.berths + 1e-6


def test_maritime_balances(solve):
    """Production equals consumption, and doing nothing is feasible if everything is bought off."""
    family = make_family("maritime", "tiny")
    milp = family.instance(3)
    ports = family.loading_ports + family.discharging_ports
    right = dict(zip(milp.rows, milp.right, strict=True))
    gains = [right[f"stock_balance_{p}_1"] for p in range(ports)]
    assert sum(gains) == pytest.approx(0.0) and max(gains) > 0 > min(gains)
    sail = np.array([name.startswith("sail") for name in milp.columns])
    _, value, x = solve(replace(milp, upper=np.where(sail, 0.0, milp.upper)))
    assert milp.violation(x) < 1e-5 and value > 0
