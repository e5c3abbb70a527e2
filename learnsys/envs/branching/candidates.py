"""Branching candidates by problem index, the numbering that all observations share.

Variable i is the i-th of `model.getVars(transformed=True)` (SCIP's `probindex`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from learnsys.envs.branching import libscip

if TYPE_CHECKING:
    from pyscipopt import Model, Variable


KERNELS = "learnsys.envs.branching.candidates_kernel"
"""The module of kernels, for `libscip.kernels`."""


def candidates(model: Model, pseudo: bool = False, *, kernels: bool = True) -> NDArray[np.int64]:
    """Problem indices of the variables that can be branched on at this node, int64 (k,), in SCIP's order.

    Args:
        pseudo: the unfixed discrete variables, whatever their LP value, instead of those with a fractional one.
            Implied integers are not among the latter.
        kernels: False takes the plain PySCIPOpt way, which is also taken where libscip is not available.
    """
    kernel = libscip.kernels(KERNELS) if kernels else None
    if kernel is not None:
        return kernel.candidates(libscip.pointer(model), pseudo)
    index = {variable.ptr(): i for i, variable in enumerate(model.getVars(transformed=True))}
    found = candidate_variables(model, pseudo)
    return np.fromiter((index[variable.ptr()] for variable in found), np.int64, len(found))


def candidate_variables(model: Model, pseudo: bool = False) -> list[Variable]:
    """The same candidates, in the same order, as PySCIPOpt's variables."""
    return model.getPseudoBranchCands()[0] if pseudo else model.getLPBranchCands()[0]


def branch(model: Model, index: int) -> None:
    """Branch on variable `index` at its LP value: `model.branchVar` without a list of all variables.

    Call it at most once in a callback, which must then return `BRANCHED`.

    Raises:
        IndexError: there is no such variable.
        ValueError: SCIP refuses, because the variable is fixed here or is continuous.
    """
    if not 0 <= index < model.getNVars():
        raise IndexError(f"variable {index} of {model.getNVars()}")
    kernel = libscip.kernels(KERNELS)
    if kernel is not None:
        accepted = kernel.branch(libscip.pointer(model), index) == 1
    else:
        try:
            model.branchVar(model.getVars(transformed=True)[index])
            accepted = True
        except Exception:  # PySCIPOpt raises Exception itself for a refusal
            accepted = False
    if not accepted:
        raise ValueError(f"SCIP refuses to branch on variable {index}; is it fixed at this node, or continuous?")
