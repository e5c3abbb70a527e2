"""Kernels of `problem.read_problem`. Import only where `libscip.available()`."""

from __future__ import annotations

import numpy as np
from numba import njit

from learnsys.envs.branching.libscip import STAGE_PROBLEM, function, load_pointer

SCIPconsGetLhs = function("SCIPconsGetLhs")
SCIPconsGetRhs = function("SCIPconsGetRhs")
SCIPgetConss = function("SCIPgetConss")
SCIPgetConsNVars = function("SCIPgetConsNVars")
SCIPgetConsVals = function("SCIPgetConsVals")
SCIPgetConsVars = function("SCIPgetConsVars")
SCIPgetNConss = function("SCIPgetNConss")
SCIPgetNVars = function("SCIPgetNVars")
SCIPgetObjsense = function("SCIPgetObjsense")
SCIPgetProbvarLinearSum = function("SCIPgetProbvarLinearSum")
SCIPgetStage = function("SCIPgetStage")
SCIPgetVars = function("SCIPgetVars")
SCIPvarGetLbLocal = function("SCIPvarGetLbLocal")
SCIPvarGetObj = function("SCIPvarGetObj")
SCIPvarGetProbindex = function("SCIPvarGetProbindex")
SCIPvarGetType = function("SCIPvarGetType")
SCIPvarGetUbLocal = function("SCIPvarGetUbLocal")
SCIPvarIsImpliedIntegral = function("SCIPvarIsImpliedIntegral")

OKAY = 1
IMPLIED_INTEGER = 2
N, SUCCESS, REQUIRED = 0, 1, 2
"""Places in the C integers that SCIP writes its answers to."""


@njit(["Tuple((float64[::1], int64[::1], float64[::1], float64[::1]))(intp)"], cache=True, nogil=True)
def variables(scip):
    """Objective (to be minimised), type, lower and upper bound of every variable."""
    n = SCIPgetNVars(scip)
    objective, kind = np.empty(n), np.empty(n, np.int64)
    lower, upper = np.empty(n), np.empty(n)
    # the transformed problem is minimised already
    sign = SCIPgetObjsense(scip) if SCIPgetStage(scip) == STAGE_PROBLEM else 1
    pointers = SCIPgetVars(scip)
    for j in range(n):
        variable = load_pointer(pointers, j)
        objective[j] = sign * SCIPvarGetObj(variable)
        kind[j] = IMPLIED_INTEGER if SCIPvarIsImpliedIntegral(variable) else SCIPvarGetType(variable)
        lower[j], upper[j] = SCIPvarGetLbLocal(variable), SCIPvarGetUbLocal(variable)
    return objective, kind, lower, upper


@njit(["boolean(intp, intp, intp[::1], float64[::1], int32[::1])"], cache=True, nogil=True)
def _terms(scip, constraint, pointers, coefficients, answer):
    """Write the terms of a linear constraint and answer[N], their number; False if it is not linear."""
    at = answer.ctypes.data
    flag = at + 4 * SUCCESS
    size = np.int32(pointers.size)
    return (
        SCIPgetConsVars(scip, constraint, pointers.ctypes.data, size, flag) == OKAY
        and answer[SUCCESS] != 0
        and SCIPgetConsVals(scip, constraint, coefficients.ctypes.data, size, flag) == OKAY
        and answer[SUCCESS] != 0
        and SCIPgetConsNVars(scip, constraint, at + 4 * N, flag) == OKAY
        and answer[SUCCESS] != 0
    )


@njit(
    ["Tuple((int64, float64[::1], float64[::1], int64[::1], int64[::1], float64[::1]))(intp)"], cache=True, nogil=True
)
def constraints(scip):
    """(-1, left, right, start, column, coefficient), or the number of a constraint that is not linear first.

    Terms of variables that presolving has removed are expressed by those that are left.
    """
    transformed = SCIPgetStage(scip) != STAGE_PROBLEM
    m = SCIPgetNConss(scip)
    left, right, start = np.empty(m), np.empty(m), np.zeros(m + 1, np.int64)
    column, coefficient = np.empty(1024, np.int64), np.empty(1024)
    answer, constant = np.zeros(3, np.int32), np.zeros(1)
    at = answer.ctypes.data
    room = max(16, SCIPgetNVars(scip))
    pointers, coefficients = np.empty(room, np.intp), np.empty(room)
    conss = SCIPgetConss(scip)
    for i in range(m):
        constraint = load_pointer(conss, i)
        ok = SCIPgetConsNVars(scip, constraint, at + 4 * N, at + 4 * SUCCESS) == OKAY and answer[SUCCESS] != 0
        if ok and answer[N] > pointers.size:
            pointers, coefficients = np.empty(answer[N], np.intp), np.empty(answer[N])
        ok = ok and _terms(scip, constraint, pointers, coefficients, answer)
        left[i] = SCIPconsGetLhs(scip, constraint, at + 4 * SUCCESS) if ok else 0.0
        ok = ok and answer[SUCCESS] != 0
        right[i] = SCIPconsGetRhs(scip, constraint, at + 4 * SUCCESS) if ok else 0.0
        ok = ok and answer[SUCCESS] != 0
        constant[0] = 0.0
        while ok and transformed:
            size = np.int32(pointers.size)
            ok = (
                SCIPgetProbvarLinearSum(
                    scip,
                    pointers.ctypes.data,
                    coefficients.ctypes.data,
                    at + 4 * N,
                    size,
                    constant.ctypes.data,
                    at + 4 * REQUIRED,
                )
                == OKAY
            )
            if answer[REQUIRED] <= size:
                break
            pointers, coefficients = np.empty(answer[REQUIRED], np.intp), np.empty(answer[REQUIRED])
            constant[0] = 0.0
            ok = ok and _terms(scip, constraint, pointers, coefficients, answer)
        if not ok:
            return i, left, right, start, column, coefficient
        left[i] -= constant[0]
        right[i] -= constant[0]
        begin, n = start[i], answer[N]
        start[i + 1] = begin + n
        while column.size < begin + n:
            column = np.concatenate((column, np.empty_like(column)))
            coefficient = np.concatenate((coefficient, np.empty_like(coefficient)))
        for k in range(n):
            column[begin + k] = SCIPvarGetProbindex(load_pointer(pointers.ctypes.data, k))
            coefficient[begin + k] = coefficients[k]
    return -1, left, right, start, column[: start[m]].copy(), coefficient[: start[m]].copy()
