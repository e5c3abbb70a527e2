"""What commands print: a table for people, or JSON for machines."""

from __future__ import annotations

import json
from collections.abc import Sequence
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
    for number, name in enumerate(columns):
        table.add_column(name, justify="left" if number == 0 else "right", overflow="fold")
    for number, row in enumerate(rows):
        table.add_row(*(format_value(value) for value in row), style="bold" if number == best else None)
    Console().print(table)
