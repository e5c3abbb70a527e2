"""Rewards: the change of a quantity since the last decision, with Ecole's names and arithmetic."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from pyscipopt import Model

from learnsys.envs.branching.integrals import DualIntegral, PrimalDualIntegral, PrimalIntegral, find_clock
from learnsys.envs.branching.models import BOUNDS_EXIST
from learnsys.envs.branching.reward_arithmetic import Constant, RewardFunction, is_reward_function
from learnsys.errors import InputError


class IsDone(RewardFunction):
    """1 at the end of the episode, 0 before."""

    def extract(self, model: Model, done: bool) -> float:
        return float(done)


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
        if model.getStage() not in BOUNDS_EXIST or not model.getNSolsFound():
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
    if is_reward_function(reward):
        return reward
    raise InputError(f"{reward!r} is no reward function", remedy="give a name, or before_reset and extract methods")
