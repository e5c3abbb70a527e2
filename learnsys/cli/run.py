"""`learnsys run list | show | compare`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import tyro

from learnsys.errors import InputError


def flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested dicts as one level with dotted names, rows of different policies likewise; other lists count as values."""
    if isinstance(value, list) and value and all(isinstance(each, dict) and "policy" in each for each in value):
        named = {each["policy"]: {key: inner for key, inner in each.items() if key != "policy"} for each in value}
        if len(named) == len(value):
            value = named
    if not isinstance(value, dict):
        return {prefix: value}
    return {
        name: leaf
        for key, inner in value.items()
        for name, leaf in flatten(inner, f"{prefix}.{key}".strip(".")).items()
    }


def scalars(value: Any) -> dict[str, Any]:
    """The same without what is no single figure or word."""
    return {name: leaf for name, leaf in flatten(value).items() if not isinstance(leaf, list | dict)}


def list_runs(folder: Annotated[Path, tyro.conf.Positional] = Path("runs"), json: bool = False) -> int:
    """List the runs at and below a folder.

    Args:
        folder: where to look.
        json: print JSON instead of a table.
    """
    from learnsys.cli.console import print_json, print_table
    from learnsys.runs import Record, find_runs

    rows = []
    for path in find_runs(folder):
        run = Record.load(path)
        name = str(path.relative_to(folder)) if path != folder else path.name
        rows.append({"name": name, "finished": run.summary is not None, "metric lines": len(run.metrics)})
        rows[-1]["command"] = run.command
    if json:
        print_json(rows)
    elif rows:
        print_table(f"runs in {folder}", list(rows[0]), [list(row.values()) for row in rows])
    else:
        print(f"no runs in {folder}")
    return 0


def show(folder: Annotated[Path, tyro.conf.Positional], json: bool = False) -> int:
    """Show one run: its command, configuration, last metrics and result.

    Args:
        folder: the run's folder.
        json: print JSON instead of tables.
    """
    from learnsys.cli.console import print_json, print_table
    from learnsys.runs import Record

    run = Record.load(folder)
    if json:
        print_json({"name": run.name, **asdict(run)})
        return 0
    print(run.command)
    print_table("configuration", ["field", "value"], list(scalars(run.config).items()))
    if run.metrics:
        print_table("last metrics", ["metric", "value"], list(scalars(run.metrics[-1]).items()))
    if run.summary is None:
        print("not finished: run the command again to go on from the last checkpoint")
    else:
        print_table("result", ["figure", "value"], list(scalars(run.summary).items()))
    return 0


def compare(folders: Annotated[list[Path], tyro.conf.Positional], json: bool = False) -> int:
    """Put runs side by side: what their configurations differ in, and the figures of their results.

    Args:
        folders: two run folders or more.
        json: print JSON instead of tables.
    """
    from learnsys.cli.console import print_json, print_table
    from learnsys.runs import Record

    if len(folders) < 2:
        raise InputError("one run compares with nothing", remedy="give two run folders or more")
    runs = [Record.load(folder) for folder in folders]
    names = [run.name for run in runs]
    if len(set(names)) < len(names):
        names = [str(run.folder) for run in runs]
    settings = _beside([flatten(run.config) for run in runs])
    differing = {field: row for field, row in settings.items() if any(each != row[0] for each in row)}
    figures = _beside([scalars(run.summary or {}) for run in runs])
    if json:
        print_json({"runs": names, "configuration": differing, "result": figures})
        return 0
    for title, rows in (("configuration, where it differs", differing), ("result", figures)):
        if rows:
            print_table(title, ["field", *names], [[field, *row] for field, row in rows.items()])
        else:
            print(f"{title}: nothing")
    for name, run in zip(names, runs, strict=True):
        if run.summary is None:
            print(f"{name} has not finished: run its command again to go on from the last checkpoint")
    return 0


def _beside(found: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """field -> its value in each of several dicts (None: absent)."""
    return {field: [each.get(field) for each in found] for field in dict.fromkeys(name for f in found for name in f)}
