"""The linear problem before it is solved, as arrays: read by a kernel or through PySCIPOpt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from learnsys.envs.branching import libscip
from learnsys.envs.branching.observations.lp import entries_of, kind_of
from learnsys.errors import InputError

if TYPE_CHECKING:
    from pyscipopt import Constraint, Model

_KERNELS = "learnsys.envs.branching.observations.problem_kernel"


@dataclass(slots=True)
class LinearProblem:
    """A mixed integer linear problem. Infinite bounds and sides are infinite here."""

    objective: NDArray[np.float64]
    """(n,) to be minimised"""
    kind: NDArray[np.int64]
    """(n,) BINARY, INTEGER, IMPLIED_INTEGER or CONTINUOUS of `lp`"""
    lower: NDArray[np.float64]
    """(n,)"""
    upper: NDArray[np.float64]
    left: NDArray[np.float64]
    """(m,) sides"""
    right: NDArray[np.float64]
    start: NDArray[np.int64]
    """(m + 1,) constraint i has the entries start[i] to start[i + 1]"""
    column: NDArray[np.int64]
    """(entries,) index of the variable"""
    coefficient: NDArray[np.float64]
    """(entries,)"""

    def split(self) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """As `A x <= b`: b (rows,), then split row, variable and value of every entry of A.

        Each finite side makes a row, the left one first and negated.
        """
        sides = np.stack([self.left, self.right], axis=1)
        row, right = np.nonzero(np.isfinite(sides))
        sign = 2.0 * right - 1.0
        split_row, entry = entries_of(row, self.start)
        return (
            sign * sides[row, right],
            split_row,
            self.column[entry],
            sign[split_row] * self.coefficient[entry],
        )


def read_problem(model: Model, *, kernels: bool = True) -> LinearProblem | None:
    """The problem of a model that is not being solved yet, presolved or not; None from the solving stage on.

    Args:
        kernels: False takes the plain PySCIPOpt way, which is also taken where libscip is not available.

    Raises:
        InputError: a constraint is not linear; or, the plain way only, presolving has removed variables that the
            constraints still mention.
    """
    if model.getStage() >= libscip.STAGE_SOLVING:
        return None
    kernel = libscip.kernels(_KERNELS) if kernels else None
    if kernel is not None:
        scip = libscip.pointer(model)
        not_linear, *arrays = kernel.constraints(scip)
        if not_linear >= 0:
            raise _not_linear(model.getConss()[not_linear])
        problem = LinearProblem(*kernel.variables(scip), *arrays)
    else:
        problem = _read_plainly(model)
    infinity = model.infinity()
    for array in (problem.lower, problem.upper, problem.left, problem.right):
        array[array >= infinity], array[array <= -infinity] = np.inf, -np.inf
    return problem


def _not_linear(constraint: Constraint) -> InputError:
    return InputError(
        f"constraint {constraint.name!r} of type {constraint.getConshdlrName()!r} is not linear",
        remedy="observe the problem before presolving, or the LP of a node (NodeBipartite)",
    )


def _read_plainly(model: Model) -> LinearProblem:
    variables = model.getVars(transformed=True)
    index = {variable.ptr(): j for j, variable in enumerate(variables)}
    sign = -1.0 if model.getObjectiveSense() == "maximize" and model.getStage() == libscip.STAGE_PROBLEM else 1.0
    left, right, lengths = [], [], []
    column: list[int] = []
    coefficient: list[float] = []
    for constraint in model.getConss():
        if not constraint.isLinearType():
            raise _not_linear(constraint)
        terms, values = model.getConsVars(constraint), model.getConsVals(constraint)
        if terms is None or values is None:
            raise _not_linear(constraint)
        if any(variable.ptr() not in index for variable in terms):
            raise InputError(
                f"constraint {constraint.name!r} mentions variables that presolving has removed",
                remedy="observe the problem before presolving, or install PySCIPOpt's wheel",
            )
        column += [index[variable.ptr()] for variable in terms]
        coefficient += values
        lengths.append(len(terms))
        left.append(model.getLhs(constraint))
        right.append(model.getRhs(constraint))
    return LinearProblem(
        objective=np.array([sign * variable.getObj() for variable in variables]),
        kind=np.array([kind_of(variable) for variable in variables], np.int64),
        lower=np.array([variable.getLbLocal() for variable in variables]),
        upper=np.array([variable.getUbLocal() for variable in variables]),
        left=np.array(left, float),
        right=np.array(right, float),
        start=np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]),
        column=np.array(column, np.int64),
        coefficient=np.array(coefficient, float),
    )
