"""Training a comparator on graphs, into a run folder."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from learnsys.errors import InputError
from learnsys.graphs import Graph
from learnsys.imitation import Report, imitate, silent
from learnsys.policies.independent_set.comparator.config import ComparatorConfig
from learnsys.policies.independent_set.comparator.task import ComparatorTask
from learnsys.runs import Run


def train_comparator(
    graphs: Sequence[Graph],
    config: ComparatorConfig,
    out: str | os.PathLike[str],
    *,
    seed: int = 0,
    minutes: float | None = None,
    about: Mapping[str, Any] | None = None,
    report: Report = silent,
) -> dict[str, Any]:
    """Train on graphs into the run folder `out`, going on from a checkpoint there; the summary, also written there.

    The last tenth of the graphs (one at least) is not trained on: the best network is chosen by it.

    Args:
        minutes: end after the round in which this much time is over; the result then depends on the machine's speed.
        about: what else to keep in the run's configuration, such as the graphs' name.

    Raises:
        InputError: too few graphs, or a folder that holds another run.
        LearnsysError: training diverged.
    """
    began, cpu = time.monotonic(), time.process_time()
    train, valid = split(graphs)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # matrices this small gain nothing from more, and equal runs give equal bits
    try:
        task = ComparatorTask(train, valid, config, seed)
        content = {"policy": "comparator", "seed": seed, "graphs_sha256": digest(graphs)}
        run = Run(out, {**content, **(about or {}), **asdict(config)})

        def out_of_time() -> bool:
            return minutes is not None and time.monotonic() - began >= 60 * minutes

        progress = imitate(task, config.loop, run, report=report, stop=out_of_time)
    finally:
        torch.set_num_threads(threads)
    task.policy.save(run.folder)
    best = progress.best[0]
    summary = {
        "rounds": progress.rounds,
        "best_round": best["round"],
        "parameters": sum(p.numel() for p in task.policy.model.parameters()),
        "validation": {"graphs": len(valid), "size": best["reward"], "greedy": best["greedy"]},
    }
    seconds = {"wall_seconds": time.monotonic() - began, "training_cpu_seconds": time.process_time() - cpu}
    run.finish(summary, seconds)
    return summary


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
