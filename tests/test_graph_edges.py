"""Bipartite graphs and the fused edge kernels, beside hand-made sums and plain torch."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from learnsys.errors import InputError
from learnsys.graphs import edges_kernel
from learnsys.graphs.bipartite import BipartiteGraph
from learnsys.graphs.edges import message_moments, sum_messages, sum_messages_by_segment, sum_messages_plainly


def random_graph(rng, targets, sources, density):
    row, column = np.nonzero(rng.random((targets, sources)) < density)
    return BipartiteGraph.from_edges(row, column, rng.normal(size=len(row)), (targets, sources))


def dense(graph):
    """The values as a matrix."""
    matrix = np.zeros((graph.n_targets, graph.n_sources), np.float32)
    matrix[graph.targets, graph.sources] = graph.values
    return matrix


graphs = st.builds(
    lambda seed, t, s, density: random_graph(np.random.default_rng(seed), t, s, density),
    st.integers(0, 99),
    st.integers(0, 9),
    st.integers(1, 9),
    st.floats(0, 1),
)


@settings(max_examples=50, deadline=None)
@given(graphs, st.lists(st.integers(0, 8), unique=True))
def test_transpose_and_chosen_sources_are_those_of_the_matrix(graph, wanted):
    matrix = dense(graph)
    assert (dense(graph.transpose) == matrix.T).all()
    assert (graph.degrees == np.bincount(graph.targets, minlength=graph.n_targets)).all()
    chosen = np.array([j for j in wanted if j < graph.n_sources], np.int32)
    part = graph.of_sources(chosen)
    assert part.n_sources == graph.n_targets
    assert (dense(part) == matrix.T[chosen]).all()
    targets, sources = graph.around(chosen)
    touched = np.isin(graph.targets, graph.targets[np.isin(graph.sources, chosen)])
    assert targets.tolist() == sorted({*graph.targets[touched].tolist()})
    assert sources.tolist() == sorted({*chosen.tolist(), *graph.sources[touched].tolist()})
    near = graph.cut_out(targets, sources)
    assert (dense(near) == matrix[np.ix_(targets, sources)]).all()


@settings(max_examples=30, deadline=None)
@given(st.lists(graphs, max_size=4))
def test_a_batch_is_the_block_diagonal_matrix(parts):
    whole = BipartiteGraph.batch(parts)
    expected = np.zeros((sum(g.n_targets for g in parts), sum(g.n_sources for g in parts)), np.float32)
    row = column = 0
    for graph in parts:
        expected[row : row + graph.n_targets, column : column + graph.n_sources] = dense(graph)
        row, column = row + graph.n_targets, column + graph.n_sources
    assert (dense(whole) == expected).all()


def test_edges_in_any_order_and_wrong_edges():
    graph = BipartiteGraph.from_edges([1, 0, 1], [2, 1, 0], [3.0, 4.0, 5.0], (2, 3))
    assert graph.pointers.tolist() == [0, 1, 3]
    assert graph.sources.tolist() == [1, 2, 0]
    assert graph.values.tolist() == [4, 3, 5]
    for row, column in (([2], [0]), ([0], [3]), ([-1], [0])):
        with pytest.raises(InputError, match="outside"):
            BipartiteGraph.from_edges(row, column, [1.0], (2, 3))
    with pytest.raises(InputError, match="equal lengths"):
        BipartiteGraph.from_edges([0], [0, 1], [1.0], (2, 3))


@pytest.mark.parametrize("sum_messages", [sum_messages, sum_messages_by_segment, sum_messages_plainly])
def test_messages_by_hand(sum_messages):
    """Two targets, one without edges; two sources: relu(1 + 2*3 - 5) + relu(1 - 1*3 + 1) = 2 + 0 in each column."""
    graph = BipartiteGraph.from_edges([0, 0], [0, 1], [2.0, -1.0], (2, 2))
    row = torch.ones(1, 16)
    target, source, slope = torch.cat([row, 9 * row]), torch.cat([-5 * row, row]), 3 * row[0]
    target.requires_grad_(), source.requires_grad_(), slope.requires_grad_()
    out = sum_messages(target, source, slope, graph)
    assert (out == torch.cat([2 * row, 0 * row])).all()
    out.backward(torch.cat([7 * row, 5 * row]))
    assert (target.grad == torch.cat([7 * row, 0 * row])).all()  # the second message is cut off
    assert (source.grad == torch.cat([7 * row, 0 * row])).all()
    assert (slope.grad == 14).all()
    assert message_moments(target, source, slope, graph) == (16 * (2 - 1), 16 * (4 + 1), 32)


@pytest.mark.parametrize("form", [sum_messages, sum_messages_by_segment])
@pytest.mark.parametrize("width", [16, 48, 64, 144])
def test_kernels_equal_plain_torch(width, form):
    rng = np.random.default_rng(width)
    graph = random_graph(rng, 23, 31, 0.3)
    shapes = [(23, width), (31, width), (width,)]
    results = []
    for function in (form, sum_messages_plainly):
        generator = torch.Generator().manual_seed(3)
        terms = [torch.randn(shape, generator=generator, requires_grad=True) for shape in shapes]
        out = function(*terms, graph)
        out.backward(torch.randn(out.shape, generator=generator))
        results.append([out.detach(), *(term.grad for term in terms)])
    for fused, plain in zip(*results, strict=True):
        torch.testing.assert_close(fused, plain, rtol=1e-5, atol=1e-4)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 20), st.integers(1, 20), st.sampled_from([16, 64, 80]), st.booleans())
def test_product_is_numpys(n, depth, width, rectify):
    rng = np.random.default_rng(n)
    x, weights, out = (rng.normal(size=s).astype(np.float32) for s in ((n, depth), (depth + 3, width), (n, width)))
    expected = out + x @ weights[2 : 2 + depth]
    edges_kernel.add_product(x, weights, 2, rectify, out)
    np.testing.assert_allclose(out, np.maximum(expected, 0) if rectify else expected, atol=1e-5)
