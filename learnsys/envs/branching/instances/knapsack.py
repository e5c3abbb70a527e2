"""Knapsacks: with several resources, and several knapsacks for one set of items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from learnsys.envs.branching.instances.family import Family, binaries
from learnsys.envs.branching.instances.milp import Milp, Rows

Scheme = Literal["uncorrelated", "weakly_correlated", "strongly_correlated", "subset_sum"]


@dataclass(frozen=True)
class Knapsack(Family):
    """Choose the most profitable items within several capacities, each half of what all items weigh in it.

    Weights are drawn from {1, ..., max_weight}; an item's profit is its mean weight plus half of a number below
    `max_weight`. The preset `steps` has an LP so small that it shows what a step of an environment costs.
    """

    rows: int = 3
    """capacities"""
    items: int = 18
    """items to choose from"""
    max_weight: int = 1000
    """weights are drawn from 1 to this"""

    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {"tiny": {}, "steps": {"rows": 5, "items": 40}}

    def __post_init__(self) -> None:
        self._at_least(rows=1, items=1, max_weight=1)

    def build(self, rng: np.random.Generator) -> Milp:
        weights = rng.integers(1, self.max_weight, (self.rows, self.items), endpoint=True)
        noise = rng.integers(0, self.max_weight, self.items)
        block = Rows()
        block.add(
            [f"capacity_{row}" for row in range(self.rows)],
            np.arange(self.rows)[:, None],
            np.arange(self.items),
            weights,
            right=weights.sum(axis=1) // 2,
        )
        return Milp(
            name="knapsack",
            objective=weights.sum(axis=0) / self.rows + noise / 2,
            columns=[f"x_{item}" for item in range(self.items)],
            maximize=True,
            **binaries(self.items),
            **block.fields(self.items),
        )


@dataclass(frozen=True)
class MultipleKnapsack(Family):
    """Put each item into at most one of several knapsacks, for the most profit.

    Capacities of all but the last knapsack are drawn from 40 to 60 % of an equal share of all weights; the last one
    gets what is left to half of all weights. Profits as in Fukunaga, "A branch-and-bound algorithm for hard multiple
    knapsack problems", Annals of Operations Research 184, 2011; defaults of Scavuzzo et al., NeurIPS 2022.
    """

    items: int = 100
    """items to choose from"""
    knapsacks: int = 6
    """knapsacks"""
    weights: tuple[int, int] = (10, 20)
    """least and greatest weight"""
    scheme: Scheme = "weakly_correlated"
    """how profits follow weights: not, within the width of the range of weights, by a tenth of that width above, or
    equal to them"""

    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {"tiny": {"items": 30, "knapsacks": 4}}

    def __post_init__(self) -> None:
        self._at_least(items=1, knapsacks=1)
        self._ranges(weights=1)
        self._require(
            self.scheme in Scheme.__args__,  # type: ignore[attr-defined]
            f"scheme={self.scheme!r} is not known",
            f"choose from {', '.join(Scheme.__args__)}",  # type: ignore[attr-defined]
        )
        self._require(
            self.items * self.weights[0] >= 4 * self.knapsacks,
            f"{self.items} items are too few for {self.knapsacks} knapsacks",
            "give more items or larger weights",
        )

    def build(self, rng: np.random.Generator) -> Milp:
        n, k = self.items, self.knapsacks
        weights = rng.integers(*self.weights, n, endpoint=True)
        profits = self._profits(weights, rng)
        total = int(weights.sum())
        capacities = rng.integers(int(0.4 * total) // k, int(0.6 * total) // k, k, endpoint=True)
        capacities[-1] = total // 2 - capacities[:-1].sum()
        item, sack = np.indices((n, k))
        variable = item * k + sack
        block = Rows()
        block.add([f"capacity_{j}" for j in range(k)], sack, variable, weights[:, None], right=capacities)
        block.add([f"once_{i}" for i in range(n)], item, variable, right=1.0)
        return Milp(
            name="multiple_knapsack",
            objective=np.repeat(profits, k).astype(float),
            columns=[f"x_{i}_{j}" for i in range(n) for j in range(k)],
            maximize=True,
            **binaries(n * k),
            **block.fields(n * k),
        )

    def _profits(self, weights: Any, rng: np.random.Generator) -> Any:
        width = self.weights[1] - self.weights[0]
        if self.scheme == "uncorrelated":
            return rng.integers(*self.weights, self.items, endpoint=True)
        if self.scheme == "weakly_correlated":
            return np.maximum(rng.integers(weights - width, weights + width, endpoint=True), 1)
        return weights + width / 10 if self.scheme == "strongly_correlated" else weights
