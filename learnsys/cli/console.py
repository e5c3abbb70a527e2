"""What commands print: a table for people, or JSON for machines."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any


def print_json(value: Any) -> None:
    """Print `value` as JSON on standard output, numpy scalars and paths included."""
    from learnsys.files import plain

    print(json.dumps(value, indent=2, default=plain))


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], best: int | None = None) -> None:
    """Print rows as a table on standard output; row number `best` in bold."""
    from rich.console import Console
    from rich.table import Table

    from learnsys.report import format_value

    table = Table(title=title, title_justify="left", title_style="bold")
    whole = all(len(format_value(row[0])) < 30 for row in rows)  # names; where room is short, headings wrap
    for number, name in enumerate(columns):
        first = number == 0
        text = first or any(len(str(row[number])) > 40 for row in rows)
        table.add_column(name, justify="left" if text else "right", overflow="fold", no_wrap=first and whole)
    for number, row in enumerate(rows):
        table.add_row(*(format_value(value) for value in row), style="bold" if number == best else None)
    Console().print(table)


def _bars() -> Any:
    """Bars on standard error, if that is a terminal; of torchrun's processes, the first one's."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console, first = Console(stderr=True), os.environ.get("RANK", "0") == "0"
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal or not first)


@contextmanager
def progress_bar(label: str, total: int | None) -> Iterator[Any]:
    """A bar of progress on standard error, if that is a terminal; yields advance(steps)."""
    with _bars() as bar:
        task = bar.add_task(label, total=total)
        yield lambda steps: bar.advance(task, steps)


@contextmanager
def progress_report(title: str) -> Iterator[Any]:
    """The same for work in phases; yields a `learnsys.imitation.Report`: report(phase, done, total)."""
    with _bars() as bar:
        task = bar.add_task(title, total=None)

        def report(phase: str, done: int, total: int) -> None:
            bar.update(task, description=f"{title}: {phase}", completed=done, total=total)

        yield report
