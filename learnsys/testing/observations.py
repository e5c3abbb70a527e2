"""The contract of an observation function, and a walk over the nodes of a model to try one on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from pyscipopt import SCIP_RESULT, Branchrule, Model

from learnsys.envs.branching.candidates import candidate_variables
from learnsys.envs.branching.observations.base import ObservationFunction


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
    values; an observation is not overwritten by a later one, neither of the same node nor of another.

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
            assert one.dtype == other.dtype and np.array_equal(one, other, equal_nan=True), "two extractions differ"

    visit_nodes(model, visit, nodes)
    for observation, copies in kept:
        for array, copy in zip(arrays_of(observation), copies, strict=True):
            assert np.array_equal(array, copy, equal_nan=True), "an observation was overwritten by a later one"
    assert function.extract(model, True) is None, "an observation of a model that is solved"
    return len(kept)
