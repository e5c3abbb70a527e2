"""The learned side of maximum independent set: the comparator's speed beside its plain form, and learned policies
beside the same pipelines with random scores and with degrees."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.mis_classical import BEST_KNOWN, graphs_of
from learnsys.graphs import Graph, batch_graphs, make_family
from learnsys.policies.independent_set.base import IndependentSetPolicy
from learnsys.policies.independent_set.best_known import BestKnown
from learnsys.policies.independent_set.comparator.config import ModelConfig
from learnsys.policies.independent_set.comparator.fitting import comparison_loss, stacks_of
from learnsys.policies.independent_set.comparator.gradient import Arena, logits
from learnsys.policies.independent_set.comparator.model import ComparatorModel
from learnsys.policies.independent_set.comparator.policy import ComparatorPolicy
from learnsys.policies.independent_set.comparator.rollout import run_recursions
from learnsys.policies.independent_set.comparator.weights import Weights
from learnsys.policies.independent_set.greedy import Greedy
from learnsys.policies.independent_set.learned.guided import SEARCHES, GuidedSearch, Search
from learnsys.policies.independent_set.learned.policy import ScoredConstruction
from learnsys.policies.independent_set.learned.shipped import FOLDER, shipped_for
from learnsys.policies.independent_set.numvc import NuMVC
from learnsys.policies.independent_set.randomness import stream_seeds
from learnsys.testing import dense_comparator

COMPARATOR = FOLDER / "comparator-rb-small"
SEEDS = (0, 1, 2)
FRESH = 77
"""added to the seed of the graphs: on those of the first seeds the policies that ship were trained"""


def recursion(seed: int, quick: bool) -> Iterator[dict[str, Any]]:
    """CPU seconds of a roll-out of the comparator: kernels beside one graph at a time on a dense adjacency."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    rows = []
    for name, count in (("rb-small", 4 if quick else 12), ("rb-large", 1 if quick else 4)):
        graphs = [graph for _, graph in graphs_of(name, count, seed)]
        model = ComparatorModel(ModelConfig())
        batch, weights, lanes = batch_graphs(graphs), Weights.of(model), np.arange(count)
        seeds = stream_seeds(seed, range(count))
        run_recursions(batch, weights, lanes[:1], seeds[:1])
        start = time.process_time()
        dense = [dense_comparator.independent_set(model, g, int(s)) for g, s in zip(graphs, seeds, strict=True)]
        plain = time.process_time() - start
        decisions = sum(len(each.picks) for each in dense)
        for width in (1, 4, 16):
            start = time.process_time()
            found = run_recursions(batch, weights, lanes, seeds, record=max(map(len, graphs_picks(dense))), lanes=width)
            spent = time.process_time() - start
            same = all(
                found.picks[k, : len(each.picks)].tolist() == each.picks and found.sizes[k] == each.size
                for k, each in enumerate(dense)
            )
            row = [name, width, spent / count, 1e3 * spent / decisions, plain / count, 1e3 * plain / decisions]
            rows.append([*row, plain / spent, "yes" if same else "no"])
    columns = ["graphs", "in lock-step", "CPU-s", "ms a decision", "dense CPU-s", "dense ms", "times", "same decisions"]
    yield {
        "title": "a roll-out of the untrained comparator",
        "columns": columns,
        "rows": rows,
        "goals": ["at least 5 times as fast on RB-small, 15 times on RB-large"],
    }


def graphs_picks(found: Sequence[dense_comparator.DenseRecursion]) -> list[list[int]]:
    """The decisions of each recursion."""
    return [each.picks for each in found]


def training(seed: int, quick: bool) -> Iterator[dict[str, Any]]:
    """Pairs of graphs fitted in a CPU second: kernels beside a pair at a time on dense adjacencies."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    graphs = [graph for _, graph in graphs_of("rb-small", 32, seed)]
    rng, batch = np.random.default_rng(seed), batch_graphs(graphs)
    states = [(g, (rng.random(graphs[g].n) < 0.85).astype(np.uint8)) for g in range(32) for _ in range(2)]
    label = np.full(32, 0.5, np.float32)
    model, arena = ComparatorModel(ModelConfig()), Arena()
    optimiser = torch.optim.Adam(model.parameters(), fused=True)

    def ours() -> None:
        stacks = stacks_of(batch, states, np.arange(64), False)
        loss = comparison_loss(logits(model, stacks, arena).view(-1, 2), label, True)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    def plain() -> None:
        optimiser.zero_grad()
        for pair in range(32):
            both = []
            for graph, kept in states[2 * pair : 2 * pair + 2]:
                keep = torch.from_numpy(kept > 0)
                both.append(model(dense_comparator.adjacency_of(graphs[graph])[keep][:, keep]))
            (comparison_loss(torch.stack(both)[None], label[pair : pair + 1], True) / 32).backward()
        optimiser.step()

    ours()
    spent: dict[str, list[float]] = {"ours": [], "plain": []}
    for _ in range(2 if quick else 4):
        for name, action, times in (("ours", ours, 4), ("plain", plain, 1)):
            start = time.process_time()
            for _ in range(times):
                action()
            spent[name].append((time.process_time() - start) / times)
    fast, slow = (32 / min(spent[name]) for name in ("ours", "plain"))
    yield {
        "title": "training the comparator on RB-small: pairs in a CPU second, the best of some batches of 32",
        "columns": ["kernels", "a pair at a time, dense", "times"],
        "rows": [[fast, slow, fast / slow]],
        "goals": ["at least 8.5 times"],
    }


SETS = {"rb-small": (100, 0.02, 0.1), "rb-large": (20, 0.3, 1.0), "er-700-800": (10, 0.3, 1.0)}
"""family -> graphs, CPU seconds for roll-outs at equal time, CPU seconds of NuMVC that the best known sets get here"""


def learned(name: str, seed: int, quick: bool) -> Iterator[dict[str, Any]]:
    """Sizes against the best known: learned scores, and the controls in the same pipeline."""
    count, budget, search = SETS[name]
    graphs = graphs_of(name, max(2, count // 4) if quick else count, seed + FRESH)
    best = best_sizes(graphs, search)
    trained = shipped_for(name)
    rows = [["greedy", *row_of(Greedy(), graphs, best, 1)]]
    if name == "rb-small" and COMPARATOR.exists():
        for times in (1, 5, 16):
            comparator = ComparatorPolicy.load(COMPARATOR)
            rows.append([f"comparator, {times} roll-outs", *row_of(comparator, graphs, best, times)])
    for most in (1, 16, None):
        for label, policy in _pipelines(trained, False).items():
            what = f"{most} roll-outs" if most else f"{budget} CPU-s"
            rows.append([f"{label}, {what}", *row_of(policy, graphs, best, most, budget)])
    for label, policy in _pipelines(trained, True).items():
        rows.append([f"{label}, reductions, 16 roll-outs", *row_of(policy, graphs, best, 16)])
    yield {
        "title": f"{name}: {len(graphs)} graphs, best known {np.mean(list(best.values())):.2f}, seeds {SEEDS}",
        "columns": ["policy", "mean size", "± seeds", "of best", "roll-outs", "CPU-s"],
        "rows": rows,
        "goals": ["learned alone above .955 on RB-small, .90 on RB-large; .03 above random scores"],
    }


def _pipelines(trained: Path, reduce: bool) -> dict[str, ScoredConstruction]:
    return {
        "random scores": ScoredConstruction(scores="random", reduce=reduce),
        "degrees": ScoredConstruction(scores="degree", temperature=0.7, reduce=reduce),
        "learned scores": ScoredConstruction.load(trained, reduce=reduce),
    }


def row_of(
    policy: IndependentSetPolicy,
    graphs: Sequence[tuple[str, Graph]],
    best: dict[str, int],
    times: int | None,
    budget: float = 0.0,
) -> list[Any]:
    """Mean size, its deviation over seeds, mean ratio to the best known, roll-outs and CPU seconds of one policy.

    Args:
        times: roll-outs; None for as many as fit into `budget` CPU seconds.
    """
    limits: dict[str, Any] = {"iterations": times} if times else {"seconds": budget}
    means, ratios, counts, seconds = [], [], [], []
    for seed in SEEDS:
        found = {name: policy.solve(graph, seed=seed, **limits) for name, graph in graphs}
        means.append(np.mean([each.size for each in found.values()]))
        ratios += [each.size / best[name] for name, each in found.items()]
        counts += [each.iterations for each in found.values()]
        seconds += [each.seconds for each in found.values()]
    spread = float(np.std(means, ddof=1))
    return [float(np.mean(means)), spread, f"{np.mean(ratios):.4f}", float(np.mean(counts)), float(np.mean(seconds))]


def best_sizes(graphs: Sequence[tuple[str, Graph]], seconds: float) -> dict[str, int]:
    """The sizes of the best sets known, by name, after a search of some CPU seconds on the graphs without one."""
    known = BestKnown(BEST_KNOWN)
    for name, graph in graphs:
        if known.size(graph) is None:
            known.offer(name, graph, NuMVC().solve(graph, seconds=seconds), "numvc")
    known.save()
    return {name: known.size(graph) or 0 for name, graph in graphs}


GUIDED = {
    "rb-large": (20, "rb-large"),
    "er-700-800": (20, "er-700-800"),
    "frb50-23": (5, "rb-large"),
    "frb59-26": (5, "rb-large"),
}
"""family -> graphs, and the family whose policy guides"""
COMPARED: tuple[Search, ...] = ("auto", "numvc")
"""searches"""
BUDGETS = (0.03, 0.05, 0.1, 0.3)
"""CPU seconds"""


def guided(name: str, seed: int, quick: bool) -> Iterator[dict[str, Any]]:
    """Local search from a learned set, and from sets built by degrees, by chance, and by its own greedy; equal time."""
    count, family = GUIDED[name]
    graphs = graphs_of(name, max(1, count // 2) if quick else count, seed + FRESH)
    rows = []
    for search in COMPARED:
        policies: dict[str, IndependentSetPolicy] = {"greedy": SEARCHES[search]()}
        for label, policy in _pipelines(shipped_for(family), False).items():
            policies[label] = GuidedSearch(policy, search)
        for label, each in policies.items():
            means = []
            for budget in BUDGETS:
                by_seed = [np.mean([each.solve(g, seconds=budget, seed=s).size for _, g in graphs]) for s in SEEDS]
                means.append(f"{np.mean(by_seed):.2f} ± {np.std(by_seed, ddof=1):.2f}")
            rows.append([f"{search} from {label}", *means])
    optimum = make_family(name).optimum(graphs[0][1])
    yield {
        "title": f"{name}: {len(graphs)} graphs, seeds {SEEDS}" + (f", optimum {optimum}" if optimum else ""),
        "columns": ["search", *(f"{budget:g} CPU-s" for budget in BUDGETS)],
        "rows": rows,
        "goals": ["the learned start at least equal, better at short times; if it is not, this table shows it"],
    }


PARTS = {
    "recursion": recursion,
    "training": training,
    **{f"learned-{name}": partial(learned, name) for name in SETS},
    **{f"guided-{name}": partial(guided, name) for name in GUIDED},
}
"""Parts of `scripts/bench_mis`."""
