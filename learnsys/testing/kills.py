"""The contract of every command that trains or collects: killed at any moment, it ends as if never killed."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path

RESULTS = ("summary.json", "model.safetensors", "metrics.jsonl", "samples.jsonl")
"""files of a run folder that two equal runs may not differ in"""

PRELOAD = ("torch", "numba", "pyscipopt", "learnsys.cli")
"""imported once, before the processes that are killed fork: killing imports would show nothing"""

COMMANDS: dict[str, str] = {
    "cache train": "cache train --trace sample:gnugo --smoke --recipe parrot --out OUT",
    "branch collect": "branch collect auction --items 30 --bids 100 --samples 30 --probability 0.3 --out OUT "
    "--set heuristics/emphasis=off presolving/emphasis=off separating/emphasis=off",
}
"""the commands that train or collect, at their smallest; OUT stands for the folder"""


def _command(arguments: Sequence[str]) -> None:
    from learnsys.cli import main

    raise SystemExit(main(arguments))


def start(arguments: Sequence[str]) -> BaseProcess:
    """A process that runs `learnsys ARGUMENTS`."""
    context = get_context("forkserver")
    context.set_forkserver_preload(list(PRELOAD))
    process = context.Process(target=_command, args=(list(arguments),))
    process.start()
    return process


def finish(arguments: Sequence[str], timeout: float = 600) -> float:
    """Run `learnsys ARGUMENTS` to its end; its wall time in seconds.

    Raises:
        AssertionError: it failed, or took longer than `timeout` seconds.
    """
    before = time.monotonic()
    process = start(arguments)
    process.join(timeout)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise AssertionError(f"learnsys {' '.join(arguments)}: not finished after {timeout:g} seconds")
    assert process.exitcode == 0, f"learnsys {' '.join(arguments)}: exit code {process.exitcode}"
    return time.monotonic() - before


def results(folder: Path) -> dict[str, bytes]:
    """What a run folder holds of `RESULTS`, in it and below."""
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.name in RESULTS}
    assert found, f"{folder} holds no results"
    return found


def check_kills(
    command: Callable[[Path], Sequence[str]],
    folder: Path,
    *,
    moments: int,
    seed: int = 0,
) -> int:
    """Kill a command (SIGKILL) at random moments, run it again each time, and compare with a run never killed.

    Args:
        command: the run folder -> the arguments of `learnsys`.
        folder: where the runs are made: two that nobody disturbs, and as many killed ones as it takes.

    Returns:
        Kills that hit a running process: `moments`.

    Raises:
        AssertionError: a run ended otherwise than the undisturbed one.
    """
    rng = random.Random(seed)
    finish(command(folder / "whole"))  # compiles what is to be compiled
    took = finish(command(folder / "timed"))
    expected = results(folder / "whole")
    assert results(folder / "timed") == expected, "two equal runs differ"
    kills = runs = 0
    while kills < moments:
        runs += 1
        out = folder / f"killed-{runs}"
        alive = True
        while alive and kills < moments:
            process = start(command(out))
            process.join(rng.uniform(0, took))
            alive = process.exitcode is None
            process.kill()
            process.join()
            kills += alive
            assert alive or process.exitcode == 0, f"after {kills} kills: exit code {process.exitcode}"
        if alive:
            finish(command(out))
        assert results(out) == expected, f"another result after kills ({kills} so far, seed {seed})"
    return kills
