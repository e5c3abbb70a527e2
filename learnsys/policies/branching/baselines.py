"""Simple rules and experts, as policies that are asked at each node."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyscipopt import Model

from learnsys.policies.branching.base import BranchingPolicy


class First(BranchingPolicy):
    """The first candidate in SCIP's order."""

    def act(self, observation: Any, candidates: NDArray[np.int64]) -> int:
        return int(candidates[0])


class Uniform(BranchingPolicy):
    """Any candidate, all equally likely."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)

    def start(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def act(self, observation: Any, candidates: NDArray[np.int64]) -> int:
        return int(candidates[self.rng.integers(len(candidates))])


class Fractionality:
    """Observation: distance of each LP value to the nearest integer, float64 (n,)."""

    def before_reset(self, model: Model) -> None:
        """Nothing is kept between episodes."""

    def extract(self, model: Model, done: bool = False) -> NDArray[np.float64] | None:
        """The distances, None when `done`."""
        if done:
            return None
        values = np.array([variable.getLPSol() for variable in model.getVars(transformed=True)])
        return np.abs(values - np.round(values))


class BestScore(BranchingPolicy):
    """The candidate of greatest score; of equal ones, the first in SCIP's order.

    Args:
        scores: the observation function (or its name) that gives scores, float64 (n,).
    """

    def __init__(self, scores: Any) -> None:
        self.observation = scores

    def act(self, observation: Any, candidates: NDArray[np.int64]) -> int:
        if observation is None:
            return int(candidates[0])
        scores = observation[candidates]
        return int(candidates[np.argmax(np.where(np.isnan(scores), -np.inf, scores))])


class MostFractional(BestScore):
    """The candidate whose LP value is furthest from an integer."""

    def __init__(self) -> None:
        super().__init__(Fractionality())


class StrongBranching(BestScore):
    """Full strong branching, the expert of imitation learning: it solves two LPs for each candidate.

    The scores are those of SCIP's rule `vanillafullstrong`; unlike the rule it does not prune a node where both
    children of a candidate are infeasible.
    """

    def __init__(self) -> None:
        super().__init__("strong_branching")


class Pseudocost(BestScore):
    """The candidate of greatest pseudocost score, as SCIP computes it."""

    def __init__(self) -> None:
        super().__init__("pseudocosts")
