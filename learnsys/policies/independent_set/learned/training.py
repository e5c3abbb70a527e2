"""Training learnsys_mis on graphs, into a run folder."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch

from learnsys.graphs import Graph
from learnsys.imitation import Report, imitate, silent
from learnsys.policies.independent_set.comparator.training import digest, split
from learnsys.policies.independent_set.greedy import Greedy
from learnsys.policies.independent_set.learned.config import LearnedConfig
from learnsys.policies.independent_set.learned.task import LearnedTask
from learnsys.runs import Run


def train_learned(
    graphs: Sequence[Graph],
    config: LearnedConfig,
    out: str | os.PathLike[str],
    *,
    seed: int = 0,
    minutes: float | None = None,
    about: Mapping[str, Any] | None = None,
    report: Report = silent,
) -> dict[str, Any]:
    """Train on graphs into the run folder `out`, as `train_comparator` does.

    Raises:
        InputError: too few graphs, or a folder that holds another run.
        LearnsysError: training diverged.
    """
    began, cpu = time.monotonic(), time.process_time()
    train, valid = split(graphs)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        task = LearnedTask(train, valid, config, seed)
        content = {"policy": "learnsys_mis", "seed": seed, "graphs_sha256": digest(graphs)}
        run = Run(out, {**content, **(about or {}), **asdict(config)})

        def out_of_time() -> bool:
            return minutes is not None and time.monotonic() - began >= 60 * minutes

        progress = imitate(task, config.loop, run, report=report, stop=out_of_time)
    finally:
        torch.set_num_threads(threads)
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
