"""The adapter that puts a policy into a PySCIPOpt model of the user's own; see `as_branchrule`."""

from __future__ import annotations

from typing import Any

from learnsys.envs.branching.dynamics import AskingRule
from learnsys.errors import InputError
from learnsys.policies.branching.base import BranchingPolicy
from learnsys.policies.branching.registry import make_branching_policy
from learnsys.policies.branching.solve import Decide


class PolicyRule(AskingRule):
    """Asks a policy at each node whose relaxation has a fractional solution; see `as_branchrule`."""

    def __init__(self, policy: Any, seed: int = 0) -> None:
        found = make_branching_policy(policy) if isinstance(policy, str) else policy
        if not isinstance(found, BranchingPolicy):
            raise InputError(
                f"{policy!r} is no policy that can be asked",
                remedy="give SCIP's own rules a high priority instead: model.setParam('branching/RULE/priority', ...)",
            )
        self.policy, self.seed = found, seed
        self.decide: Decide | None = None

    def branchinit(self) -> None:
        """A solving process begins."""
        self.decide = Decide(self.model, self.policy, self.seed)

    def branchexeclp(self, allowaddcons: bool) -> dict[str, Any]:
        """Branch as the policy says."""
        assert self.decide is not None
        return self.decide(allowaddcons)
