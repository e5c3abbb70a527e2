"""The cache policies by name. Adding one is one file and one line here; tests, CLI and benchmarks iterate over it."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from learnsys.errors import InputError

SET_POLICIES: dict[str, tuple[str, dict[str, Any]]] = {
    "lru": ("learnsys.policies.cache.lru:LRU", {}),
    "belady": ("learnsys.policies.cache.belady:Belady", {}),
    "belady_bypass": ("learnsys.policies.cache.belady:Belady", {"bypass": True}),
}
"""name -> ("module:Class", constructor arguments). Strings, so that a kernel is compiled only when it is used."""


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
