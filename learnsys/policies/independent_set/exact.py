"""A maximum set with its proof, from SCIP."""

from __future__ import annotations

import math

import numpy as np
from pyscipopt import SCIP_EVENTTYPE, Eventhdlr

from learnsys.envs.independent_set.milp import to_milp
from learnsys.graphs.cliques import clique_bound
from learnsys.graphs.graph import Graph
from learnsys.policies.independent_set.auto import Auto
from learnsys.policies.independent_set.base import Clock, Found, IndependentSetPolicy, Limits, Stop
from learnsys.policies.independent_set.greedy import min_degree, shuffled
from learnsys.policies.independent_set.reductions import reduced

_WARM_START = 30_000
"""iterations of local search before SCIP begins"""
_LARGEST = 500_000
"""edges up to which SCIP is asked; a larger program would not even be built in reasonable time"""


class Exact(IndependentSetPolicy):
    """Reductions, a short local search, and SCIP on the rest, with rows of cliques; an iteration is a node of its tree.

    Out of time it returns the best set and the bound proved so far. If more than half a million edges are left after
    the reductions, the bound is that of a partition into cliques.
    """

    exact = True

    def search(self, graph: Graph, clock: Clock, seed: int) -> Found:
        rest = reduced(graph)
        kernel = rest.graph
        start = min_degree(kernel.indptr, kernel.indices, shuffled(kernel.n, seed))
        bound = clique_bound(kernel)
        limits = Limits(clock.left / 4, _WARM_START)
        best = np.flatnonzero(Auto().improve(kernel, start, Clock(limits, stop=clock.stop), seed, bound))
        clock.improved(best.size + rest.offset)
        if best.size < bound and kernel.m <= _LARGEST and not clock.over:
            best, bound = _solve(kernel, best, bound, clock, seed)
        return Found(rest.lift(best), bound + rest.offset)


def _solve(graph: Graph, best: np.ndarray, bound: int, clock: Clock, seed: int) -> tuple[np.ndarray, int]:
    """The best set, ascending, and the best bound, from SCIP within the limits."""
    model = to_milp(graph).to_model()
    try:
        x = model.getVars()
        start = model.createSol()
        for vertex in best.tolist():
            model.setSolVal(start, x[vertex], 1.0)
        model.addSol(start)
        model.setParam("timing/clocktype", 1)  # CPU seconds
        model.setParam("randomization/randomseedshift", seed % 2**31)
        model.setParam("misc/catchctrlc", False)  # `clock.stop` is told of it
        model.includeEventhdlr(_Stopper(clock.stop), "stop", "ends the search when the clock is stopped")
        if clock.limits.iterations is not None:
            model.setParam("limits/nodes", clock.iterations_left)
        if math.isfinite(clock.left):
            model.setParam("limits/time", clock.left)
        model.optimize()
        clock.iterations += int(model.getNTotalNodes())
        solution = model.getBestSol()
        found = np.array([model.getSolVal(solution, each) > 0.5 for each in x], np.bool_)
        dual = model.getDualbound()
        if math.isfinite(dual) and abs(dual) < 1e18:
            bound = min(bound, math.floor(dual + 1e-6))
        return np.flatnonzero(found), bound
    finally:
        model.free()


class _Stopper(Eventhdlr):
    """Asks `stop` whenever SCIP has done some work."""

    _EVENTS = SCIP_EVENTTYPE.PRESOLVEROUND | SCIP_EVENTTYPE.LPSOLVED | SCIP_EVENTTYPE.NODEFOCUSED

    def __init__(self, stop: Stop) -> None:
        self._stop = stop

    def eventinit(self) -> None:
        self.model.catchEvent(self._EVENTS, self)

    def eventexit(self) -> None:
        self.model.dropEvent(self._EVENTS, self)

    def eventexec(self, event: object) -> None:
        if self._stop():
            self.model.interruptSolve()
