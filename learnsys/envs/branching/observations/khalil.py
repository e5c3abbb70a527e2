"""Khalil2016: 72 hand-made features of each branching candidate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from learnsys.envs.branching import libscip
from learnsys.envs.branching.candidates import KERNELS, candidate_variables, candidates
from learnsys.envs.branching.observations.lp import read_lp

if TYPE_CHECKING:
    from pyscipopt import Model

_SPREAD = ("mean", "std", "min", "max")
_WEIGHTED = ("count", "sum", *_SPREAD)

FEATURES = (
    *("obj_coef", "obj_coef_pos_part", "obj_coef_neg_part", "n_rows"),
    *(f"rows_deg_{statistic}" for statistic in _SPREAD),
    *(f"rows_pos_coefs_{statistic}" for statistic in ("count", *_SPREAD)),
    *(f"rows_neg_coefs_{statistic}" for statistic in ("count", *_SPREAD)),
    *("slack", "ceil_dist"),
    *(f"pseudocost_{statistic}" for statistic in ("up", "down", "ratio", "sum", "product")),
    *("n_cutoff_up", "n_cutoff_down", "n_cutoff_up_ratio", "n_cutoff_down_ratio"),
    *(f"rows_dynamic_deg_{statistic}" for statistic in (*_SPREAD, "mean_ratio", "min_ratio", "max_ratio")),
    *(f"coef_{sign}_rhs_ratio_{end}" for sign in ("pos", "neg") for end in ("min", "max")),
    *(
        f"{own}_coef_{other}_coef_ratio_{end}"
        for own in ("pos", "neg")
        for other in ("pos", "neg")
        for end in ("min", "max")
    ),
    *(f"active_coef_weight{weight}_{statistic}" for weight in (1, 2, 3, 4) for statistic in _WEIGHTED),
)
"""The names of the 72 columns, those of Ecole's enumeration."""

CORRECTED = (9, 10, 14, 15, 17, 51, 57, 63, 69, 71)
"""Columns in which Ecole 0.8.1 computes something else than it documents; see `Khalil2016`."""


class Khalil2016:
    """Features of table 1 in Khalil et al. 2016 ("Learning to branch in mixed integer programming").

    Float64 (n, 72), NaN for variables that are no candidates. The first 18 columns describe the LP of the root (or
    of the first node that was seen, for variables that came later), the others that of the node. `a` are the
    variable's coefficients in the LP's rows; statistics of nothing are 0, standard deviations divide by the number.

        0-2 objective coefficient, its positive and its negative part; 3 number of rows; 4-7 mean, standard deviation,
        minimum and maximum of the rows' degrees; 8-12 count, mean, deviation, minimum and maximum of the positive a;
        13-17 the same of the negative a.
        18 distance to the nearest integer; 19 distance up; 20, 21 pseudocost up and down, times the distance;
        22 ratio of the smaller to the greater of these two, each at least 1e-5; 23, 24 their sum and product;
        25, 26 times that branching up and down was cut off; 27, 28 the same per branching.
        29-32 statistics of the rows' degrees; 33-35 mean, minimum and maximum as d / (d at the root + d).
        36-39 minimum and maximum of a / (|a| + |side|) where the side is >= 0 (1 and -1 if there is none) and where
        it is < 0; each finite side counts, a left one as `-a x <= -side`; the row's constant is not subtracted.
        40-47 minimum and maximum (1 and 0 if there is none) of positive a / P, positive a / (a - N),
        negative a / (a - P), negative a / N, with P and N the sums of the row's positive and negative coefficients.
        48-53 over the active rows (the activity equals a side): their weighted number, then the weighted |a|'s sum,
        mean, deviation, minimum and maximum, with weight 1; 54-59 with weight 1 / sum of the row's |a|;
        60-65 with weight 1 / sum of |a| over the unfixed discrete variables; 66-71 with the dual value's size. The
        means divide by the number of active rows, and the inverse of 0 is 1.

    Ecole 0.8.1 differs in the columns of `CORRECTED`, where it is mistaken: sums cast to unsigned integers make 14
    and 15 huge (about 1e19) and truncate 9 and 10; 17 and 71 are at least 2.2e-308, as their maximum starts there;
    51, 57, 63 and 69 keep the deviation's last term only. It also reads columns 0 to 17 by problem index from a table
    in the LP's order, which is the same while all variables are in the LP.

    Args:
        pseudo_candidates: describe all unfixed discrete variables instead of those with a fractional LP value.
        kernels: False takes the plain PySCIPOpt way, which is also taken where libscip is not available. PySCIPOpt
            does not tell how often branching was cut off, so columns 25 to 28 are NaN then.
    """

    def __init__(self, pseudo_candidates: bool = False, *, kernels: bool = True) -> None:
        self.pseudo_candidates = pseudo_candidates
        self.kernels = kernels
        self._static: dict[int, NDArray[np.float64]] = {}

    def before_reset(self, model: Model) -> None:
        """Forget the last episode's root."""
        self._static = {}

    def extract(self, model: Model, done: bool = False) -> NDArray[np.float64] | None:
        """The features, or None when `done` or when the node has no solved LP."""
        lp = None if done else read_lp(model, kernels=self.kernels)
        if lp is None:
            return None
        from learnsys.envs.branching.observations import khalil_features as kernel

        n = len(lp.objective)
        pseudo = candidates(model, pseudo=True, kernels=self.kernels)
        wanted = pseudo if self.pseudo_candidates else candidates(model, kernels=self.kernels)
        begin, entries = kernel.by_column(lp.start, lp.column, n)
        row = kernel.rows_of_entries(lp.start)

        numbers = lp.index[wanted].tolist()
        at_root = model.getDepth() == 0
        if at_root or any(number not in self._static for number in numbers):
            seen = kernel.static_features(lp.objective, lp.nonzeros, row, lp.coefficient, begin, entries)
            here = dict(zip(lp.index.tolist(), seen, strict=True))
            self._static = here if at_root else here | self._static
        static = np.array([self._static[number] for number in numbers]).reshape(-1, kernel.ALL_STATIC)

        is_candidate = np.zeros(n, np.bool_)
        is_candidate[pseudo] = True
        _, _, infinity, epsilon, feastol = lp.scalars.tolist()
        out = np.full((n, kernel.ALL), np.nan)
        out[wanted] = kernel.features(
            wanted,
            is_candidate,
            static,
            lp.value,
            self._history(model, wanted),
            lp.start,
            row,
            lp.coefficient,
            begin,
            entries,
            np.stack([lp.left, lp.right], axis=1),
            lp.activity,
            lp.dual,
            infinity,
            epsilon,
            feastol,
        )
        return out

    def _history(self, model: Model, wanted: NDArray[np.int64]) -> NDArray[np.float64]:
        """(k, 6): pseudocosts, cutoffs and branchings of the wanted variables, up and down."""
        kernel = libscip.kernels(KERNELS) if self.kernels else None
        if kernel is not None:
            return kernel.branching_history(libscip.pointer(model), wanted)
        from pyscipopt import SCIP_BRANCHDIR

        directions = SCIP_BRANCHDIR.UPWARDS, SCIP_BRANCHDIR.DOWNWARDS
        history = np.full((len(wanted), 6), np.nan)
        for i, variable in enumerate(candidate_variables(model, self.pseudo_candidates)):
            for place, direction in enumerate(directions):
                history[i, place] = model.getVarPseudocost(variable, direction)
                history[i, 4 + place] = variable.getNBranchings(direction)
        return history
