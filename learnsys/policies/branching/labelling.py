"""One solving process in which strong branching is asked now and then: the samples of Gasse et al. 2019."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyscipopt import Model

from learnsys.envs.branching import control
from learnsys.envs.branching.candidates import branch, candidates
from learnsys.envs.branching.dynamics import BRANCHED, AskingRule
from learnsys.envs.branching.models import seed_parameters, set_parameters, summary
from learnsys.envs.branching.observations.khalil import Khalil2016
from learnsys.envs.branching.observations.node_bipartite import NodeBipartite
from learnsys.envs.branching.observations.pseudocosts import Pseudocosts
from learnsys.envs.branching.observations.registry import observation_function
from learnsys.envs.branching.observations.strong_branching import StrongBranchingScores
from learnsys.errors import InputError, LearnsysError
from learnsys.policies.branching.base import BranchingPolicy, ScipRule
from learnsys.policies.branching.protocol import COLLECTION_SEED, FIELD_PARAMETERS
from learnsys.policies.branching.registry import make_branching_policy
from learnsys.policies.branching.samples import (
    Sample,
    graph_arrays,
)

_ABOVE_OTHERS, _NEXT = 10_000_000, 9_000_000
"""priorities of the rule that asks, and of SCIP's rule that branches when it declines"""


@dataclass(frozen=True)
class CollectConfig:
    """How samples are collected; what it says, the seed and the number of an instance determine its samples."""

    seed: int = COLLECTION_SEED
    """of the sequence of instances"""
    probability: float = 0.05
    """part of the nodes that are labelled, and branched on, by strong branching"""
    behaviour: str = "pscost"
    """who branches elsewhere: a policy's name or folder"""
    pseudo_candidates: bool = False
    """label all unfixed discrete variables, not only those with a fractional LP value"""
    khalil: bool = True
    """keep Khalil's features of the candidates, too"""
    node_limit: int | None = None
    """nodes per instance"""
    time_limit: float | None = 3600.0
    """seconds per instance; samples then depend on the machine's speed, where it is reached"""
    most_samples: int | None = None
    """samples per instance, the first ones"""
    scip_params: dict[str, Any] = field(default_factory=lambda: dict(FIELD_PARAMETERS))
    """SCIP's settings"""

    def __post_init__(self) -> None:
        if not 0.0 < self.probability <= 1.0:
            raise InputError(f"probability={self.probability} is not possible", remedy="give one in (0, 1]")
        if self.seed < 0 or any(limit is not None and limit <= 0 for limit in self._limits()):
            raise InputError("seeds start at 0, and limits must be positive")

    def _limits(self) -> tuple[float | None, ...]:
        return self.node_limit, self.time_limit, self.most_samples

    def parameters(self) -> dict[str, Any]:
        """All of SCIP's parameters."""
        limits = {"limits/totalnodes": self.node_limit, "limits/time": self.time_limit}
        return {**{name: value for name, value in limits.items() if value is not None}, **self.scip_params}


class _Labelling:
    """The branching callback: asks the expert with some probability, and the behaviour policy otherwise."""

    def __init__(
        self, model: Model, rule: AskingRule, policy: BranchingPolicy | ScipRule, config: CollectConfig, rng: Any
    ) -> None:
        self.model, self.rule, self.config, self.rng = model, rule, config, rng
        self.policy = policy if isinstance(policy, BranchingPolicy) else None
        self.graph = NodeBipartite(incremental=True)
        self.khalil = Khalil2016(config.pseudo_candidates) if config.khalil else None
        self.expert, self.pseudocosts = StrongBranchingScores(config.pseudo_candidates), Pseudocosts()
        wanted = None if self.policy is None else self.policy.observation
        self.observe = None if wanted is None else observation_function(wanted)
        for function in (self.graph, self.khalil, self.observe):
            if function is not None:
                function.before_reset(model)
        self.found: list[dict[str, Any]] = []

    def __call__(self, allowaddcons: bool) -> dict[str, Any]:
        model = self.model
        allowed = candidates(model, self.config.pseudo_candidates)
        ask = self.rng.random() < self.config.probability
        features = None
        if self.khalil is not None and (ask or model.getDepth() == 0):  # its static part is the root's
            features = self.khalil.extract(model)
        if ask:
            label = self._label(allowed, features)
            if label is not None:
                branch(model, label)
                return BRANCHED
        if self.policy is None:
            return self.rule.decline()
        own = candidates(model, self.policy.pseudo_candidates)
        chosen = self.policy.act(None if self.observe is None else self.observe.extract(model, False), own)
        if chosen not in own:
            raise LearnsysError(f"{type(self.policy).__name__} chose variable {chosen}, which is no candidate")
        branch(model, int(chosen))
        return BRANCHED

    def _label(self, allowed: NDArray[np.int64], features: NDArray[np.float64] | None) -> int | None:
        """Record a sample; the expert's choice, or None where it found none."""
        model = self.model
        observation = self.graph.extract(model)
        scores = self.expert.extract(model) if observation is not None and len(allowed) else None
        if observation is None or scores is None or not np.isfinite(scores[allowed]).all():
            return None
        scores = scores[allowed]
        pseudocosts = self.pseudocosts.extract(model)
        known = np.full(len(allowed), np.nan) if pseudocosts is None else pseudocosts[allowed]
        kept = np.zeros((len(allowed), 0)) if features is None else np.nan_to_num(features[allowed], nan=0.0)
        self.found.append(
            {
                **graph_arrays(observation),
                "candidates": allowed.astype(np.int32),
                "scores": scores,
                "candidate_features": np.clip(kept, -1e30, 1e30).astype(np.float32),
                "pseudocost_choice": int(np.argmax(np.where(np.isnan(known), -np.inf, known))),
                "node": model.getCurrentNode().getNumber(),  # type: ignore[union-attr]
                "depth": model.getDepth(),
                "lp_value": model.getLPObjVal(),
                "lower_bound": model.getLowerbound(),
                "upper_bound": model.getUpperbound(),
            }
        )
        if self.config.most_samples is not None and len(self.found) >= self.config.most_samples:
            model.interruptSolve()
        return int(allowed[np.argmax(scores)])


def collect_instance(
    model: Model, config: CollectConfig, index: int, policy: BranchingPolicy | ScipRule | None = None
) -> tuple[list[Sample], dict[str, Any]]:
    """The samples of one solving process, and how it ended (see `models.summary`).

    Args:
        model: in stage PROBLEM; freed at the end.
        index: number of the instance; with the seed of `config` it determines all random numbers.
        policy: who branches where the expert is not asked; None makes the one that `config` names.

    Raises:
        LearnsysError: SCIP failed.
    """
    if policy is None:
        policy = make_branching_policy(config.behaviour)
    rng = np.random.default_rng([config.seed, index, 1])
    try:
        set_parameters(model, {"misc/catchctrlc": False, **seed_parameters(rng)})
        if isinstance(policy, ScipRule):
            set_parameters(model, {f"branching/{policy.rule}/priority": _NEXT})
        else:
            policy.start(int(rng.integers(2**31)))
        set_parameters(model, config.parameters())
        rule = AskingRule()
        rule.model = model
        model.includeBranchrule(rule, "learnsys", "asks the expert now and then", _ABOVE_OTHERS, -1, 1.0)
        labelling = _Labelling(model, rule, policy, config, rng)
        control.solve(model, rule, labelling)
        samples = [Sample(**values, instance=index, seed=config.seed) for values in labelling.found]
        return samples, summary(model)
    finally:
        model.free()
