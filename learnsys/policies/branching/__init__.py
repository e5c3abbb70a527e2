"""Branching policies: one file each, one line each in `registry.POLICIES`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyscipopt import Branchrule


def as_branchrule(policy: Any, seed: int = 0) -> Branchrule:
    """A policy as a branching rule for one's own PySCIPOpt model.

        rule = as_branchrule("runs/gcnn")
        model.includeBranchrule(rule, "learned", "asks a policy", priority=10_000_000, maxdepth=-1, maxbounddist=1.0)
        model.optimize()

    An exception in the policy is printed, and `optimize` raises.

    Args:
        policy: a `BranchingPolicy`, or what `registry.make_branching_policy` accepts: a name or a folder.
        seed: for the policy.

    Raises:
        InputError: no such policy, or one of SCIP's own rules, which a parameter chooses.
    """
    from learnsys.policies.branching.rule import PolicyRule

    return PolicyRule(policy, seed)
