"""`learnsys run list | show | compare | report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import tyro

from learnsys.errors import InputError


def _load(folder: Path) -> dict[str, Any]:
    """Everything one run folder holds."""
    from learnsys.runs import read_json, read_metrics

    if not (folder / "config.json").exists():
        raise InputError("no run folder (config.json is missing)", file=folder, remedy="see learnsys run list")
    summary = folder / "summary.json"
    command = folder / "command.txt"
    return {
        "name": folder.name,
        "folder": str(folder),
        "config": read_json(folder / "config.json"),
        "environment": read_json(folder / "env.json") if (folder / "env.json").exists() else {},
        "command": command.read_text(encoding="utf-8").strip() if command.exists() else "",
        "metrics": read_metrics(folder),
        "summary": read_json(summary) if summary.exists() else None,
    }


def flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested dicts as one level with dotted names; lists count as values."""
    if not isinstance(value, dict):
        return {prefix: value}
    return {
        name: leaf
        for key, inner in value.items()
        for name, leaf in flatten(inner, f"{prefix}.{key}".strip(".")).items()
    }


def _scalars(value: Any) -> dict[str, Any]:
    return {name: leaf for name, leaf in flatten(value).items() if not isinstance(leaf, list | dict)}


def list_runs(folder: Annotated[Path, tyro.conf.Positional] = Path("runs"), json: bool = False) -> int:
    """List the runs at and below a folder.

    Args:
        folder: where to look.
        json: print JSON instead of a table.
    """
    from learnsys.cli.console import print_json, print_table
    from learnsys.runs import find_runs

    rows = []
    for path in find_runs(folder):
        run = _load(path)
        name = str(path.relative_to(folder)) if path != folder else path.name
        rows.append({"name": name, "finished": run["summary"] is not None, "metric lines": len(run["metrics"])})
        rows[-1]["command"] = run["command"]
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

    run = _load(folder)
    if json:
        print_json(run)
        return 0
    print(run["command"])
    print_table("configuration", ["field", "value"], list(_scalars(run["config"]).items()))
    if run["metrics"]:
        print_table("last metrics", ["metric", "value"], list(run["metrics"][-1].items()))
    if run["summary"] is None:
        print("not finished: run the command again to go on from the last checkpoint")
    else:
        print_table("result", ["figure", "value"], list(_scalars(run["summary"]).items()))
    return 0


def compare(folders: Annotated[list[Path], tyro.conf.Positional], json: bool = False) -> int:
    """Put runs side by side: what their configurations differ in, and the figures of their results.

    Args:
        folders: two run folders or more.
        json: print JSON instead of tables.
    """
    from learnsys.cli.console import print_json, print_table

    if len(folders) < 2:
        raise InputError("one run compares with nothing", remedy="give two run folders or more")
    runs = [_load(folder) for folder in folders]
    names = [run["name"] for run in runs]
    if len(set(names)) < len(names):
        names = [run["folder"] for run in runs]
    differing = {field: row for field, row in _beside(runs, "config").items() if any(each != row[0] for each in row)}
    figures = _beside(runs, "summary")
    if json:
        print_json({"runs": names, "configuration": differing, "result": figures})
        return 0
    for title, rows in (("configuration, where it differs", differing), ("result", figures)):
        if rows:
            print_table(title, ["field", *names], [[field, *row] for field, row in rows.items()])
        else:
            print(f"{title}: nothing")
    for name, run in zip(names, runs, strict=True):
        if run["summary"] is None:
            print(f"{name} has not finished: run its command again to go on from the last checkpoint")
    return 0


def _beside(runs: list[dict[str, Any]], part: str) -> dict[str, list[Any]]:
    """field -> its value in each run (None: absent) for everything in `part` of the runs."""
    found = [flatten(run[part] or {}) for run in runs]
    return {field: [each.get(field) for each in found] for field in dict.fromkeys(name for f in found for name in f)}


def report(folders: Annotated[list[Path], tyro.conf.Positional], out: Path = Path("report.html")) -> int:
    """Write one offline HTML page about runs: commands, results, curves and versions.

    Args:
        folders: run folders; simulation results (from `learnsys cache simulate --out`) and training runs mix.
        out: the page to write.
    """
    from learnsys.report import Page

    runs = [_load(folder) for folder in folders]
    page = Page(
        "learnsys report", f"{len(runs)} run{'s' if len(runs) != 1 else ''}: {', '.join(r['name'] for r in runs)}"
    )
    for folder, run in zip(folders, runs, strict=True):
        page.heading(run["name"])
        page.code(run["command"])
        if run["summary"] is None:
            page.text("This run has not finished.")
        elif "results" in run["summary"] and "window" in run["summary"]:
            from learnsys.policies.cache.figures import simulation_section

            simulation_section(page, _with_timings(run["summary"], folder / "timings.json"))
        else:
            page.table(["figure", "value"], list(_scalars(run["summary"]).items()))
        _curves(page, run["metrics"])
    page.heading("Configuration and versions")
    for run in runs:
        page.text(run["name"])
        page.table(["field", "value"], list(_scalars(run["config"]).items()))
    environment = runs[0]["environment"] if runs else {}
    page.write(out, footer=", ".join(f"{name} {version}" for name, version in environment.items()))
    print(f"wrote {out}")
    return 0


def _with_timings(summary: dict[str, Any], path: Path) -> dict[str, Any]:
    """A simulation's summary with the speeds that stand in a file of their own."""
    from learnsys.runs import read_json

    times = read_json(path) if path.exists() else {}
    results = {
        size: [{**row, **time} for row, time in zip(rows, times.get(size, [{}] * len(rows)), strict=True)]
        for size, rows in summary["results"].items()
    }
    return {**summary, "results": results}


def _curves(page: Any, metrics: list[dict[str, Any]]) -> None:
    """A figure for each group of metrics that share a scale: losses, and rates."""
    axis = next((name for name in ("step", "round", "epoch") if metrics and name in metrics[0]), None)
    if axis is None:
        return
    names = sorted(
        {name for line in metrics for name, value in line.items() if isinstance(value, int | float)} - {axis}
    )
    for caption, chosen in (
        ("Loss", [name for name in names if "loss" in name]),
        ("Hit rate while training", [name for name in names if "rate" in name and "learning" not in name]),
    ):
        series = {name: [(line[axis], line[name]) for line in metrics if name in line] for name in chosen}
        series = {name: points for name, points in series.items() if len(points) > 1}
        if series:
            with page.figure(f"{caption} by {axis}.", height=2.8) as axes:
                for name, points in series.items():
                    axes.plot(*zip(*points, strict=True), label=name.replace("_", " "))
                axes.set_xlabel(axis)
                axes.legend(frameon=False)
