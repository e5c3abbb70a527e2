"""Families of instances: their programs by hand and by their laws, files, sets with a manifest, the command."""

import errno
import gzip
import hashlib
import itertools
import json
import math
import pickle
import subprocess
import sys
from dataclasses import fields, replace

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyscipopt import Model
from scipy.sparse import csr_array

import learnsys  # noqa: F401  registers the environments
from learnsys.cli import main
from learnsys.envs.branching.instances import FAMILIES, Milp, make_family, parse_family
from learnsys.envs.branching.instances.family import fits
from learnsys.envs.branching.instances.independent_set import IndependentSet, clique_partition
from learnsys.envs.branching.instances.milp import FORMATS
from learnsys.envs.branching.instances.registry import family_class, family_names
from learnsys.envs.branching.instances.sets import MANIFEST, read_manifest, write_set
from learnsys.envs.branching.instances.workload import largest_scale
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


def solve(milp: Milp, seconds: float = 20.0, gap: float = 0.0) -> tuple[str, float, np.ndarray]:
    model = milp.to_model()
    model.setParam("limits/time", seconds)
    model.setParam("limits/gap", gap)
    model.optimize()
    assert model.getNSols() > 0, model.getStatus()
    best = model.getBestSol()
    values = {v.name: best[v] for v in model.getVars(transformed=False)}
    result = model.getStatus(), model.getObjVal(), np.array([values[name] for name in milp.columns])
    model.free()
    return result


def violation(milp: Milp, x: np.ndarray) -> float:
    """How far `x` is from feasible, integrality included."""
    activity = milp.matrix @ x
    whole = np.abs(x - np.rint(x))[milp.kinds != "C"]
    parts = [milp.left - activity, activity - milp.right, milp.lower - x, x - milp.upper, whole]
    return max(float(part.max(initial=0.0)) for part in parts)


# ---- the container and its files -------------------------------------------------------------------------------------


def test_model_holds_what_the_arrays_say():
    model = sample().to_model()
    assert as_arrays(model) == expected_arrays(sample())


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


@pytest.mark.parametrize("name", TINY)
def test_every_family_is_well_formed_feasible_and_seeded(name):
    family = parse_family(name)
    milp = family.instance(0)
    rows, columns = milp.shape
    assert len(milp.rows) == len(set(milp.rows)) == rows
    assert len(milp.columns) == len(set(milp.columns)) == columns
    assert np.all(milp.lower <= milp.upper) and np.all(milp.left <= milp.right)
    assert np.all(np.diff(milp.matrix.indptr) > 0) and np.all(milp.matrix.data != 0.0)
    assert "B" in milp.kinds

    same, other, later = family.instance(0), family.instance(1), family.instance(0, 1)
    assert same.encode("mps") == milp.encode("mps")
    assert len({each.encode("mps") for each in (milp, other, later)}) == 3
    assert pickle.loads(pickle.dumps(family)).instance(0).encode("mps") == milp.encode("mps")

    for index in range(2):
        milp = family.instance(7, index)
        _, _, x = solve(milp, seconds=5, gap=0.5)
        assert violation(milp, x) < 1e-5


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


# ---- set cover -------------------------------------------------------------------------------------------------------


@given(st.integers(2, 30), st.integers(1, 40), st.floats(0, 1), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_set_cover_law(rows, cols, position, seed):
    least = max(2 * cols, rows) / (rows * cols)
    density = min(1.0, least + position * (1.0 - least) + 1e-9)
    milp = make_family("setcover", rows=rows, cols=cols, density=density, max_cost=3).instance(seed)
    assert milp.shape == (rows, cols)
    assert milp.nnz == math.floor(rows * cols * density)  # no two ones fell on one place
    assert np.all(milp.matrix.data == 1.0)
    ones = milp.matrix.toarray()
    assert ones.sum(axis=0).min() >= 2 and ones.sum(axis=1).min() >= 1
    assert set(milp.objective) <= {1.0, 2.0, 3.0}
    assert np.all(milp.left == 1.0) and np.all(milp.right == INF) and not milp.maximize


def test_set_cover_by_hand():
    """Two rows: every column must cover both, so that the cheapest column alone is optimal."""
    milp = make_family("setcover", rows=2, cols=5, density=1.0).instance(4)
    assert milp.matrix.toarray().tolist() == [[1.0] * 5] * 2
    assert solve(milp)[1] == milp.objective.min()


def test_set_cover_defaults():
    milp = make_family("setcover").instance(0)
    assert milp.shape == (500, 1000) and milp.nnz == 25_000
    assert milp.objective.min() == 1 and milp.objective.max() == 100  # 1000 draws miss one end with probability 1e-4
    assert abs(milp.objective.mean() - 50.5) < 5 * math.sqrt((100**2 - 1) / 12 / 1000)
    sizes = milp.matrix.toarray().sum(axis=0) - 2  # hypergeometric: 23,000 ones over 1000 columns of 498 places
    assert sizes.mean() == 23.0
    assert 0.8 < sizes.var() / (23 * (1 - 23 / 498)) < 1.2


# ---- auctions --------------------------------------------------------------------------------------------------------


def test_auction_law():
    family = make_family("auction", items=40, bids=300)
    milp = family.instance(2)
    assert milp.maximize and milp.shape[1] == 300 and np.all(milp.right == 1.0)
    items = [i for i, name in enumerate(milp.rows) if name.startswith("item_")]
    bidders = [i for i, name in enumerate(milp.rows) if name.startswith("bidder_")]
    assert len(items) <= 40 and bidders
    wanted = milp.matrix.toarray()
    assert wanted[items].sum(axis=0).min() >= 1
    tied = wanted[bidders]
    assert tied.sum(axis=0).max() == 1
    assert set(tied.sum(axis=1)) <= {3, 4, 5, 6}  # more than two bids, at most one and five substitutes
    bundle = wanted[items]
    for bids in tied:
        mine = np.flatnonzero(bids)
        assert np.all(np.diff(mine) == 1)
        assert len({bundle[:, j].sum() for j in mine}) == 1  # substitutes are as large as the first bundle
        assert len({tuple(bundle[:, j]) for j in mine}) == mine.size
        assert all(bundle[:, j] @ bundle[:, mine[0]] >= 1 for j in mine)  # and share an item with it
        prices = milp.objective[mine]
        assert np.all(np.diff(prices[1:]) <= 0) and np.all(prices <= 1.5 * prices[0]) and prices.min() >= 0


def test_auction_by_hand():
    """Values equal 7 and none deviate: a bundle of k items costs 7 k + k ** 1.2."""
    milp = make_family("auction", items=5, bids=30, min_value=7, max_value=7, value_deviation=0).instance(0)
    size = milp.matrix.toarray()[[name.startswith("item") for name in milp.rows]].sum(axis=0)
    assert np.allclose(milp.objective, 7 * size + size**1.2, rtol=1e-14)
    whole = make_family("auction", items=5, bids=30, min_value=7, max_value=7, value_deviation=0, integers=True)
    assert np.array_equal(whole.instance(0).objective, np.floor(milp.objective))
    single = make_family("auction", items=6, bids=20, add_item_prob=0).instance(1)
    assert np.all(np.diff(single.matrix.tocsc().indptr) == 1)
    everything = make_family("auction", items=6, bids=4, add_item_prob=1).instance(1)
    assert everything.shape[0] == 6 and everything.nnz == 24
    assert make_family("auction", items=1, bids=3).instance(0).matrix.toarray().tolist() == [[1, 1, 1]]


def test_auction_bundle_sizes_are_geometric():
    milp = make_family("auction", items=100, bids=2000, max_sub_bids=0).instance(0)
    size = np.diff(milp.matrix.tocsc().indptr)
    assert abs(size.mean() - 1 / 0.35) < 5 * math.sqrt(0.65) / 0.35 / math.sqrt(2000)


# ---- facilities ------------------------------------------------------------------------------------------------------


def test_facility_rows():
    n, m = 4, 3
    milp = make_family("facility", customers=n, facilities=m).instance(1)
    assert milp.shape == (n + m + 1 + n * m, m + n * m) and not milp.maximize
    dense = milp.matrix.toarray()
    serve = np.arange(m, m + n * m).reshape(n, m)
    for i in range(n):
        row = np.zeros(m + n * m)
        row[serve[i]] = 1
        assert np.array_equal(dense[i], row) and milp.left[i] == 1
    demands = dense[n, serve[:, 0]]
    assert np.all((5 <= demands) & (demands <= 35)) and np.array_equal(demands, np.rint(demands))
    capacities = dense[n + m, :m]
    assert capacities.sum() == pytest.approx(5 * demands.sum()) and milp.left[n + m] == demands.sum()
    for j in range(m):
        row = np.zeros(m + n * m)
        row[serve[:, j]] = demands
        row[j] = -capacities[j]
        assert np.array_equal(dense[n + j], row) and milp.right[n + j] == 0
    for (i, j), row in zip(np.ndindex(n, m), dense[n + m + 1 :], strict=True):
        assert np.flatnonzero(row).tolist() == [j, serve[i, j]] and row[[j, serve[i, j]]].tolist() == [-1, 1]
    unit = milp.objective[m:].reshape(n, m) / demands[:, None]
    assert np.all((0 <= unit) & (unit <= 10 * math.sqrt(2)))
    assert np.all((100 * math.sqrt(10) <= milp.objective[:m]) & (milp.objective[:m] <= 110 * math.sqrt(160) + 90))
    assert set(milp.kinds[m:]) == {"C"}


def test_facility_costs_are_distances():
    """Three facilities and three customers in a plane: unit costs have the rank of squared distances, at most 4."""
    milp = make_family("facility", customers=8, facilities=7).instance(0)
    demands = milp.matrix.toarray()[8, 7 : 7 + 8 * 7 : 7]
    squared = (milp.objective[7:].reshape(8, 7) / demands[:, None]) ** 2
    assert np.linalg.matrix_rank(squared, tol=1e-8 * squared.max()) == 4


def test_facility_with_one_place_opens_it():
    milp = make_family("facility", customers=3, facilities=1, ratio=1.0, continuous_assignment=False).instance(0)
    assert solve(milp)[1] == pytest.approx(milp.objective.sum())
    with pytest.raises(InputError, match="no assignment"):
        make_family("facility", customers=1, facilities=2, ratio=1.0, continuous_assignment=False).instance(0)


# ---- independent set -------------------------------------------------------------------------------------------------


def check_partition(nodes: int, edges: np.ndarray, milp: Milp) -> None:
    """Rows are cliques that partition the vertices, and then exactly the edges between them."""
    adjacent = {tuple(sorted(edge)) for edge in edges.tolist()}
    groups = [milp.matrix.indices[a:b].tolist() for a, b in itertools.pairwise(milp.matrix.indptr)]
    cliques = [group for name, group in zip(milp.rows, groups, strict=True) if name.startswith("clique")]
    between = [tuple(group) for name, group in zip(milp.rows, groups, strict=True) if name.startswith("edge")]
    assert sorted(itertools.chain(*cliques)) == list(range(nodes))
    inside = {pair for clique in cliques for pair in itertools.combinations(clique, 2)}
    assert inside <= adjacent
    assert len(between) == len(set(between)) and set(between) == adjacent - inside
    assert np.all(milp.right == 1.0) and np.all(milp.matrix.data == 1.0) and milp.maximize


@given(st.integers(1, 12), st.data())
@settings(max_examples=80, deadline=None)
def test_independent_set_of_any_graph(nodes, data):
    pairs = list(itertools.combinations(range(nodes), 2))
    edges = np.array(data.draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else [], int).reshape(-1, 2)
    check_partition(nodes, edges, IndependentSet.of_graph(nodes, edges))
    assert clique_partition(nodes, edges).tolist() == plain_partition(nodes, edges)


def plain_partition(nodes: int, edges: np.ndarray) -> list[int]:
    """The greedy rule, word for word."""
    near = [set() for _ in range(nodes)]
    for u, v in edges.tolist():
        near[u].add(v)
        near[v].add(u)
    order = sorted(range(nodes), key=lambda v: (-len(near[v]), v))
    clique = [-1] * nodes
    number = 0
    for centre in order:
        if clique[centre] < 0:
            members = [centre]
            for v in order:
                if v != centre and clique[v] < 0 and all(v in near[u] for u in members):
                    members.append(v)
            for v in members:
                clique[v] = number
            number += 1
    return clique


def test_independent_set_by_hand():
    """A triangle 0-1-2 with a tail 2-3-4: vertex 2 has the most neighbours and takes 0 and 1 in; 3 takes 4."""
    edges = np.array([[1, 0], [2, 1], [0, 2], [2, 3], [4, 3]])
    milp = IndependentSet.of_graph(5, edges)
    assert milp.matrix.toarray().tolist() == [[1, 1, 1, 0, 0], [0, 0, 0, 1, 1], [0, 0, 1, 1, 0]]
    assert solve(milp)[1] == 2


def test_random_graphs():
    family = IndependentSet(nodes=500)
    edges = family.edges(np.random.default_rng(0))
    assert len(edges) == len(np.unique(edges, axis=0)) == 4 + 495 * 4
    assert np.all(edges[:, 0] < edges[:, 1])
    assert np.all(np.bincount(edges[:, 1], minlength=500)[5:] == 4)  # a new vertex brings four edges to older ones
    assert edges[edges[:, 1] <= 4].tolist() == [[0, 1], [0, 2], [0, 3], [0, 4]]
    degree = np.bincount(edges.ravel(), minlength=500)
    assert degree[:20].mean() > 3 * degree[-100:].mean()  # the rich get richer
    check_partition(500, edges, family.of_graph(500, edges))
    rows = [family.instance(0, index).shape[0] for index in range(5)]
    assert all(2040 < each < 2140 for each in rows)

    sparse = replace(family, nodes=200, graph="erdos_renyi", edge_probability=0.1)
    edges = sparse.edges(np.random.default_rng(1))
    check_partition(200, edges, sparse.of_graph(200, edges))
    assert abs(len(edges) - 1990) < 5 * math.sqrt(1990 * 0.9)
    assert len(replace(sparse, edge_probability=1.0).edges(np.random.default_rng(1))) == 19900
    assert replace(sparse, edge_probability=1.0).instance(0).shape[0] == 1
    assert replace(sparse, edge_probability=0.0).instance(0).shape[0] == 200


# ---- knapsacks -------------------------------------------------------------------------------------------------------


def test_knapsack():
    milp = make_family("knapsack", "steps").instance(0)
    weights = milp.matrix.toarray()
    assert milp.shape == (5, 40) and milp.maximize
    assert weights.min() >= 1 and weights.max() <= 1000
    assert np.array_equal(milp.right, weights.sum(axis=1) // 2)
    extra = milp.objective - weights.mean(axis=0)
    assert extra.min() >= -1e-9 and extra.max() <= 499.5


@pytest.mark.parametrize("scheme", ["uncorrelated", "weakly_correlated", "strongly_correlated", "subset_sum"])
def test_multiple_knapsack(scheme):
    milp = make_family("multiple_knapsack", items=12, knapsacks=3, scheme=scheme).instance(0)
    assert milp.shape == (3 + 12, 36) and milp.maximize
    dense = milp.matrix.toarray().reshape(15, 12, 3)
    weights = dense[0, :, 0]
    for j, i in itertools.product(range(3), range(12)):
        assert dense[j, i].tolist() == [weights[i] * (k == j) for k in range(3)]
    for i in range(12):
        assert dense[3 + i, i].tolist() == [1, 1, 1] and dense[3 + i].sum() == 3 and milp.right[3 + i] == 1
    assert milp.right[:3].sum() == weights.sum() // 2
    profits = milp.objective.reshape(12, 3)[:, 0]
    assert np.array_equal(milp.objective, np.repeat(profits, 3))
    width = {"uncorrelated": 10, "weakly_correlated": 10, "strongly_correlated": 1, "subset_sum": 0}[scheme]
    assert np.abs(profits - weights).max() <= width
    if scheme == "strongly_correlated":
        assert np.all(profits == weights + 1)


# ---- item placement and workloads ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("preset", "shape"), [("competition", (195, 1083)), ("small", (78, 183)), ("tiny", (32, 50))])
def test_item_placement_sizes(preset, shape):
    assert parse_family(f"item_placement:{preset}").instance(0).shape == shape


def test_item_placement_by_hand():
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


def test_workload_by_hand():
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


def test_workload_without_allowed_workers_gets_two():
    milp = make_family("workload", "tiny", strong_allowed=0.0).instance(0)
    assert np.all((milp.upper[:-30].reshape(6, 30) > 0).sum(axis=1) == 2)
    assert solve(milp, gap=0.5)[1] >= 2


# ---- maritime inventory routing --------------------------------------------------------------------------------------


def maritime_solution():
    family = make_family("maritime", "tiny", periods=6)
    milp = family.instance(1)
    _, value, x = solve(milp)
    return family, milp, value, dict(zip(milp.columns, x, strict=True))


def test_maritime_solution_is_a_schedule():
    """Played by its own rules: vessels are at one place, holds and stores stay in bounds, the cost adds up."""
    family, milp, value, x = maritime_solution()
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


def test_maritime_balances():
    """Production equals consumption, and doing nothing is feasible if everything is bought off."""
    family = make_family("maritime", "tiny")
    milp = family.instance(3)
    ports = family.loading_ports + family.discharging_ports
    right = dict(zip(milp.rows, milp.right, strict=True))
    gains = [right[f"stock_balance_{p}_1"] for p in range(ports)]
    assert sum(gains) == pytest.approx(0.0) and max(gains) > 0 > min(gains)
    sail = np.array([name.startswith("sail") for name in milp.columns])
    _, value, x = solve(replace(milp, upper=np.where(sail, 0.0, milp.upper)))
    assert violation(milp, x) < 1e-5 and value > 0


# ---- sets and the command --------------------------------------------------------------------------------------------

SMALL = ("setcover", "--rows", "20", "--cols", "30", "--density", "0.2")


def listing(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_command_writes_a_set(tmp_path, capsys):
    out = tmp_path / "a" / "b"
    assert main(["branch", "generate", *SMALL, "--count", "3", "--out", str(out), "--seed", "5", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["files"] == [f"setcover_0000{k}.mps.gz" for k in range(3)] and said["rows"] == [20, 20]
    entries = [json.loads(line) for line in (out / MANIFEST).read_text().splitlines()]
    family = make_family("setcover", rows=20, cols=30, density=0.2)
    for index, entry in enumerate(entries):
        content = (out / entry["file"]).read_bytes()
        assert entry["sha256"] == hashlib.sha256(content).hexdigest() and entry["bytes"] == len(content)
        assert (entry["family"], entry["seed"], entry["index"]) == ("setcover", 5, index)
        assert (entry["rows"], entry["columns"], entry["nonzeros"]) == (20, 30, 120)
        again = make_family(entry["family"], **entry["parameters"])
        assert again == family and again.instance(entry["seed"], entry["index"]).encode("mps.gz") == content
    assert set(listing(out)) == {MANIFEST, *said["files"]}
    assert main(["branch", "generate", *SMALL, "--count", "3", "--out", str(out), "--seed", "5"]) == 0
    assert "3 instances of setcover" in capsys.readouterr().out


@pytest.mark.parametrize("killed", ["before manifest", "half a line", "file lost", "file cut"])
def test_killed_generation_resumes(killed, tmp_path):
    family = make_family("knapsack")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    list(write_set("knapsack", family, 5, whole))
    run = write_set("knapsack", family, 5, broken)
    next(run), next(run)
    run.close()
    (broken / ".knapsack_00002.mps.gz.abc.part").write_bytes(b"half")
    manifest = broken / MANIFEST
    lines = manifest.read_text().splitlines(keepends=True)
    if killed == "before manifest":
        manifest.write_text(lines[0])
    elif killed == "half a line":
        manifest.write_text(lines[0] + lines[1][:40])
    elif killed == "file lost":
        (broken / "knapsack_00000.mps.gz").unlink()
    else:
        (broken / "knapsack_00001.mps.gz").write_bytes(b"cut")
    assert len(list(write_set("knapsack", family, 5, broken))) == 5
    assert listing(broken) == listing(whole)
    before = {path: path.stat().st_mtime_ns for path in broken.iterdir() if path.name != MANIFEST}
    assert [entry["index"] for entry in write_set("knapsack", family, 7, broken)] == list(range(7))
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    assert list(read_manifest(broken)) == [f"knapsack_0000{k}.mps.gz" for k in range(7)]


def test_one_process_at_a_time(tmp_path):
    first = write_set("knapsack", make_family("knapsack"), 2, tmp_path)
    next(first)
    with pytest.raises(InputError, match="another process"):
        next(write_set("knapsack", make_family("knapsack"), 2, tmp_path))
    assert len(list(first)) == 1
    assert len(list(write_set("knapsack", make_family("knapsack"), 2, tmp_path))) == 2


def test_a_full_disk_is_told_and_survived(tmp_path, monkeypatch):
    def full(path, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("learnsys.envs.branching.instances.sets.write_bytes", full)
        with pytest.raises(InputError, match=r"knapsack_00000.*No space left.*make room"):
            list(write_set("knapsack", make_family("knapsack"), 2, tmp_path))
    assert len(list(write_set("knapsack", make_family("knapsack"), 2, tmp_path))) == 2


def test_workers_write_the_same(tmp_path):
    family = make_family("independent_set", nodes=30)
    list(write_set("independent_set", family, 4, tmp_path / "one", suffix="lp"))
    list(write_set("independent_set", family, 4, tmp_path / "two", suffix="lp", workers=2))
    assert listing(tmp_path / "one") == listing(tmp_path / "two")


def test_folders_of_others_stay_as_they_are(tmp_path):
    family = make_family("knapsack")
    list(write_set("knapsack", family, 1, tmp_path))
    before = listing(tmp_path)
    for other in ({"seed": 1}, {"suffix": "mps"}):
        with pytest.raises(InputError, match="another folder"):
            list(write_set("knapsack", family, 1, tmp_path, **other))
    with pytest.raises(InputError, match="another folder"):
        list(write_set("knapsack", make_family("knapsack", items=9), 1, tmp_path))
    (tmp_path / "knapsack_00001.mps.gz").write_bytes(b"mine")
    with pytest.raises(InputError, match="stands already"):
        list(write_set("knapsack", family, 2, tmp_path))
    assert listing(tmp_path) == {**before, "knapsack_00001.mps.gz": b"mine"}
    (tmp_path / MANIFEST).write_text("no json\n{}\n")
    with pytest.raises(InputError, match="line 1"):
        list(write_set("knapsack", family, 2, tmp_path))


@pytest.mark.parametrize(
    "arguments",
    [
        ["setcover", "--rows", "0"],
        ["setcover", "--density", "0.0001"],
        ["item_placement:tiny", "--capacity-factor", "0.1"],
        ["facility:tiny", "--count", "0"],
        ["facility:tiny", "--format", "zip"],
        ["facility:tiny", "--seed", "-1"],
    ],
)
def test_command_refuses_in_one_line(arguments, tmp_path, capsys):
    assert main(["branch", "generate", *arguments, "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("learnsys: ") and said.err.count("\n") == 1 and not said.out
    assert not (tmp_path / "out").exists()


def test_command_refuses_an_unwritable_folder(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["branch", "generate", "knapsack", "--out", str(tmp_path / "file" / "out")]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "cannot be made" in said


def test_help_lists_families_and_parameters(capsys):
    with pytest.raises(SystemExit) as end:
        main(["branch", "generate", "--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert all(name in text for name in family_names())
    for name in FAMILIES:
        with pytest.raises(SystemExit):
            main(["branch", "generate", name, "--help"])
        text = capsys.readouterr().out
        assert all(f"--{field.name.replace('_', '-')}" in text for field in fields(family_class(name)))
