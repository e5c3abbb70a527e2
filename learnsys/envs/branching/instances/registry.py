"""The families of instances by name. Adding one is one file and one line here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from importlib import import_module
from typing import Any

from learnsys.envs.branching.instances.family import Family
from learnsys.errors import InputError
from learnsys.settings import override

_HERE = "learnsys.envs.branching.instances"

FAMILIES: dict[str, str] = {
    "setcover": f"{_HERE}.set_cover:SetCover",
    "auction": f"{_HERE}.auction:CombinatorialAuction",
    "facility": f"{_HERE}.facility:FacilityLocation",
    "independent_set": f"{_HERE}.independent_set:IndependentSet",
    "knapsack": f"{_HERE}.knapsack:Knapsack",
    "multiple_knapsack": f"{_HERE}.knapsack:MultipleKnapsack",
    "item_placement": f"{_HERE}.item_placement:ItemPlacement",
    "workload": f"{_HERE}.workload:WorkloadApportionment",
    "maritime": f"{_HERE}.maritime:MaritimeInventoryRouting",
}
"""name -> "module:Class". Strings, so that a kernel is compiled only when it is used."""


def family_class(name: str) -> type[Family]:
    """The class of a family.

    Raises:
        InputError: there is none of that name.
    """
    if name not in FAMILIES:
        raise InputError(f"no family of instances is called {name!r}", remedy=f"choose from {', '.join(FAMILIES)}")
    module, attribute = FAMILIES[name].split(":")
    return getattr(import_module(module), attribute)


def make_family(name: str, preset: str | None = None, **parameters: Any) -> Family:
    """The family of that name with the parameters of a preset, and those given here.

    Raises:
        InputError: no such family, preset or parameter, or parameters with which no instance exists.
    """
    found = family_class(name)
    if preset is not None and preset not in found.PRESETS:
        known = ", ".join(found.PRESETS) or "none"
        raise InputError(f"{name} has no preset {preset!r}", remedy=f"its presets are {known}")
    try:
        return found(**{**found.PRESETS.get(preset or "", {}), **parameters})
    except TypeError:
        known = ", ".join(field.name for field in fields(found))
        wrong = ", ".join(f"{key}={value!r}" for key, value in parameters.items())
        raise InputError(f"{name} cannot be made with {wrong}", remedy=f"its parameters are {known}") from None


def parse_family(text: str) -> Family:
    """The family that a text names, as in "setcover", "item_placement:tiny", "setcover:hard,density=0.1"
    or "facility:demand=5,9".

    Raises:
        InputError: as `make_family` does.
    """
    name, preset, changes = split_family(text)
    family = make_family(name, preset)
    return override(family, changes) if changes else family


def split_family(text: str) -> tuple[str, str | None, list[str]]:
    """Name, preset and changes, each "key=value", in the text that `parse_family` takes."""
    name, _, rest = text.partition(":")
    parts: list[str] = []
    for part in rest.split(",") if rest else []:
        if parts and "=" not in part:
            parts[-1] += f",{part}"  # a further item of a tuple
        else:
            parts.append(part)
    preset = parts.pop(0) if parts and "=" not in parts[0] else None
    return name, preset, parts


def family_names() -> Iterator[str]:
    """All names with their presets: "setcover", "setcover:tiny", ..."""
    for name in FAMILIES:
        yield name
        yield from (f"{name}:{preset}" for preset in family_class(name).PRESETS)
