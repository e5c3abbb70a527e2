"""What a CUDA device gives: the wall time of training and of evaluating each network there and on the processor."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from learnsys.envs.branching.observations.base import BipartiteObservation
from learnsys.envs.cache.geometry import CacheGeometry
from learnsys.graphs.bipartite import BipartiteGraph
from learnsys.graphs.generators import make_family
from learnsys.imitation import silent
from learnsys.policies.branching.gcnn.config import gcnn
from learnsys.policies.branching.gcnn.data import Example
from learnsys.policies.branching.gcnn.fitting import Fitter
from learnsys.policies.branching.gcnn.model import GcnnModel
from learnsys.policies.branching.gcnn.policy import GcnnPolicy
from learnsys.policies.cache.parrot.task import ParrotTask, Split
from learnsys.policies.devices import on_device
from learnsys.policies.independent_set.comparator.config import comparator
from learnsys.policies.independent_set.comparator.task import ComparatorTask
from learnsys.policies.independent_set.learned.config import RECIPES as LEARNED
from learnsys.policies.independent_set.learned.task import LearnedTask
from learnsys.policies.independent_set.registry import make_independent_set_policy
from learnsys.policies.torch_arrays import parameters
from learnsys.policies.torch_setup import deterministic
from learnsys.settings import override
from learnsys.traces import read_trace

from .parrot_speed import paper

SIZES = {"gcnn, 25k edges": (500, 1000, 0.05), "gcnn, 90k edges": (900, 2000, 0.05)}
"""rows, variables and density of the random graphs that stand for set cover"""
Measure = Callable[[str, bool], float]
"""device, quick -> how many in a second"""


def devices(given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One table: rows are tasks."""
    chosen = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    rows = []
    for name, measure in MEASURES.items():
        rates = []
        for device in chosen:
            with deterministic(device, 1):
                rates.append(measure(device, given.quick))
        ratio = rates[1] / rates[0] if len(rates) > 1 else math.nan
        rows.append([name, *(f"{rate:,.1f}" for rate in rates), "-" if math.isnan(ratio) else f"{ratio:.1f}"])
    title = torch.cuda.get_device_name() if len(chosen) > 1 else "no CUDA device here"
    yield {
        "title": f"How many in a second of wall time, one thread of the processor beside: {title}",
        "columns": ["what", *chosen, "ratio"],
        "rows": rows,
        "notes": ["The processor runs the fused kernels of learnsys, CUDA torch operations with a fixed order."],
    }


def rate(call: Callable[[], Any], count: float) -> float:
    """`count` over the seconds of the second call: the first compiles."""
    call()
    began = time.perf_counter()
    call()
    return count / (time.perf_counter() - began)


def _parrot(device: str, quick: bool) -> tuple[ParrotTask, Any, int]:
    steps = 4 if quick else 40
    config = override(paper("hidden"), (f"training.steps={steps}", "collect=20000"))
    split = Split.of(read_trace("sample:gnugo")[: 60_000 if quick else 500_000], CacheGeometry())
    task = ParrotTask(split, config, CacheGeometry(), 0, device)
    return task, task.collect(0, 1.0, silent), steps


def parrot_steps(device: str, quick: bool) -> float:
    task, part, steps = _parrot(device, quick)
    return rate(lambda: task.fit([part], 0, silent), steps)


def parrot_accesses(device: str, quick: bool) -> float:
    task, _, _ = _parrot(device, quick)
    whole = task.split.whole
    return rate(lambda: task.policy.simulate(whole, CacheGeometry()), len(whole))


def examples(rows: int, variables: int, density: float, count: int) -> list[Example]:
    """Random bipartite graphs with random scores of 100 candidates."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(count):
        targets, sources = np.nonzero(rng.random((rows, variables)) < density)
        graph = BipartiteGraph.from_edges(targets, sources, np.ones(len(targets)), (rows, variables))
        features = rng.random((variables, 19), np.float32), rng.random((rows, 5), np.float32)
        candidates = rng.choice(variables, 100, replace=False).astype(np.int32)
        found.append(Example(*features, graph, candidates, rng.random(100)))
    return found


def gcnn_samples(size: tuple[int, int, float]) -> Measure:
    def measure(device: str, quick: bool) -> float:
        count = 32 if quick or device == "cpu" else 320
        drawn: Any = examples(*size, 32)
        fitter = Fitter(gcnn(), 0, device)
        fitter.settle(drawn, silent)
        return rate(lambda: fitter.epoch(drawn, np.arange(count) % 32, 0, silent), count)

    return measure


def _graphs(quick: bool) -> list[Any]:
    return [make_family("rb-small").graph(0, i) for i in range(4 if quick else 22)]


def comparator_pairs(device: str, quick: bool) -> float:
    graphs = _graphs(quick)
    epochs = 1 if quick or device == "cpu" else 10
    sizes = ("sample=64", "epochs=1") if quick else ("sample=1024", f"epochs={epochs}")
    config = override(comparator(), ("roots=2" if quick else "roots=20", "roll_outs=1", *sizes))
    task = ComparatorTask(graphs[:-2], graphs[-2:], config, 0, device)
    part = task.collect(0, 1.0, silent)
    return rate(lambda: task.fit([part], 0, silent), config.training.sample * epochs)


def learned_states(device: str, quick: bool) -> float:
    graphs = _graphs(quick)
    config = override(LEARNED["learnsys_mis"](), ("states=60", "epochs=1") if quick else ())
    task = LearnedTask(graphs[:-2], graphs[-2:], config, 0, device)
    part = task.collect(0, 1.0, silent)
    return rate(lambda: task.fit([part], 0, silent), config.training.states * config.training.epochs)


def gcnn_decisions(size: tuple[int, int, float]) -> Measure:
    def measure(device: str, quick: bool) -> float:
        config = gcnn().model
        policy = on_device(GcnnPolicy(config, parameters(GcnnModel(config))), device)
        seen = [(observed(each), each.candidates.astype(np.int64)) for each in examples(*size, 4)]
        count = 8 if quick else 200
        return rate(lambda: [policy.logits(*seen[k % len(seen)]) for k in range(count)], count)

    return measure


def observed(example: Example) -> BipartiteObservation:
    """An example as `NodeBipartite` would tell it."""
    graph = example.graph
    edges = np.stack([graph.targets, graph.sources]).astype(np.int64)
    features = example.variable_features.astype(np.float64), example.row_features.astype(np.float64)
    return BipartiteObservation(*features, edges, graph.values.astype(np.float64))


def independent_sets(name: str) -> Measure:
    def measure(device: str, quick: bool) -> float:
        policy = on_device(make_independent_set_policy(name), device)
        graph, count = make_family("rb-small").graph(0, 0), 2 if quick else 32
        return rate(lambda: policy.solve(graph, iterations=count), count)

    return measure


MEASURES: dict[str, Measure] = {
    "Parrot (paper), training steps": parrot_steps,
    "Parrot (paper), accesses evaluated": parrot_accesses,
    **{f"{name}, nodes decided": gcnn_decisions(size) for name, size in SIZES.items()},
    "comparator, sets of an RB-small graph": independent_sets("comparator-rb-small"),
    "learnsys_mis, sets of an RB-small graph": independent_sets("learnsys_mis-rb-small"),
    **{f"{name}, samples fitted (batches of 32)": gcnn_samples(size) for name, size in SIZES.items()},
    "comparator, pairs fitted (batches of 32)": comparator_pairs,
    "learnsys_mis, states fitted (batches of 32)": learned_states,
}
