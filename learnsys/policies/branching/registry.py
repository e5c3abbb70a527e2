"""The branching policies by name. Adding one is one file and one line here; tests and CLI iterate over it."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from learnsys.errors import InputError
from learnsys.policies.branching.base import BranchingPolicy, ScipRule

SCIP_RULES: dict[str, str] = {
    "relpscost": "relpscost",
    "pscost": "pscost",
    "fullstrong": "vanillafullstrong",
    "scip_fullstrong": "fullstrong",
    "allfullstrong": "allfullstrong",
    "lookahead": "lookahead",
    "mostinf": "mostinf",
    "leastinf": "leastinf",
    "inference": "inference",
    "distribution": "distribution",
    "random": "random",
}
"""name -> SCIP's branching rule. `fullstrong` is plain full strong branching; SCIP's rule of that name stops early."""

POLICIES: dict[str, tuple[str, dict[str, Any]]] = {
    "first": ("learnsys.policies.branching.baselines:First", {}),
    "uniform": ("learnsys.policies.branching.baselines:Uniform", {}),
    "most_fractional": ("learnsys.policies.branching.baselines:MostFractional", {}),
    "pseudocost": ("learnsys.policies.branching.baselines:Pseudocost", {}),
    "strong_branching": ("learnsys.policies.branching.baselines:StrongBranching", {}),
}
"""name -> ("module:Class", constructor arguments) of policies that are asked at each node."""


def make_branching_policy(name: str, **arguments: Any) -> BranchingPolicy | ScipRule:
    """The policy, or rule of SCIP, of that name.

    Raises:
        InputError: there is none.
    """
    if name in SCIP_RULES:
        return ScipRule(SCIP_RULES[name])
    if name not in POLICIES:
        known = ", ".join([*SCIP_RULES, *POLICIES])
        raise InputError(f"no branching policy is called {name!r}", remedy=f"choose from {known}")
    entry, defaults = POLICIES[name]
    module, attribute = entry.split(":")
    return getattr(import_module(module), attribute)(**{**defaults, **arguments})
