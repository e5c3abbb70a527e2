"""The classical floor of maximum independent set: greedy, local search and reductions on the sets of the literature."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import networkx
import numpy as np

from learnsys.graphs import Graph, make_family
from learnsys.policies.independent_set.base import Limits
from learnsys.policies.independent_set.best_known import BestKnown
from learnsys.policies.independent_set.evaluation import Trial, run_trials
from learnsys.policies.independent_set.greedy import in_order, min_degree, shuffled
from learnsys.policies.independent_set.reductions import reduced

BEST_KNOWN = Path("data/mis/best_known.json")
"""where the best sets of the benchmark's graphs are kept, beneath the working directory"""

SETS: dict[str, tuple[int, tuple[float, ...], tuple[str, ...]]] = {
    "rb-small": (100, (0.01, 0.03, 0.1), ("random", "greedy", "arw", "numvc", "auto")),
    "rb-large": (20, (0.05, 0.1, 0.9), ("random", "greedy", "arw", "numvc", "auto")),
    "er-700-800": (10, (0.1, 1.0), ("random", "greedy", "arw", "numvc", "auto")),
    "sat": (10, (0.01, 0.1), ("random", "greedy", "arw", "numvc", "auto")),
    "frb50-23": (5, (0.1, 1.0, 3.0), ("greedy", "arw", "numvc", "auto")),
    "frb59-26": (5, (0.1, 1.0, 3.0), ("greedy", "arw", "numvc", "auto")),
    "sparse-250k": (1, (1.0, 5.0), ("random", "greedy", "arw", "reduced_arw")),
}
"""family -> graphs, CPU seconds at which sizes are read from one run, policies"""


def graphs_of(name: str, count: int, seed: int) -> list[tuple[str, Graph]]:
    """The graphs of a set with their names, the same in every benchmark."""
    family = make_family(name)
    return [(f"{name}:{seed}:{index}", family.graph(seed, index)) for index in range(count)]


def size_at(trial: Trial, seconds: float) -> float:
    """Size of the best set in hand after some CPU seconds; NaN before the first."""
    sizes = [size for at, _, size in trial.solution.curve if at <= seconds]
    return float(sizes[-1]) if sizes else float("nan")


def anytime_rows(
    trials: Sequence[Trial], best: dict[str, int], budgets: Sequence[float]
) -> tuple[list[str], list[list[Any]]]:
    """Columns and rows: mean size at each budget, ratio to the best known and how often it is reached at the last."""
    rows = []
    for policy in dict.fromkeys(trial.policy for trial in trials):
        mine = [trial for trial in trials if trial.policy == policy]
        means = [float(np.mean([size_at(trial, budget) for trial in mine])) for budget in budgets]
        last = [size_at(trial, budgets[-1]) for trial in mine]
        ratio = float(np.mean([size / best[trial.graph] for size, trial in zip(last, mine, strict=True)]))
        hits = sum(size >= best[trial.graph] for size, trial in zip(last, mine, strict=True))
        spent = float(np.mean([trial.solution.seconds for trial in mine]))
        rows.append(
            [policy, *(f"{mean:,.2f}" for mean in means), f"{ratio:.4f}", f"{hits}/{len(mine)}", f"{spent:.4f}"]
        )
    return ["policy", *(f"{budget:g} s" for budget in budgets), "of best", "at best", "CPU-s used"], rows


def quality(name: str, seed: int, quick: bool) -> Iterator[dict[str, Any]]:
    """Mean sizes on a set against CPU seconds."""
    count, budgets, policies = SETS[name]
    if quick:
        count, budgets = max(1, count // 10), budgets[:-1]
    graphs = graphs_of(name, count, seed)
    known = BestKnown(BEST_KNOWN)
    trials = list(run_trials({each: each for each in policies}, graphs, Limits(budgets[-1]), 1))
    by_name = dict(graphs)
    for trial in trials:
        known.offer(trial.graph, by_name[trial.graph], trial.solution, trial.policy)
    known.save()
    best = {each: known.size(graph) or 0 for each, graph in graphs}
    columns, rows = anytime_rows(trials, best, budgets)
    proved = sum(known.proved(graph) for _, graph in graphs)
    n, m = (float(np.mean([getattr(graph, each) for _, graph in graphs])) for each in "nm")
    yield {
        "title": f"{name}: {count} graphs, {n:,.0f} vertices, {m:,.0f} edges; "
        f"best known {np.mean(list(best.values())):,.2f}, {proved} proved",
        "columns": columns,
        "rows": rows,
        "goals": GOALS.get(name, []),
    }


GOALS = {
    "rb-small": ["best known on 100 of 100 graphs in at most 0.1 CPU-s"],
    "rb-large": ["NuMVC 43.80 at 0.9 CPU-s and KaMIS redumis 43.20 at 3.4, on other draws of the same set"],
    "sparse-250k": ["above 87,923 in 5 CPU-s (ARW without the changes, another draw)"],
}


def _networkx_greedy(graph: networkx.Graph) -> int:
    """Least degree first on a networkx graph, as the code published with the paper does it."""
    left, size = graph.copy(), 0
    while left:
        vertex = min(left, key=left.degree)
        left.remove_nodes_from([*left.neighbors(vertex), vertex])
        size += 1
    return size


def _seconds(action: Any, rounds: int) -> float:
    times = []
    for _ in range(rounds):
        start = time.process_time()
        action()
        times.append(time.process_time() - start)
    return min(times)


def kernels(seed: int, quick: bool) -> Iterator[dict[str, Any]]:
    """CPU seconds of the linear-time kernels, and of networkx on the smaller graphs."""
    rows = []
    for name in ("rb-small", "rb-large", "sparse-250k"):
        graph = make_family(name).graph(seed)
        ranking = shuffled(graph.n, seed)
        rounds = 3 if quick else 7
        peer: float | None = None
        if graph.n < 10_000:
            other = graph.to_networkx()
            peer = _seconds(lambda other=other: _networkx_greedy(other), 1 if quick else 3)
        ours = _seconds(lambda g=graph, r=ranking: min_degree(g.indptr, g.indices, r), rounds)
        anyhow = _seconds(lambda g=graph, r=ranking: in_order(g.indptr, g.indices, r), rounds)
        less = _seconds(lambda g=graph: reduced(g), rounds)
        rows.append([f"{name} ({graph.m:,} edges)", ours, anyhow, less, peer, None if peer is None else peer / ours])
    yield {
        "title": "linear-time kernels: CPU seconds",
        "columns": ["graph", "greedy", "random", "reductions", "greedy with networkx", "times ours"],
        "rows": rows,
        "goals": ["a million edges greedily in under 0.1 s"],
    }


def steps(seed: int, quick: bool) -> Iterator[dict[str, Any]]:
    """Iterations of the local searches per CPU second."""
    rows = []
    for name in ("rb-small", "rb-large", "frb59-26", "sparse-250k"):
        graphs = graphs_of(name, 1 if name == "sparse-250k" else 3, seed + 1000)
        names = {"arw": "arw"} if name == "sparse-250k" else {"arw": "arw", "numvc": "numvc"}
        found = list(run_trials(names, graphs, Limits(0.3 if quick else 1.0), 1))
        rates: list[float | None] = []
        for policy in ("arw", "numvc"):
            mine = [trial.solution for trial in found if trial.policy == policy]
            spent = sum(each.seconds for each in mine)
            rates.append(sum(each.iterations for each in mine) / spent if mine else None)
        rows.append([name, *rates])
    yield {
        "title": "iterations per CPU second, set-up included",
        "columns": ["graphs", "ARW perturbations", "NuMVC exchanges"],
        "rows": rows,
        "goals": ["NuMVC: 1.0 M on RB-small, 0.78 M on RB-large, on a machine two to three times as fast"],
    }
