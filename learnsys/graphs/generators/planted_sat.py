"""Conflict graphs of satisfiable formulas."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from learnsys.graphs.generators.base import GraphFamily, Range, cliques
from learnsys.graphs.graph import MAX_NODES, Graph


@dataclass(frozen=True)
class PlantedSat(GraphFamily):
    """Conflict graphs of random satisfiable 3-SAT formulas, like the SATLIB set of the literature.

    Three vertices for each clause, one for each literal, form a triangle; opposite literals are joined. The formula is
    drawn uniformly among those that a hidden assignment satisfies, so the optimum is the number of clauses.
    """

    variables: int = 100
    """of the formula"""
    clauses: Range = (403, 449)
    """least and greatest number of clauses"""

    def __post_init__(self) -> None:
        self._require(3 <= self.variables <= MAX_NODES, f"variables={self.variables}", "give at least 3")
        self._range("clauses", 1)

    def build(self, rng: np.random.Generator) -> Graph:
        m = int(rng.integers(self.clauses[0], self.clauses[1] + 1))
        hidden = rng.integers(2, size=self.variables)
        variable = np.stack([rng.choice(self.variables, 3, replace=False) for _ in range(m)])
        right = 1 + rng.integers(7, size=m)  # which of its literals the hidden assignment makes true: one at least
        sign = hidden[variable] ^ (right[:, None] >> np.arange(3) & 1 ^ 1)
        variable, sign = variable.ravel(), sign.ravel()
        edges = [cliques(m, 3)]
        for each in range(self.variables):
            yes, no = (np.flatnonzero((variable == each) & (sign == value)) for value in (1, 0))
            edges.append(np.stack(np.meshgrid(yes, no), axis=-1).reshape(-1, 2))
        return Graph.from_edges(np.concatenate(edges), 3 * m)

    def optimum(self, graph: Graph) -> int:
        return graph.n // 3
