"""The contract of an observation function, and a walk over the nodes of a model to try one on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from pyscipopt import SCIP_PARAMSETTING, SCIP_RESULT, Branchrule, Model, quicksum

from learnsys.envs.branching.candidates import candidate_variables
from learnsys.envs.branching.observations.base import ObservationFunction

_BARE = {
    "presolving/maxrounds": 0,
    "presolving/maxrestarts": 0,
    "separating/maxrounds": 0,
    "separating/maxroundsroot": 0,
    "propagating/maxrounds": 0,
    "propagating/maxroundsroot": 0,
    "conflict/enable": False,
    "misc/usesymmetry": 0,
    "randomization/permutevars": False,
    "randomization/permuteconss": False,
}


def bare(model: Model) -> Model:
    """Let SCIP only solve LPs and branch, quietly: every LP is then the problem's own. Returns the model."""
    model.hideOutput()
    model.setHeuristics(SCIP_PARAMSETTING.OFF)
    model.setParams(_BARE)
    return model


def random_problem(seed: int, variables: int = 40, rows: int = 25) -> Model:
    """A feasible minimisation with every type of variable and of row: ranged, left, right, equality.

    Some integer and continuous variables have no upper bound.
    """
    rng = np.random.default_rng(seed)
    model = Model()
    model.hideOutput()
    kinds = rng.choice(list("BBBICM"), variables)
    inside = np.where(kinds == "B", rng.integers(0, 2, variables), rng.integers(0, 6, variables))
    columns = []
    for j, kind in enumerate(kinds):
        upper = 1 if kind == "B" else 8 if kind == "M" or rng.random() < 0.7 else None
        columns.append(model.addVar(f"x{j}", vtype=str(kind), lb=0, ub=upper, obj=float(rng.integers(-20, 40))))
    for i in range(rows):
        chosen = rng.choice(variables, rng.integers(3, 9), replace=False)
        coefficients = rng.integers(-9, 20, len(chosen))
        coefficients[coefficients == 0] = 1
        at = float(coefficients @ inside[chosen])
        left, right = at - rng.integers(0, 6), at + rng.integers(0, 6)
        activity = quicksum(int(a) * columns[j] for a, j in zip(coefficients, chosen, strict=True))
        if i % 4 == 0:
            model.chgLhs(model.addCons(activity <= right), left)
        elif i % 4 == 1:
            model.addCons(activity >= left)
        elif i % 4 == 2:
            model.addCons(activity == at)
        else:
            model.addCons(activity <= right)
    model.addCons(quicksum(columns) <= float(2 * inside.sum()))
    return model


class _Visitor(Branchrule):
    def __init__(self, visit: Callable[[Model], Any], nodes: int, seed: int) -> None:
        super().__init__()
        self.visit, self.nodes = visit, nodes
        self.rng = np.random.default_rng(seed)
        self.visited = 0
        self.error: BaseException | None = None

    def branchexeclp(self, allowaddcons: bool) -> dict[str, Any]:
        if self.visited < self.nodes and self.error is None:
            try:
                self.visit(self.model)
                self.visited += 1
                variables = candidate_variables(self.model)
                self.model.branchVar(variables[self.rng.integers(len(variables))])
                return {"result": SCIP_RESULT.BRANCHED}
            except BaseException as error:  # an exception in a callback would be lost in SCIP
                self.error = error
        self.model.interruptSolve()
        return {"result": SCIP_RESULT.DIDNOTRUN}

    def branchexecps(self, allowaddcons: bool) -> dict[str, Any]:
        return {"result": SCIP_RESULT.DIDNOTRUN}

    branchexecext = branchexecps


def visit_nodes(model: Model, visit: Callable[[Model], Any], nodes: int = 20, seed: int = 0) -> int:
    """Call `visit(model)` at the first `nodes` branching decisions; branch on candidates drawn at random.

    The model is solved, or interrupted after the last visit; it is the caller's to free.

    Returns:
        The number of visits.

    Raises:
        Exception: whatever `visit` raised.
    """
    visitor = _Visitor(visit, nodes, seed)
    model.includeBranchrule(visitor, "learnsys_visitor", "visits nodes", 10_000_000, -1, 1.0)
    model.optimize()
    if visitor.error is not None:
        raise visitor.error
    return visitor.visited


def arrays_of(observation: Any) -> Iterator[np.ndarray]:
    """All arrays in an observation, in a fixed order."""
    if isinstance(observation, np.ndarray):
        yield observation
    elif isinstance(observation, dict):
        for value in observation.values():
            yield from arrays_of(value)
    elif isinstance(observation, (tuple, list)):
        for value in observation:
            yield from arrays_of(value)


def check_observation_function(function: Any, model: Model, nodes: int = 10) -> int:
    """Fail unless `function` keeps the contract of `ObservationFunction` on the nodes of `model`.

    It has both methods; its observation is None when done, else made of arrays; extracting twice gives the same
    values to 1e-9; an observation is not overwritten by a later one, neither of the same node nor of another.

    Returns:
        The number of nodes at which there was an observation.

    Raises:
        AssertionError: the contract is broken.
    """
    assert isinstance(function, ObservationFunction), "before_reset(model) or extract(model, done) is missing"
    function.before_reset(model)
    kept: list[tuple[Any, list[np.ndarray]]] = []

    def visit(model: Model) -> None:
        assert function.extract(model, True) is None, "an observation although the episode is done"
        first = function.extract(model, False)
        if first is None:
            return
        copies = [array.copy() for array in arrays_of(first)]
        assert copies, "an observation without arrays"
        kept.append((first, copies))
        second = function.extract(model, False)
        for one, other in zip(copies, arrays_of(second), strict=True):
            # LPs that are solved again, as in strong branching, differ in the last digits
            assert one.dtype == other.dtype and one.shape == other.shape, "two extractions differ in form"
            assert np.allclose(one, other, rtol=1e-9, atol=1e-12, equal_nan=True), "two extractions differ"

    visit_nodes(model, visit, nodes)
    for observation, copies in kept:
        for array, copy in zip(arrays_of(observation), copies, strict=True):
            assert np.array_equal(array, copy, equal_nan=True), "an observation was overwritten by a later one"
    assert function.extract(model, True) is None, "an observation of a model that is solved"
    return len(kept)
