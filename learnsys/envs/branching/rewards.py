"""Rewards: the change of a quantity since the last decision, with the arithmetic of Ecole's functions of these names."""

from __future__ import annotations

import copy
import math
import operator
import time
from collections.abc import Callable
from typing import Any

from pyscipopt import SCIP_EVENTTYPE, SCIP_STAGE, Eventhdlr, Model

from learnsys.errors import InputError

INFINITY = 1e20
_BOUNDS_EXIST = range(SCIP_STAGE.TRANSFORMED, SCIP_STAGE.SOLVED + 1)


class RewardFunction:
    """Base of all reward functions.

    They combine with numbers and with each other by `+ - * / // % **`, `-`, `abs`, `apply` and `cumsum`; a
    combination works on copies, so the same function may occur in it twice.
    """

    def before_reset(self, model: Model) -> None:
        """Forget the last episode; `model` is the next one's, in stage PROBLEM."""

    def extract(self, model: Model, done: bool) -> float:
        """The reward since the last call, or since `before_reset`."""
        raise NotImplementedError

    def apply(self, function: Callable[..., float], *others: Any) -> RewardFunction:
        """`function(this reward, *others)`; the others are reward functions or numbers."""
        return Combination(function, self, *others)

    def cumsum(self) -> RewardFunction:
        """The sum of this reward since the episode began."""
        return CumulativeSum(self)

    def __add__(self, other: Any) -> RewardFunction:
        return self.apply(operator.add, other)

    def __radd__(self, other: Any) -> RewardFunction:
        return as_reward(other).apply(operator.add, self)

    def __sub__(self, other: Any) -> RewardFunction:
        return self.apply(operator.sub, other)

    def __rsub__(self, other: Any) -> RewardFunction:
        return as_reward(other).apply(operator.sub, self)

    def __mul__(self, other: Any) -> RewardFunction:
        return self.apply(operator.mul, other)

    def __rmul__(self, other: Any) -> RewardFunction:
        return as_reward(other).apply(operator.mul, self)

    def __truediv__(self, other: Any) -> RewardFunction:
        return self.apply(operator.truediv, other)

    def __rtruediv__(self, other: Any) -> RewardFunction:
        return as_reward(other).apply(operator.truediv, self)

    def __floordiv__(self, other: Any) -> RewardFunction:
        return self.apply(operator.floordiv, other)

    def __mod__(self, other: Any) -> RewardFunction:
        return self.apply(operator.mod, other)

    def __pow__(self, other: Any) -> RewardFunction:
        return self.apply(operator.pow, other)

    def __neg__(self) -> RewardFunction:
        return self.apply(operator.neg)

    def __abs__(self) -> RewardFunction:
        return self.apply(operator.abs)


class Constant(RewardFunction):
    """The same reward at each step."""

    def __init__(self, value: float = 0.0) -> None:
        self.value = float(value)

    def extract(self, model: Model, done: bool) -> float:
        return self.value


class Combination(RewardFunction):
    """A function of the rewards of others."""

    def __init__(self, function: Callable[..., float], *operands: Any) -> None:
        self.function = function
        self.operands = [copy.deepcopy(as_reward(operand)) for operand in operands]

    def before_reset(self, model: Model) -> None:
        for operand in self.operands:
            operand.before_reset(model)

    def extract(self, model: Model, done: bool) -> float:
        return float(self.function(*[operand.extract(model, done) for operand in self.operands]))


class CumulativeSum(RewardFunction):
    """The sum of another reward since the episode began."""

    def __init__(self, function: RewardFunction) -> None:
        self.function = copy.deepcopy(function)
        self.total = 0.0

    def before_reset(self, model: Model) -> None:
        self.total = 0.0
        self.function.before_reset(model)

    def extract(self, model: Model, done: bool) -> float:
        self.total += self.function.extract(model, done)
        return self.total


class IsDone(RewardFunction):
    """1 at the end of the episode, 0 before."""

    def extract(self, model: Model, done: bool) -> float:
        return float(done)


def _seconds_wall(model: Model) -> float:
    return time.perf_counter()


def _seconds_cpu(model: Model) -> float:
    return time.process_time()


def _nodes(model: Model) -> float:
    return model.getNTotalNodes() if model.getStage() in _BOUNDS_EXIST else 0


def _lp_iterations(model: Model) -> float:
    return model.getNLPIterations() if model.getStage() in _BOUNDS_EXIST else 0


CLOCKS: dict[str, Callable[[Model], float]] = {
    "cpu": _seconds_cpu,
    "wall": _seconds_wall,
    "nodes": _nodes,
    "lp_iterations": _lp_iterations,
}
"""What integrals run over. The last two make a reward a function of the seed."""


class _Elapsed(RewardFunction):
    """The advance of a clock."""

    def __init__(self, clock: str) -> None:
        self.clock = find_clock(clock)
        self.last = 0.0

    def before_reset(self, model: Model) -> None:
        self.last = self.clock(model)

    def extract(self, model: Model, done: bool) -> float:
        now = self.clock(model)
        passed, self.last = now - self.last, now
        return float(passed)


class NNodes(_Elapsed):
    """Nodes processed, with those before restarts."""

    def __init__(self) -> None:
        super().__init__("nodes")


class LpIterations(_Elapsed):
    """Simplex iterations."""

    def __init__(self) -> None:
        super().__init__("lp_iterations")


class SolvingTime(_Elapsed):
    """Seconds, the time that the policy takes included.

    Args:
        wall: elapsed time instead of the process's CPU time.
    """

    def __init__(self, wall: bool = False) -> None:
        super().__init__("wall" if wall else "cpu")


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
        self.sampler: _Sampler | None = None

    def default_bounds(self, sense: float) -> tuple[float, float]:
        """The constants where the user gives none; `sense` is 1 for minimisation, -1 for maximisation."""
        raise NotImplementedError

    def height(self, primal: float, dual: float, sense: float, constants: tuple[float, float]) -> float:
        """The integrand."""
        raise NotImplementedError

    def before_reset(self, model: Model) -> None:
        sense = 1.0 if model.getObjectiveSense() == "minimize" else -1.0
        constants = self.bounds(model) if self.bounds is not None else self.default_bounds(sense)
        self.sampler = _Sampler(self.clock, self.primal, self.dual, sense, constants, self.height)
        model.includeEventhdlr(self.sampler, f"learnsys_integral_{id(self.sampler)}", "integrates bounds")
        self.sampler.begin(model)

    def extract(self, model: Model, done: bool) -> float:
        assert self.sampler is not None
        return self.sampler.take(model)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "sampler": None}


class _Sampler(Eventhdlr):
    """Adds height times duration at each event."""

    def __init__(self, clock: Any, primal: bool, dual: bool, sense: float, constants: Any, height: Any) -> None:
        self.clock, self.height = clock, height
        self.sense, self.constants = sense, constants
        self.events = [SCIP_EVENTTYPE.BESTSOLFOUND] * primal + [SCIP_EVENTTYPE.DUALBOUNDIMPROVED] * dual
        self.total = self.last = self.level = 0.0

    def begin(self, model: Model) -> None:
        self.last, self.level = self.clock(model), self.now(model)

    def eventinit(self) -> None:
        for event in self.events:
            self.model.catchEvent(event, self)

    def eventexec(self, event: Any) -> None:
        self.advance(self.model)

    def now(self, model: Model) -> float:
        if model.getStage() in _BOUNDS_EXIST:
            primal, dual = model.getPrimalbound(), model.getDualbound()
        else:
            primal, dual = model.getObjlimit(), -self.sense * INFINITY
        return self.height(primal, dual, self.sense, self.constants)

    def advance(self, model: Model) -> None:
        now = self.clock(model)
        self.total += self.level * (now - self.last)
        self.last, self.level = now, self.now(model)

    def take(self, model: Model) -> float:
        self.advance(model)
        total, self.total = self.total, 0.0
        return total


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


class PrimalImprovement(RewardFunction):
    """How much better the incumbent became: |new - old| / max(|new|, |old|), 1 for the first one or across zero.

    It is the primal gap of Berthold 2013 ("Measuring the impact of primal heuristics") of the old incumbent to the
    new one.
    """

    def __init__(self) -> None:
        self.bound: float | None = None

    def before_reset(self, model: Model) -> None:
        self.bound = None

    def extract(self, model: Model, done: bool) -> float:
        if model.getStage() not in _BOUNDS_EXIST or not model.getNSolsFound():
            return 0.0
        old, self.bound = self.bound, model.getPrimalbound()
        if old == self.bound:
            return 0.0
        if old is None or old * self.bound < 0:
            return 1.0
        return abs(self.bound - old) / max(abs(self.bound), abs(old))


REWARDS: dict[str, Callable[[], RewardFunction]] = {
    "is_done": IsDone,
    "n_nodes": NNodes,
    "lp_iterations": LpIterations,
    "solving_time": SolvingTime,
    "dual_integral": DualIntegral,
    "primal_integral": PrimalIntegral,
    "primal_dual_integral": PrimalDualIntegral,
    "primal_improvement": PrimalImprovement,
}
"""Reward functions by name; `-NAME` is the negative."""


def find_clock(name: str) -> Callable[[Model], float]:
    """The clock of that name.

    Raises:
        InputError: there is none.
    """
    if name not in CLOCKS:
        raise InputError(f"no clock is called {name!r}", remedy=f"choose from {', '.join(CLOCKS)}")
    return CLOCKS[name]


def as_reward(reward: Any) -> RewardFunction:
    """A reward function from one, a name of `REWARDS` (with `-` in front for its negative), or a number.

    Raises:
        InputError: it is none of these.
    """
    if isinstance(reward, str):
        name = reward.removeprefix("-")
        if name not in REWARDS:
            raise InputError(f"no reward is called {name!r}", remedy=f"choose from {', '.join(REWARDS)}")
        return -REWARDS[name]() if reward.startswith("-") else REWARDS[name]()
    if isinstance(reward, (int, float)) and math.isfinite(reward):
        return Constant(reward)
    if hasattr(reward, "before_reset") and hasattr(reward, "extract"):
        return reward
    raise InputError(f"{reward!r} is no reward function", remedy="give a name, or before_reset and extract methods")
