"""The solved LP of a node as arrays: what the features are made of, read by a kernel or through PySCIPOpt."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from learnsys.envs.branching import libscip

if TYPE_CHECKING:
    from pyscipopt import Model, Variable

_KERNELS = "learnsys.envs.branching.observations.lp_kernel"

BINARY, INTEGER, IMPLIED_INTEGER, CONTINUOUS = range(4)
LOWER, BASIC, UPPER, ZERO = range(4)
NO_COLUMN = -1

_TYPES = {"BINARY": BINARY, "INTEGER": INTEGER, "IMPLINT": IMPLIED_INTEGER, "CONTINUOUS": CONTINUOUS}
_BASIS = {"lower": LOWER, "basic": BASIC, "upper": UPPER, "zero": ZERO}


@dataclass(slots=True)
class LP:
    """One node's LP. Variables are in the order of the problem, rows and their entries in SCIP's order.

    Infinite bounds and sides have SCIP's value for infinity.
    """

    index: NDArray[np.int64]
    """(n,) SCIP's unique number of each variable"""
    objective: NDArray[np.float64]
    """(n,) coefficients, to be minimised"""
    kind: NDArray[np.int64]
    """(n,) BINARY, INTEGER, IMPLIED_INTEGER or CONTINUOUS"""
    lower: NDArray[np.float64]
    """(n,) local bounds"""
    upper: NDArray[np.float64]
    value: NDArray[np.float64]
    """(n,) the LP's solution"""
    reduced_cost: NDArray[np.float64]
    """(n,)"""
    column_age: NDArray[np.int64]
    """(n,)"""
    basis: NDArray[np.int64]
    """(n,) LOWER, BASIC, UPPER, ZERO or NO_COLUMN"""

    left: NDArray[np.float64]
    """(m,) sides; the row's constant is not subtracted"""
    right: NDArray[np.float64]
    constant: NDArray[np.float64]
    """(m,)"""
    norm: NDArray[np.float64]
    """(m,) Euclidean"""
    activity: NDArray[np.float64]
    """(m,) of the LP's solution, constant included"""
    dual: NDArray[np.float64]
    """(m,)"""
    row_age: NDArray[np.int64]
    """(m,)"""
    nonzeros: NDArray[np.int64]
    """(m,) entries of the row, those of columns outside the LP included"""

    start: NDArray[np.int64]
    """(m + 1,) row i has the entries start[i] to start[i + 1]"""
    column: NDArray[np.int64]
    """(entries,) index of the variable"""
    coefficient: NDArray[np.float64]
    """(entries,)"""

    scalars: NDArray[np.float64]
    """(5,) norm of the objective (of variables in the LP), LPs solved so far, SCIP's infinity, epsilon, feastol"""


_INTEGERS = {"index", "kind", "column_age", "basis", "row_age", "nonzeros", "start", "column"}
_OF_ROWS = {"left", "right", "constant", "norm", "activity", "dual", "row_age", "nonzeros"}
_OF_ENTRIES = {"column", "coefficient"}


def _empty(n: int, m: int, entries: int) -> LP:
    arrays: dict[str, Any] = {}
    for field in dataclasses.fields(LP):
        size = m if field.name in _OF_ROWS else entries if field.name in _OF_ENTRIES else n
        arrays[field.name] = np.empty(size, np.int64 if field.name in _INTEGERS else np.float64)
    return LP(**arrays | {"start": np.zeros(m + 1, np.int64), "scalars": np.empty(5)})


def kind_of(variable: Variable) -> int:
    """BINARY, INTEGER, IMPLIED_INTEGER or CONTINUOUS; SCIP 10 keeps implied integrality apart from the type."""
    return IMPLIED_INTEGER if variable.isImpliedIntegral() else _TYPES[variable.vtype()]


def entries_of(rows: NDArray[np.int64], start: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For the entries of the listed rows, one row after the other: place of the row in the list, place of the entry."""
    counts = np.diff(start)[rows]
    listed = np.repeat(np.arange(len(rows)), counts)
    before = np.cumsum(counts) - counts
    return listed, np.repeat(start[rows] - before, counts) + np.arange(counts.sum())


def has_lp(model: Model) -> bool:
    """Whether the model is being solved and the LP of its current node has been."""
    return model.getStage() == libscip.STAGE_SOLVING and model.getLPSolstat() != libscip.LP_NOT_SOLVED


def read_lp(model: Model, *, kernels: bool = True) -> LP | None:
    """The LP of the current node; None where there is no solved one.

    Args:
        kernels: False takes the plain PySCIPOpt way, which is also taken where libscip is not available.
    """
    kernel = libscip.kernels(_KERNELS) if kernels else None
    if kernel is not None:
        scip = libscip.pointer(model)
        sizes = np.zeros(3, np.int64)
        if not kernel.sizes(scip, sizes):
            return None
        lp = _empty(*sizes.tolist())
        kernel.read(scip, *(getattr(lp, field.name) for field in dataclasses.fields(lp)))
        return lp
    return _read_plainly(model) if has_lp(model) else None


def _read_plainly(model: Model) -> LP:
    variables, rows = model.getVars(transformed=True), model.getLPRowsData()
    lp = _empty(len(variables), len(rows), sum(row.getNLPNonz() for row in rows))
    index: dict[Any, int] = {}
    for j, variable in enumerate(variables):
        lp.index[j], lp.objective[j] = variable.getIndex(), variable.getObj()
        lp.kind[j] = kind_of(variable)
        if variable.getStatus() == "COLUMN":
            column = variable.getCol()
            index[column] = j
            lp.lower[j], lp.upper[j], lp.value[j] = column.getLb(), column.getUb(), column.getPrimsol()
            lp.reduced_cost[j] = model.getColRedCost(column)
            lp.column_age[j], lp.basis[j] = column.getAge(), _BASIS[column.getBasisStatus()]
        else:
            lp.lower[j], lp.upper[j], lp.value[j] = variable.getLbLocal(), variable.getUbLocal(), variable.getLPSol()
            lp.reduced_cost[j], lp.column_age[j], lp.basis[j] = 0.0, 0, NO_COLUMN
    for i, row in enumerate(rows):
        entries = row.getNLPNonz()
        lp.left[i], lp.right[i], lp.constant[i] = row.getLhs(), row.getRhs(), row.getConstant()
        lp.norm[i], lp.activity[i], lp.dual[i] = row.getNorm(), model.getRowLPActivity(row), row.getDualsol()
        lp.row_age[i], lp.nonzeros[i] = row.getAge(), row.getNNonz()
        begin, end = lp.start[i], lp.start[i] + entries
        lp.start[i + 1] = end
        lp.column[begin:end] = [index[column] for column in row.getCols()[:entries]]
        lp.coefficient[begin:end] = row.getVals()[:entries]
    in_lp = np.array([variable.isInLP() for variable in variables], bool)
    lp.scalars[:] = (
        np.sqrt(np.square(lp.objective[in_lp]).sum()),
        model.getNLPs(),
        model.infinity(),
        model.epsilon(),
        model.feastol(),
    )
    return lp
