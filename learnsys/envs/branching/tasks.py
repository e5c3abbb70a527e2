"""The dual task of the ML4CO competition (NeurIPS 2021): its solver settings and its score."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pyscipopt import Model

from learnsys.envs.branching.integrals import Sampler, find_clock
from learnsys.envs.branching.models import objective_sense
from learnsys.envs.branching.reward_arithmetic import RewardFunction
from learnsys.errors import InputError
from learnsys.runs import read_json

DUAL_TASK_PARAMETERS: dict[str, Any] = {"heuristics/emphasis": "off", "estimation/restarts/restartpolicy": "n"}
"""Primal heuristics and restarts are off; presolving and cuts stay on."""


def bounds_beside(model: Model) -> tuple[float, float]:
    """The initial primal and dual bound of an instance file, from the JSON file beside it (`item_1.json`).

    Raises:
        InputError: the instance is no file, or the JSON file lacks `primal_bound` or `dual_bound`.
    """
    file = Path((model.data or {}).get("instance", ""))
    while file.suffix:
        file = file.with_suffix("")
    file = file.with_suffix(".json")
    content = read_json(file)
    try:
        return float(content["primal_bound"]), float(content["dual_bound"])
    except (KeyError, TypeError, ValueError):
        raise InputError("lacks the bounds", file=file, remedy="it needs primal_bound and dual_bound") from None


class DualTaskScore(RewardFunction):
    """The score of the dual task: the integral of the dual bound over the time limit, to be maximised.

    For a minimisation it is the integral of max(dual bound, initial dual bound) from the first decision on: the root
    node is free of charge, the time limit counts from there, and what is earned before is discarded. At the end of the
    episode the final bound counts for the time that is left; what SCIP does after the limit (its CPU clock leaves out
    the system's time) does not count. For a maximisation it is the negative with min.

    The initial primal bound is set as the objective limit. If that is the optimum, SCIP ends "infeasible" and reports
    a dual bound of 1e20; so the dual bound is clipped at the initial primal bound. `report` tells both scores.

    Args:
        limit: seconds, or whatever else the clock counts.
        bounds: from the model in stage PROBLEM to the initial primal and dual bound.
        clock: "wall" or "cpu"; "nodes" or "lp_iterations" make the score a function of the seed. A policy that finds
            nodes whose LPs are dear is punished by all but "nodes". SCIP must count the same seconds (its parameter
            timing/clocktype: 1 is CPU, 2 is wall).

    Raises:
        InputError: no such clock, or a limit of 0 or less.
    """

    def __init__(
        self,
        limit: float = 900.0,
        bounds: Callable[[Model], tuple[float, float]] = bounds_beside,
        clock: str = "wall",
    ) -> None:
        if not limit > 0:
            raise InputError(f"a limit of {limit} is not possible", remedy="give more than 0")
        self._read = find_clock(clock)
        self.limit, self.bounds, self.clock = limit, bounds, clock
        self._samplers: list[Sampler] = []
        self._started = False
        self._scores = [0.0, 0.0]

    def before_reset(self, model: Model) -> None:
        primal, dual = self.bounds(model)
        sense = objective_sense(model)
        model.setObjlimit(primal)

        def raw(_: float, bound: float) -> float:
            return max(bound, dual) if sense > 0 else -min(bound, dual)

        def clipped(_: float, bound: float) -> float:
            return min(raw(_, bound), sense * primal)

        self._samplers = [Sampler(model, self._read, False, True, height) for height in (clipped, raw)]
        self._started = False
        self._scores = [0.0, 0.0]

    def extract(self, model: Model, done: bool) -> float:
        if not self._started:  # at the first decision
            self._started = True
            for sampler in self._samplers:
                sampler.take(model)
                sampler.until = sampler.last + self.limit
            if not done:
                self._set_limit(model)
            return 0.0
        gained = [sampler.take_rest(model) if done else sampler.take(model) for sampler in self._samplers]
        if self.clock == "lp_iterations" and not done and self._read(model) >= self._samplers[0].until:
            model.setParam("limits/totalnodes", model.getNTotalNodes())
        self._scores = [score + gain for score, gain in zip(self._scores, gained, strict=True)]
        return gained[0]

    def report(self) -> dict[str, float]:
        """The score of the episode so far, with the dual bound clipped and as SCIP reports it."""
        return {"dual_score": self._scores[0], "raw_dual_score": self._scores[1]}

    def _set_limit(self, model: Model) -> None:
        if self.clock == "nodes":
            model.setParam("limits/totalnodes", int(model.getNTotalNodes() + self.limit))
        elif self.clock != "lp_iterations":  # for which SCIP has no limit
            model.setParam("limits/time", model.getSolvingTime() + self.limit)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_samplers": []}


def dual_task(
    limit: float = 900.0, bounds: Callable[[Model], tuple[float, float]] = bounds_beside, clock: str = "wall"
) -> dict[str, Any]:
    """Arguments of `BranchingEnv` for the dual task: `BranchingEnv(instances, **dual_task())`.

    The arguments are those of `DualTaskScore`.
    """
    return {
        "pseudo_candidates": True,
        "reward": DualTaskScore(limit, bounds, clock),
        "scip_params": {**DUAL_TASK_PARAMETERS, "timing/clocktype": 1 if clock == "cpu" else 2},
    }
