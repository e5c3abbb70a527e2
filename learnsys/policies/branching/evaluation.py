"""Run branching policies on the same instances and seeds, measured as the field does; `comparison` sums it up."""

from __future__ import annotations

import fcntl
import math
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

from learnsys.envs.branching.instances.knapsack import Knapsack
from learnsys.errors import InputError
from learnsys.files import locked
from learnsys.parallel import run_parallel
from learnsys.policies.branching.base import BranchingPolicy, ScipRule
from learnsys.policies.branching.measuring import initial_bounds, run_once
from learnsys.policies.branching.protocol import EvaluationConfig
from learnsys.policies.branching.registry import make_branching_policy
from learnsys.policies.branching.solve import solve
from learnsys.policies.devices import about as about_device
from learnsys.policies.devices import check_device, on_device
from learnsys.runs import Run, read_metrics


def evaluate(
    config: EvaluationConfig,
    *,
    workers: int = 1,
    backend: str = "loky",
    address: str | None = None,
    out: Path | None = None,
    report: Callable[[int], None] = lambda runs: None,
) -> list[dict[str, Any]]:
    """Run every policy on every instance with every seed, and return what `run_once` found with their names.

    The policies follow each other on the same core, in an order that changes from one instance to the next, so that
    they meet the same noise. Each process keeps to a core of its own.

    Args:
        workers, backend, address: as in `run_parallel`.
        out: a run folder; what an earlier run, finished or killed, has measured there is not measured again.
        report: called with the number of runs as they are done.

    Raises:
        InputError: unknown policies or instances, or `out` holds another comparison.
    """
    made = {label: make_branching_policy(text, config.family) for label, text in config.policies}
    check_device(config.device, made)  # complain before anything runs
    names, labels = config.names(), [label for label, _ in config.policies]
    with ExitStack() as stack:
        run: Run | None = None
        rows: list[dict[str, Any]] = []
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            stack.enter_context(locked(out))
            run, rows = _known(config, out, names)
        report(len(rows))
        done = {(row["instance"], row["seed"], row["policy"]) for row in rows}
        cores = stack.enter_context(tempfile.TemporaryDirectory(prefix="learnsys-cores-"))
        jobs = []
        for seed in range(config.seeds):
            for number, name in enumerate(names):
                turn = (number + seed) % len(labels)
                left = [label for label in labels[turn:] + labels[:turn] if (name, seed, label) not in done]
                if left:
                    jobs.append((config, name, seed, tuple(left), cores))
        for found in run_parallel(_run_all, jobs, workers=workers, backend=backend, address=address):
            for row in found:
                rows.append(row)
                if run is not None:
                    run.log(**row)
                report(1)
    order = {name: number for number, name in enumerate(names)}
    return sorted(rows, key=lambda row: (order[row["instance"]], row["seed"], labels.index(row["policy"])))


def _known(config: EvaluationConfig, out: Path, names: Sequence[str]) -> tuple[Run, list[dict[str, Any]]]:
    """The run folder, and what of the comparison has been measured there."""
    # more instances, seeds and policies may be added to what is there; all else must be the same
    grows = ("policies", "count", "seeds")
    lasting = {key: value for key, value in asdict(config).items() if key not in (*grows, "device")}
    run = Run(out, lasting | about_device(config.device))
    run.rewind("seed", math.inf)  # drops a half-written line
    texts = dict(config.policies)
    rows = [
        row
        for row in read_metrics(out)
        if row["policy"] in texts and row["instance"] in names and row["seed"] < config.seeds
    ]
    for row in rows:
        if row["name"] != texts[row["policy"]]:
            raise InputError(
                f"holds results of another policy called {row['policy']}: {row['name']}",
                file=out,
                remedy="give this one another label: LABEL=FOLDER",
            )
    return run, rows


def _run_all(config: EvaluationConfig, name: str, seed: int, labels: Sequence[str], cores: str) -> list[dict[str, Any]]:
    texts, scip_seed = dict(config.policies), config.scip_seed(name, seed)
    with _own_core(Path(cores)):
        policies = {label: _ready(texts[label], config.family, config.device) for label in labels}
        bounds = initial_bounds(config, name) if config.dual_task else None
        return [
            {
                "instance": name,
                "seed": seed,
                "policy": label,
                "name": texts[label],
                **run_once(config.model(name), policies[label], scip_seed, config, bounds),
            }
            for label in labels
        ]


@lru_cache(maxsize=64)
def _ready(text: str, family: str | None, device: str) -> BranchingPolicy | ScipRule:
    """The policy, after a first solving process that loads all code it needs."""
    policy = on_device(make_branching_policy(text, family), device)
    model = Knapsack(2, 11).instance(0).to_model()
    bare = {"presolving/emphasis": "off", "heuristics/emphasis": "off", "separating/emphasis": "off"}
    try:
        solve(model, policy, seed=0, scip_params={**bare, "limits/totalnodes": 5})
    finally:
        model.free()
    return policy


@contextmanager
def _own_core(folder: Path) -> Iterator[None]:
    """Keep this process to a core that no other one has claimed; where there is none left, to those it had."""
    if not hasattr(os, "sched_getaffinity") or not folder.is_dir():
        yield
        return
    before = os.sched_getaffinity(0)
    for core in sorted(before):
        with open(folder / str(core), "w") as claim:
            try:
                fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            try:
                os.sched_setaffinity(0, {core})
                yield
            finally:
                os.sched_setaffinity(0, before)
            return
    yield
