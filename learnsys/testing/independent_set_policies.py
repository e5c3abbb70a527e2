"""The contract that every policy for independent sets must pass."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from learnsys.errors import InputError
from learnsys.graphs.graph import Graph
from learnsys.policies.independent_set.base import IndependentSetPolicy
from learnsys.testing.graphs import largest_independent_set

ITERATIONS = 200


def check_independent_set_policy(make: Callable[[], IndependentSetPolicy], graphs: list[Graph]) -> None:
    """Check a policy on graphs and on the corner cases.

    Args:
        make: makes the policy, twice for comparison.
        graphs: of any size; on those of up to 16 vertices, sizes are compared with the optimum by brute force.

    Raises:
        AssertionError: the contract is broken.
    """
    for graph in [*graphs, *corner_cases()]:
        check_solutions(make, graph)
    if make().anytime:
        try:
            make().solve(corner_cases()[3])
        except InputError:
            pass
        else:
            raise AssertionError("a policy that goes on until stopped must ask for a limit")
    for wrong in ({"seconds": -1.0}, {"iterations": -1}, {"seconds": float("nan")}, {"seed": -1}):
        try:
            make().solve(corner_cases()[3], **{"iterations": 1, **wrong})  # type: ignore[arg-type]
        except InputError:
            continue
        raise AssertionError(f"{wrong} is not refused")


def check_solutions(make: Callable[[], IndependentSetPolicy], graph: Graph, iterations: int = ITERATIONS) -> None:
    """Check a policy on one graph: verified, maximal, repeatable, true to limits and bounds; the graph unchanged."""
    rows = graph.indptr.copy(), graph.indices.copy()
    policy = make()
    found = policy.solve(graph, iterations=iterations, seed=1)
    assert graph.is_independent(found.vertices)
    assert found.vertices.dtype == np.int64 and (np.diff(found.vertices) > 0).all()
    taken = np.zeros(graph.n, np.bool_)
    taken[found.vertices] = True
    blocked = taken | (graph.to_scipy() @ taken.astype(np.int64) > 0)
    assert blocked.all(), f"vertex {np.flatnonzero(~blocked)[0]} could be added"
    assert found.bound is None or found.bound >= found.size
    assert found.iterations <= iterations
    sizes = [size for _, _, size in found.curve]
    assert sizes[-1] == found.size and all(a < b for a, b in pairwise(sizes)), f"the curve {sizes} is none"
    assert all(a[0] <= b[0] and a[1] <= b[1] for a, b in pairwise(found.curve)), "the curve goes back in time"
    for again in (policy, make()):
        other = again.solve(graph, iterations=iterations, seed=1)
        assert np.array_equal(other.vertices, found.vertices), "the same seed gives another set"
    assert graph.is_independent(policy.solve(graph, iterations=iterations, seed=2).vertices)
    assert graph.is_independent(policy.solve(graph, iterations=0).vertices)
    assert graph.is_independent(policy.solve(graph, seconds=0.0).vertices)
    assert np.array_equal(rows[0], graph.indptr) and np.array_equal(rows[1], graph.indices), "the graph was changed"
    if graph.n <= 16:
        optimum = len(largest_independent_set(graph))
        assert found.size <= optimum and (found.bound is None or found.bound >= optimum)
        if policy.exact:
            full = policy.solve(graph)
            assert full.optimal and full.size == optimum, f"{full.size} of {optimum}, bound {full.bound}"


def corner_cases() -> list[Graph]:
    """No vertex, one vertex, vertices without edges, an edge, a star, a clique, two components and a lone vertex."""
    star = [[0, leaf] for leaf in range(1, 9)]
    clique = [[u, v] for v in range(7) for u in range(v)]
    edges: list[tuple[list[list[int]], int]] = [([], 0), ([], 1), ([], 5), ([[0, 1]], 2), (star, 9), (clique, 7)]
    edges.append(([[0, 1], [1, 2], [2, 0], [3, 4], [4, 5]], 7))
    return [Graph.from_edges(np.array(each, np.int64).reshape(-1, 2), nodes) for each, nodes in edges]
