"""Strong-branching scores beside those of SCIP's own rule `vanillafullstrong`, at the nodes of a model."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pyscipopt import Model

from learnsys.envs.branching import libscip
from learnsys.envs.branching.candidates import candidates
from learnsys.envs.branching.observations.strong_branching import StrongBranchingScores
from learnsys.testing.observations import visit_nodes

VANILLA = {
    "branching/vanillafullstrong/priority": 20_000_000,
    "branching/vanillafullstrong/scoreall": True,
    "branching/vanillafullstrong/collectscores": True,
    "branching/vanillafullstrong/donotbranch": True,
    "branching/vanillafullstrong/idempotent": True,
}
"""Parameters with which SCIP scores all candidates at every node, before any other rule, and does not branch."""


@dataclass(frozen=True)
class Comparison:
    """One node."""

    candidates: int
    error: float
    """greatest relative difference of a score"""
    same_best: bool
    """whether both sets of scores have the same best candidate, ties (to 1e-9) apart"""


def vanilla_scores(model: Model) -> NDArray[np.float64]:
    """What `vanillafullstrong` computed last, (k,), in the order of the candidates. Needs libscip."""
    scores, count = ctypes.c_void_p(), ctypes.c_int()
    get = libscip.library().SCIPgetVanillafullstrongData
    get.argtypes = [ctypes.c_void_p] * 6
    get(libscip.pointer(model), None, ctypes.byref(scores), ctypes.byref(count), None, None)
    values = ctypes.cast(scores, ctypes.POINTER(ctypes.c_double))
    return np.array(values[: count.value])


def compare_with_vanilla(
    model: Model, nodes: int, *, pseudo_candidates: bool = False, kernels: bool = True
) -> list[Comparison]:
    """Compare `StrongBranchingScores` with SCIP's rule at the first `nodes` branching decisions."""
    model.setParams(VANILLA | {"branching/vanillafullstrong/integralcands": pseudo_candidates})
    function = StrongBranchingScores(pseudo_candidates, kernels=kernels)
    found: list[Comparison] = []

    def visit(model: Model) -> None:
        theirs = vanilla_scores(model)
        scores = function.extract(model)
        assert scores is not None
        ours = scores[candidates(model, pseudo_candidates)]
        error = np.abs(ours - theirs) / np.maximum(np.abs(theirs), np.finfo(float).tiny)
        best = ours[np.argmax(theirs)]
        same = bool(np.nanmax(ours) - best <= 1e-9 * abs(best))
        found.append(Comparison(len(theirs), float(np.nanmax(error)), same and not np.isnan(ours).any()))

    visit_nodes(model, visit, nodes)
    return found
