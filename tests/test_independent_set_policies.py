"""Policies for independent sets: by hand, against brute force, and the contract for every one of the registry."""

import networkx
import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

import learnsys
from learnsys.envs.independent_set.milp import from_milp, to_milp
from learnsys.errors import InputError
from learnsys.graphs import Graph, make_family
from learnsys.graphs.cliques import clique_bound
from learnsys.policies.independent_set.arw import ARW
from learnsys.policies.independent_set.base import Clock, Limits, Solution
from learnsys.policies.independent_set.best_known import BestKnown
from learnsys.policies.independent_set.evaluation import Trial, quality, summarise
from learnsys.policies.independent_set.greedy import in_order, min_degree
from learnsys.policies.independent_set.numvc import NuMVC
from learnsys.policies.independent_set.reductions import Reducer, reduced
from learnsys.policies.independent_set.registry import POLICIES, make_independent_set_policy
from learnsys.testing.graphs import largest_independent_set
from learnsys.testing.independent_set_policies import check_independent_set_policy, check_solutions

PATH5 = Graph.from_edges([[0, 1], [1, 2], [2, 3], [3, 4]])
PETERSEN = Graph.from_networkx(networkx.petersen_graph())


@st.composite
def small_graphs(draw):
    nodes = draw(st.integers(1, 16))
    share = draw(st.sampled_from([0.1, 0.2, 0.3, 0.5, 0.8]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return Graph.from_edges(np.argwhere(np.triu(rng.random((nodes, nodes)) < share, 1)), nodes)


@pytest.mark.parametrize("name", POLICIES)
def test_contract(name):
    graphs = [PATH5, PETERSEN, make_family("ba", nodes=(60, 60)).graph(0), make_family("er", nodes=(60, 60)).graph(0)]
    check_independent_set_policy(lambda: make_independent_set_policy(name), graphs)


@given(small_graphs())
@settings(max_examples=25, deadline=None)
def test_every_policy_against_brute_force(graph):
    for name in POLICIES:
        check_solutions(lambda name=name: make_independent_set_policy(name), graph, iterations=60)


def test_greedy_by_hand():
    """A path of five, and a clique of four with a pendant at each vertex."""
    order = np.arange(5, dtype=np.int32)
    assert np.flatnonzero(min_degree(PATH5.indptr, PATH5.indices, order)).tolist() == [0, 2, 4]
    assert np.flatnonzero(in_order(PATH5.indptr, PATH5.indices, np.array([1, 3, 0, 2, 4], np.int32))).tolist() == [1, 3]
    edges = [[u, v] for v in range(4) for u in range(v)] + [[v, v + 4] for v in range(4)]
    thorns = Graph.from_edges(edges)
    assert np.flatnonzero(min_degree(thorns.indptr, thorns.indices, np.arange(8, dtype=np.int32))).tolist() == [
        4,
        5,
        6,
        7,
    ]


def naive_greedy_sizes(graph, tries=60):
    """All sizes that least-degree-first reaches, over random ties."""
    sizes = set()
    for seed in range(tries):
        rng = np.random.default_rng(seed)
        left, size = graph.to_networkx(), 0
        while left:
            least = min(dict(left.degree).values())
            vertex = rng.choice([v for v in left if left.degree(v) == least])
            left.remove_nodes_from([*left.neighbors(vertex), vertex])
            size += 1
        sizes.add(size)
    return sizes


@given(small_graphs())
@settings(max_examples=15, deadline=None)
def test_greedy_takes_least_degrees(graph):
    assert make_independent_set_policy("greedy").solve(graph).size in naive_greedy_sizes(graph)


@pytest.mark.parametrize(
    ("edges", "left", "offset"),
    [
        ([[0, 1], [1, 2], [2, 3], [3, 4]], 0, 3),  # a path: degree 1
        ([[0, 1], [1, 2], [2, 0]], 0, 1),  # a triangle
        ([[0, 1], [1, 2], [2, 3], [3, 4], [4, 0]], 0, 2),  # a cycle of five folds to a triangle
        ([[0, 2], [0, 3], [0, 4], [1, 2], [1, 3], [1, 4]], 0, 3),  # twins without an edge: the three
        ([[u, v] for v in range(6) for u in range(v)], 0, 1),  # a clique: domination
    ],
)
def test_reductions_by_hand(edges, left, offset):
    graph = Graph.from_edges(edges)
    rest = reduced(graph)
    assert (rest.graph.n, rest.offset) == (left, offset)
    found = rest.lift(np.zeros(0, np.int64))
    assert graph.is_independent(found) and found.size == offset


def test_nothing_reduces_the_petersen_graph_but_twins_and_folding():
    rest = reduced(PETERSEN)  # 3-regular, no triangle, no twins
    assert rest.graph.same_as(PETERSEN) and rest.offset == 0


@given(small_graphs())
@settings(max_examples=150, deadline=None)
def test_reductions_keep_the_optimum(graph):
    rest = reduced(graph)
    rest.graph.check()
    best = largest_independent_set(rest.graph)
    lifted = rest.lift(np.array(best, np.int64))
    assert graph.is_independent(lifted)
    assert lifted.size == len(best) + rest.offset == len(largest_independent_set(graph))


@given(small_graphs(), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_reductions_between_picks(graph, seed):
    """Any picks and deletions in between leave an independent set."""
    rng = np.random.default_rng(seed)
    reducer = Reducer(graph)
    while True:
        reducer.reduce()
        left = np.flatnonzero(reducer.degree >= 0)
        rest = reducer.rest()
        assert np.array_equal(rest.graph.labels, left) and np.array_equal(rest.graph.degrees, reducer.degree[left])
        lifted = rest.lift(np.zeros(0, np.int64))
        assert graph.is_independent(lifted) and lifted.size == reducer.offset
        if not left.size:
            break
        (reducer.take if rng.random() < 0.5 else reducer.delete)(int(rng.choice(left)))
    with pytest.raises(InputError, match="not left"):
        reducer.take(0)


def test_folding_makes_room():
    """A long cycle folds again and again: more than the pool holds at first."""
    for n in (50, 51):
        rest = reduced(Graph.from_edges([[v, (v + 1) % n] for v in range(n)]))
        assert rest.offset == n // 2
    for seed in range(3):
        graph = make_family("er", nodes=(2000, 2000), edges=2400).graph(seed)
        rest = reduced(graph)
        chosen = np.flatnonzero(
            min_degree(rest.graph.indptr, rest.graph.indices, np.arange(rest.graph.n, dtype=np.int32))
        )
        lifted = rest.lift(chosen)
        assert graph.is_independent(lifted) and lifted.size == chosen.size + rest.offset


@pytest.mark.parametrize("policy", [ARW(), NuMVC()])
def test_local_search_reaches_planted_optima(policy):
    family = make_family("frb30-15", groups=20, group=10)
    for index in range(3):
        found = policy.solve(family.graph(0, index), iterations=200_000, seed=index)
        assert found.size == 20
    found = policy.solve(PETERSEN, iterations=5000)
    assert found.size == 4


def test_slices_do_not_change_the_search():
    graph = make_family("rb-small").graph(2)
    start = np.zeros(graph.n, np.bool_)
    for policy in (ARW(), NuMVC()):
        once = policy.improve(graph, start, Clock(Limits(iterations=3000)), seed=5)
        slow = Clock(Limits(iterations=3000))
        slow.work = lambda step, *_: [step(7) for _ in range(428)] + [step(4)]
        assert np.array_equal(policy.improve(graph, start, slow, seed=5), once)


def test_auto_changes_from_arw_to_numvc_within_its_limits():
    graph = make_family("rb-small").graph(2)
    for iterations in (100, 8 * graph.n, 8 * graph.n + 1000):
        found = make_independent_set_policy("auto").solve(graph, iterations=iterations)
        assert found.iterations == iterations or found.optimal
    arw = ARW().solve(graph, iterations=500)
    assert ARW().improve(graph, np.zeros(graph.n, np.bool_), Clock(Limits()), 0, most=500).sum() <= arw.bound


def test_one_compiled_version_of_each_kernel():
    from learnsys.policies.independent_set import arw_kernel, numvc_kernel, reductions_kernel

    for module in (arw_kernel, numvc_kernel, reductions_kernel):
        kernels = [each for each in vars(module).values() if hasattr(each, "signatures")]
        assert kernels and all(len(kernel.signatures) == 1 for kernel in kernels)


@given(small_graphs())
@settings(max_examples=20, deadline=None)
def test_integer_programs_and_back(graph):
    for rows in ("cliques", "edges"):
        milp = to_milp(graph, rows)
        assert from_milp(milp).same_as(graph)
        best = np.zeros(graph.n)
        best[largest_independent_set(graph)] = 1
        assert milp.violation(best) == 0
    with pytest.raises(InputError, match="not known"):
        to_milp(graph, "stars")


def test_other_programs_are_no_independent_sets():
    from learnsys.envs.branching.instances import make_family as make_program

    with pytest.raises(InputError, match="is no maximum independent set"):
        from_milp(make_program("setcover", rows=20, cols=30, density=0.2).instance(0))


def test_scip_agrees(solve):
    graph = make_family("ba", nodes=(40, 40), affinity=3).graph(0)
    _, value, _ = solve(to_milp(graph))
    exact = make_independent_set_policy("exact").solve(graph)
    assert exact.optimal and exact.size == round(value)
    assert clique_bound(graph) >= exact.size


def test_python_interface():
    names = networkx.Graph([("a", "b"), ("b", "c"), ("c", "d")])
    assert learnsys.mis(names, iterations=100).tolist() in (["a", "c"], ["a", "d"], ["b", "d"])
    numbers = networkx.Graph([(10, 7), (7, 3)])
    assert learnsys.mis(numbers).tolist() == [3, 10]
    assert learnsys.mis(scipy.sparse.csr_array(np.array([[0, 1], [0, 0]]))).size == 1  # a one-sided edge
    assert learnsys.mis([[0, 1], [1, 2]], policy="exact").tolist() == [0, 2]
    assert learnsys.mis(np.zeros((0, 2), int)).size == 0
    with pytest.raises(InputError, match="no policy"):
        learnsys.mis(names, policy="oracle")
    with pytest.raises(InputError, match="weight"):
        learnsys.mis(networkx.Graph([(0, 1, {"weight": 2.5})]))


def solution(vertices, bound=None, curve=()):
    return Solution(np.array(vertices, np.int64), bound, 1, 1.0, tuple(curve))


def test_best_known_only_gets_better(tmp_path):
    path = tmp_path / "best.json"
    known = BestKnown(path)
    assert known.size(PATH5) is None
    assert known.offer("path", PATH5, solution([1, 3]), "a")
    assert not known.offer("path", PATH5, solution([0, 3], bound=4), "b")
    known.save()
    other = BestKnown(path)
    assert other.size(PATH5) == 2 and other.bound(PATH5) == 4 and not other.proved(PATH5)
    assert other.offer("path", PATH5, solution([0, 2, 4], bound=3), "c") and other.proved(PATH5)
    assert known.offer("petersen", PETERSEN, solution([0]), "a")
    other.save()
    known.save()  # keeps what the other has written
    merged = BestKnown(path)
    assert merged.size(PATH5) == 3 and merged.proved(PATH5) and merged.size(PETERSEN) == 1
    with pytest.raises(InputError, match="upper bound of 2"):
        merged.offer("path", PATH5, solution([0], bound=2), "liar")
    path.write_text(path.read_text().replace('"vertices": [\n      0\n    ]', '"vertices": [0, 1]'))
    with pytest.raises(InputError, match="not independent"):
        BestKnown(path).size(PETERSEN)
    path.write_text("[]")
    with pytest.raises(InputError, match="no file of best known sets"):
        BestKnown(path)


def test_summary_and_curves_by_hand():
    trials = [
        Trial("a", "g", 0, solution([0, 1], curve=[(0.1, 1, 1), (0.5, 2, 2)])),
        Trial("a", "g", 1, solution([0, 1, 2, 3], bound=4, curve=[(0.2, 1, 4)])),
    ]
    (row,) = summarise(trials, {"g": 4})
    assert row["size"] == 3 and row["ratio"] == 0.75 and row["drop"] == 0.25
    assert row["at_best"] == row["proved"] == 0.5 and row["spread"] == pytest.approx(2**0.5)
    curve = quality(trials, {"g": 4}, np.array([0.15, 0.3, 1.0]))
    assert np.isnan(curve[0]) and curve[1:].tolist() == [(0.25 + 1) / 2, (0.5 + 1) / 2]
