"""Training a policy for independent sets on graphs, into a run folder."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from learnsys.errors import InputError
from learnsys.graphs import Graph
from learnsys.imitation import Report, imitate, silent
from learnsys.policies.distributed import about as about_processes
from learnsys.policies.distributed import out_of_time, together
from learnsys.policies.independent_set.comparator.config import ComparatorConfig
from learnsys.policies.independent_set.greedy import Greedy
from learnsys.policies.independent_set.learned.config import LearnedConfig
from learnsys.policies.torch_setup import deterministic
from learnsys.runs import Run


def train_on_graphs(
    graphs: Sequence[Graph],
    config: ComparatorConfig | LearnedConfig,
    out: str | os.PathLike[str],
    *,
    seed: int = 0,
    device: str = "cpu",
    jobs: int = 1,
    minutes: float | None = None,
    about: Mapping[str, Any] | None = None,
    report: Report = silent,
) -> dict[str, Any]:
    """Train on graphs into the run folder `out`, going on from a checkpoint there; the summary, also written there.

    The last tenth of the graphs (one at least) is not trained on: the best network is chosen by it.

    Args:
        config: of a comparator or of learnsys_mis.
        device: where the network is fitted, such as cpu or cuda.
        jobs: threads that roll out and label; results do not depend on it.
        minutes: end after the round in which this much time is over; the result then depends on the machine's speed.
        about: what else to keep in the run's configuration, such as the graphs' name.

    Raises:
        InputError: too few graphs, no such device, or a folder that holds another run.
        LearnsysError: training diverged.
    """
    began, cpu = time.monotonic(), time.process_time()
    if jobs < 1:
        raise InputError(f"{jobs} jobs are too few", remedy="give 1 or more")
    train, valid = split(graphs)
    # matrices this small gain nothing from more threads
    with together(device, out) as (place, folder), deterministic(place, 1):
        task = _task(train, valid, config, seed, place, jobs)
        content = {"policy": task.policy.name, "seed": seed, "device": device, "graphs_sha256": digest(graphs)}
        run = Run(folder, {**content, **about_processes(), **(about or {}), **asdict(config)})

        progress = imitate(task, config.loop, run, report=report, stop=lambda: out_of_time(began, minutes))
        task.policy.save(run.folder)
    best = progress.best[0]
    greedy = [Greedy().solve(graph, seed=seed).size for graph in valid]
    summary = {
        "rounds": progress.rounds,
        "best_round": best["round"],
        "parameters": sum(p.numel() for p in task.policy.model.parameters()),
        "validation": {"graphs": len(valid), "size": best["reward"], "greedy": sum(greedy) / len(greedy)},
    }
    seconds = {"wall_seconds": time.monotonic() - began, "training_cpu_seconds": time.process_time() - cpu}
    run.finish(summary, seconds)
    return summary


def _task(
    train: Sequence[Graph],
    valid: Sequence[Graph],
    config: ComparatorConfig | LearnedConfig,
    seed: int,
    device: str,
    jobs: int,
) -> Any:
    if isinstance(config, ComparatorConfig):
        from learnsys.policies.independent_set.comparator.task import ComparatorTask

        return ComparatorTask(train, valid, config, seed, device, jobs)
    from learnsys.policies.independent_set.learned.task import LearnedTask

    return LearnedTask(train, valid, config, seed, device, jobs)


def split(graphs: Sequence[Graph]) -> tuple[Sequence[Graph], Sequence[Graph]]:
    """The graphs to train on and, the last tenth, those to choose by.

    Raises:
        InputError: there are too few.
    """
    if len(graphs) < 2:
        raise InputError("training needs 2 graphs at least: one to train on and one to choose by")
    last = max(1, len(graphs) // 10)
    return graphs[:-last], graphs[-last:]


def digest(graphs: Sequence[Graph]) -> str:
    """Tells sets of graphs apart, so that a run is not resumed on another one."""
    found = hashlib.sha256()
    for graph in graphs:
        found.update(np.int64(graph.n).tobytes() + graph.indptr.tobytes() + graph.indices.tobytes())
    return found.hexdigest()
