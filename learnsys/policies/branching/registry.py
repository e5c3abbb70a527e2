"""The branching policies by name. Adding one is one file and one line here; tests and CLI iterate over it."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from learnsys.errors import InputError
from learnsys.policies.branching.base import BranchingPolicy, ScipRule
from learnsys.runs import read_json

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


LEARNED: dict[str, str] = {
    "gcnn": "learnsys.policies.branching.gcnn.policy:GcnnPolicy",
    "trees": "learnsys.policies.branching.features.policy:TreesPolicy",
    "mlp": "learnsys.policies.branching.features.policy:MlpPolicy",
}
"""kind, as the `config.json` of a trained policy's folder says under "policy" -> "module:Class" with `load(folder)`."""

TRAINED = Path(__file__).with_name("trained")
"""trained policies that ship, in KIND/FAMILY"""


def make_branching_policy(name: str, family: str | None = None, **arguments: Any) -> BranchingPolicy | ScipRule:
    """The policy, or rule of SCIP, that a text names.

    Args:
        name: a name of `SCIP_RULES` or `POLICIES`; the folder of a trained policy; a kind of `LEARNED` for the one
            that ships for `family`, or with the family in it, such as "gcnn:auction"; or "hybrid:FIRST+SECOND", the
            first of them at the root and the second below.
        family: of the instances that it is for.
        arguments: of the constructor of a policy of `POLICIES`.

    Raises:
        InputError: there is none, or the folder holds no policy.
    """
    if name in SCIP_RULES:
        return ScipRule(SCIP_RULES[name])
    if name in POLICIES:
        entry, defaults = POLICIES[name]
        return _load(entry)(**{**defaults, **arguments})
    kind, colon, wanted = name.partition(":")
    if kind == "hybrid" and "+" in wanted:
        from learnsys.policies.branching.hybrid import HybridPolicy

        first, _, second = wanted.partition("+")
        return HybridPolicy(make_branching_policy(first, family), make_branching_policy(second, family))
    if kind in LEARNED and not Path(name).is_dir():
        shipped = _shipped(kind, wanted if colon else family)
        return _load(LEARNED[kind]).load(shipped)
    folder = Path(name)
    if not folder.exists():
        known = ", ".join([*SCIP_RULES, *POLICIES, *LEARNED])
        remedy = f"choose from {known}, or give the folder of a trained one"
        raise InputError(f"no branching policy is called {name!r}", remedy=remedy)
    about = read_json(folder / "config.json")
    kind = str(about.get("policy")) if isinstance(about, dict) else ""
    if kind == "choice":  # of `learnsys branch choose`
        return make_branching_policy(str(about.get("chosen")), about.get("family"))
    if kind not in LEARNED:
        raise InputError(
            f"holds no branching policy ({kind!r})", file=folder / "config.json", remedy="give a trained one's folder"
        )
    return _load(LEARNED[kind]).load(folder)


def _load(entry: str) -> Any:
    module, attribute = entry.split(":")
    return getattr(import_module(module), attribute)


def _shipped(kind: str, family: str | None) -> Path:
    folder = TRAINED / kind / str(family)
    if family is None or not (folder / "config.json").is_file():
        known = ", ".join(sorted(f"{kind}:{path.parent.name}" for path in (TRAINED / kind).glob("*/config.json")))
        what = f"no {kind} for {family} ships" if family else f"{kind!r} alone does not say for what instances"
        raise InputError(what, remedy=f"choose from {known}" if known else "train one and give its folder")
    return folder
