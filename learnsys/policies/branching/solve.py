"""Solve a model with a policy inside SCIP's branching callback: no environment, no switch, nothing in between."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from pyscipopt import SCIP_EVENTTYPE, Eventhdlr, Model

from learnsys.envs.branching import control
from learnsys.envs.branching.candidates import branch, candidates
from learnsys.envs.branching.dynamics import BRANCHED, AskingRule
from learnsys.envs.branching.models import seed_parameters, set_parameters, summary
from learnsys.envs.branching.observations import observation_function
from learnsys.errors import LearnsysError
from learnsys.policies.branching.base import BranchingPolicy, ScipRule

TOP_PRIORITY = 10_000_000


@dataclass(frozen=True)
class Solved:
    """How a solving process ended, and what its tree was."""

    status: str
    """SCIP's: optimal, infeasible, timelimit, ..."""
    primal_bound: float
    dual_bound: float
    gap: float
    n_nodes: int
    """processed nodes, those before restarts included"""
    n_lp_iterations: int
    n_solutions: int
    max_depth: int
    n_branched: int
    """nodes that were branched on"""
    n_feasible: int
    """nodes whose relaxation was a solution"""
    n_infeasible: int
    """nodes that were infeasible or cut off by their bound"""
    n_decisions: int
    """decisions of the policy (0 for a rule of SCIP)"""
    seconds: float
    """elapsed"""
    policy_seconds: float
    """CPU time in the policy and its observations; elapsed time would count what else the core does meanwhile"""

    def lasting(self) -> dict[str, Any]:
        """All but the times: equal for equal seeds."""
        return {name: value for name, value in self.__dict__.items() if not name.endswith("seconds")}


class _Tree(Eventhdlr):
    """Counts what became of the nodes, and shows the solving process to a watcher."""

    def __init__(self, watch: Callable[[Model], None] | None) -> None:
        self.watch = watch
        self.branched = self.feasible = self.infeasible = 0
        self.events = (SCIP_EVENTTYPE.NODEBRANCHED, SCIP_EVENTTYPE.NODEFEASIBLE, SCIP_EVENTTYPE.NODEINFEASIBLE)
        self.seen = (*self.events, *([SCIP_EVENTTYPE.BESTSOLFOUND, SCIP_EVENTTYPE.DUALBOUNDIMPROVED] if watch else ()))

    def eventinit(self) -> None:
        for event in self.seen:
            self.model.catchEvent(event, self)

    def eventexec(self, event: Any) -> None:
        kind = event.getType()
        self.branched += kind == self.events[0]
        self.feasible += kind == self.events[1]
        self.infeasible += kind == self.events[2]
        if self.watch is not None:
            self.watch(self.model)


def solve(
    model: Model,
    policy: BranchingPolicy | ScipRule,
    *,
    seed: int | None = None,
    scip_params: Mapping[str, Any] | None = None,
    watch: Callable[[Model], None] | None = None,
) -> Solved:
    """Solve `model` to the end with `policy`.

    Args:
        model: in stage PROBLEM; it stays the caller's, solved, with the rule included.
        policy: asked at each node with a fractional LP solution, or a rule of SCIP.
        seed: for the policy, and for SCIP's permutations and random numbers; None leaves SCIP unpermuted.
        scip_params: set last. Limits go here.
        watch: called with the model at each node that is branched on or ends, and as bounds improve.

    Raises:
        LearnsysError: SCIP failed, or the policy chose a variable that is no candidate.
        Exception: whatever the policy raised.
    """
    set_parameters(model, {"misc/catchctrlc": False})
    if seed is not None:
        set_parameters(model, seed_parameters(np.random.default_rng(seed)))
    if isinstance(policy, ScipRule):
        set_parameters(model, policy.parameters)
    set_parameters(model, scip_params or {})
    tree = _Tree(watch)
    model.includeEventhdlr(tree, "learnsys_tree", "counts nodes")
    rule = AskingRule()
    rule.model = model
    decide = None
    if isinstance(policy, BranchingPolicy):
        model.includeBranchrule(rule, "learnsys", "asks the policy", TOP_PRIORITY, -1, 1.0)
        decide = Decide(model, policy, 0 if seed is None else seed)
    start = time.perf_counter()
    control.solve(model, rule, decide or (lambda *_: rule.decline()))
    seconds = time.perf_counter() - start
    return Solved(
        **summary(model),
        max_depth=model.getMaxDepth(),
        n_branched=tree.branched,
        n_feasible=tree.feasible,
        n_infeasible=tree.infeasible,
        n_decisions=decide.count if decide else 0,
        seconds=seconds,
        policy_seconds=decide.seconds if decide else 0.0,
    )


class Decide:
    """The branching callback of a policy."""

    def __init__(self, model: Model, policy: BranchingPolicy, seed: int) -> None:
        self.model, self.policy = model, policy
        self.observe = None if policy.observation is None else observation_function(policy.observation)
        self.count, self.seconds = 0, 0.0
        if self.observe is not None:
            self.observe.before_reset(model)
        policy.start(seed)

    def __call__(self, allowaddcons: bool) -> dict[str, Any]:
        start = time.process_time()
        model = self.model
        allowed = candidates(model, self.policy.pseudo_candidates)
        observation = None if self.observe is None else self.observe.extract(model, False)
        chosen = self.policy.act(observation, allowed)
        if chosen not in allowed:
            raise LearnsysError(f"{type(self.policy).__name__} chose variable {chosen}, which is no candidate")
        self.count += 1
        self.seconds += time.process_time() - start
        branch(model, int(chosen))
        return BRANCHED
