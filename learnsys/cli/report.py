"""`learnsys run report`: one offline HTML page about runs of any kind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from learnsys.cli.run import scalars
from learnsys.errors import InputError

if TYPE_CHECKING:
    from learnsys.report import Finding, Page
    from learnsys.runs import Record

KINDS = (
    "learnsys.policies.cache.figures",
    "learnsys.policies.branching.figures",
    "learnsys.policies.independent_set.figures",
)
"""Modules with a function `finding(run)`, which is None for runs of another kind. Adding a kind is a line here."""
_CURVES = {
    "Loss": lambda name: "loss" in name,
    "Hit rate while training": lambda name: "rate" in name and "learning" not in name,
}


def report(
    folders: Annotated[list[Path], tyro.conf.Positional], out: Path = Path("report.html"), title: str = "learnsys"
) -> int:
    """Write one offline HTML page about runs: what won and by how much, tables, curves, commands, versions.

    Args:
        folders: run folders; comparisons (cache simulate, branch evaluate, mis evaluate) and training runs mix.
        out: the page to write.
        title: its heading.
    """
    from learnsys.runs import Record

    findings = write_report([Record.load(folder) for folder in folders], out, title)
    for finding in findings:
        if finding.verdict:
            print(f"{finding.title}: {finding.verdict}")
    print(f"wrote {out}")
    return 0


def write_report(runs: Sequence[Record], out: Path, title: str = "learnsys") -> list[Finding]:
    """Write the page; what it says of each run."""
    from learnsys.report import Page

    findings = [find(run) for run in runs]
    verdicts = [(each.title, each.verdict) for each in findings if each.verdict]
    alone = len(runs) == 1
    page = Page(findings[0].title if alone else title, "" if alone else "What won, and by how much:")
    if not alone:
        page.contents(verdicts or [(each.title, "") for each in findings])
    for run, finding in zip(runs, findings, strict=True):
        if not alone:
            page.heading(finding.title)
        if finding.verdict:
            page.verdict(finding.verdict)
        page.code(run.command)
        with _whole(run):
            finding.draw(page)
    commands = dict.fromkeys(command for finding in findings for command in finding.further)
    if commands:
        page.heading("Further from here")
        page.code("\n".join(commands))
    page.heading("Configuration and versions")
    for run in runs:
        with page.folded(f"{run.folder}: configuration"):
            page.table(["field", "value"], list(scalars(run.config).items()))
    versions = ", ".join(f"{name} {version}" for name, version in runs[0].environment.items())
    page.write(out, footer=versions)
    return findings


@contextmanager
def _whole(run: Record) -> Iterator[None]:
    """Say which run's files do not hold what they should."""
    try:
        yield
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        problem = f"its files do not fit each other ({type(error).__name__}: {error})"
        raise InputError(problem, file=run.folder, remedy="run its command again, into another folder") from error


def find(run: Record) -> Finding:
    """What a run says: by its kind, or, if it is of none, its figures and its curves.

    Raises:
        InputError: the run's files are damaged.
    """
    for kind in KINDS:
        with _whole(run):
            found: Finding | None = import_module(kind).finding(run)
        if found is not None:
            return found
    from learnsys.report import Finding

    def draw(page: Page) -> None:
        if run.summary is None:
            page.text("This run has not finished: run its command again to go on from the last checkpoint.")
        else:
            figures = {name.replace(".", ", ").replace("_", " "): value for name, value in scalars(run.summary).items()}
            page.table(["figure", "value"], list(figures.items()))
        _draw_curves(page, run.metrics)

    return Finding(run.name, "", draw)


def _draw_curves(page: Page, metrics: list[dict[str, Any]]) -> None:
    """A figure for each group of metrics that share a scale."""
    from matplotlib.ticker import MaxNLocator

    axis = next((name for name in ("step", "round", "epoch") if metrics and name in metrics[0]), None)
    if axis is None:
        return
    names = sorted(
        {name for line in metrics for name, value in line.items() if isinstance(value, int | float)} - {axis}
    )
    for caption, chosen in _CURVES.items():
        series = {
            name: [(line[axis], line[name]) for line in metrics if name in line] for name in filter(chosen, names)
        }
        series = {name: points for name, points in series.items() if len(points) > 1}
        if series:
            with page.figure(f"{caption} by {axis}.", height=2.8) as axes:
                for name, points in series.items():
                    axes.plot(*zip(*points, strict=True), label=name.replace("_", " "))
                axes.xaxis.set_major_locator(MaxNLocator(integer=True))
                axes.set_xlabel(axis)
                axes.legend(frameon=False)
