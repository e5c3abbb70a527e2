"""StrongBranchingScores: the expert's labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from learnsys.envs.branching import libscip
from learnsys.envs.branching.candidates import candidate_variables, candidates
from learnsys.errors import LearnsysError

if TYPE_CHECKING:
    from pyscipopt import Model

_KERNELS = "learnsys.envs.branching.observations.strong_branching_kernel"
NO_LIMIT = 2**31 - 1


class StrongBranchingScores:
    """Full strong branching: solve both children's LPs of every candidate, float64 (n,); NaN for other variables.

    The scores are those of SCIP's rule `vanillafullstrong`: the two gains in the dual bound, each bounded by what the
    cutoff bound leaves, combined by SCIP's score function. No side effect is left in SCIP: no bound, pseudocost or
    iteration count changes.

    If SCIP cannot solve a child's LP, that candidate and those after it stay NaN (`vanillafullstrong` stops there
    too, and leaves minus infinity).

    Args:
        pseudo_candidates: score all unfixed discrete variables, those with an integral LP value included.
        kernels: False takes the plain PySCIPOpt way, which is also taken where libscip is not available.
    """

    def __init__(self, pseudo_candidates: bool = False, *, kernels: bool = True) -> None:
        self.pseudo_candidates = pseudo_candidates
        self.kernels = kernels

    def before_reset(self, model: Model) -> None:
        """Nothing is kept between episodes."""

    def extract(self, model: Model, done: bool = False) -> NDArray[np.float64] | None:
        """The scores, or None when `done` or when the node has no LP solved to optimality.

        Raises:
            LearnsysError: SCIP failed.
        """
        from pyscipopt import SCIP_LPSOLSTAT

        if done or model.getStage() != libscip.STAGE_SOLVING or model.getLPSolstat() != SCIP_LPSOLSTAT.OPTIMAL:
            return None
        scores = np.full(model.getNVars(), np.nan)
        # SCIP overwrites its array of candidates while it branches strongly; this is a copy
        indices = candidates(model, self.pseudo_candidates, kernels=self.kernels)
        kernel = libscip.kernels(_KERNELS) if self.kernels else None
        if kernel is None:
            _score_plainly(model, indices, candidate_variables(model, self.pseudo_candidates), scores)
        else:
            status = kernel.score(libscip.pointer(model), indices, scores)
            if status != kernel.OKAY:
                raise LearnsysError(f"SCIP failed in strong branching (code {status})")
        return scores


def _score_plainly(model: Model, indices: NDArray[np.int64], variables: list, scores: NDArray[np.float64]) -> None:
    bound = model.getLPObjVal()
    model.startStrongbranch()
    try:
        for index, variable in zip(indices.tolist(), variables, strict=True):
            integral = model.isFeasIntegral(variable.getLPSol())
            down, up, *_, error = model.getVarStrongbranch(variable, NO_LIMIT, idempotent=True, integral=integral)
            if error:
                break
            gains = [max(down, bound) - bound, max(up, bound) - bound]
            if integral:
                gains.append(0.0)  # the child that keeps the LP's value
            scores[index] = model.getBranchScoreMultiple(variable, gains)
    finally:
        model.endStrongbranch()
