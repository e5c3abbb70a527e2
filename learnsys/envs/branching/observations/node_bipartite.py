"""NodeBipartite: the LP of a branch-and-bound node as a graph of variables and rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from learnsys.envs.branching import libscip
from learnsys.envs.branching.observations.base import BipartiteObservation
from learnsys.envs.branching.observations.lp import CONTINUOUS, entries_of, read_lp

if TYPE_CHECKING:
    from pyscipopt import Model

_KERNELS = "learnsys.envs.branching.observations.node_bipartite_kernel"

AGE_SHIFT = 5.0
"""Ages are divided by the number of LPs solved so far plus this."""

VARIABLE_FEATURES = (
    "objective",
    "is_type_binary",
    "is_type_integer",
    "is_type_implicit_integer",
    "is_type_continuous",
    "has_lower_bound",
    "has_upper_bound",
    "normed_reduced_cost",
    "solution_value",
    "solution_frac",
    "is_solution_at_lower_bound",
    "is_solution_at_upper_bound",
    "scaled_age",
    "incumbent_value",
    "average_incumbent_value",
    "is_basis_lower",
    "is_basis_basic",
    "is_basis_upper",
    "is_basis_zero",
)
INCUMBENT_FEATURES = VARIABLE_FEATURES[13:15]
ROW_FEATURES = ("bias", "objective_cosine_similarity", "is_tight", "dual_solution_value", "scaled_age")


class NodeBipartite:
    """The features of Gasse et al. 2019 ("Exact combinatorial optimization with graph convolutional neural networks").

    They are those of Ecole 0.8.1's function of the same name, with its normalisations: `c` is the Euclidean norm of
    the objective (of the variables in the LP) and `b` that of a row (1 where a norm is 0).

    Variables, float64 (n, 19), of the transformed problem, which SCIP minimises:
        0 objective coefficient / c; 1 to 4 one-hot type (binary, integer, implied integer, continuous); 5, 6 whether
        the local lower and upper bound are finite; 7 reduced cost / c; 8 LP value; 9 its fractional part (0 for
        continuous variables); 10, 11 whether the LP value is at the lower or upper bound; 12 age of the LP column /
        (LPs solved + 5); 13 value in the incumbent; 14 average value in all solutions found (both NaN without one);
        15 to 18 one-hot basis status (lower, basic, upper, zero; all 0 for a variable that has no LP column).

    Rows, float64 (m, 5), one for each finite side, the left one first and with sign s = -1, the right with s = 1:
        0 s (side - constant) / b; 1 cosine of s a with the objective; 2 whether the row is tight at this side;
        3 s dual value / (b c); 4 age of the row / (LPs solved + 5).

    Edges: s a / b.

    Args:
        incumbent: False leaves out columns 13 and 14 (17 features are left, as in KIDA's networks).
        incremental: extract only what changes between nodes. While the rows of the LP are the same ones, the
            observations share their edge arrays, which are then read-only. Whether they are the same is checked
            at every call, row by row, so nothing is ever stale, with cuts at nodes and restarts included.
        kernels: False takes the plain PySCIPOpt way (the same values, some hundred times slower), which is also
            taken where libscip is not available. It is never incremental.
    """

    def __init__(self, incumbent: bool = True, incremental: bool = False, *, kernels: bool = True) -> None:
        self.incumbent = incumbent
        self.incremental = incremental
        self.kernels = kernels
        self._width = len(VARIABLE_FEATURES) - (0 if incumbent else len(INCUMBENT_FEATURES))
        self._forget()

    def _forget(self) -> None:
        self._sizes = np.zeros(3, np.int64)
        self._objective = np.zeros(0)
        self._known: tuple[NDArray, ...] | None = None
        self._edges: tuple[NDArray[np.int64], NDArray[np.float64]] | None = None

    def before_reset(self, model: Model) -> None:
        """Forget the last episode."""
        self._forget()

    def extract(self, model: Model, done: bool = False) -> BipartiteObservation | None:
        """The observation, or None when `done` or when the node has no solved LP."""
        if done:
            return None
        kernel = libscip.kernels(_KERNELS) if self.kernels else None
        if kernel is None:
            return _extract_plainly(model, self.incumbent)
        scip = libscip.pointer(model)
        if self._known is not None and self._edges is not None:
            known = self._known
            variables = np.empty((len(known[1]), self._width))
            rows = np.empty((len(known[5]), 5))
            status = kernel.refresh(scip, *known, variables, rows)
            if status == kernel.FILLED:
                return BipartiteObservation(variables, rows, *self._edges)
            if status == kernel.NO_LP:
                return None
        sizes, place = self._sizes, libscip.place_of_int("SCIPcolGetVarProbindex")
        while True:
            n, m, edges = sizes.tolist()
            variables, rows = np.empty((n, self._width)), np.empty((m, 5))
            edge_indices, edge_values = np.empty((2, edges), np.int64), np.empty(edges)
            status = kernel.extract(scip, sizes, variables, rows, edge_indices, edge_values, self._objective, place)
            if status == kernel.FILLED:
                break
            if status == kernel.NO_LP:
                return None
            self._objective = np.empty(sizes[0])
        if self.incremental:
            self._remember(kernel, scip, model.getNLPRows(), variables, rows, edge_indices, edge_values)
        return BipartiteObservation(variables, rows, edge_indices, edge_values)

    def _remember(
        self, kernel: Any, scip: int, lp_rows: int, variables: NDArray, rows: NDArray, *edges: NDArray
    ) -> None:
        n = len(variables)
        keys, norms = np.empty(kernel.KEYS, np.int64), np.empty(1 + lp_rows)
        variable_index, row_keys = np.empty(n, np.int32), np.empty((lp_rows, 3), np.int32)
        self._known = self._edges = None
        if kernel.remember(scip, keys, variable_index, row_keys, norms):
            static = np.empty((n, 6))
            static[:, :5] = variables[:, :5]
            for array in edges:
                array.flags.writeable = False
            self._known = (keys, variable_index, row_keys, norms, static, rows[:, 1].copy())
            self._edges = (edges[0], edges[1])


def _extract_plainly(model: Model, incumbent: bool) -> BipartiteObservation | None:
    """The same features with NumPy, from what PySCIPOpt's own methods tell."""
    lp = read_lp(model, kernels=False)
    if lp is None:
        return None
    objective_norm, n_lps, infinity, epsilon, feastol = lp.scalars
    objective_norm = objective_norm if objective_norm > 0 else 1.0
    ages = 1.0 / (n_lps + AGE_SHIFT)

    has_lower, has_upper = np.abs(lp.lower) < infinity, np.abs(lp.upper) < infinity
    objective = lp.objective / objective_norm
    variables = [
        objective,
        *(lp.kind == kind for kind in range(4)),
        has_lower,
        has_upper,
        lp.reduced_cost / objective_norm,
        lp.value,
        np.where(lp.kind == CONTINUOUS, 0.0, lp.value - np.floor(lp.value + feastol)),
        has_lower & (np.abs(lp.value - lp.lower) <= epsilon),
        has_upper & (np.abs(lp.value - lp.upper) <= epsilon),
        lp.column_age * ages,
        *(_incumbent(model) if incumbent else ()),
        *(lp.basis == status for status in range(4)),
    ]

    inverse_norm = 1.0 / np.where(lp.norm > 0, lp.norm, 1.0)
    lengths = np.diff(lp.start)
    row_of_entry = np.repeat(np.arange(len(lengths)), lengths)
    products = np.bincount(row_of_entry, lp.coefficient * objective[lp.column], len(lengths)) * inverse_norm
    # the finite sides, left before right
    sides = np.stack([lp.left, lp.right], axis=1)
    row, right = np.nonzero(np.abs(sides) < infinity)
    side, sign, scale = sides[row, right], 2.0 * right - 1.0, inverse_norm[row]
    rows = [
        sign * (side - lp.constant[row]) * scale,
        sign * products[row],
        np.abs(lp.activity[row] - side) <= epsilon,
        sign * lp.dual[row] * scale / objective_norm,
        lp.row_age[row] * ages,
    ]

    split_row, entry = entries_of(row, lp.start)
    return BipartiteObservation(
        np.stack(variables, axis=1).astype(np.float64),
        np.stack(rows, axis=1).astype(np.float64),
        np.stack([split_row, lp.column[entry]]),
        lp.coefficient[entry] * (sign * scale)[split_row],
    )


def _incumbent(model: Model) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    variables, best = model.getVars(transformed=True), model.getBestSol()
    if best is None:
        return np.full(len(variables), np.nan), np.full(len(variables), np.nan)
    return (
        np.array([model.getSolVal(best, variable) for variable in variables]),
        np.array([variable.getAvgSol() for variable in variables]),
    )
