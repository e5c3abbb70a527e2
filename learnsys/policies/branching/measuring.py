"""One solving process with a branching policy, and all that is known of it afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from pyscipopt import SCIP_EVENTTYPE, SCIP_RESULT, Branchrule, Eventhdlr, Model

from learnsys.envs.branching.models import BOUNDS_EXIST, INFINITY, SOLVED, objective_sense, set_parameters
from learnsys.envs.branching.tasks import DualTaskScore
from learnsys.errors import InputError
from learnsys.policies.branching.base import BranchingPolicy, ScipRule
from learnsys.policies.branching.dual_task import first_bounds
from learnsys.policies.branching.protocol import EvaluationConfig
from learnsys.policies.branching.solve import solve

_FIRST, _SCIP_RULE = 30_000_000, 5_000_000
"""priorities of the rule that sees the root first, and of the rule of SCIP that is evaluated"""
_POINTS = 200
"""points kept of a bound's course"""


class _RootSeen(Branchrule):
    """Does nothing but tell when the root is ready to be branched on, whoever branches."""

    def __init__(self, seen: Callable[[], None]) -> None:
        self.seen: Callable[[], None] | None = seen

    def branchexeclp(self, allowaddcons: bool) -> dict[str, Any]:
        if self.seen is not None:
            self.seen()
            self.seen = None
        return {"result": SCIP_RESULT.DIDNOTRUN}

    branchexecps = branchexecext = branchexeclp


class _Course(Eventhdlr):
    """The bounds over the time."""

    events = (SCIP_EVENTTYPE.DUALBOUNDIMPROVED, SCIP_EVENTTYPE.BESTSOLFOUND)

    def __init__(self) -> None:
        self.start = time.process_time()
        self.points: list[tuple[float, int, float, float]] = []

    def eventinit(self) -> None:
        for event in self.events:
            self.model.catchEvent(event, self)

    def eventexec(self, event: Any) -> None:
        self.look(self.model)

    def look(self, model: Model) -> None:
        """Add a point: CPU seconds, nodes, dual and primal bound."""
        if model.getStage() in BOUNDS_EXIST:
            seconds = time.process_time() - self.start
            self.points.append((seconds, model.getNTotalNodes(), model.getDualbound(), model.getPrimalbound()))

    def kept(self) -> list[tuple[float, int, float, float]]:
        """At most `_POINTS` of the points, the first and the last among them."""
        step = max(1, -(-len(self.points) // _POINTS))
        kept = self.points[::step]
        return kept + self.points[-1:] if self.points and kept[-1] != self.points[-1] else kept


def run_once(
    model: Model,
    policy: BranchingPolicy | ScipRule,
    seed: int,
    config: EvaluationConfig,
    bounds: tuple[float, float] | None = None,
) -> dict[str, Any]:
    """One solving process; all that is known of it afterwards. The model is freed.

    Args:
        bounds: initial primal and dual bound, for the dual task.
    """
    root: dict[str, float] = {}
    course = _Course()
    score = None if bounds is None else DualTaskScore(config.time_limit, lambda _: bounds, "cpu")
    parameters = config.parameters()
    if isinstance(policy, ScipRule):
        parameters[f"branching/{policy.rule}/priority"] = _SCIP_RULE  # below the rule that sees the root

    def at_root() -> None:
        root["cpu"] = time.process_time() - course.start
        course.look(model)
        if score is not None:
            score.extract(model, False)

    try:
        set_parameters(model, parameters)
        if score is not None:
            score.before_reset(model)
        model.includeEventhdlr(course, "learnsys_course", "follows the bounds")
        model.includeBranchrule(_RootSeen(at_root), "learnsys_root", "sees the root", _FIRST, 0, 1.0)
        done = solve(model, policy, seed=seed, scip_params=parameters)
        seconds = time.process_time() - course.start
        course.look(model)
        found = {
            **{name: getattr(done, name) for name in ("status", "primal_bound", "dual_bound", "gap")},
            "sense": objective_sense(model),
            "nodes": done.n_nodes,
            "lp_iterations": done.n_lp_iterations,
            "decisions": done.n_decisions,
            "solved": done.status in SOLVED,
            "seconds": seconds,
            "after_root": seconds - root.get("cpu", seconds),
            "wall_seconds": done.seconds,
            "policy_seconds": done.policy_seconds,
            "course": course.kept(),
        }
        if score is not None:
            if not root:
                score.extract(model, False)
            score.extract(model, True)
            found["score"] = score.report()["dual_score"]
        return found
    finally:
        model.free()


def initial_bounds(config: EvaluationConfig, name: str) -> tuple[float, float]:
    """What the dual task starts from: the first solution that SCIP finds, and the value of the first LP.

    Raises:
        InputError: there is no solution.
    """
    model = config.model(name)
    try:
        primal, dual = first_bounds(model)
    finally:
        model.free()
    if abs(primal) >= INFINITY:
        raise InputError("the dual task needs a first solution, and there is none", file=name)
    return primal, dual
