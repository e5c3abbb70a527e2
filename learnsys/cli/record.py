"""`learnsys trace record`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from learnsys.errors import InputError

if TYPE_CHECKING:
    from learnsys.traces.recorder import Recording


def record(
    command: Annotated[tuple[str, ...], tyro.conf.Positional],
    out: Path,
    skip: int = 0,
    max: int | None = None,
    l1: str = "32KiB:8",
    l2: str = "256KiB:8",
    line_size: int = 64,
    fetches: bool = False,
    env: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = (),
    timeout: float | None = None,
    json: bool = False,
) -> int:
    """Run a program and record what it asks of its last-level cache.

    Needs Valgrind and gcc (sudo apt-get install valgrind gcc). The program runs 10 to 30 times slower than by itself,
    in an environment of its own (see --env). It is recorded alone, without programs that it starts.

    Args:
        command: the program and its arguments, after --.
        out: the trace to write, a parquet file.
        skip: accesses to leave out first.
        max: accesses to record at most; the program is ended there.
        l1: the private first-level data cache as CAPACITY:WAYS, or none.
        l2: the private second level, in the same form.
        line_size: bytes in a line of both.
        fetches: record instruction fetches too.
        env: a variable that the program shall see, as NAME=VALUE, or NAME to pass it on. It always sees PATH, LC_ALL=C
            and fixed hash seeds for Python and Perl, and nothing else, so that recordings can be repeated.
        timeout: seconds after which the program is ended.
        json: print the result as one line of JSON, the last line on standard output.
    """
    from learnsys.traces import recorder
    from learnsys.traces.hierarchy import parse_level

    levels = {"l1": parse_level(l1, line_size), "l2": parse_level(l2, line_size)}
    with _progress(max) as progress:
        result = recorder.record(
            command,
            out,
            skip=skip,
            maximum=max,
            fetches=fetches,
            environment=_variables(env),
            timeout=timeout,
            progress=progress,
            **levels,
        )
    _report(result, json)
    return 130 if result.end == "interrupt" else 0


def _variables(entries: Sequence[str]) -> dict[str, str]:
    chosen = {}
    for entry in entries:
        name, given, value = entry.partition("=")
        if not given and name not in os.environ:
            raise InputError(f"--env {entry}: no such variable here", remedy="write NAME=VALUE")
        if not name:
            raise InputError(f"--env {entry}: the name is missing", remedy="write NAME=VALUE")
        chosen[name] = value if given else os.environ[name]
    return chosen


@contextmanager
def _progress(maximum: int | None) -> Iterator[Callable[[int], None] | None]:
    """A line on standard error with the accesses so far, if that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = (SpinnerColumn(), TextColumn("{task.completed:,.0f} accesses"), BarColumn(), TimeElapsedColumn())
    # The program writes to the same terminal: its output is left alone, and the line vanishes at the end.
    with Progress(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False) as display:
        task = display.add_task("recording", total=maximum)
        yield lambda accesses: display.update(task, completed=accesses)


def _report(result: Recording, as_json: bool) -> None:
    if as_json:
        import json
        from dataclasses import asdict

        # The program may have left its last line open.
        print("\n" + json.dumps({**asdict(result), "out": str(result.out)}, sort_keys=True), flush=True)
        return
    for line in result.messages:
        print(f"valgrind: {line.removeprefix('valgrind: ')}", file=sys.stderr)
    became = {
        "maximum": "the program was ended there, at --max",
        "timeout": "the program was ended there, by --timeout",
        "interrupt": "the program was ended there, by an interrupt; what it had done until then is kept",
    }.get(result.end) or (
        f"the program was killed by {result.signal}"
        if result.signal
        else f"the program ended with status {result.exit_code}"
    )
    print(f"learnsys: {result.accesses:,} accesses in {result.out}; {became}", file=sys.stderr)
