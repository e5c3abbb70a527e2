"""Records what a program asks of its last-level cache, with the Valgrind tool llctrace.

One process is recorded: the one that is started, also after it replaced itself with exec (a shell wrapper, env), but
not its children. The tool sends records through a pipe; they are turned into a trace chunk by chunk, so memory stays
bounded however long the program runs. Nothing but the given command is run, and no shell.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from learnsys.envs.cache.geometry import CacheGeometry
from learnsys.errors import InputError
from learnsys.traces.hierarchy import PRIVATE_CACHES
from learnsys.traces.io import write_trace
from learnsys.traces.llctrace import build_tool, find_valgrind
from learnsys.traces.programs import find_program
from learnsys.traces.session import Session, signal_name
from learnsys.traces.trace import Trace

ENVIRONMENT = {
    "LC_ALL": "C",
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "PERL_HASH_SEED": "0",
    "PYTHONHASHSEED": "0",
}
"""All that a recorded program finds in its environment unless more is passed: variables lie on its stack and move
it, and the two seeds keep Perl's and Python's hash tables the same from run to run."""

_VALGRIND_OPTIONS = (
    *("-q", "--vgdb=no", "--trace-children=yes", "--main-stacksize=16777216"),
    *("--run-libc-freeres=no", "--run-cxx-freeres=no"),
)


@dataclass(frozen=True)
class Recording:
    """What became of a recorded program, and of its recording."""

    out: Path
    """the trace"""
    accesses: int
    """accesses in it"""
    end: str
    """why it ends: "exit" (of the program), "maximum", "timeout" or "interrupt" """
    exit_code: int | None
    """the program's exit status, if it ended by itself"""
    signal: str | None
    """the signal that killed it, such as SIGSEGV, unless that was the recorder's own"""
    messages: tuple[str, ...]
    """what Valgrind had to say"""


def record(
    command: Sequence[str],
    out: str | os.PathLike[str],
    *,
    skip: int = 0,
    maximum: int | None = None,
    l1: CacheGeometry | None = PRIVATE_CACHES.l1,
    l2: CacheGeometry | None = PRIVATE_CACHES.l2,
    fetches: bool = False,
    environment: Mapping[str, str] | None = None,
    timeout: float | None = None,
    progress: Callable[[int], None] | None = None,
) -> Recording:
    """Run `command` and write the accesses that miss its private caches to the parquet file `out`.

    The private caches are those of `learnsys.traces.filters.CacheFilter`; here an access that spans two lines is one
    access to each. An address is the first byte of its line, since lines are what a cache asks the next level for;
    without any private level it is the byte that the program accessed.

    The program gets this process's standard input, output and error and its working folder, but only the variables
    of `ENVIRONMENT` and `environment`. Two recordings of the same command and environment are the same to the last
    byte, as long as the program itself does the same twice; time, process ids, threads, the kind and position of its
    standard files, and another /etc/ld.so.cache (which is mapped first) can make it differ.

    Ctrl-C or SIGTERM ends the program and keeps what was recorded until then; a second one kills it.

    Args:
        command: the program and its arguments.
        out: the trace; it is replaced only by a whole new one.
        skip: accesses to leave out first.
        maximum: accesses after which the program is ended (exactly there); None is no limit.
        l1, l2: the private levels; None leaves one out. Both None records every data access.
        fetches: record instruction fetches too (through an L1I shaped as `l1`); their address is that of their pc.
        environment: variables to add to `ENVIRONMENT`, or to replace there.
        timeout: seconds after which the program is ended.
        progress: called often, with the number of accesses so far.

    Raises:
        InputError: the tools are missing, the command cannot be recorded, it made no access to record, or `out`
            cannot be written.
    """
    if skip < 0 or (maximum is not None and maximum < 1):
        raise InputError(f"cannot skip {skip} and record {maximum} accesses", remedy="give skip >= 0 and maximum >= 1")
    if timeout is not None and not timeout > 0:
        raise InputError(f"a timeout of {timeout} seconds leaves no time", remedy="give a positive one")
    options = [
        *_level_options(l1, l2),
        f"--ifetch={'yes' if fetches else 'no'}",
        f"--skip-records={skip}",
        f"--max-records={maximum or 0}",
    ]
    program = find_program(command)
    valgrind = find_valgrind()
    tool = build_tool(valgrind)
    session = Session(
        start=[str(valgrind.launcher), "--tool=llctrace", *_VALGRIND_OPTIONS, *options],
        command=[program, *command[1:]],
        environment={**ENVIRONMENT, **(environment or {}), "VALGRIND_LIB": str(tool)},
        timeout=timeout,
        progress=progress or (lambda accesses: None),
    )
    metadata = {"command": shlex.join(command), "recorder": valgrind.version, "options": " ".join(options)}
    level = l1 or l2
    try:
        with closing(_traces(session, 0 if level is None else level.line_bits)) as traces:
            write_trace(out, traces, "parquet", metadata=metadata)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        remedy = "make room, or name another file"
        raise InputError(f"the recording cannot be written ({reason})", file=out, remedy=remedy) from None
    end = session.stopped or ("maximum" if session.accesses == maximum else "exit")
    return Recording(
        out=Path(out),
        accesses=session.accesses,
        end=end,
        exit_code=session.status if end == "exit" and session.status >= 0 else None,
        signal=signal_name(-session.status) if end == "exit" and session.status < 0 else None,
        messages=session.messages,
    )


def _traces(session: Session, line_bits: int) -> Generator[Trace]:
    with closing(session.records()) as blocks:
        for records in blocks:
            yield as_trace(records, line_bits)


def as_trace(records: NDArray[np.void], line_bits: int = 0) -> Trace:
    """The tool's records (dtype `learnsys.traces.session.RECORD`) as a trace of lines of 2^`line_bits` bytes."""
    key = records["key"]
    return Trace(
        address=records["address"] >> np.uint64(line_bits) << np.uint64(line_bits),
        pc=key & np.uint64(2**56 - 1),
        store=key >> np.uint64(56) == 1,
    )


def _level_options(l1: CacheGeometry | None, l2: CacheGeometry | None) -> list[str]:
    sizes = {level.line_size for level in (l1, l2) if level is not None} or {64}
    if len(sizes) > 1:
        raise InputError("the two private levels differ in their line size", remedy="give both the same")
    options = [f"--line-size={sizes.pop()}"]
    for name, level in (("l1", l1), ("l2", l2)):
        if level is None:
            options.append(f"--{name}-kb=0")
            continue
        if level.capacity % 1024:
            raise InputError(f"{name} of {level.capacity} bytes is no multiple of 1 KiB", remedy="change its capacity")
        options += [f"--{name}-kb={level.capacity // 1024}", f"--{name}-ways={level.ways}"]
    return options
