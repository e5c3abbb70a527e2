"""How long observations take: ours, gyozas' and PySCIPOpt's on the same nodes, in CPU time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from statistics import geometric_mean, median
from typing import Any

from pyscipopt import Model

from benchmarks.branching_instances import FROM_GYOZAS, FULL_SIZE, SMALL, as_published, to_branch_on
from learnsys.envs.branching.observations import NodeBipartite, StrongBranchingScores
from learnsys.testing.observations import visit_nodes
from learnsys.testing.strong_branching import VANILLA

GOALS = {
    "gyozas": "at least 100 times faster than gyozas (geometric mean)",
    "PySCIPOpt": "at least 50 times faster than PySCIPOpt's own (geometric mean)",
}


def cpu_seconds(call: Callable[[], Any], seconds: float) -> float:
    """CPU seconds of one call: the median of batches that together take about `seconds`."""
    start = time.process_time_ns()
    call()
    once = max(time.process_time_ns() - start, 1000)
    batch = max(1, int(seconds * 1e9 / 10 / once))
    samples = []
    for _ in range(10 if once < seconds * 1e8 else 3):
        start = time.process_time_ns()
        for _ in range(batch):
            call()
        samples.append((time.process_time_ns() - start) / batch)
    return median(samples) / 1e9


class _Contest:
    """Times every contestant at the nodes it visits."""

    def __init__(self, quick: bool) -> None:
        from gyozas.observations.node_bipartite_ecole import NodeBipartiteEcole

        self.full, self.incremental, theirs = NodeBipartite(), NodeBipartite(incremental=True), NodeBipartiteEcole()
        self.contestants: dict[str, Callable[[Model], Any]] = {
            "full": lambda model: self.full.extract(model, False),
            "changes": lambda model: self.incremental.extract(model, False),
            "gyozas": lambda model: theirs.extract(model, False),
            "PySCIPOpt": lambda model: model.getBipartiteGraphRepresentation(),
        }
        self.timed_nodes, self.seconds = (1, 0.1) if quick else (3, 0.3)
        self.taken: dict[str, list[float]] = {name: [] for name in self.contestants}
        self.fresh: list[float] = []
        """wall seconds of the first incremental extraction at a node, when the processor's caches are the LP's"""
        self.sizes = (0, 0, 0)

    def visit(self, model: Model) -> None:
        start = time.perf_counter_ns()
        self.incremental.extract(model)
        self.fresh.append((time.perf_counter_ns() - start) / 1e9)
        graph = self.full.extract(model)
        assert graph is not None
        self.sizes = (len(graph.variable_features), len(graph.row_features), len(graph.edge_values))
        if len(self.fresh) <= self.timed_nodes:
            for name, call in self.contestants.items():
                self.taken[name].append(cpu_seconds(partial(call, model), self.seconds))


def node_bipartite(seed: int, quick: bool) -> Iterator[dict[str, Any]]:
    """NodeBipartite on the same nodes, and the incremental form from node to node; on our instances and gyozas'."""
    for source, families in (("learnsys", FULL_SIZE), ("gyozas", FROM_GYOZAS)):
        sizes, rows = [], []
        ratios: dict[str, list[float]] = {name: [] for name in GOALS}
        for name, make in families.items():
            contest = _Contest(quick)
            model = as_published(make(seed))
            visit_nodes(model, contest.visit, 6 if quick else 12)
            model.free()
            found = {contestant: 1000 * median(values) for contestant, values in contest.taken.items()}
            for peer in GOALS:
                ratios[peer].append(found[peer] / found["full"])
            fresh = 1000 * median(contest.fresh[2:])
            rows.append([name, *found.values(), fresh, *(ratios[peer][-1] for peer in GOALS)])
            sizes.append([name, *contest.sizes])
        rows.append(["geometric mean", *[""] * 5, *(geometric_mean(ratios[peer]) for peer in GOALS)])
        yield {
            "title": f"The LPs (instances of {source}, last node)",
            "columns": ["instance", "variables", "split rows", "edges"],
            "rows": sizes,
            "goals": [],
        }
        columns = ["instance", "full", "changes", "gyozas", "PySCIPOpt", "changes, fresh", "gyozas / full"]
        yield {
            "title": f"NodeBipartite, instances of {source} (CPU milliseconds; fresh: first call at a node, wall time)",
            "columns": [*columns, "PySCIPOpt / full"],
            "rows": rows,
            "goals": [*GOALS.values(), "set cover: full at most 0.2 ms, changes at most 0.03 ms"],
        }


def strong_branching(seed: int, quick: bool) -> Iterator[dict[str, Any]]:
    """Labels beside SCIP's own rule: three runs of the same trees, with neither, with its scores, with ours."""
    rows = []
    for name, make in SMALL.items():
        seconds, labels = dict.fromkeys(("neither", "SCIP", "ours"), 0.0), dict.fromkeys(("neither", "SCIP", "ours"), 0)
        nodes, seed_here = 0, seed
        while nodes < (20 if quick else 100):
            for kind in seconds:
                counts: list[int] = []
                function = StrongBranchingScores() if kind == "ours" else None
                model = to_branch_on(make(seed_here))
                if kind == "SCIP":
                    model.setParams(VANILLA)
                start = time.process_time()
                visit_nodes(model, partial(_label, function, counts), 20)
                seconds[kind] += time.process_time() - start
                model.free()
                labels[kind] += sum(counts)
            nodes, seed_here = nodes + len(counts), seed_here + 1
        rates = {kind: labels[kind] / (seconds[kind] - seconds["neither"]) for kind in ("SCIP", "ours")}
        rows.append([name, nodes, labels["ours"], *rates.values(), rates["SCIP"] / rates["ours"]])
    yield {
        "title": "Strong-branching labels (CPU time)",
        "columns": ["instances", "nodes", "labels", "SCIP /s", "ours /s", "ours / SCIP's time"],
        "rows": rows,
        "goals": ["at most 1.2 times the time of SCIP's vanillafullstrong"],
    }


def _label(function: StrongBranchingScores | None, counts: list[int], model: Model) -> None:
    counts.append(model.getNLPBranchCands())
    if function is not None:
        function.extract(model)
