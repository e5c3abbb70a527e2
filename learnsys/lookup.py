"""Things found by name, with one clear error where there is no such thing."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, TypeVar

from learnsys.errors import InputError

Thing = TypeVar("Thing")


def look_up(things: Mapping[str, Thing], name: str, kind: str, also: str = "") -> Thing:
    """The thing of that name.

    Args:
        kind: what the things are, for the error: "trace format".
        also: what else could be given, for its remedy.

    Raises:
        InputError: there is none.
    """
    if name not in things:
        raise InputError(f"no {kind} is called {name!r}", remedy=f"choose from {', '.join(things)}{also}")
    return things[name]


def imported(entry: str) -> Any:
    """What a text "module:attribute" names. Registries hold such texts, so that a module is imported only when used."""
    module, attribute = entry.split(":")
    return getattr(import_module(module), attribute)
