"""Rewards of branching policies in the dual task of ML4CO, on generated instances."""

from __future__ import annotations

from typing import Any

from pyscipopt import SCIP_PARAMSETTING, Model

from learnsys.envs.branching.environment import BranchingEnv
from learnsys.envs.branching.instances import parse_family
from learnsys.envs.branching.models import copy_model
from learnsys.envs.branching.tasks import dual_task
from learnsys.errors import InputError
from learnsys.imitation import Report, silent
from learnsys.parallel import run_parallel
from learnsys.policies.branching.base import BranchingPolicy, ScipRule
from learnsys.policies.branching.protocol import EVALUATION_SEED

_NEXT = 9_000_000
"""priority of a rule of SCIP, below the environment's, whose asking starts the clock"""


def first_bounds(model: Model) -> tuple[float, float]:
    """The bounds that ML4CO's instances come with: of the first feasible solution, and of the first LP.

    Args:
        model: in stage PROBLEM; it is not changed.

    Raises:
        InputError: no solution was found in a minute.
    """
    first = copy_model(model)
    try:
        first.setParams({"limits/solutions": 1, "limits/time": 60.0, "misc/catchctrlc": False})
        first.optimize()
        if not first.getNSols():
            raise InputError("no first solution was found in a minute", remedy="take smaller instances")
        primal = first.getPrimalbound()
    finally:
        first.free()
    root = copy_model(model)
    try:
        root.setHeuristics(SCIP_PARAMSETTING.OFF)
        root.setSeparating(SCIP_PARAMSETTING.OFF)
        root.setParams({"limits/nodes": 1, "misc/catchctrlc": False})
        root.optimize()
        dual = root.getDualbound()
    finally:
        root.free()
    return primal, dual


def dual_reward(
    family: str,
    policy: BranchingPolicy | ScipRule,
    index: int,
    limit: float,
    seed: int = EVALUATION_SEED,
) -> float:
    """The integral of the dual bound over an episode: the policy on instance `index` of the family's sequence `seed`.

    Args:
        limit: in LP iterations. They make the reward a function of the seed, as nodes would, but where nodes ten times
            as dear count as ten, as they do in seconds.
    """
    task = dual_task(limit, first_bounds, "lp_iterations")
    parameters, observation = task.pop("scip_params"), None
    if isinstance(policy, ScipRule):
        parameters = {**parameters, f"branching/{policy.rule}/priority": _NEXT}
    else:
        policy.start(index)
        observation = policy.observation
        task["pseudo_candidates"] = policy.pseudo_candidates
    model = parse_family(family).instance(seed, index).to_model()
    env = BranchingEnv(model, observation=observation, form="direct", scip_params=parameters, **task)
    total, over = 0.0, False
    try:
        seen, info = env.reset(seed=index, options={"instance": model})
        while not over:
            allowed = info["action_set"]
            action: Any = None  # SCIP's rule of highest priority
            if isinstance(policy, BranchingPolicy) and len(allowed):
                action = policy.act(seen, allowed)
            seen, reward, terminated, truncated, info = env.step(action)
            total += float(reward)
            over = terminated or truncated
    finally:
        env.close()
        model.free()
    return total


def dual_rewards(
    family: str,
    policy: BranchingPolicy | ScipRule,
    instances: int,
    limit: float,
    *,
    workers: int = 1,
    report: Report = silent,
) -> list[float]:
    """`dual_reward` on the first instances of the evaluation's sequence, in parallel processes."""
    jobs = [(family, policy, index, limit) for index in range(instances)]
    rewards = []
    for reward in (
        run_parallel(dual_reward, jobs, workers=workers) if workers != 1 else (dual_reward(*job) for job in jobs)
    ):
        rewards.append(reward)
        report("evaluating", len(rewards), instances)
    return rewards
