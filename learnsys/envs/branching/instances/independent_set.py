"""Maximum independent set on random graphs, with clique rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from learnsys.envs.branching.instances.family import Family, binaries
from learnsys.envs.branching.instances.milp import Milp, Rows

Graph = Literal["barabasi_albert", "erdos_renyi"]


@dataclass(frozen=True)
class IndependentSet(Family):
    """Choose as many vertices as possible, no two of them adjacent.

    The vertices are partitioned into cliques, greedily from those of the highest degree; each clique is a row (of one
    vertex, too, which bounds it by 1 once more), and so is each edge between two cliques. Bergman et al., "Decision
    Diagrams for Optimization", 2016, section 4.6.4. Presets: sizes of Gasse et al., NeurIPS 2019.
    """

    nodes: int = 500
    """vertices"""
    graph: Graph = "barabasi_albert"
    """random graphs: preferential attachment to a star, or independent edges"""
    edge_probability: float = 0.25
    """probability of an edge in Erdos-Renyi graphs"""
    affinity: int = 4
    """edges that each new vertex brings in Barabasi-Albert graphs"""

    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
        "tiny": {"nodes": 80, "affinity": 8},
        "easy": {},
        "medium": {"nodes": 1000},
        "hard": {"nodes": 1500},
    }

    def __post_init__(self) -> None:
        self._at_least(nodes=1, edge_probability=0, affinity=1)
        kinds = Graph.__args__  # type: ignore[attr-defined]
        self._require(self.graph in kinds, f"graph={self.graph!r} is not known", f"choose from {', '.join(kinds)}")
        self._require(self.edge_probability <= 1, f"edge_probability={self.edge_probability} is above 1", "give 0 to 1")
        self._require(
            self.graph != "barabasi_albert" or self.affinity < self.nodes,
            f"affinity={self.affinity} needs more than {self.nodes} nodes",
            "give a smaller affinity",
        )

    def edges(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """The edges of a random graph: (edges, 2), each with its smaller vertex first, in ascending order."""
        from learnsys.graphs.generators.growth_kernel import barabasi_albert

        if self.graph == "barabasi_albert":
            return _sorted(barabasi_albert(rng, self.nodes, self.affinity))
        chosen = [  # row by row, so that large graphs need no matrix
            np.flatnonzero(rng.random(self.nodes - first - 1) < self.edge_probability) + first + 1
            for first in range(self.nodes)
        ]
        return np.stack([np.repeat(np.arange(self.nodes), [each.size for each in chosen]), np.concatenate(chosen)], 1)

    def build(self, rng: np.random.Generator) -> Milp:
        return self.of_graph(self.nodes, self.edges(rng))

    @staticmethod
    def of_graph(nodes: int, edges: NDArray[np.int64]) -> Milp:
        """The program of a given graph.

        Args:
            nodes: vertices are 0, ..., nodes - 1.
            edges: (edges, 2), without loops; the order of edges and of their ends does not matter.
        """
        edges = _sorted(np.asarray(edges, np.int64).reshape(-1, 2))
        clique = clique_partition(nodes, edges)
        n_cliques = int(clique.max()) + 1
        between = edges[clique[edges[:, 0]] != clique[edges[:, 1]]]
        block = Rows()
        block.add([f"clique_{each}" for each in range(n_cliques)], clique, np.arange(nodes), right=1.0)
        block.add([f"edge_{u}_{v}" for u, v in between.tolist()], np.arange(len(between))[:, None], between, right=1.0)
        return Milp(
            name="independent_set",
            objective=np.ones(nodes),
            columns=[f"x_{node}" for node in range(nodes)],
            maximize=True,
            **binaries(nodes),
            **block.fields(nodes),
        )


def clique_partition(nodes: int, edges: NDArray[np.int64]) -> NDArray[np.int64]:
    """The clique of each vertex, in the order in which the greedy rule finds them: int64 (nodes,).

    A clique starts at the free vertex of the highest degree and takes in its free neighbours, those of a higher degree
    first, as long as it stays a clique; the lower number decides between equal degrees.
    """
    from learnsys.graphs import Graph
    from learnsys.graphs.cliques import clique_partition as partition

    graph = Graph.from_edges(edges, nodes)
    return partition(graph, np.argsort(-graph.degrees, kind="stable")).astype(np.int64)


def _sorted(edges: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.unique(np.sort(edges, axis=1), axis=0)
