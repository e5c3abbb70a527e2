"""Families of instances: every one feasible and seeded; the classic ones by hand and by their laws."""

import itertools
import math
import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learnsys.envs.branching.instances import FAMILIES, Milp, make_family, parse_family
from learnsys.envs.branching.instances.independent_set import IndependentSet, clique_partition
from learnsys.errors import InputError

INF = np.inf


@pytest.mark.parametrize("name", [f"{name}:tiny" for name in FAMILIES])
def test_every_family_is_well_formed_feasible_and_seeded(name, solve):
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
        assert milp.violation(x) < 1e-5


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


def test_set_cover_by_hand(solve):
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


def test_facility_with_one_place_opens_it(solve):
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


def test_independent_set_by_hand(solve):
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
