"""Kernels of `NodeBipartite`. Import only where `libscip.available()`."""

from __future__ import annotations

import numpy as np
from numba import njit

from learnsys.envs.branching.libscip import LP_NOT_SOLVED, STAGE_SOLVING, function, load_int, load_pointer, load_real

SCIPcolGetAge = function("SCIPcolGetAge")
SCIPcolGetBasisStatus = function("SCIPcolGetBasisStatus")
SCIPcolGetLb = function("SCIPcolGetLb")
SCIPcolGetPrimsol = function("SCIPcolGetPrimsol")
SCIPcolGetUb = function("SCIPcolGetUb")
SCIPcolGetVarProbindex = function("SCIPcolGetVarProbindex")
SCIPepsilon = function("SCIPepsilon")
SCIPfeastol = function("SCIPfeastol")
SCIPgetBestSol = function("SCIPgetBestSol")
SCIPgetColRedcost = function("SCIPgetColRedcost")
SCIPgetLPRows = function("SCIPgetLPRows")
SCIPgetLPSolstat = function("SCIPgetLPSolstat")
SCIPgetNLPCols = function("SCIPgetNLPCols")
SCIPgetNLPRows = function("SCIPgetNLPRows")
SCIPgetNLPs = function("SCIPgetNLPs")
SCIPgetNRuns = function("SCIPgetNRuns")
SCIPgetNVars = function("SCIPgetNVars")
SCIPgetObjNorm = function("SCIPgetObjNorm")
SCIPgetRowLPActivity = function("SCIPgetRowLPActivity")
SCIPgetSolVal = function("SCIPgetSolVal")
SCIPgetStage = function("SCIPgetStage")
SCIPgetVars = function("SCIPgetVars")
SCIPinfinity = function("SCIPinfinity")
SCIProwGetAge = function("SCIProwGetAge")
SCIProwGetCols = function("SCIProwGetCols")
SCIProwGetConstant = function("SCIProwGetConstant")
SCIProwGetDualsol = function("SCIProwGetDualsol")
SCIProwGetIndex = function("SCIProwGetIndex")
SCIProwGetLhs = function("SCIProwGetLhs")
SCIProwGetNLPNonz = function("SCIProwGetNLPNonz")
SCIProwGetNorm = function("SCIProwGetNorm")
SCIProwGetRhs = function("SCIProwGetRhs")
SCIProwGetVals = function("SCIProwGetVals")
SCIProwIsModifiable = function("SCIProwIsModifiable")
SCIPsolGetIndex = function("SCIPsolGetIndex")
SCIPvarGetAvgSol = function("SCIPvarGetAvgSol")
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
IMPLIED_INTEGER, CONTINUOUS = 2, 3

FILLED, OTHER, NO_LP = 1, 0, -1
"""What the kernels return: done; the sizes (or what is remembered) do not fit; there is no LP to look at."""

NRUNS, NVARS, NROWS, INCUMBENT, KEYS = 0, 1, 2, 3, 4
"""Places in `keys`, what the refreshing kernel remembers of the whole LP."""


@njit(["boolean(intp)"], cache=True, nogil=True)
def _has_lp(scip):
    return SCIPgetStage(scip) == STAGE_SOLVING and SCIPgetLPSolstat(scip) != LP_NOT_SOLVED


@njit(["float64(intp)"], cache=True, nogil=True)
def _objective_norm(scip):
    norm = SCIPgetObjNorm(scip)
    return norm if norm > 0.0 else 1.0


@njit(
    ["void(intp, intp, float64[:, ::1], int64, float64, float64, float64, float64, float64, boolean)"],
    cache=True,
    nogil=True,
)
def _describe_column(scip, variable, out, j, objective_norm, ages, infinity, epsilon, feastol, all_columns):
    """Columns 5 to 12 and the basis status, the last four: what changes with every LP."""
    basis = out.shape[1] - 4
    out[j, basis] = out[j, basis + 1] = out[j, basis + 2] = out[j, basis + 3] = 0.0
    if all_columns or SCIPvarGetStatus(variable) == COLUMN:
        column = SCIPvarGetCol(variable)
        lower, upper, value = SCIPcolGetLb(column), SCIPcolGetUb(column), SCIPcolGetPrimsol(column)
        out[j, 7] = SCIPgetColRedcost(scip, column) / objective_norm
        out[j, 12] = SCIPcolGetAge(column) * ages
        out[j, basis + SCIPcolGetBasisStatus(column)] = 1.0
    else:  # not in the LP at all
        lower, upper, value = SCIPvarGetLbLocal(variable), SCIPvarGetUbLocal(variable), SCIPvarGetLPSol(variable)
        out[j, 7] = 0.0
        out[j, 12] = 0.0
    has_lower, has_upper = abs(lower) < infinity, abs(upper) < infinity
    out[j, 5] = has_lower
    out[j, 6] = has_upper
    out[j, 8] = value
    out[j, 9] = 0.0 if out[j, 1 + CONTINUOUS] else value - np.floor(value + feastol)
    out[j, 10] = has_lower and abs(value - lower) <= epsilon
    out[j, 11] = has_upper and abs(value - upper) <= epsilon


@njit(["int64(intp, float64[:, ::1], float64[::1], int64)"], cache=True, nogil=True)
def _fill_variables(scip, variables, objective, place):
    """Returns `place` if every column has its variable's index there (in bytes), else -1."""
    n, width = variables.shape
    pointers = SCIPgetVars(scip)
    norm = _objective_norm(scip)
    ages = 1.0 / (SCIPgetNLPs(scip) + 5.0)
    infinity, epsilon, feastol = SCIPinfinity(scip), SCIPepsilon(scip), SCIPfeastol(scip)
    all_columns = SCIPgetNLPCols(scip) == n
    incumbent = SCIPgetBestSol(scip)
    for j in range(n):
        variable = load_pointer(pointers, j)
        objective[j] = SCIPvarGetObj(variable) / norm
        variables[j, 0] = objective[j]
        variables[j, 1] = variables[j, 2] = variables[j, 3] = variables[j, 4] = 0.0
        kind = IMPLIED_INTEGER if SCIPvarIsImpliedIntegral(variable) else SCIPvarGetType(variable)
        variables[j, 1 + kind] = 1.0
        _describe_column(scip, variable, variables, j, norm, ages, infinity, epsilon, feastol, all_columns)
        if width == 19:
            if incumbent:
                variables[j, 13] = SCIPgetSolVal(scip, incumbent, variable)
                variables[j, 14] = SCIPvarGetAvgSol(variable)
            else:
                variables[j, 13] = variables[j, 14] = np.nan
        if place >= 0 and (all_columns or SCIPvarGetStatus(variable) == COLUMN):
            if load_int(SCIPvarGetCol(variable) + place, 0) != j:
                place = -1
    return place


@njit(["void(intp, intp, float64, float64, float64, float64, float64, float64[:, ::1], int64)"], cache=True, nogil=True)
def _describe_side(scip, row, side, scale, objective_norm, ages, epsilon, out, r):
    """All but the similarity of the row that a finite side makes; `scale` is the inverse norm, signed."""
    out[r, 0] = (side - SCIProwGetConstant(row)) * scale
    out[r, 2] = abs(SCIPgetRowLPActivity(scip, row) - side) <= epsilon
    out[r, 3] = SCIProwGetDualsol(row) * scale / objective_norm
    out[r, 4] = SCIProwGetAge(row) * ages


@njit(
    ["float64(intp, intp, int64, int64, int64, float64, float64[::1], int64[:, ::1], float64[::1], int64)"],
    cache=True,
    nogil=True,
)
def _fill_edges(columns, coefficients, begin, n, r, scale, objective, edge_indices, edge_values, place):
    """Write the n edges of split row r from `begin` on; returns the row's product with the normalised objective."""
    product = 0.0
    if place >= 0:  # a call for each edge would take most of the time
        for k in range(n):
            j = load_int(load_pointer(columns, k) + place, 0)
            value = load_real(coefficients, k) * scale
            edge_indices[0, begin + k] = r
            edge_indices[1, begin + k] = j
            edge_values[begin + k] = value
            product += value * objective[j]
        return product
    for k in range(n):
        j = SCIPcolGetVarProbindex(load_pointer(columns, k))
        value = load_real(coefficients, k) * scale
        edge_indices[0, begin + k] = r
        edge_indices[1, begin + k] = j
        edge_values[begin + k] = value
        product += value * objective[j]
    return product


@njit(["int64(intp, int64[::1])"], cache=True, nogil=True)
def _measure(scip, sizes):
    """sizes <- (variables, split rows, edges); returns OTHER."""
    infinity = SCIPinfinity(scip)
    pointers = SCIPgetLPRows(scip)
    rows, edges = 0, 0
    for i in range(SCIPgetNLPRows(scip)):
        row = load_pointer(pointers, i)
        sides = int(abs(SCIProwGetLhs(row)) < infinity) + int(abs(SCIProwGetRhs(row)) < infinity)
        rows += sides
        edges += sides * SCIProwGetNLPNonz(row)
    sizes[0], sizes[1], sizes[2] = SCIPgetNVars(scip), rows, edges
    return OTHER


@njit(
    ["int64(intp, int64[::1], float64[:, ::1], float64[:, ::1], int64[:, ::1], float64[::1], float64[::1], int64)"],
    cache=True,
    nogil=True,
)
def extract(scip, sizes, variables, rows, edge_indices, edge_values, objective, place):
    """Fill the whole observation if the arrays have its sizes; else set `sizes` to what they must be.

    Args:
        sizes: numbers of variables, split rows and edges.
        objective: scratch (variables,).
        place: where a column has its variable's index, in bytes, if that is known; it is checked. -1: not known.
    """
    if not _has_lp(scip):
        return NO_LP
    if variables.shape[0] != SCIPgetNVars(scip):
        return _measure(scip, sizes)
    place = _fill_variables(scip, variables, objective, place)
    infinity, epsilon = SCIPinfinity(scip), SCIPepsilon(scip)
    objective_norm = _objective_norm(scip)
    ages = 1.0 / (SCIPgetNLPs(scip) + 5.0)
    pointers = SCIPgetLPRows(scip)
    r = e = 0
    for i in range(SCIPgetNLPRows(scip)):
        row = load_pointer(pointers, i)
        norm = SCIProwGetNorm(row)
        scale = 1.0 / norm if norm > 0.0 else 1.0
        n = SCIProwGetNLPNonz(row)
        columns, coefficients = SCIProwGetCols(row), SCIProwGetVals(row)
        for left in (True, False):
            side = SCIProwGetLhs(row) if left else SCIProwGetRhs(row)
            if abs(side) >= infinity:
                continue
            if r == rows.shape[0] or e + n > edge_values.size:
                return _measure(scip, sizes)
            signed = -scale if left else scale
            _describe_side(scip, row, side, signed, objective_norm, ages, epsilon, rows, r)
            rows[r, 1] = _fill_edges(
                columns, coefficients, e, n, r, signed, objective, edge_indices, edge_values, place
            )
            r += 1
            e += n
    return FILLED if r == rows.shape[0] and e == edge_values.size else _measure(scip, sizes)


@njit(["boolean(intp, int64[::1], int32[::1], int32[:, ::1], float64[::1])"], cache=True, nogil=True)
def remember(scip, keys, variable_index, row_keys, norms):
    """Note what `refresh` compares; False if this LP is not one whose structure can be known to stay.

    Its structure can be known only if every variable is a column of the LP, as then the number of an unmodifiable
    row's LP entries tells which they are, and if no row is modifiable: SCIP locks the coefficients of the others.

    Args:
        keys: int64 (KEYS,).
        variable_index: (variables,).
        row_keys: (LP rows, 3): unique index, entries, which sides are finite.
        norms: (1 + LP rows,): of the objective, then of the rows.
    """
    n = SCIPgetNVars(scip)
    if SCIPgetNLPCols(scip) != n:
        return False
    keys[NRUNS] = SCIPgetNRuns(scip)
    keys[NVARS] = n
    keys[NROWS] = SCIPgetNLPRows(scip)
    keys[INCUMBENT] = -1
    norms[0] = _objective_norm(scip)
    pointers = SCIPgetVars(scip)
    for j in range(n):
        variable_index[j] = SCIPvarGetIndex(load_pointer(pointers, j))
    infinity = SCIPinfinity(scip)
    pointers = SCIPgetLPRows(scip)
    for i in range(keys[NROWS]):
        row = load_pointer(pointers, i)
        if SCIProwIsModifiable(row):
            return False
        row_keys[i, 0] = SCIProwGetIndex(row)
        row_keys[i, 1] = SCIProwGetNLPNonz(row)
        row_keys[i, 2] = int(abs(SCIProwGetLhs(row)) < infinity) + 2 * int(abs(SCIProwGetRhs(row)) < infinity)
        norms[1 + i] = SCIProwGetNorm(row)
    return True


@njit(
    [
        "int64(intp, int64[::1], int32[::1], int32[:, ::1], float64[::1], float64[:, ::1], float64[::1], "
        "float64[:, ::1], float64[:, ::1])"
    ],
    cache=True,
    nogil=True,
)
def refresh(scip, keys, variable_index, row_keys, norms, static, similarity, variables, rows):
    """Fill `variables` and `rows` if the edges are those that were remembered; else the arrays hold nothing of use.

    Args:
        keys, variable_index, row_keys, norms: see `remember`.
        static: (variables, 6): objective, the four types, the value in the incumbent that `keys` names.
        similarity: (split rows,), column 1 of `rows`.
    """
    if not _has_lp(scip):
        return NO_LP
    n = SCIPgetNVars(scip)
    objective_norm = _objective_norm(scip)
    if (
        keys[NRUNS] != SCIPgetNRuns(scip)
        or keys[NVARS] != n
        or keys[NROWS] != SCIPgetNLPRows(scip)
        or SCIPgetNLPCols(scip) != n
        or norms[0] != objective_norm
    ):
        return OTHER
    ages = 1.0 / (SCIPgetNLPs(scip) + 5.0)
    infinity, epsilon, feastol = SCIPinfinity(scip), SCIPepsilon(scip), SCIPfeastol(scip)

    pointers = SCIPgetLPRows(scip)
    r = 0
    for i in range(keys[NROWS]):
        row = load_pointer(pointers, i)
        left, right = SCIProwGetLhs(row), SCIProwGetRhs(row)
        has_left, has_right = abs(left) < infinity, abs(right) < infinity
        norm = SCIProwGetNorm(row)
        if (
            row_keys[i, 0] != SCIProwGetIndex(row)
            or row_keys[i, 1] != SCIProwGetNLPNonz(row)
            or row_keys[i, 2] != int(has_left) + 2 * int(has_right)
            or norms[1 + i] != norm
        ):
            return OTHER
        scale = 1.0 / norm if norm > 0.0 else 1.0
        if has_left:
            _describe_side(scip, row, left, -scale, objective_norm, ages, epsilon, rows, r)
            rows[r, 1] = similarity[r]
            r += 1
        if has_right:
            _describe_side(scip, row, right, scale, objective_norm, ages, epsilon, rows, r)
            rows[r, 1] = similarity[r]
            r += 1

    with_incumbent = variables.shape[1] == 19
    incumbent = SCIPgetBestSol(scip) if with_incumbent else 0
    number = SCIPsolGetIndex(incumbent) if incumbent else -1
    same_incumbent = keys[INCUMBENT] == number
    keys[INCUMBENT] = number
    pointers = SCIPgetVars(scip)
    for j in range(n):
        variable = load_pointer(pointers, j)
        if SCIPvarGetIndex(variable) != variable_index[j] or SCIPvarGetObj(variable) / objective_norm != static[j, 0]:
            return OTHER
        for k in range(5):
            variables[j, k] = static[j, k]
        _describe_column(scip, variable, variables, j, objective_norm, ages, infinity, epsilon, feastol, True)
        if with_incumbent:
            if not incumbent:
                variables[j, 13] = variables[j, 14] = np.nan
                continue
            if not same_incumbent:
                static[j, 5] = SCIPgetSolVal(scip, incumbent, variable)
            variables[j, 13] = static[j, 5]
            variables[j, 14] = SCIPvarGetAvgSol(variable)
    return FILLED
