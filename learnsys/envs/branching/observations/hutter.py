"""Hutter2011: 33 features of a whole instance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from learnsys.envs.branching import libscip
from learnsys.envs.branching.observations.lp import CONTINUOUS
from learnsys.envs.branching.observations.problem import LinearProblem, read_problem

if TYPE_CHECKING:
    from pyscipopt import Model

FEATURES = (
    *("nb_variables", "nb_constraints", "nb_nonzero_coefs"),
    *(f"variable_node_degree_{statistic}" for statistic in ("mean", "max", "min", "std")),
    *(f"constraint_node_degree_{statistic}" for statistic in ("mean", "max", "min", "std")),
    *(f"node_degree_{statistic}" for statistic in ("mean", "max", "min", "std", "25q", "75q")),
    "edge_density",
    *("lp_slack_mean", "lp_slack_max", "lp_slack_l2", "lp_objective_value"),
    *("objective_coef_m_std", "objective_coef_n_std", "objective_coef_sqrtn_std"),
    *("constraint_coef_mean", "constraint_coef_std", "constraint_var_coef_mean", "constraint_var_coef_std"),
    *("discrete_vars_support_size_mean", "discrete_vars_support_size_std"),
    *("percent_unbounded_discrete_vars", "percent_continuous_vars"),
)
"""The names of the 33 features, those of Ecole's enumeration."""


class Hutter2011:
    """Features of Hutter, Hoos, Leyton-Brown 2011 ("Sequential model-based optimization ...") for configuring SCIP.

    Float64 (33,), of the problem written as `A x <= b`, with a row for each finite side of a constraint (a left side
    negated). Statistics of nothing are 0, standard deviations divide by the number.

        0-2 numbers of variables n, of rows, of non-zero coefficients.
        3-6 mean, maximum, minimum and standard deviation of the number of rows that a variable is in;
        7-10 the same of the number of variables in a row.
        11-14 the same of the number of other variables that a variable shares a row with; 15, 16 the quartiles of
        that number (interpolated at position p (n - 1)); 17 density of that graph: its edges / (n (n - 1) / 2).
        18-20 mean, maximum and Euclidean norm of |x - round(x)| over the discrete variables, in a solution of the LP
        relaxation (an optimal vertex; HiGHS finds it); 21 the LP's value, in the sense of the model. Without an
        optimum 18 to 20 are NaN and 21 is infinite (NaN if the LP could not be solved).
        22-24 standard deviation of c_j / m, with m the model's constraints before they are split; of c_j / n_j, with
        n_j the number of rows that variable j is in; and of c_j / sqrt(n_j), variables in no row left out.
        25, 26 mean and standard deviation of a_ij / b_i where b_i is not 0.
        27, 28 mean and standard deviation, over the rows, of std / mean of the row's |a_ij|.
        29, 30 mean and standard deviation of the number of values that a bounded discrete variable can take;
        31 share of discrete variables that are unbounded; 32 share of continuous variables among all.

    Binary, integer and implied integer variables are discrete.

    Ecole 0.8.1 differs: it casts the sums behind its means to unsigned integers; takes mean / variance instead of
    std / mean in 27 and 28, and 0 for rows with b_i = 0; counts ub - lb values of an integer variable; reads
    quartiles at position p n, rounded down; leaves the square root out of 20; doubles some of its arrays with zeros,
    divides by 0 in 23, and forgets that implied integers are discrete.

    Args:
        kernels: False takes the plain PySCIPOpt way, which is also taken where libscip is not available.
    """

    def __init__(self, *, kernels: bool = True) -> None:
        self.kernels = kernels

    def before_reset(self, model: Model) -> None:
        """Nothing is kept between episodes."""

    def extract(self, model: Model, done: bool = False) -> NDArray[np.float64] | None:
        """The features, or None when `done` or when SCIP has transformed the model already.

        Raises:
            InputError: a constraint is not linear.
        """
        if done or model.getStage() != libscip.STAGE_PROBLEM:
            return None
        problem = read_problem(model, kernels=self.kernels)
        assert problem is not None
        bias, row, column, value = problem.split()
        n, rows = len(problem.objective), len(bias)
        in_rows = np.bincount(column, minlength=n)
        in_columns = np.bincount(row, minlength=rows)
        sense = -1.0 if model.getObjectiveSense() == "maximize" else 1.0
        return np.array(
            [
                *(n, rows, len(value)),
                *_mean_max_min_std(in_rows),
                *_mean_max_min_std(in_columns),
                *_graph(row, column, n, rows),
                *_relaxation(problem, sense, model.getObjoffset()),
                *_objective(problem.objective, len(problem.left), in_rows),
                *_coefficients(bias, row, value, in_columns),
                *_domains(problem),
            ],
            np.float64,
        )


def _mean_std(values: NDArray) -> tuple[float, float]:
    return (values.mean(), values.std()) if len(values) else (0.0, 0.0)


def _mean_max_min_std(values: NDArray) -> tuple[float, float, float, float]:
    mean, deviation = _mean_std(values)
    return (mean, values.max(), values.min(), deviation) if len(values) else (0.0, 0.0, 0.0, 0.0)


def _graph(row: NDArray[np.int64], column: NDArray[np.int64], n: int, rows: int) -> tuple[float, ...]:
    """Features 11 to 17; entries come row by row."""
    from learnsys.envs.branching.observations.hutter_kernel import neighbours

    start = np.searchsorted(row, np.arange(rows + 1))
    order = np.argsort(column, kind="stable")
    begin = np.searchsorted(column[order], np.arange(n + 1))
    degree = neighbours(start, column, begin, row[order])
    quartiles = np.quantile(degree, [0.25, 0.75]) if n else (0.0, 0.0)
    return (*_mean_max_min_std(degree), *quartiles, degree.sum() / (n * (n - 1)) if n > 1 else 0.0)


def _relaxation(problem: LinearProblem, sense: float, offset: float) -> tuple[float, float, float, float]:
    """Features 18 to 21."""
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import csr_array

    n, m = len(problem.objective), len(problem.left)
    if n == 0:
        return 0.0, 0.0, 0.0, offset
    matrix = csr_array((problem.coefficient, problem.column, problem.start), shape=(m, n))
    constraints = [LinearConstraint(matrix, problem.left, problem.right)] if m else []
    result = milp(problem.objective, bounds=Bounds(problem.lower, problem.upper), constraints=constraints)
    if result.status != 0:
        value = {2: np.inf, 3: -np.inf}.get(result.status, np.nan)  # infeasible, unbounded
        return np.nan, np.nan, np.nan, sense * value
    solution = result.x[problem.kind != CONTINUOUS]
    slack = np.abs(solution - np.round(solution))
    mean, most, _, _ = _mean_max_min_std(slack)
    return mean, most, np.sqrt(np.square(slack).sum()), sense * (problem.objective @ result.x) + offset


def _objective(objective: NDArray[np.float64], constraints: int, in_rows: NDArray[np.int64]) -> tuple[float, ...]:
    """Features 22 to 24."""
    used = in_rows > 0
    coefficients, degrees = objective[used], in_rows[used]
    by_constraints = objective / constraints if constraints else objective[:0]
    scaled = (by_constraints, coefficients / degrees, coefficients / np.sqrt(degrees))
    return tuple(_mean_std(values)[1] for values in scaled)


def _coefficients(
    bias: NDArray[np.float64], row: NDArray[np.int64], value: NDArray[np.float64], in_columns: NDArray[np.int64]
) -> tuple[float, ...]:
    """Features 25 to 28."""
    with_side = bias[row] != 0
    size, filled = np.abs(value), in_columns > 0
    counts = np.maximum(in_columns, 1)
    mean = np.bincount(row, size, len(bias)) / counts
    variance = np.bincount(row, np.square(size - mean[row]), len(bias)) / counts
    variation = np.sqrt(variance[filled]) / mean[filled]
    return (*_mean_std(value[with_side] / bias[row][with_side]), *_mean_std(variation))


def _domains(problem: LinearProblem) -> tuple[float, ...]:
    """Features 29 to 32."""
    discrete = problem.kind != CONTINUOUS
    lower, upper = problem.lower[discrete], problem.upper[discrete]
    bounded = np.isfinite(lower) & np.isfinite(upper)
    values = np.floor(upper[bounded]) - np.ceil(lower[bounded]) + 1.0
    return (*_mean_std(values), _mean_std(~bounded)[0], _mean_std(~discrete)[0])
