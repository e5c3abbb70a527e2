"""Graphs, batches, products and generators."""

from itertools import pairwise

import networkx
import numpy as np
import pytest
import scipy.sparse
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from learnsys.errors import InputError
from learnsys.graphs import FAMILIES, Graph, batch_graphs, make_family
from learnsys.graphs.cliques import best_partition, clique_bound, clique_cover
from learnsys.graphs.generators import RB, BarabasiAlbert, ErdosRenyi, ForcedRB, PlantedSat
from learnsys.graphs.graph import check_memory
from learnsys.graphs.spmm import Sparse, segment_mean, segment_spread, segment_sum, spmm
from learnsys.testing.graphs import largest_independent_set

PAIRS = st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=40)


def test_rows_by_hand():
    graph = Graph.from_edges([[2, 0], [0, 2], [3, 3], [1, 2], [2, 4]], 6)  # double, loop, isolated 3 and 5
    assert graph.indptr.tolist() == [0, 1, 2, 5, 5, 6, 6]
    assert graph.indices.tolist() == [2, 2, 0, 1, 4, 2]
    assert (graph.n, graph.m) == (6, 3)
    assert graph.edges.tolist() == [[0, 2], [1, 2], [2, 4]]
    assert graph.induced([0, 2, 3]).edges.tolist() == [[0, 1]]
    assert graph.is_independent([0, 1, 3, 4, 5]) and not graph.is_independent([0, 2])
    assert not graph.is_independent([0, 0]) and not graph.is_independent([6]) and not graph.is_independent([-1])


@given(PAIRS, st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_graphs_agree_with_networkx(pairs, seed):
    other = networkx.Graph()
    other.add_nodes_from(range(12))
    other.add_edges_from((u, v) for u, v in pairs if u != v)
    graph = Graph.from_edges(np.array(pairs, np.int64).reshape(-1, 2), 12)
    graph.check()
    assert {tuple(edge) for edge in graph.edges.tolist()} == {tuple(sorted(edge)) for edge in other.edges}
    assert Graph.of(other).same_as(graph) and Graph.of(graph.to_networkx()).same_as(graph)
    assert Graph.of(graph.to_scipy()).same_as(graph) and Graph.of(graph) is graph
    assert {tuple(edge) for edge in graph.complement().edges.tolist()} == {
        tuple(sorted(edge)) for edge in networkx.complement(other).edges
    }
    keep = np.random.default_rng(seed).random(12) < 0.6
    part = networkx.relabel_nodes(
        other.subgraph(np.flatnonzero(keep).tolist()), {v: k for k, v in enumerate(np.flatnonzero(keep).tolist())}
    )
    assert {tuple(sorted(edge)) for edge in part.edges} == {tuple(e) for e in graph.induced(keep).edges.tolist()}


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ([[0, -1]], "outside"),
        (np.array([[0.5, 1.0]]), "no whole numbers"),
        ([[0, 1, 2]], "no list of edges"),
        ([[0, 2**40]], "vertices"),
        ("graph", "no whole numbers|no list of edges|no graph"),
        (object(), "no graph|no list|no whole"),
        (scipy.sparse.csr_array(np.ones((2, 3))), "no adjacency"),
        (scipy.sparse.csr_array(np.array([[0, 2], [2, 0]])), "weights"),
        (networkx.Graph([(0, 1, {"weight": 3})]), "weight"),
    ],
)
def test_what_is_no_graph_is_refused(source, reason):
    with pytest.raises(InputError, match=reason):
        Graph.of(source)


def test_faults_of_rows_are_found():
    good = Graph.from_edges([[0, 1], [1, 2]])
    good.check()
    for indptr, indices in (([0, 1, 1], [1]), ([0, 1, 2], [0, 1]), ([0, 2, 3], [1, 1, 0]), ([0, 1, 3], [1, 0])):
        with pytest.raises(InputError, match="the row of vertex"):
            Graph(np.array(indptr), np.array(indices, np.int32)).check()


def test_a_graph_beyond_memory_is_refused():
    with pytest.raises(InputError, match="GiB"):
        check_memory(2**30, 2**45)
    with pytest.raises(InputError, match="vertices"):
        check_memory(2**40, 1)


def test_batches():
    graphs = [make_family("ba", nodes=(5, 9), affinity=2).graph(0, k) for k in range(4)] + [Graph.from_edges([], 3)]
    batch = batch_graphs(graphs)
    batch.graph.check()
    assert len(batch) == 5 and batch.sizes.tolist() == [graph.n for graph in graphs]
    assert all(part.same_as(graph) for part, graph in zip(batch, graphs, strict=True))
    keep = np.random.default_rng(0).random(batch.graph.n) < 0.5
    keep[batch.owner == 1] = False
    less, old = batch.induced(keep)
    assert np.array_equal(old, np.flatnonzero(keep)) and less.sizes[1] == 0
    for number, graph in enumerate(graphs):
        assert less[number].same_as(graph.induced(keep[batch.owner == number]))
    assert len(batch_graphs([])) == 0


def test_products_and_their_gradients():
    rng = np.random.default_rng(0)
    batch = batch_graphs([make_family("er", nodes=(n, n)).graph(0) for n in (20, 30, 25)])
    matrix = scipy.sparse.random_array((13, 40), density=0.2, rng=rng, format="csr", dtype=np.float32)
    for sparse, dense in (
        (Sparse.of_graph(batch.graph), batch.graph.to_scipy().toarray()),
        (Sparse.of_rows(matrix.indptr, matrix.indices, 40, matrix.data), matrix.toarray()),
        (Sparse.of_rows(matrix.indptr, matrix.indices, 40).transposed, (matrix.toarray() != 0).T),
    ):
        dense = torch.from_numpy(dense.astype(np.float32))
        x = torch.randn(dense.shape[1], 8, requires_grad=True)
        weight = torch.randn(dense.shape[0], 8)
        assert sparse.shape == tuple(dense.shape)
        torch.testing.assert_close(spmm(sparse, x), dense @ x)
        (spmm(sparse, x) * weight).sum().backward()
        torch.testing.assert_close(x.grad, dense.T @ weight)
    starts = np.array([0, 20, 20, 50, 75])
    segments = Sparse.of_segments(starts)
    x = torch.randn(75, 4)
    sums = torch.stack([x[a:b].sum(0) for a, b in pairwise(starts)])
    torch.testing.assert_close(segment_sum(x, segments), sums)
    torch.testing.assert_close(segment_mean(x, segments), sums / torch.tensor([20, 1, 30, 25])[:, None])
    torch.testing.assert_close(segment_spread(sums, segments)[21], sums[2])


@pytest.mark.parametrize("name", [name for name in FAMILIES if name != "sparse-250k"])
def test_families(name):
    family = FAMILIES[name]
    graph = family.graph(3, 1)
    graph.check()
    assert family.graph(3, 1).same_as(graph) and not family.graph(3, 2).same_as(graph)
    assert not family.graph(4, 1).same_as(graph)
    with pytest.raises(InputError, match="no parameter"):
        make_family(name, colour=1)
    with pytest.raises(InputError, match="count from 0"):
        family.graph(-1)


def test_rb_is_as_published():
    """Groups are cliques of consecutive vertices; the parameters' ranges; the mean number of edges of the published
    generator, 3,880 of 100 graphs with a standard error near 250."""
    graphs = [FAMILIES["rb-small"].graph(7, k) for k in range(100)]
    assert all(200 <= graph.n <= 300 for graph in graphs)
    assert 3300 < np.mean([graph.m for graph in graphs]) < 4900
    tight = RB(groups=(3, 3), group=(4, 4), tightness=(0.5, 0.5), nodes=(12, 12)).graph(0)
    for group in range(3):
        members = np.arange(4 * group, 4 * group + 4)
        assert tight.induced(members).m == 6
    assert clique_bound(tight) <= 3


def test_planted_optima():
    for family in (ForcedRB(6, 4), ForcedRB(3, 3), PlantedSat(5, (4, 6)), PlantedSat(3, (5, 5))):
        for index in range(6):
            graph = family.graph(0, index)
            assert len(largest_independent_set(graph)) == family.optimum(graph)


def test_erdos_renyi_counts():
    dense = ErdosRenyi((300, 300), probability=0.3).graph(0)
    assert abs(dense.m - 0.3 * 44850) < 5 * np.sqrt(44850 * 0.21)
    assert ErdosRenyi((50, 50), edges=1000).graph(0).m == 1000
    assert ErdosRenyi((50, 50), edges=10).graph(0).m == 10
    assert ErdosRenyi((9, 9), probability=1.0).graph(0).m == 36
    assert ErdosRenyi((9, 9), probability=0.0).graph(0).m == 0
    assert BarabasiAlbert((50, 50), 3).graph(0).m == 3 + 46 * 3


@pytest.mark.parametrize(
    "make",
    [
        lambda: ErdosRenyi(probability=2.0),
        lambda: ErdosRenyi((9, 3)),
        lambda: BarabasiAlbert((5, 5), 5),
        lambda: RB(tightness=(0.0, 1.0)),
        lambda: RB(nodes=(201, 201), groups=(20, 20), group=(10, 10)),
        lambda: ForcedRB(1, 5),
        lambda: ForcedRB(tightness=1.0),
        lambda: PlantedSat(2),
        lambda: make_family("petersen"),
    ],
)
def test_impossible_families_are_refused(make):
    with pytest.raises(InputError):
        make()


@given(PAIRS)
@settings(max_examples=40, deadline=None)
def test_cliques(pairs):
    graph = Graph.from_edges(np.array(pairs, np.int64).reshape(-1, 2), 12)
    part = best_partition(graph)
    row, vertex = clique_cover(graph)
    covered = set()
    groups = [np.flatnonzero(part == c) for c in range(part.max() + 1)]
    groups += [vertex[row == r] for r in range(row.max() + 1)]
    for members in groups:
        assert graph.induced(np.sort(members)).m == members.size * (members.size - 1) // 2
    for members in groups[part.max() + 1 :]:
        covered |= {(int(u), int(v)) for u in members for v in members if u < v}
    assert {tuple(edge) for edge in graph.edges.tolist()} == covered
    assert set(vertex.tolist()) == set(range(12))
    assert clique_bound(graph) >= len(largest_independent_set(graph))
