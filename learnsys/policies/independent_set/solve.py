"""One call from a graph of any kind to the vertices of a large independent set."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from learnsys.graphs.graph import Graph, is_networkx
from learnsys.policies.independent_set.registry import make_independent_set_policy


def mis(
    graph: Any, *, policy: str = "auto", seconds: float = 1.0, iterations: int | None = None, seed: int = 0
) -> NDArray[Any]:
    """The vertices of a large independent set, verified.

    Args:
        graph: a networkx graph, a scipy sparse adjacency matrix, an edge array (edges, 2) or a `Graph`.
        policy: a name in `learnsys.policies.independent_set.registry.POLICIES`, or a trained policy's folder.
        seconds: CPU seconds at most; a policy that proves its set stops earlier.
        iterations: at most; with seconds=inf the result depends on the graph and the seed alone.
        seed: of random choices.

    Returns:
        Vertices, ascending: int64 (k,). Of a networkx graph its nodes, an array of objects in the graph's order unless
        all nodes are integers.

    Raises:
        InputError: `graph` is none, or has weights; no such policy; impossible limits.
    """
    found = make_independent_set_policy(policy).solve(
        Graph.of(graph), seconds=seconds, iterations=iterations, seed=seed
    )
    if not is_networkx(graph):
        return found.vertices
    nodes = list(graph)
    if all(isinstance(node, int | np.integer) for node in nodes):
        return np.sort(np.array(nodes, np.int64)[found.vertices])
    chosen = np.empty(found.size, object)
    for place, vertex in enumerate(found.vertices):
        chosen[place] = nodes[vertex]
    return chosen
