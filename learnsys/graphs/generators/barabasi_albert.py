"""Barabasi-Albert graphs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from learnsys.graphs.generators.base import GraphFamily, Range
from learnsys.graphs.graph import Graph


@dataclass(frozen=True)
class BarabasiAlbert(GraphFamily):
    """Preferential attachment: from a star, each new vertex joins old ones, likelier those of high degree."""

    nodes: Range = (200, 300)
    """least and greatest number of vertices"""
    affinity: int = 4
    """edges that each new vertex brings"""

    def __post_init__(self) -> None:
        self._range("nodes", 2)
        possible = 1 <= self.affinity < self.nodes[0]
        self._require(possible, f"affinity={self.affinity} does not fit", f"give 1 to {self.nodes[0] - 1}")

    def build(self, rng: np.random.Generator) -> Graph:
        from learnsys.graphs.generators.growth_kernel import barabasi_albert

        n = int(rng.integers(self.nodes[0], self.nodes[1] + 1))
        return Graph.from_edges(barabasi_albert(rng, n, self.affinity), n)
