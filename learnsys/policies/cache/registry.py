"""The cache policies by name. Adding one is one file and one line here; tests, CLI and benchmarks iterate over it."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from learnsys.errors import InputError

SET_POLICIES: dict[str, tuple[str, dict[str, Any]]] = {
    "lru": ("learnsys.policies.cache.lru:LRU", {}),
    "srrip": ("learnsys.policies.cache.rrip:RRIP", {"insertion": "srrip"}),
    "brrip": ("learnsys.policies.cache.rrip:RRIP", {"insertion": "brrip"}),
    "drrip": ("learnsys.policies.cache.rrip:RRIP", {"insertion": "drrip"}),
    "belady": ("learnsys.policies.cache.belady:Belady", {}),
    "belady_bypass": ("learnsys.policies.cache.belady:Belady", {"bypass": True}),
}
"""name -> ("module:Class", constructor arguments). Strings, so that a kernel is compiled only when it is used."""

LEARNED_POLICIES: dict[str, str] = {
    "parrot": "learnsys.policies.cache.parrot.policy:ParrotPolicy",
}
"""name -> "module:Class" of policies that are trained into a run folder: a class method `load(folder)`, and
`simulate(accesses, geometry, seed) -> hits`, uint8 (n,)."""


def make_set_policy(name: str, **arguments: Any) -> Any:
    """The set-associative policy of that name.

    Raises:
        InputError: there is none.
    """
    if name not in SET_POLICIES:
        raise InputError(f"no cache policy is called {name!r}", remedy=f"choose from {', '.join(SET_POLICIES)}")
    entry, defaults = SET_POLICIES[name]
    module, attribute = entry.split(":")
    return getattr(import_module(module), attribute)(**{**defaults, **arguments})


def load_learned_policy(name: str, folder: str) -> Any:
    """The learned policy of that name, as saved in the run `folder`.

    Raises:
        InputError: there is none.
    """
    if name not in LEARNED_POLICIES:
        raise InputError(
            f"no learned cache policy is called {name!r}", remedy=f"choose from {', '.join(LEARNED_POLICIES)}"
        )
    module, attribute = LEARNED_POLICIES[name].split(":")
    return getattr(import_module(module), attribute).load(folder)
