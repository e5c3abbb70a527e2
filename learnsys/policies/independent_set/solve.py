"""One call from a graph of any kind to the vertices of a large independent set."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from learnsys.graphs.graph import Graph, is_networkx
from learnsys.policies.devices import check_device, on_device
from learnsys.policies.independent_set.registry import make_independent_set_policy


def mis(
    graph: Any,
    *,
    policy: str = "auto",
    seconds: float = 1.0,
    iterations: int | None = None,
    seed: int = 0,
    device: str = "cpu",
) -> NDArray[Any]:
    """The vertices of a large independent set, verified.

    Args:
        graph: a networkx graph, a scipy sparse adjacency matrix, an edge array (edges, 2) or a `Graph`.
        policy: a name in `learnsys.policies.independent_set.registry.POLICIES`, or a trained policy's folder.
        seconds: CPU seconds at most; a policy that proves its set stops earlier.
        iterations: at most; with seconds=inf the result depends on the graph and the seed alone.
        seed: of random choices.
        device: where the network of a trained policy decides, see `learnsys.policies.devices`.

    Returns:
        Vertices, ascending: int64 (k,). Of a networkx graph its nodes, an array of objects in the graph's order unless
        all nodes are integers.

    Raises:
        InputError: `graph` is none, or has weights; no such policy, or none with a network for the device; impossible
            limits.
    """
    solver = make_independent_set_policy(policy)
    check_device(device, {policy: solver})
    on_device(solver, device)
    found = solver.solve(Graph.of(graph), seconds=seconds, iterations=iterations, seed=seed)
    if not is_networkx(graph):
        return found.vertices
    nodes = list(graph)
    if all(isinstance(node, int | np.integer) for node in nodes):
        return np.sort(np.array(nodes, np.int64)[found.vertices])
    chosen = np.empty(found.size, object)
    for place, vertex in enumerate(found.vertices):
        chosen[place] = nodes[vertex]
    return chosen
