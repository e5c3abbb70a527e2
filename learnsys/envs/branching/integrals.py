"""Integrals of primal and dual bounds over seconds, nodes or LP iterations, with Ecole's arithmetic."""

from __future__ import annotations

import math
import time
from abc import abstractmethod
from collections.abc import Callable
from typing import Any

from pyscipopt import SCIP_EVENTTYPE, Eventhdlr, Model

from learnsys.envs.branching.models import BOUNDS_EXIST, INFINITY, objective_sense
from learnsys.envs.branching.reward_arithmetic import RewardFunction
from learnsys.errors import InputError


def _seconds_wall(model: Model) -> float:
    return time.perf_counter()


def _seconds_cpu(model: Model) -> float:
    return time.process_time()


def _nodes(model: Model) -> float:
    return model.getNTotalNodes() if model.getStage() in BOUNDS_EXIST else 0


def _lp_iterations(model: Model) -> float:
    return model.getNLPIterations() if model.getStage() in BOUNDS_EXIST else 0


CLOCKS: dict[str, Callable[[Model], float]] = {
    "cpu": _seconds_cpu,
    "wall": _seconds_wall,
    "nodes": _nodes,
    "lp_iterations": _lp_iterations,
}
"""What integrals run over. The last two make a reward a function of the seed."""


def find_clock(name: str) -> Callable[[Model], float]:
    """The clock of that name.

    Raises:
        InputError: there is none.
    """
    if name not in CLOCKS:
        raise InputError(f"no clock is called {name!r}", remedy=f"choose from {', '.join(CLOCKS)}")
    return CLOCKS[name]


class BoundIntegral(RewardFunction):
    """Base of the step integrals of bounds over a clock: a bound holds from its event until the next one.

    Args:
        clock: one of `CLOCKS`; seconds of CPU time by default.
        bounds: from the model in stage PROBLEM to the two constants of the integrand; see the subclasses.
    """

    primal = dual = False

    def __init__(self, clock: str = "cpu", bounds: Callable[[Model], tuple[float, float]] | None = None) -> None:
        self.clock = find_clock(clock)
        self.bounds = bounds
        self.sampler: Sampler | None = None

    @abstractmethod
    def default_bounds(self, sense: float) -> tuple[float, float]:
        """The constants where the user gives none; `sense` is 1 for minimisation, -1 for maximisation."""

    @abstractmethod
    def height(self, primal: float, dual: float, sense: float, constants: tuple[float, float]) -> float:
        """The integrand."""

    def before_reset(self, model: Model) -> None:
        sense = objective_sense(model)
        constants = self.bounds(model) if self.bounds is not None else self.default_bounds(sense)
        self.sampler = Sampler(
            model, self.clock, self.primal, self.dual, lambda p, d: self.height(p, d, sense, constants)
        )

    def extract(self, model: Model, done: bool) -> float:
        assert self.sampler is not None
        return self.sampler.take(model)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "sampler": None}


class Sampler(Eventhdlr):
    """Includes itself into a model and sums up height times duration; a height lasts until the next event.

    Args:
        model: in stage PROBLEM.
        clock: one of `CLOCKS`.
        primal, dual: follow these bounds.
        height: from the primal and the dual bound to the integrand.

    Attributes:
        until: nothing counts after this time of the clock; infinity at first.
    """

    def __init__(
        self,
        model: Model,
        clock: Callable[[Model], float],
        primal: bool,
        dual: bool,
        height: Callable[[float, float], float],
    ) -> None:
        self.clock, self.height = clock, height
        self.events = [SCIP_EVENTTYPE.BESTSOLFOUND] * primal + [SCIP_EVENTTYPE.DUALBOUNDIMPROVED] * dual
        model.includeEventhdlr(self, f"learnsys_integral_{id(self)}", "integrates bounds")
        self.total, self.until = 0.0, math.inf
        self.last, self.level = clock(model), self.now(model)

    def eventinit(self) -> None:
        for event in self.events:
            self.model.catchEvent(event, self)

    def eventexec(self, event: Any) -> None:
        model, primal = self.model, None
        if event.getType() == SCIP_EVENTTYPE.BESTSOLFOUND:  # the primal bound follows only after the event
            primal = model.getSolObjVal(model.getBestSol())
        self.advance(model, primal)

    def now(self, model: Model, primal: float | None = None) -> float:
        """The height at this moment (with this primal bound, if it is given)."""
        if model.getStage() in BOUNDS_EXIST:
            return self.height(model.getPrimalbound() if primal is None else primal, model.getDualbound())
        return self.height(model.getObjlimit(), -objective_sense(model) * INFINITY)

    def advance(self, model: Model, primal: float | None = None) -> None:
        """Account for the time since the last event, up to `until`."""
        now = min(self.clock(model), self.until)
        self.total += self.level * (now - self.last)
        self.last, self.level = now, self.now(model, primal)

    def take(self, model: Model) -> float:
        """The integral since the last call."""
        self.advance(model)
        total, self.total = self.total, 0.0
        return total

    def take_rest(self, model: Model) -> float:
        """The integral since the last call, the last height being held up to `until`."""
        return self.take(model) + self.level * (self.until - self.last)


class DualIntegral(BoundIntegral):
    """Integral of `offset - max(dual bound, initial dual bound)`; of the negative with `min` for a maximisation.

    Args:
        clock: one of `CLOCKS`.
        bounds: to (offset, initial dual bound), by default 0 and the trivial one (1e20).
    """

    dual = True

    def default_bounds(self, sense: float) -> tuple[float, float]:
        return 0.0, -sense * INFINITY

    def height(self, primal: float, dual: float, sense: float, constants: tuple[float, float]) -> float:
        offset, initial = constants
        return offset - max(dual, initial) if sense > 0 else min(dual, initial) - offset


class PrimalIntegral(BoundIntegral):
    """Integral of `min(primal bound, initial primal bound) - offset`; of the negative with `max` for a maximisation.

    Args:
        clock: one of `CLOCKS`.
        bounds: to (offset, initial primal bound), by default 0 and the trivial one (1e20).
    """

    primal = True

    def default_bounds(self, sense: float) -> tuple[float, float]:
        return 0.0, sense * INFINITY

    def height(self, primal: float, dual: float, sense: float, constants: tuple[float, float]) -> float:
        offset, initial = constants
        return min(primal, initial) - offset if sense > 0 else offset - max(primal, initial)


class PrimalDualIntegral(BoundIntegral):
    """Integral of the gap between the primal and the dual bound.

    Args:
        clock: one of `CLOCKS`.
        bounds: to (initial primal bound, initial dual bound), by default the trivial ones (1e20).
    """

    primal = dual = True

    def default_bounds(self, sense: float) -> tuple[float, float]:
        return sense * INFINITY, -sense * INFINITY

    def height(self, primal: float, dual: float, sense: float, constants: tuple[float, float]) -> float:
        first, second = constants
        if sense > 0:
            return min(primal, first) - max(dual, second)
        return min(dual, second) - max(primal, first)
