"""Policies compared on graphs: sizes against the best known, CPU seconds, quality against time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learnsys.graphs.graph import Graph
from learnsys.parallel import run_parallel
from learnsys.policies.devices import check_device, on_device
from learnsys.policies.independent_set.base import Limits, Solution
from learnsys.policies.independent_set.registry import make_independent_set_policy


@dataclass(frozen=True)
class Trial:
    """One policy's run on one graph with one seed."""

    policy: str
    graph: str
    seed: int
    solution: Solution


def run_trials(
    policies: Mapping[str, str],
    graphs: Sequence[tuple[str, Graph]],
    limits: Limits,
    seeds: int,
    workers: int = 1,
    backend: str = "loky",
    address: str | None = None,
    device: str = "cpu",
) -> Iterator[Trial]:
    """Run every policy on every graph with seeds 0 to `seeds` - 1.

    Args:
        policies: label -> what `make_independent_set_policy` takes.
        graphs: with their names.
        workers, backend, address: as in `run_parallel`.
        device: where networks decide, see `learnsys.policies.devices`.

    Raises:
        InputError: a policy does not exist, or needs a limit, or none has a network for the device, or the cluster does
            not answer.
    """
    made = {label: make_independent_set_policy(name) for label, name in policies.items()}  # all, before any runs
    check_device(device, made)
    jobs = [
        (policy, device, graph, limits, seed)
        for policy in made.values()
        for _, graph in graphs
        for seed in range(seeds)
    ]
    names = [(label, name, seed) for label in made for name, _ in graphs for seed in range(seeds)]
    solutions = run_parallel(_solve, jobs, workers=workers, backend=backend, address=address)
    for (label, name, seed), solution in zip(names, solutions, strict=True):
        yield Trial(label, name, seed, solution)


def _solve(policy: Any, device: str, graph: Graph, limits: Limits, seed: int) -> Solution:
    return on_device(policy, device).solve(graph, seconds=limits.seconds, iterations=limits.iterations, seed=seed)


def summarise(trials: Sequence[Trial], best: Mapping[str, int]) -> list[dict[str, Any]]:
    """One row for each policy, in the order in which they come.

    Args:
        best: largest known size by graph.

    Returns:
        `policy`; `size`, mean over graphs and seeds; `spread`, the standard deviation over seeds of the mean over
        graphs (None for one seed); `ratio`, mean of size / best; `drop` 1 - ratio; `at_best`, the share of runs that
        reach the best known size; `proved`, the share that proves its set; `seconds`, CPU seconds a run, mean.
    """
    rows = []
    for policy in dict.fromkeys(trial.policy for trial in trials):
        mine = [trial for trial in trials if trial.policy == policy]
        seeds = sorted({trial.seed for trial in mine})
        means = [float(np.mean([trial.solution.size for trial in mine if trial.seed == seed])) for seed in seeds]
        ratios = [trial.solution.size / max(1, best[trial.graph]) for trial in mine]
        rows.append(
            {
                "policy": policy,
                "size": float(np.mean(means)),
                "spread": float(np.std(means, ddof=1)) if len(means) > 1 else None,
                "ratio": float(np.mean(ratios)),
                "drop": 1 - float(np.mean(ratios)),
                "at_best": float(np.mean([trial.solution.size >= best[trial.graph] for trial in mine])),
                "proved": float(np.mean([trial.solution.optimal for trial in mine])),
                "seconds": float(np.mean([trial.solution.seconds for trial in mine])),
            }
        )
    return rows


def quality(trials: Sequence[Trial], best: Mapping[str, int], times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of size / best over some runs at some CPU seconds, (t,); NaN before each run has its first set."""
    total = np.zeros(times.size)
    for trial in trials:
        seconds = np.array([point[0] for point in trial.solution.curve])
        sizes = np.array([point[2] for point in trial.solution.curve], np.float64)
        at = np.searchsorted(seconds, times, side="right") - 1
        total += np.where(at >= 0, sizes[np.maximum(at, 0)], math.nan) / max(1, best[trial.graph])
    return total / max(1, len(trials))
