"""A choice among dataclasses as subcommands, each with its fields as options."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Union

import tyro
from tyro.conf import CascadeSubcommandArgs as Shared  # an option that may stand before and after the subcommand

__all__ = ["Shared", "one_of", "summary_of"]


def one_of(choices: Iterable[tuple[str, Any, str]]) -> Any:
    """The type of an argument that is one of several dataclasses: name, defaults, and a line of help of each."""
    annotated = [
        Annotated[type(defaults), tyro.conf.subcommand(name, default=defaults, description=about)]
        for name, defaults, about in choices
    ]
    return Annotated[Union[tuple(annotated)], tyro.conf.OmitSubcommandPrefixes]  # noqa: UP007


def summary_of(found: type) -> str:
    """The first paragraph of a class's docstring."""
    return (found.__doc__ or "").partition("\n\n")[0]
