"""Pseudocosts: SCIP's own estimate of what branching on each candidate gains."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from learnsys.envs.branching import libscip
from learnsys.envs.branching.candidates import KERNELS, candidate_variables, candidates
from learnsys.envs.branching.observations.lp import has_lp

if TYPE_CHECKING:
    from pyscipopt import Model


class Pseudocosts:
    """SCIP's pseudocost score of every LP candidate at its LP value, float64 (n,); NaN for the other variables.

    Args:
        kernels: False takes the plain PySCIPOpt way, which is also taken where libscip is not available.
    """

    def __init__(self, *, kernels: bool = True) -> None:
        self.kernels = kernels

    def before_reset(self, model: Model) -> None:
        """Nothing is kept between episodes."""

    def extract(self, model: Model, done: bool = False) -> NDArray[np.float64] | None:
        """The scores, or None when `done` or when the node has no solved LP."""
        if done or not has_lp(model):
            return None
        kernel = libscip.kernels(KERNELS) if self.kernels else None
        if kernel is not None:
            return kernel.pseudocost_scores(libscip.pointer(model))
        scores = np.full(model.getNVars(), np.nan)
        variables = candidate_variables(model)
        scores[candidates(model, kernels=False)] = [
            model.getVarPseudocostScore(variable, variable.getLPSol()) for variable in variables
        ]
        return scores
