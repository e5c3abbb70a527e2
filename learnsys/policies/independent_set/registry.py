"""The policies by name. Adding one is one file and one line here; tests, CLI and benchmarks iterate over it."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Any

from learnsys.errors import InputError
from learnsys.policies.independent_set.base import IndependentSetPolicy
from learnsys.policies.independent_set.learned.shipped import FOLDER, shipped

POLICIES: dict[str, tuple[str, dict[str, Any]]] = {
    "greedy": ("learnsys.policies.independent_set.greedy:Greedy", {}),
    "random": ("learnsys.policies.independent_set.greedy:Random", {}),
    "arw": ("learnsys.policies.independent_set.arw:ARW", {}),
    "numvc": ("learnsys.policies.independent_set.numvc:NuMVC", {}),
    "reduced_arw": ("learnsys.policies.independent_set.auto:ReducedARW", {}),
    "reduced_numvc": ("learnsys.policies.independent_set.auto:ReducedNuMVC", {}),
    "auto": ("learnsys.policies.independent_set.auto:Auto", {}),
    "exact": ("learnsys.policies.independent_set.exact:Exact", {}),
}
"""name -> ("module:Class", constructor arguments). Strings, so that a kernel is compiled only when it is used."""

LEARNED_POLICIES: dict[str, str] = {
    "comparator": "learnsys.policies.independent_set.comparator.policy:ComparatorPolicy",
    "learnsys_mis": "learnsys.policies.independent_set.learned.policy:ScoredConstruction",
    "learnsys_mis_guided": "learnsys.policies.independent_set.learned.guided:GuidedSearch",
}
"""name -> "module:Class" of policies that are trained into a run folder: a class method `load(folder)`. The folder's
config.json names its policy under "policy"."""


def make_independent_set_policy(name: str, **arguments: Any) -> IndependentSetPolicy:
    """The policy of that name, the trained one that ships under it (learnsys_mis-rb-small), or the one in that folder.

    "NAME=FOLDER" loads the policy NAME from a folder.

    Raises:
        InputError: there is none.
    """
    learned, equals, folder = name.partition("=")
    if equals:
        return load_learned_policy(learned, folder)
    if name in POLICIES:
        entry, defaults = POLICIES[name]
        return _attribute(entry)(**{**defaults, **arguments})
    place = FOLDER / name if name in shipped() else Path(name)
    if place.is_dir():
        return load_learned_policy(_policy_of(place), place)
    known = ", ".join([*POLICIES, *shipped(), *(f"{each}=FOLDER" for each in LEARNED_POLICIES)])
    raise InputError(
        f"no policy for independent sets, and no folder, is called {name!r}", remedy=f"choose from {known}"
    )


def load_learned_policy(name: str, folder: str | os.PathLike[str]) -> IndependentSetPolicy:
    """The learned policy of that name, as saved in a run folder.

    Raises:
        InputError: there is none.
    """
    if name not in LEARNED_POLICIES:
        known = ", ".join(LEARNED_POLICIES) or "none are installed"
        raise InputError(f"no learned policy for independent sets is called {name!r}", remedy=f"choose from {known}")
    return _attribute(LEARNED_POLICIES[name]).load(folder)


def _policy_of(folder: Path) -> str:
    from learnsys.runs import read_json

    config = read_json(folder / "config.json")
    name = config.get("policy") if isinstance(config, dict) else None
    if not isinstance(name, str):
        raise InputError("names no policy", file=folder / "config.json", remedy="give NAME=FOLDER")
    return name


def _attribute(entry: str) -> Any:
    module, attribute = entry.split(":")
    return getattr(import_module(module), attribute)
