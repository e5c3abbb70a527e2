"""Kernels of `lp.read_lp`. Import only where `libscip.available()`."""

from __future__ import annotations

import numpy as np
from numba import njit

from learnsys.envs.branching.libscip import LP_NOT_SOLVED, STAGE_SOLVING, function, load_pointer, load_real

SCIPcolGetAge = function("SCIPcolGetAge")
SCIPcolGetBasisStatus = function("SCIPcolGetBasisStatus")
SCIPcolGetLb = function("SCIPcolGetLb")
SCIPcolGetPrimsol = function("SCIPcolGetPrimsol")
SCIPcolGetUb = function("SCIPcolGetUb")
SCIPcolGetVarProbindex = function("SCIPcolGetVarProbindex")
SCIPepsilon = function("SCIPepsilon")
SCIPfeastol = function("SCIPfeastol")
SCIPgetColRedcost = function("SCIPgetColRedcost")
SCIPgetLPRows = function("SCIPgetLPRows")
SCIPgetLPSolstat = function("SCIPgetLPSolstat")
SCIPgetNLPRows = function("SCIPgetNLPRows")
SCIPgetNLPs = function("SCIPgetNLPs")
SCIPgetNVars = function("SCIPgetNVars")
SCIPgetObjNorm = function("SCIPgetObjNorm")
SCIPgetRowLPActivity = function("SCIPgetRowLPActivity")
SCIPgetStage = function("SCIPgetStage")
SCIPgetVars = function("SCIPgetVars")
SCIPinfinity = function("SCIPinfinity")
SCIProwGetAge = function("SCIProwGetAge")
SCIProwGetCols = function("SCIProwGetCols")
SCIProwGetConstant = function("SCIProwGetConstant")
SCIProwGetDualsol = function("SCIProwGetDualsol")
SCIProwGetLhs = function("SCIProwGetLhs")
SCIProwGetNLPNonz = function("SCIProwGetNLPNonz")
SCIProwGetNNonz = function("SCIProwGetNNonz")
SCIProwGetNorm = function("SCIProwGetNorm")
SCIProwGetRhs = function("SCIProwGetRhs")
SCIProwGetVals = function("SCIProwGetVals")
SCIPvarGetCol = function("SCIPvarGetCol")
SCIPvarGetIndex = function("SCIPvarGetIndex")
SCIPvarGetLbLocal = function("SCIPvarGetLbLocal")
SCIPvarGetLPSol = function("SCIPvarGetLPSol")
SCIPvarGetObj = function("SCIPvarGetObj")
SCIPvarGetStatus = function("SCIPvarGetStatus")
SCIPvarGetType = function("SCIPvarGetType")
SCIPvarGetUbLocal = function("SCIPvarGetUbLocal")
SCIPvarIsImpliedIntegral = function("SCIPvarIsImpliedIntegral")

COLUMN = 2
IMPLIED_INTEGER = 2
NO_COLUMN = -1


@njit(["boolean(intp, int64[::1])"], cache=True, nogil=True)
def sizes(scip, out):
    """out <- (variables, LP rows, their LP entries); False if there is no solved LP."""
    if SCIPgetStage(scip) != STAGE_SOLVING or SCIPgetLPSolstat(scip) == LP_NOT_SOLVED:
        return False
    rows = SCIPgetLPRows(scip)
    out[0] = SCIPgetNVars(scip)
    out[1] = SCIPgetNLPRows(scip)
    out[2] = 0
    for i in range(out[1]):
        out[2] += SCIProwGetNLPNonz(load_pointer(rows, i))
    return True


_REALS, _INTEGERS = "float64[::1]", "int64[::1]"
_VARIABLES = [_INTEGERS, _REALS, _INTEGERS, _REALS, _REALS, _REALS, _REALS, _INTEGERS, _INTEGERS]
_ROWS = [_REALS, _REALS, _REALS, _REALS, _REALS, _REALS, _INTEGERS, _INTEGERS]
_MATRIX = [_INTEGERS, _INTEGERS, _REALS]


@njit([f"void(intp, {', '.join([*_VARIABLES, *_ROWS, *_MATRIX, _REALS])})"], cache=True, nogil=True)
def read(
    scip,
    index,
    objective,
    kind,
    lower,
    upper,
    value,
    reduced_cost,
    column_age,
    basis,
    left,
    right,
    constant,
    norm,
    activity,
    dual,
    row_age,
    nonzeros,
    start,
    column,
    coefficient,
    scalars,
):
    """Fill the fields of `lp.LP`, in their order."""
    pointers = SCIPgetVars(scip)
    for j in range(objective.size):
        variable = load_pointer(pointers, j)
        index[j], objective[j] = SCIPvarGetIndex(variable), SCIPvarGetObj(variable)
        kind[j] = IMPLIED_INTEGER if SCIPvarIsImpliedIntegral(variable) else SCIPvarGetType(variable)
        if SCIPvarGetStatus(variable) == COLUMN:
            col = SCIPvarGetCol(variable)
            lower[j], upper[j], value[j] = SCIPcolGetLb(col), SCIPcolGetUb(col), SCIPcolGetPrimsol(col)
            reduced_cost[j] = SCIPgetColRedcost(scip, col)
            column_age[j], basis[j] = SCIPcolGetAge(col), SCIPcolGetBasisStatus(col)
        else:
            lower[j], upper[j] = SCIPvarGetLbLocal(variable), SCIPvarGetUbLocal(variable)
            value[j] = SCIPvarGetLPSol(variable)
            reduced_cost[j], column_age[j], basis[j] = 0.0, 0, NO_COLUMN
    pointers = SCIPgetLPRows(scip)
    start[0] = 0
    for i in range(left.size):
        row = load_pointer(pointers, i)
        left[i], right[i], constant[i] = SCIProwGetLhs(row), SCIProwGetRhs(row), SCIProwGetConstant(row)
        norm[i], activity[i], dual[i] = SCIProwGetNorm(row), SCIPgetRowLPActivity(scip, row), SCIProwGetDualsol(row)
        row_age[i], nonzeros[i] = SCIProwGetAge(row), SCIProwGetNNonz(row)
        columns, coefficients = SCIProwGetCols(row), SCIProwGetVals(row)
        begin, entries = start[i], SCIProwGetNLPNonz(row)
        start[i + 1] = begin + entries
        for k in range(entries):
            column[begin + k] = SCIPcolGetVarProbindex(load_pointer(columns, k))
            coefficient[begin + k] = load_real(coefficients, k)
    scalars[0] = SCIPgetObjNorm(scip)
    scalars[1] = np.float64(SCIPgetNLPs(scip))
    scalars[2] = SCIPinfinity(scip)
    scalars[3] = SCIPepsilon(scip)
    scalars[4] = SCIPfeastol(scip)
