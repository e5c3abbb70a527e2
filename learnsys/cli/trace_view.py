"""What `learnsys trace` shows in a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import dropwhile
from typing import Any


def show_profile(about: dict[str, Any], found: dict[str, Any]) -> None:
    """Print what is known about a trace file, and its `learnsys.traces.profile.profile`."""
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
    print_plain_table(about["file"], ("", ""), "ll", rows + _printable(about["metadata"]))

    distances = list(dropwhile(lambda row: not row["accesses"], found["reuse_distances"]))
    print_plain_table(
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
    print_plain_table(
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


def print_plain_table(title: str, columns: Sequence[str], sides: str, rows: Sequence[Sequence[str]]) -> None:
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
