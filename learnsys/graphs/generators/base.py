"""The base of the families of random graphs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learnsys.errors import InputError
from learnsys.graphs.graph import MAX_NODES, Graph

Range = tuple[int, int]


@dataclass(frozen=True)
class GraphFamily(ABC):
    """Base of the families. The constructor raises `InputError` for parameters with which no graph exists."""

    @abstractmethod
    def build(self, rng: np.random.Generator) -> Graph:
        """Draw a graph; everything random in it comes from `rng`."""

    def graph(self, seed: int, index: int = 0) -> Graph:
        """Graph number `index` of the sequence that belongs to `seed`; seeds separate data sets."""
        if seed < 0 or index < 0:
            raise InputError(f"seed={seed}, index={index}: both count from 0")
        return self.build(np.random.default_rng([seed, index]))

    def optimum(self, graph: Graph) -> int | None:
        """Size of a maximum independent set of a drawn graph, where the family plants one; else None."""
        return None

    def parameters(self) -> dict[str, Any]:
        """The parameters by name."""
        return asdict(self)

    def _require(self, possible: bool, problem: str, remedy: str) -> None:
        if not possible:
            raise InputError(f"{type(self).__name__}: {problem}", remedy=remedy)

    def _range(self, name: str, least: int, most: int = MAX_NODES) -> None:
        low, high = getattr(self, name)
        remedy = f"give two whole numbers from {least} to {most}, the first not above the second"
        self._require(least <= low <= high <= most, f"{name}={low},{high} is no range", remedy)


def cliques(groups: int, size: int) -> NDArray[np.int64]:
    """Edges (e, 2) of disjoint cliques of consecutive vertices."""
    within = np.stack(np.triu_indices(size, 1), axis=1)
    return (np.arange(groups)[:, None, None] * size + within).reshape(-1, 2)
