"""Instances: the container, its files, families by name, what they refuse."""

import gzip
import hashlib
import subprocess
import sys

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyscipopt import Model
from scipy.sparse import csr_array

import learnsys  # noqa: F401  registers the environments
from learnsys.envs.branching.instances import FAMILIES, Milp, make_family, parse_family
from learnsys.envs.branching.instances.milp import FORMATS
from learnsys.envs.branching.instances.registry import family_names
from learnsys.envs.branching.models import read_model
from learnsys.errors import InputError

INF = np.inf
TINY = [f"{name}:tiny" for name in FAMILIES]


def sample() -> Milp:
    """Every kind of variable, bound and row that the container has."""
    return Milp(
        name="sample",
        objective=np.array([1.0, -0.1, 1e-7, 0.0, 2.5, 1 / 3, 0.0, 4.0]),
        lower=np.array([0.0, 0.0, -3.0, -INF, -INF, 2.5, 0.0, 1.0]),
        upper=np.array([1.0, INF, 7.0, INF, -1.5, 2.5, 0.0, INF]),
        kinds=np.array(["B", "I", "I", "C", "C", "C", "C", "C"]),
        columns=["b", "i", "bounded", "free", "below", "fixed", "zero", "above"],
        matrix=csr_array(
            np.array([[1, 0.1, 0, 0, 0, 0, 0, 0], [0, 0, 1 / 3, 1, 0, 0, 2, 0], [0, 0, 0, 1, 1, 1, 0, 0]])
        ),
        left=np.array([-INF, 1.5, -2.0]),
        right=np.array([0.7, 1.5, 6.0]),
        rows=["upper", "equal", "ranged"],
        maximize=True,
    )


def as_arrays(model: Model) -> dict:
    """The program that a SCIP model holds, variables and constraints by name."""
    columns = {
        v.name: (v.getObj(), v.getLbOriginal(), v.getUbOriginal(), v.vtype()) for v in model.getVars(transformed=False)
    }
    rows = {
        c.name: (model.getLhs(c), model.getRhs(c), model.getValsLinear(c)) for c in model.getConss(transformed=False)
    }
    return {"sense": model.getObjectiveSense(), "columns": columns, "rows": rows}


def expected_arrays(milp: Milp) -> dict:
    big = 1e20
    kinds = {"B": "BINARY", "I": "INTEGER", "C": "CONTINUOUS"}
    low, high, left, right = (
        np.clip(each, -big, big).tolist() for each in (milp.lower, milp.upper, milp.left, milp.right)
    )
    columns = {
        name: (cost, low[j], high[j], kinds[kind])
        for j, (name, cost, kind) in enumerate(
            zip(milp.columns, milp.objective.tolist(), milp.kinds.tolist(), strict=True)
        )
    }
    rows = {}
    for i, name in enumerate(milp.rows):
        span = slice(milp.matrix.indptr[i], milp.matrix.indptr[i + 1])
        entries = zip(milp.matrix.indices[span].tolist(), milp.matrix.data[span].tolist(), strict=True)
        rows[name] = (left[i], right[i], {milp.columns[j]: value for j, value in entries})
    return {"sense": "maximize" if milp.maximize else "minimize", "columns": columns, "rows": rows}


# ---- the container and its files -------------------------------------------------------------------------------------


def test_model_holds_what_the_arrays_say():
    model = sample().to_model()
    assert as_arrays(model) == expected_arrays(sample())


def test_violation_by_hand():
    x = np.array([1.0, 15.0, 0.0, 1.5, -2.0, 2.5, 0.0, 1.0])
    assert sample().violation(x) == pytest.approx(1.8)  # the first row: 1 + 0.1 * 15 over 0.7
    x[:2] = 0.5, 0.0
    assert sample().violation(x) == 0.5  # the binary
    x[:5] = 0.0, 0.0, 9.0, -1.5, -2.0
    assert sample().violation(x) == 2.0  # an upper bound; the equation holds


@pytest.mark.parametrize("suffix", FORMATS)
def test_files_read_back_equal(suffix, tmp_path):
    milp = sample()
    if "lp" in suffix:  # the LP format has no free rows' ranges in this order; it is compared by solving
        milp = make_family("facility", customers=3, facilities=2).instance(0)
    path = tmp_path / f"model{suffix}"
    milp.save(path)
    model = read_model(path)
    found, expected = as_arrays(model), expected_arrays(milp)
    assert found["sense"] == expected["sense"]
    assert found["columns"].keys() == expected["columns"].keys()
    assert found["rows"].keys() == expected["rows"].keys()
    exact = "mps" in suffix
    for name, (cost, low, high, kind) in expected["columns"].items():
        assert found["columns"][name][3] == kind
        assert found["columns"][name][:3] == (
            (cost, low, high) if exact else pytest.approx((cost, low, high), rel=1e-14)
        )
    for name, (left, right, values) in expected["rows"].items():
        assert found["rows"][name][:2] == pytest.approx((left, right), rel=0 if exact and name != "ranged" else 1e-14)
        assert found["rows"][name][2] == (values if exact else pytest.approx(values, rel=1e-14))
    assert path.read_bytes() == milp.encode(suffix)
    if suffix == ".mps.gz":
        assert gzip.decompress(path.read_bytes()) == milp.encode("mps")


@pytest.mark.parametrize("name", TINY)
def test_mps_of_every_family_is_exact(name, tmp_path):
    milp = parse_family(name).instance(3)
    milp.save(tmp_path / "a.mps")
    assert as_arrays(read_model(tmp_path / "a.mps")) == expected_arrays(milp) == as_arrays(milp.to_model())


@given(st.lists(st.floats(-1e15, 1e15).filter(lambda x: x == 0 or abs(x) > 1e-8), min_size=2, max_size=9))
@settings(max_examples=15, deadline=None)
def test_mps_keeps_every_number(tmp_path_factory, values):
    n = len(values)
    milp = Milp(
        name="numbers",
        objective=np.array(values),
        lower=np.zeros(n),
        upper=np.full(n, INF),
        kinds=np.full(n, "C"),
        columns=[f"x{j}" for j in range(n)],
        matrix=csr_array(np.ones((1, n))),
        left=np.array([-INF]),
        right=np.array([max(map(abs, values))]),
        rows=["r"],
    )
    path = tmp_path_factory.mktemp("numbers") / "n.mps"
    milp.save(path)
    assert as_arrays(read_model(path)) == expected_arrays(milp)


def test_unknown_format():
    with pytest.raises(InputError, match=r"\.mps\.gz"):
        sample().save("model.txt")
    with pytest.raises(InputError, match="cannot be written"):
        sample().encode("zip")


# ---- all families ----------------------------------------------------------------------------------------------------


def test_same_files_in_another_process():
    code = (
        "import hashlib; from learnsys.envs.branching.instances import parse_family\n"
        f"for name in {TINY!r}: print(hashlib.sha256(parse_family(name).instance(5).encode('mps.gz')).hexdigest())"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert out == [hashlib.sha256(parse_family(name).instance(5).encode("mps.gz")).hexdigest() for name in TINY]


def test_names_and_presets(capsys):
    for name in family_names():
        parse_family(name)
    assert parse_family("setcover:hard") == make_family("setcover", rows=2000)
    assert parse_family("setcover:hard,density=0.1,cols=30") == make_family("setcover", "hard", density=0.1, cols=30)
    assert parse_family("facility:demand=5,9,ratio=2.5") == make_family("facility", demand=(5, 9), ratio=2.5)
    for wrong in ("cover", "setcover:giant", "setcover:size=3", "setcover:rows=many", "setcover:rows"):
        with pytest.raises(InputError):
            parse_family(wrong)
    assert capsys.readouterr() == ("", "")
    with pytest.raises(InputError, match="its parameters are rows, cols"):
        make_family("setcover", size=3)
    with pytest.raises(InputError, match="rows='many'"):
        make_family("setcover", rows="many")
    with pytest.raises(InputError, match="whole number"):
        make_family("setcover", rows=20.5)


@pytest.mark.parametrize(
    "text",
    [
        "setcover:rows=0",
        "setcover:rows=1",
        "setcover:cols=0",
        "setcover:density=0.0001",
        "setcover:density=1.1",
        "setcover:density=nan",
        "setcover:max_cost=0",
        "auction:items=0",
        "auction:bids=0",
        "auction:max_value=0.5",
        "auction:add_item_prob=1.5",
        "auction:additivity=nan",
        "facility:customers=0",
        "facility:ratio=0.9",
        "facility:demand=9,5",
        "facility:capacity=0,5",
        "independent_set:nodes=0",
        "independent_set:nodes=4",
        "independent_set:affinity=0",
        "independent_set:graph=erdos_renyi,edge_probability=1.5",
        "knapsack:items=0",
        "multiple_knapsack:items=1",
        "multiple_knapsack:weights=20,10",
        "item_placement:small_items=0,big_items=0",
        "item_placement:capacity_factor=0.5",
        "item_placement:big_size=nan,1",
        "workload:tightness=0",
        "workload:strong_workers=1,weak_workers=0",
        "workload:strong_allowed=2",
        "workload:light_workloads=0,heavy_workloads=0",
        "maritime:periods=1",
        "maritime:vessels=0",
        "maritime:store=0,1",
    ],
)
def test_impossible_parameters(text):
    with pytest.raises(InputError) as error:
        parse_family(text)
    assert "\n" not in str(error.value)


def test_an_environment_draws_from_a_family():
    for instances in ("knapsack:steps,items=15", make_family("multiple_knapsack", "tiny")):
        env = gym.make("learnsys/Branching-v0", instances=instances, node_limit=20)
        _, info = env.reset(seed=1)
        assert info["action_mask"].any()
        env.close()
