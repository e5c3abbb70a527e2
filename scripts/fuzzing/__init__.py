"""Damaged and hostile input, area by area, and what comes of it."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import tempfile
import traceback
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before anything imports numpy or torch

import numpy as np

SECONDS = 20
"""for one input"""
MEMORY = 4 * 2**30
"""bytes that an input may take"""
OUTCOMES = {
    "read": "read, and what it must be",
    "refused": "one clear line that names the file",
    "another": "taken for a good file of another format, which was not given",
    "wrong": "read as something else",
    "too strict": "refused, though good",
    "crashes": "any other exception, or the process died",
    "hangs": f"no end within {SECONDS} seconds",
}
FAULTS = tuple(OUTCOMES)[3:]

Found = tuple[str, bytes, str]
"""the outcome, the input, and what is wrong with it"""


@dataclass(frozen=True)
class Target:
    """Something that reads what others wrote."""

    name: str
    attempt: Callable[[np.random.Generator, Path], Found]
    """one input, drawn and read in a folder of its own; an exception is a crash"""


def fuzz(target: Target, inputs: int, seed: int, keep: Path) -> Counter[str]:
    """Try inputs in child processes; how often each outcome came. Inputs that show a fault are kept in `keep`."""
    context = multiprocessing.get_context("fork")
    number, tally = context.Value("q", 0), context.Array("q", len(OUTCOMES))
    deaths: Counter[str] = Counter()
    start = 0
    while start < inputs:
        worker = context.Process(target=_work, args=(target, start, inputs, seed, number, tally, keep))
        worker.start()
        worker.join()
        start = inputs if worker.exitcode == 0 else number.value + 1
        if worker.exitcode:
            outcome = "hangs" if worker.exitcode == -signal.SIGALRM else "crashes"
            deaths[outcome] += 1
            _keep(keep, f"{target.name}-{start - 1}", outcome, b"", f"process ended with {worker.exitcode}")
    return Counter(dict(zip(OUTCOMES, tally, strict=True))) + deaths


def _work(target: Target, start: int, stop: int, seed: int, number: Any, tally: Any, keep: Path) -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY + used, -1))
    for each in range(start, stop):
        number.value = each
        rng = np.random.default_rng([seed, zlib.crc32(target.name.encode()), each])
        with tempfile.TemporaryDirectory() as folder:
            signal.alarm(SECONDS)
            try:
                outcome, data, reason = target.attempt(rng, Path(folder))
            except Exception:
                outcome, data, reason = "crashes", b"", traceback.format_exc()
            signal.alarm(0)
        tally[list(OUTCOMES).index(outcome)] += 1
        if outcome in FAULTS or outcome == "another":
            _keep(keep, f"{target.name}-{each}", outcome, data, reason)


def _keep(folder: Path, name: str, outcome: str, data: bytes, reason: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name.replace(" ", "-")).write_bytes(data)
    (folder / f"{name.replace(' ', '-')}.txt").write_text(f"{outcome}: {reason}\n")
