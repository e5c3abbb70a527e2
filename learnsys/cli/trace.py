"""`learnsys trace inspect`, `convert` and `synth`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from learnsys.cli.console import print_json, progress_bar
from learnsys.cli.trace_view import print_plain_table, show_profile
from learnsys.errors import InputError
from learnsys.traces import Trace, TraceReader, open_trace, write_trace
from learnsys.traces.streams import DEFAULT_LIMIT


@dataclass(frozen=True)
class Reading:
    """How a trace file is read."""

    format: str | None = None
    """the file's format; found from content and name unless given"""
    columns: tuple[str, ...] = ()
    """names of columns in CSV or parquet, such as address=vaddr pc=ip"""
    skip: int = 0
    """accesses to leave out first"""
    accesses: int | None = None
    """accesses to read at most"""
    l1: str = "32KiB:8"
    """private first level that ChampSim and lackey traces are passed through, as CAPACITY:WAYS, or none"""
    l2: str = "256KiB:8"
    """private second level, in the same form"""
    limit_bytes: str = f"{DEFAULT_LIMIT // 2**30}GiB"
    """bytes that a file may grow to when it is decompressed or expanded"""

    def open(self, path: str) -> TraceReader:
        """The reader of `path`."""
        from learnsys.envs.cache.geometry import parse_bytes
        from learnsys.traces.hierarchy import Hierarchy, parse_level

        return open_trace(
            path,
            format=self.format,
            columns=_pairs(self.columns, "--columns"),
            filter=Hierarchy(parse_level(self.l1), parse_level(self.l2)),
            limit_bytes=parse_bytes(self.limit_bytes),
        )

    def chunks(self, reader: TraceReader) -> Iterator[Trace]:
        """The chosen part of the trace, in chunks, with a bar of progress where it takes long.

        Raises:
            InputError: there is nothing left of the trace.
        """
        if self.skip < 0 or (self.accesses is not None and self.accesses < 1):
            raise InputError("an impossible part", remedy="give --skip of at least 0 and --accesses of at least 1")
        position, end = 0, None if self.accesses is None else self.skip + self.accesses
        with progress_bar(f"reading {reader.path.name}", end or reader.accesses) as advance:
            for chunk in reader.chunks():
                part = chunk[max(0, self.skip - position) : None if end is None else max(0, end - position)]
                position += len(chunk)
                advance(len(chunk))
                if len(part):
                    yield part
                if end is not None and position >= end:
                    return
        if position <= self.skip:
            raise InputError(f"holds only {position} accesses", file=reader.path, remedy="skip fewer")


Flat = Annotated[Reading, tyro.conf.arg(name="")]
TraceFile = Annotated[str, tyro.conf.Positional]


def inspect(file: TraceFile, *, reading: Flat = Reading(), line_size: int = 64, json: bool = False) -> int:
    """Show what a trace holds: its size, reuse distances, and how LRU caches of every size fare on it.

    Args:
        file: a trace file of any known format, or sample:NAME.
        line_size: bytes in a line, for traces of addresses.
        json: print JSON instead of tables.
    """
    from learnsys.traces.profile import profile

    reader = reading.open(file)
    found = profile(reading.chunks(reader), line_size)
    about = {
        "file": file,
        "format": reader.format,
        "compression": reader.compression,
        "bytes": reader.path.stat().st_size,
        "metadata": reader.metadata,
    }
    if json:
        print_json({**about, **found})
    else:
        show_profile(about, found)
    return 0


def convert(
    source: TraceFile,
    out: Annotated[Path, tyro.conf.Positional],
    *,
    reading: Flat = Reading(),
    to: str | None = None,
    json: bool = False,
) -> int:
    """Write a trace, or a part of it, in another format (parquet, parrot or oraclegeneral).

    Args:
        source: a trace file of any known format, or sample:NAME.
        out: the file to write; its suffix tells the format (.parquet, .csv, .oracleGeneral), and .gz, .xz or .zst
            after it compresses.
        to: the format to write, if the suffix does not tell it.
        json: print JSON instead of a line.
    """
    reader = reading.open(source)
    _write(reading.chunks(reader), out, to, {**reader.metadata, "source": Path(source).name}, json)
    return 0


def synth(
    kind: Annotated[str, tyro.conf.Positional],
    out: Annotated[Path, tyro.conf.Positional],
    *,
    accesses: int = 1_000_000,
    seed: int = 0,
    set: tuple[str, ...] = (),
    to: str | None = None,
    json: bool = False,
) -> int:
    """Write a synthetic trace.

    Args:
        kind: cyclic-scan, stream-hot, pointer-chase, phases, loops (addresses), zipf or zipf-churn (objects).
        out: the file to write; its suffix tells the format, as in trace convert.
        accesses: how many.
        seed: of the random numbers; equal arguments give equal traces.
        set: parameters of the kind, such as lines=20000.
        to: the format to write, if the suffix does not tell it.
        json: print JSON instead of a line.
    """
    from learnsys.traces.synthetic import synthesize

    parameters = {name: _number(name, value) for name, value in _pairs(set, "--set").items()}
    trace = synthesize(kind, accesses, seed, **parameters)
    notes = {"synthetic": kind, "seed": str(seed), **{name: f"{value:g}" for name, value in parameters.items()}}
    _write([trace], out, to, notes, json)
    return 0


def formats(json: bool = False) -> int:
    """List the trace formats.

    Args:
        json: print JSON instead of a table.
    """
    from learnsys.traces.formats import FORMATS, make_format

    known = [make_format(name) for name in FORMATS]
    if json:
        print_json(
            [
                {
                    "name": each.name,
                    "what": each.summary,
                    "suffixes": [*each.suffixes, *each.common_suffixes],
                    "written": each.writable,
                }
                for each in known
            ]
        )
        return 0
    rows = [
        (each.name, each.summary, " ".join([*each.suffixes, *each.common_suffixes]), "yes" if each.writable else "")
        for each in known
    ]
    print_plain_table(
        "Trace formats; all but parquet also as .gz, .xz and .zst",
        ("name", "what", "suffixes", "written"),
        "llll",
        rows,
    )
    return 0


def _pairs(entries: Sequence[str], option: str) -> dict[str, str]:
    """NAME=VALUE entries of an option."""
    pairs = {}
    for entry in entries:
        name, given, value = entry.partition("=")
        if not (name and given and value):
            raise InputError(f"{option} {entry}: is not of the form NAME=VALUE")
        pairs[name] = value
    return pairs


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"--set {name}={text}: is not a number") from None


def _write(chunks: Iterable[Trace], out: Path, to: str | None, notes: dict[str, str], json: bool) -> None:
    count = 0

    def counted() -> Iterator[Trace]:
        nonlocal count
        for chunk in chunks:
            count += len(chunk)
            yield chunk

    write_trace(out, counted(), to, metadata=notes)
    if json:
        print_json({"file": str(out), "accesses": count, "bytes": out.stat().st_size})
    else:
        print(f"{out}: {count:,} accesses, {out.stat().st_size:,} bytes")
