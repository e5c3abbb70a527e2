"""`learnsys mis evaluate`: policies compared on a folder of graphs."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from learnsys.cli.console import print_json, print_table, progress_bar
from learnsys.errors import InputError

if TYPE_CHECKING:
    from learnsys.policies.independent_set.evaluation import Trial


def evaluate(
    graphs: Annotated[Path, tyro.conf.Positional],
    *,
    policies: str = "greedy,arw,numvc,auto",
    time: float = 1.0,
    iterations: int = 0,
    seeds: int = 1,
    best_known: Path | None = None,
    device: str = "cpu",
    workers: int = 1,
    backend: str = "loky",
    address: str | None = None,
    out: Path | None = None,
    json: bool = False,
) -> int:
    """Compare policies on graphs: mean size, ratio to the best sets known, CPU seconds.

    The best sets known are kept in a file beside the graphs; a larger verified set replaces the one there, and so does
    a lower upper bound. Ratios are to these, the present runs included.

    Args:
        graphs: a folder of graphs in any known format, or one file.
        policies: names, separated by commas; NAME=FOLDER, or a folder, is a trained one.
        time: CPU seconds at most, for each run.
        iterations: at most, if not 0; with --time inf results depend on graphs and seeds alone.
        seeds: runs of each policy on each graph, with seeds 0, 1, ...
        best_known: the file of best sets; best_known.json in the folder unless given.
        device: where networks decide: cpu (fused kernels), or another device of torch, such as cuda. CPU seconds do not
            count what a device computes meanwhile.
        workers: runs at a time; -1 is one for each core.
        backend: loky for this machine, dask or ray for a cluster.
        address: of the cluster.
        out: a run folder: summary.json, results.csv (each run), timings.json, report.html (quality against time).
        json: print JSON instead of a table.
    """
    from learnsys.cli.report import write_report
    from learnsys.files import write_text
    from learnsys.graphs.io import graph_files
    from learnsys.policies.devices import about as about_device
    from learnsys.policies.independent_set.base import Limits
    from learnsys.policies.independent_set.best_known import FILE, BestKnown
    from learnsys.policies.independent_set.evaluation import run_trials, summarise
    from learnsys.policies.independent_set.figures import largest, quality_curves, table
    from learnsys.runs import Record, Run

    if seeds < 1:
        raise InputError(f"--seeds {seeds}", remedy="give at least 1")
    chosen = _labels(policies)
    limits = Limits(time, iterations or None)
    named = list(graph_files(graphs))
    known = BestKnown(best_known or (graphs if graphs.is_dir() else graphs.parent) / FILE)
    config = {"graphs": str(graphs), "policies": chosen, "time": time, "iterations": iterations, "seeds": seeds}
    run = None if out is None else Run(out, config | about_device(device))
    by_name = dict(named)
    trials: list[Trial] = []
    improved = 0
    with progress_bar("searching", len(named) * len(chosen) * seeds) as advance:
        try:
            for trial in run_trials(chosen, named, limits, seeds, workers, backend, address, device):
                trials.append(trial)
                improved += known.offer(trial.graph, by_name[trial.graph], trial.solution, trial.policy)
                advance(1)
        finally:
            known.save()
    best = {name: known.size(graph) or 0 for name, graph in named}
    rows = summarise(trials, best)
    proved = sum(known.proved(graph) for _, graph in named)
    about = {"graphs": len(named), "proved": proved, "best_mean": sum(best.values()) / len(best)}
    if out is not None and run is not None:
        write_text(run.folder / "results.csv", _csv(trials, best))
        seconds = {row["policy"]: row["seconds"] for row in rows}
        lasting = [{key: value for key, value in row.items() if key != "seconds"} for row in rows]
        run.finish({**about, "results": lasting}, {"seconds": seconds, "curves": quality_curves(trials, best, rows)})
        write_report([Record.load(out)], run.folder / "report.html")
    if json:
        print_json({**about, "best_known": str(known.path), "results": rows})
        return 0
    title = f"{graphs}: {len(named):,} graphs, best known {about['best_mean']:.2f} on average, {proved:,} proved"
    print_table(title, *table(rows), best=largest(rows))
    print(f"{known.path}: {improved:,} improvements")
    return 0


def _labels(text: str) -> dict[str, str]:
    """Label -> policy, from a list separated by commas."""
    chosen: dict[str, str] = {}
    for name in filter(None, (each.strip() for each in text.split(","))):
        label = name.partition("=")[0].rstrip("/").rpartition("/")[2]
        label = label if label not in chosen else name
        if label in chosen:
            raise InputError(f"policy {name!r} is named twice", remedy="name it once; seeds repeat runs")
        chosen[label] = name
    if not chosen:
        raise InputError("no policy is named", remedy="give --policies greedy,arw")
    return chosen


def _csv(trials: Sequence[Trial], best: dict[str, int]) -> str:
    target = io.StringIO()
    table = csv.writer(target, lineterminator="\n")
    table.writerow(["policy", "graph", "seed", "size", "best_known", "bound", "iterations", "cpu_seconds"])
    for each in trials:
        found = each.solution
        bound = "" if found.bound is None else found.bound
        table.writerow(
            [each.policy, each.graph, each.seed, found.size, best[each.graph], bound, found.iterations, found.seconds]
        )
    return target.getvalue()
