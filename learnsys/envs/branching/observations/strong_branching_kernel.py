"""Kernel of `StrongBranchingScores`. Import only where `libscip.available()`."""

from __future__ import annotations

import numpy as np
from numba import njit

from learnsys.envs.branching.libscip import function, load_pointer

SCIPendStrongbranch = function("SCIPendStrongbranch")
SCIPgetBranchScoreMultiple = function("SCIPgetBranchScoreMultiple")
SCIPgetLPObjval = function("SCIPgetLPObjval")
SCIPgetVars = function("SCIPgetVars")
SCIPgetVarStrongbranchFrac = function("SCIPgetVarStrongbranchFrac")
SCIPgetVarStrongbranchInt = function("SCIPgetVarStrongbranchInt")
SCIPisFeasIntegral = function("SCIPisFeasIntegral")
SCIPstartStrongbranch = function("SCIPstartStrongbranch")
SCIPvarGetLPSol = function("SCIPvarGetLPSol")

OKAY = 1
NO_LIMIT = 2**31 - 1


@njit(["int64(intp, int64[::1], float64[::1])"], cache=True, nogil=True)
def score(scip, candidates, scores):
    """Write the score of each candidate, by problem index, up to the first LP error; returns SCIP's code."""
    status = SCIPstartStrongbranch(scip, 0)
    if status != OKAY:
        return status
    bound = SCIPgetLPObjval(scip)
    pointers = SCIPgetVars(scip)
    values, flags, gains = np.zeros(2), np.zeros(7, np.uint32), np.zeros(3)
    down, flag = values.ctypes.data, flags.ctypes.data  # flags: valid, infeasible and conflict down and up; LP error
    for j in candidates:
        variable = load_pointer(pointers, j)
        integral = SCIPisFeasIntegral(scip, SCIPvarGetLPSol(variable)) != 0
        at = (down, down + 8, flag, flag + 4, flag + 8, flag + 12, flag + 16, flag + 20, flag + 24)
        if integral:
            status = SCIPgetVarStrongbranchInt(scip, variable, NO_LIMIT, 1, *at)
        else:
            status = SCIPgetVarStrongbranchFrac(scip, variable, NO_LIMIT, 1, *at)
        if status != OKAY or flags[6] != 0:
            break
        gains[0] = max(values[0], bound) - bound
        gains[1] = max(values[1], bound) - bound
        gains[2] = 0.0  # the child that keeps the LP's value, if there is one
        scores[j] = SCIPgetBranchScoreMultiple(scip, variable, 3 if integral else 2, gains.ctypes.data)
    end = SCIPendStrongbranch(scip)
    return status if status != OKAY else end
