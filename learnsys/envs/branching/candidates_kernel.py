"""Kernels of `candidates`. Import only where `libscip.available()`."""

from __future__ import annotations

import numpy as np
from numba import njit

from learnsys.envs.branching.libscip import function, load_pointer

SCIPbranchVar = function("SCIPbranchVar")
SCIPgetLPBranchCands = function("SCIPgetLPBranchCands")
SCIPgetNVars = function("SCIPgetNVars")
SCIPgetPseudoBranchCands = function("SCIPgetPseudoBranchCands")
SCIPgetVars = function("SCIPgetVars")
SCIPgetVarPseudocost = function("SCIPgetVarPseudocost")
SCIPgetVarPseudocostScore = function("SCIPgetVarPseudocostScore")
SCIPvarGetCutoffSum = function("SCIPvarGetCutoffSum")
SCIPvarGetLPSol = function("SCIPvarGetLPSol")
SCIPvarGetNBranchings = function("SCIPvarGetNBranchings")
SCIPvarGetProbindex = function("SCIPvarGetProbindex")

DOWN, UP = 0, 1


@njit(["int64(intp, boolean, intp[:])"], cache=True, nogil=True)
def _candidates(scip, pseudo, out):
    """out[0] <- address of SCIP's array of candidates; returns their number, or -1 where SCIP refuses."""
    at = out.ctypes.data
    if pseudo:
        status = SCIPgetPseudoBranchCands(scip, at, at + 8, 0)
    else:
        status = SCIPgetLPBranchCands(scip, at, 0, 0, at + 8, 0, 0)
    return out[1] & 0xFFFFFFFF if status == 1 else -1  # out[1] holds a C int


@njit(["int64[::1](intp, boolean)"], cache=True, nogil=True)
def candidates(scip, pseudo):
    out = np.zeros(2, np.intp)
    n = _candidates(scip, pseudo, out)
    indices = np.empty(max(n, 0), np.int64)
    for i in range(n):
        indices[i] = SCIPvarGetProbindex(load_pointer(out[0], i))
    return indices


@njit(["int64[::1](intp, boolean, int8[::1])"], cache=True, nogil=True)
def candidates_and_mask(scip, pseudo, mask):
    """The candidates; their places in `mask`, which has room for all variables, become 1."""
    indices = candidates(scip, pseudo)
    for index in indices:
        mask[index] = 1
    return indices


@njit(["float64[::1](intp)"], cache=True, nogil=True)
def pseudocost_scores(scip):
    out = np.zeros(2, np.intp)
    scores = np.full(SCIPgetNVars(scip), np.nan)
    for i in range(_candidates(scip, False, out)):
        variable = load_pointer(out[0], i)
        score = SCIPgetVarPseudocostScore(scip, variable, SCIPvarGetLPSol(variable))
        scores[SCIPvarGetProbindex(variable)] = score
    return scores


@njit(["float64[:, ::1](intp, int64[::1])"], cache=True, nogil=True)
def branching_history(scip, indices):
    """(k, 6): pseudocost, cutoffs and branchings of each variable, upwards and downwards."""
    history = np.empty((indices.size, 6))
    pointers = SCIPgetVars(scip)
    for i in range(indices.size):
        variable = load_pointer(pointers, indices[i])
        for place, direction in ((0, UP), (1, DOWN)):
            history[i, place] = SCIPgetVarPseudocost(scip, variable, direction)
            history[i, 2 + place] = SCIPvarGetCutoffSum(variable, direction)
            history[i, 4 + place] = SCIPvarGetNBranchings(variable, direction)
    return history


@njit(["int32(intp, int64)"], cache=True, nogil=True)
def branch(scip, index):
    return SCIPbranchVar(scip, load_pointer(SCIPgetVars(scip), index), 0, 0, 0)
