"""`learnsys env list | check`."""

from __future__ import annotations

import inspect
import json as jsons
from importlib import import_module
from typing import Annotated, Any

import tyro

from learnsys.errors import InputError


def list_environments(json: bool = False) -> int:
    """List the environments of learnsys (in JSON with their arguments and defaults).

    Args:
        json: print JSON instead of a table.
    """
    from learnsys.cli.console import print_json, print_table
    from learnsys.envs import ENVIRONMENTS

    rows = [_describe(name, **arguments) for name, arguments in ENVIRONMENTS.items()]
    if json:
        print_json(rows)
    else:
        table = [[row["id"], row["summary"], "yes" if row["vector"] else "no"] for row in rows]
        print_table("environments", ["id", "what it asks for", "own vector form"], table)
    return 0


def _describe(name: str, entry_point: str, vector_entry_point: str | None = None, **_: Any) -> dict[str, Any]:
    module, attribute = entry_point.split(":")
    creator = getattr(import_module(module), attribute)
    parameters = inspect.signature(creator).parameters.values()
    return {
        "id": name,
        "summary": (inspect.getdoc(creator) or "").partition("\n")[0],
        "vector": vector_entry_point is not None,
        "arguments": {each.name: None if each.default is each.empty else each.default for each in parameters},
    }


def check(
    id: Annotated[str, tyro.conf.Positional],
    set: tuple[str, ...] = (),
    steps: int = 25,
    json: bool = False,
) -> int:
    """Check an environment against the contract of learnsys; exit code 1 if it breaks it.

    Args:
        id: a registered id; `module:namespace/Name-v0` imports a module of yours first.
        set: arguments of the environment, as name=value (values as in JSON, else text).
        steps: length of the roll-outs.
        json: print JSON instead of a table.
    """
    from rich.console import Console
    from rich.progress import track

    from learnsys.cli.console import print_json, print_table
    from learnsys.testing.environments import CHECKS, run_checks

    arguments = parse_settings(set)
    if steps < 1:
        raise InputError(f"a roll-out of {steps} steps is not possible", remedy="give --steps 1 or more")
    _try(id, arguments)
    console = Console(stderr=True)
    checks = run_checks(id, steps=steps, **arguments)
    results = list(track(checks, "checking", total=len(CHECKS), console=console, transient=True))
    failed = [each for each in results if each.outcome == "failed"]
    if json:
        print_json([vars(each) for each in results])
    else:
        rows = [[each.name, each.outcome, each.detail, f"{each.seconds:.2f}"] for each in results]
        print_table(id, ["check", "outcome", "why", "seconds"], rows)
    return 1 if failed else 0


def parse_settings(texts: tuple[str, ...]) -> dict[str, Any]:
    """Arguments written as name=value; a value that is no JSON is text.

    Raises:
        InputError: there is no `=`.
    """
    settings: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise InputError(f"{text!r} sets nothing", remedy="write name=value, such as ways=8")
        try:
            settings[name] = jsons.loads(value)
        except ValueError:
            settings[name] = value
    return settings


def _try(id: str, arguments: dict[str, Any]) -> None:
    """Make the environment once, so that a user's mistake is told as one."""
    import gymnasium as gym

    try:
        gym.make(id, **arguments).close()
    except (gym.error.Error, ModuleNotFoundError, TypeError) as error:
        raise InputError(f"{id} cannot be made: {error}", remedy="see learnsys env list") from None
