"""What a long trace and a large collection take: CPU time, memory and disk of the real commands, for each unit."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from learnsys.policies.branching.samples import Shard

COLLECTIONS = {
    "auction, 100 items, 500 bids": "auction --probability 0.15",
    "setcover, 300 rows, 600 columns": "setcover --rows 300 --cols 600 --density 0.08 --probability 0.2 "
    "--most-samples 40",
}
PEAK = "memory of its own, GB"


@dataclass
class Used:
    """What a command took."""

    seconds: float
    """of CPU time, children included"""
    memory: int
    """bytes at the peak, files in the page cache not counted"""
    spooled: int
    """bytes in unnamed temporary files at the peak"""
    output: Any
    """JSON that it printed"""


def measured(line: str, folder: Path) -> Used:
    """Run `learnsys LINE --json` to its end and watch it."""
    before = os.times()
    command = [sys.executable, "-m", "learnsys", *line.split(), "--json"]
    environment = {**os.environ, "TMPDIR": str(folder)}
    with open(folder / "output", "wb") as output:
        process = subprocess.Popen(command, stdout=output, env=environment)
        memory = spooled = 0
        while process.poll() is None:
            memory, spooled = max(memory, _memory(process.pid)), max(spooled, _spooled(process.pid))
            time.sleep(0.05)
    after = os.times()
    if process.returncode:
        raise SystemExit(f"bench_scale: learnsys {line} failed")
    seconds = after.children_user + after.children_system - before.children_user - before.children_system
    return Used(seconds, memory, spooled, json.loads((folder / "output").read_text()))


def _memory(pid: int) -> int:
    with contextlib.suppress(OSError, ValueError, IndexError):
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
        return 1024 * int(status.split("RssAnon:")[1].split()[0])
    return 0


def _spooled(pid: int) -> int:
    sizes = {}  # by inode: a memory map holds its file open a second time
    with contextlib.suppress(OSError):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                if os.readlink(link).endswith("(deleted)"):
                    sizes[link.stat().st_ino] = link.stat().st_size
    return sum(sizes.values())


def traces(seed: int, quick: bool) -> Iterator[dict[str, Any]]:
    """`cache simulate` on traces of two lengths with the same objects: what each million of requests costs."""
    lengths = (200_000, 400_000) if quick else (10_000_000, 40_000_000)
    rows: list[list[Any]] = []
    with tempfile.TemporaryDirectory(prefix="learnsys-") as name:
        folder = Path(name)
        for requests in lengths:
            trace = folder / "a.oracleGeneral"
            measured(f"trace synth zipf {trace} --accesses {requests} --seed {seed} --set objects=1000000", folder)
            for policies in ("lru", "lru,s3fifo,sieve", "lru,belady"):
                used = measured(f"cache simulate --trace {trace} --policies {policies} --workers 1", folder)
                million = requests / 1e6
                cells = [used.seconds, used.seconds / million, used.memory / 1e9, used.spooled / requests]
                rows.append([f"{requests:,}", policies, *(f"{cell:.3g}" for cell in cells)])
    yield {
        "title": "cache simulate, Zipf(1.0) over 1,000,000 objects, room for 10 % of them, oracleGeneral file",
        "columns": ["requests", "policies", "CPU s", "CPU s per million", PEAK, "spooled bytes per request"],
        "rows": rows,
        "notes": ["reading, start and compiled kernels' loading included; the file itself has 24 bytes a request"],
    }


def collections(seed: int, quick: bool) -> Iterator[dict[str, Any]]:
    """`branch collect`: what a sample costs."""
    rows: list[list[Any]] = []
    for title, line in COLLECTIONS.items():
        with tempfile.TemporaryDirectory(prefix="learnsys-") as name:
            out = Path(name) / "samples"
            used = measured(
                f"branch collect {line} --samples {10 if quick else 60} --seed {1000 + seed} --out {out}", Path(name)
            )
            shards = list(out.rglob("*.arrow"))  # those that were made when their split had enough, too
            samples = sum(len(Shard(path)) for path in shards)
            size = sum(path.stat().st_size for path in shards)
            cells = [used.seconds, used.seconds / samples, size / samples / 1e3, used.memory / 1e9]
            rows.append([title, len(shards), samples, *(f"{cell:.3g}" for cell in cells)])
    yield {
        "title": "branch collect, one worker",
        "columns": ["family", "shards", "samples", "CPU s", "CPU s per sample", "kB per sample", PEAK],
        "rows": rows,
    }
