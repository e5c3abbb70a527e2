"""What the bench scripts share: which parts to measure, and tables for people, as JSON or as Markdown."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from learnsys.cli.console import print_json, print_table
from learnsys.errors import InputError
from learnsys.report import format_value
from learnsys.runs import versions

Table = dict[str, Any]
"""`title`, `columns`, `rows`, and `notes` or `goals` (sentences), which may be missing"""
Part = Callable[[argparse.Namespace], Iterator[Table]]


def seeded(measure: Callable[[int, bool], Iterator[Table]]) -> Part:
    """The part that a function of seed and quick is."""
    return lambda given: measure(given.seed, given.quick)


def parser_of(description: str | None, parts: Mapping[str, Part], seed: bool = True) -> argparse.ArgumentParser:
    """The options that all scripts have; `seed`: --seed, too."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=parts, action="append", help="only this part (may be repeated)")
    if seed:
        parser.add_argument("--seed", type=int, default=0, help="of what is measured on")
    parser.add_argument("--quick", action="store_true", help="small and short: shows that it runs, not how fast")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    return parser


def run(parser: argparse.ArgumentParser, parts: Mapping[str, Part]) -> int:
    """Parse the command line, measure, and print; returns the exit code."""
    given = parser.parse_args()
    tables = []
    try:
        for name in given.part or parts:
            for table in parts[name](given):
                tables.append({"part": name, **table})
                if not given.json:
                    print_table(table["title"], table["columns"], table["rows"])
                    for line in remarks(table):
                        print(f"  {line}")
                    sys.stdout.flush()
    except (InputError, ImportError, OSError) as error:
        remedy = "; pip install -e '.[bench]'" if isinstance(error, ImportError) else ""
        print(f"{parser.prog}: {error}{remedy}", file=sys.stderr)
        return 2
    if given.json:
        print_json({"arguments": vars(given), "versions": versions(), "tables": tables})
    return 0


def remarks(table: Table) -> list[str]:
    """What stands below a table."""
    return [*table.get("notes", ()), *(f"goal: {goal}" for goal in table.get("goals", ()))]


def markdown(table: Table) -> str:
    """A table as Markdown, under a heading of the third level."""
    lines = [table["columns"], ["---", *["---:"] * (len(table["columns"]) - 1)], *table["rows"]]
    rows = "\n".join(f"| {' | '.join(map(format_value, line))} |" for line in lines)
    return "\n\n".join([f"### {table['title']}", rows, *remarks(table)]) + "\n"
