"""`learnsys trace inspect`, `convert` and `synth`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import dropwhile
from pathlib import Path
from typing import Annotated, Any

import tyro

from learnsys.cli.console import print_json, progress_bar
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
        _show(about, found)
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


def _show(about: dict[str, Any], found: dict[str, Any]) -> None:
    unit = "object" if found["objects"] else "line"
    total = found["accesses"]
    rows = [
        ("format", about["format"] + (f", {about['compression']}" if about["compression"] else "")),
        ("file size", f"{about['bytes']:,} bytes ({about['bytes'] / total:.2f} per access)"),
        ("accesses", f"{total:,}"),
        (f"distinct {unit}s", f"{found['distinct']:,} ({total / found['distinct']:.1f} accesses each)"),
    ]
    if found["footprint_bytes"] is not None:
        rows.append(("footprint", _bytes(found["footprint_bytes"])))
    if found["pcs"] is not None:
        rows.append(("distinct PCs", f"{found['pcs']:,}"))
    if found["stores"] is not None:
        rows.append(("stores", f"{found['stores']:,} ({found['stores'] / total:.1%})"))
    if found["time"] is not None:
        rows.append(("time stamps", f"{found['time'][0]} to {found['time'][1]}"))
    _table(about["file"], ("", ""), "ll", rows + _printable(about["metadata"]))

    distances = list(dropwhile(lambda row: not row["accesses"], found["reuse_distances"]))
    _table(
        f"Reuse distance: other {unit}s since the last access to the same one",
        ("distance", "accesses", "share", ""),
        "rrrl",
        [
            (_range(row), f"{row['accesses']:,}", f"{row['accesses'] / total:.1%}", _bar(row["accesses"] / total))
            for row in distances
        ],
    )
    curve = found["lru_curve"]
    start = sum(row["miss_ratio"] > 0.9995 for row in curve[1:])  # smaller caches miss everything
    _table(
        "Miss ratio of a fully associative LRU cache",
        (f"{unit}s", "capacity", "miss ratio", ""),
        "rrrl",
        [
            (
                f"{row['capacity']:,}",
                "" if row["bytes"] is None else _bytes(row["bytes"]),
                f"{row['miss_ratio']:.4f}",
                _bar(row["miss_ratio"]),
            )
            for row in curve[start:]
        ],
    )


def _table(title: str, columns: Sequence[str], sides: str, rows: Sequence[Sequence[str]]) -> None:
    """Print a table without lines; `sides` says for each column whether it stands left or right."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left", title_style="bold", box=None, show_header=any(columns))
    for name, side in zip(columns, sides, strict=True):
        table.add_column(name, justify="left" if side == "l" else "right", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console = Console()
    console.print(table)
    console.print()


def _printable(metadata: Mapping[str, str]) -> list[tuple[str, str]]:
    """What a file says about itself, without control characters for the terminal."""
    return [
        (name, "".join(each if each.isprintable() else "\ufffd" for each in value))
        for name, value in metadata.items()
        if name.isprintable()
    ]


def _range(row: dict[str, Any]) -> str:
    if row["from"] is None:
        return "first access"
    return f"{row['from']:,}" if row["from"] == row["to"] else f"{row['from']:,} to {row['to']:,}"


def _bar(share: float) -> str:
    eighths = round(share * 30 * 8)
    return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()


def _bytes(number: float) -> str:
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:,.4g} {unit}"
        number /= 1024
    return f"{number:,.4g} TiB"
