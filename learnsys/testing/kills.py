"""The contract of every command that trains or collects: killed at any moment, it ends as if never killed."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path

from learnsys.policies.branching.samples import MANIFEST, read_manifest

RESULTS = ("summary.json", "model.safetensors", "metrics.jsonl", MANIFEST)
"""files of a run folder that two equal runs may not differ in"""

PRELOAD = (
    "torch._dynamo",  # the first step of an optimiser imports it
    "sklearn.ensemble",
    "learnsys.policies.branching.features.training",
    "learnsys.policies.branching.gcnn.kida",
    "learnsys.policies.cache.parrot.training",
    "learnsys.policies.independent_set.comparator.task",
    "learnsys.policies.independent_set.learned.task",
    "learnsys.policies.independent_set.training",
)
"""imported once, before the processes that are killed fork: killing imports would show nothing"""

SAMPLES = "branch collect auction --items 30 --bids 100 --samples 30 --probability 0.3 --out OUT "
SAMPLES += "--set heuristics/emphasis=off presolving/emphasis=off separating/emphasis=off"

COMMANDS: dict[str, str] = {
    "cache train": "cache train --trace sample:gnugo --smoke --recipe parrot --out OUT",
    "branch collect": SAMPLES,
    "branch train gcnn": "branch train --data DATA --smoke --set width=16 --out OUT",
    "branch train mlp": "branch train --data DATA --recipe mlp --smoke --out OUT",
    "branch train trees": "branch train --data DATA --recipe trees --smoke --out OUT",
    "branch kida": "branch kida knapsack:tiny --rounds 2 --full-every 1 --samples 3 --out OUT --set valid=1 "
    "node_limit=9 epochs=1 full_epochs=2 instances=1 limit=9 epoch=8 batch=4 probability=0.5 most_samples=2 width=16",
    "mis train": "mis train er-700-800 --smoke --out OUT",
    "mis train comparator": "mis train er-700-800 --recipe comparator --smoke --out OUT",
}
"""the commands that train or collect, at their smallest; OUT stands for the run folder, DATA for that of `SAMPLES`"""


def arguments_of(name: str, out: Path, data: Path | None = None) -> list[str]:
    """The arguments of command `name` with its folders; the samples in `data`, where it reads some, are made once."""
    text = COMMANDS[name]
    if "DATA" in text:
        assert data is not None, f"{name} reads samples: give a folder for them"
        if not (data / "summary.json").exists():
            finish(SAMPLES.replace("OUT", str(data)).split())
    return [word.replace("OUT", str(out)).replace("DATA", str(data)) for word in text.split()]


def _command(arguments: Sequence[str]) -> None:
    from learnsys.cli import main

    raise SystemExit(main(arguments))


def context() -> ForkServerContext:
    """Where processes come from that have imported everything."""
    found = get_context("forkserver")
    found.set_forkserver_preload(list(PRELOAD))
    return found


def start(arguments: Sequence[str]) -> BaseProcess:
    """A process that runs `learnsys ARGUMENTS`."""
    process = context().Process(target=_command, args=(list(arguments),))
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
    """What a run folder holds of `RESULTS`, in it and below, and the shards that count by their manifest."""
    paths = [path for path in folder.rglob("*") if path.name in RESULTS]
    for manifest in folder.rglob(MANIFEST):
        paths += [manifest.parent / each["file"] for each in read_manifest(manifest.parent) if each["samples"]]
    found = {str(path.relative_to(folder)): path.read_bytes() for path in paths}
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
