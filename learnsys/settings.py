"""Settings of a configuration changed by text, as `--set key=value` does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr
from dataclasses import fields, is_dataclass
from io import StringIO
from typing import Any, TypeVar

from learnsys.errors import InputError

Config = TypeVar("Config")

_WRITTEN = {"true": "True", "false": "False"}
"""as JSON writes a value -> as Python does"""


def override(config: Config, settings: Sequence[str]) -> Config:
    """A copy of a frozen dataclass, nested ones included, with some fields changed.

    Args:
        config: the configuration to start from.
        settings: texts like "model.history=80"; the last part of the name is enough where it is unique
            ("history=80"), and a tuple's items are separated by commas ("losses=ndcg,reuse_dist").

    Raises:
        InputError: no such field, or no such value.
    """
    import tyro

    names = list(_leaves(config))
    arguments = []
    for text in settings:
        name, equals, value = (part.strip() for part in text.partition("="))
        found = [each for each in names if each == name] or [each for each in names if each.endswith(f".{name}")]
        if not equals or len(found) != 1:
            problem = (
                "is not of the form key=value" if not equals else "names no setting" if not found else "is ambiguous"
            )
            choices = ", ".join(found or names)
            raise InputError(f"--set {text!r} {problem}", remedy=f"choose from {choices}")
        arguments += [f"--{found[0]}", *(_WRITTEN.get(item, item) for item in value.split(","))]
    try:
        with redirect_stderr(StringIO()):  # tyro's own report of a wrong value; the error below is the one line
            return tyro.cli(
                type(config),
                args=arguments,
                default=config,
                console_outputs=False,
                config=(tyro.conf.FlagConversionOff,),
                use_underscores=True,
            )
    except SystemExit:
        raise InputError(f"--set {' '.join(settings)!r}: a value is of the wrong kind") from None


def _leaves(config: Any, prefix: str = "") -> Iterator[str]:
    for field in fields(config):
        value = getattr(config, field.name)
        if is_dataclass(value):
            yield from _leaves(value, f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}"
