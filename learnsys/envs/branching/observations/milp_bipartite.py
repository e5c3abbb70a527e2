"""MilpBipartite: the problem itself, before it is solved, as a graph of variables and constraints."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from learnsys.envs.branching.observations.base import BipartiteObservation
from learnsys.envs.branching.observations.problem import read_problem

if TYPE_CHECKING:
    from pyscipopt import Model

VARIABLE_FEATURES = (
    "objective",
    "is_type_binary",
    "is_type_integer",
    "is_type_implicit_integer",
    "is_type_continuous",
    "has_lower_bound",
    "has_upper_bound",
    "lower_bound",
    "upper_bound",
)
ROW_FEATURES = ("bias",)


class MilpBipartite:
    """The constraints as a graph, for decisions before the solving process starts (a configuration, say).

    Variables, float64 (n, 9): 0 objective coefficient, to be minimised; 1 to 4 one-hot type (binary, integer,
    implied integer, continuous); 5, 6 whether the lower and upper bound are finite; 7, 8 the bounds (0 where infinite).
    Rows, float64 (m, 1), one for each finite side, the left one first and negated: the side. Edges: the coefficients.

    Ecole 0.8.1 differs in two respects. Its `normalize` divides the sides by the norms of the constraints, but not
    the coefficients; and it negates the objective of a maximisation problem once more after SCIP has transformed it.

    Args:
        normalize: divide the objective by its Euclidean norm, and each constraint by its own (1 where a norm is 0).
        kernels: False takes the plain PySCIPOpt way, which is also taken where libscip is not available.
    """

    def __init__(self, normalize: bool = False, *, kernels: bool = True) -> None:
        self.normalize = normalize
        self.kernels = kernels

    def before_reset(self, model: Model) -> None:
        """Nothing is kept between episodes."""

    def extract(self, model: Model, done: bool = False) -> BipartiteObservation | None:
        """The observation, or None when `done` or when the model is being solved already.

        Raises:
            InputError: a constraint is not linear.
        """
        problem = None if done else read_problem(model, kernels=self.kernels)
        if problem is None:
            return None
        bias, row, column, value = problem.split()
        objective = problem.objective
        if self.normalize:
            norms = np.sqrt(np.bincount(row, np.square(value), len(bias)))
            norms[norms == 0] = 1.0
            bias, value = bias / norms, value / norms[row]
            objective = objective / (np.sqrt(np.square(objective).sum()) or 1.0)
        has_lower, has_upper = np.isfinite(problem.lower), np.isfinite(problem.upper)
        variables = [
            objective,
            *(problem.kind == kind for kind in range(4)),
            has_lower,
            has_upper,
            np.where(has_lower, problem.lower, 0.0),
            np.where(has_upper, problem.upper, 0.0),
        ]
        return BipartiteObservation(
            np.stack(variables, axis=1).astype(np.float64), bias[:, None], np.stack([row, column]), value
        )
