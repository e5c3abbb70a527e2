"""`learnsys branch evaluate`: branching policies on the same instances and seeds."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from learnsys.errors import InputError


def evaluate(
    instances: str,
    policies: str = "relpscost,pscost",
    count: int = 20,
    instance_seed: int = 1,
    seeds: int = 3,
    time_limit: float = 3600.0,
    node_limit: int | None = None,
    dual_task: bool = False,
    set: tuple[str, ...] = (),
    device: str = "cpu",
    workers: int = 1,
    backend: str = "loky",
    address: str | None = None,
    out: Path | None = None,
    json: bool = False,
) -> int:
    """Compare branching policies inside SCIP: time, nodes, LP iterations, wins, or the ML4CO dual integral.

    Every policy solves every instance with every seed. SCIP separates at the root only and never restarts; presolving
    and heuristics are on, as in Gasse et al. 2019. Times are CPU seconds, means are 1-shifted geometric ones, and
    ratios come with a paired bootstrap interval over instances. Exit code 1 if two policies end with different optima.

    Args:
        instances: a family such as setcover, auction:medium or setcover:rows=300,cols=600; a model file; a directory.
        policies: names, separated by commas: rules of SCIP (relpscost, pscost, fullstrong, random, ...), policies
            (strong_branching, pseudocost, uniform, gcnn, ...), or LABEL=FOLDER of a trained one.
        count: instances of a family.
        instance_seed: of the family's instances; samples are collected from seed 0.
        seeds: solving processes of each policy on each instance.
        time_limit: CPU seconds of a solving process; with --dual-task those after the root.
        node_limit: nodes of a solving process.
        dual_task: the ML4CO dual task: primal heuristics off, an objective limit, the root free of charge, scored by
            the integral of the dual bound over the time limit.
        set: further SCIP parameters, as name=value.
        device: where networks decide: cpu (fused kernels), or another device of torch, such as cuda. CPU seconds do not
            count what a device computes meanwhile.
        workers: processes, each on a core of its own; -1 is one for each core.
        backend: loky for this machine, dask or ray for a cluster.
        address: of the cluster.
        out: a run folder for results.csv, comparison.png, report.html and summary.json; a run that was killed goes on
            there, and more policies, instances and seeds can be added.
        json: print JSON instead of tables.
    """
    from learnsys.cli.branch import parse_parameters
    from learnsys.cli.console import print_json, print_table, progress_bar
    from learnsys.policies.branching.comparison import FAIRNESS, disagreements, summarise
    from learnsys.policies.branching.evaluation import evaluate as run
    from learnsys.policies.branching.figures import comparison_table
    from learnsys.policies.branching.protocol import EvaluationConfig

    config = EvaluationConfig(
        instances=instances,
        policies=_parse(policies),
        count=count,
        instance_seed=instance_seed,
        seeds=seeds,
        time_limit=time_limit,
        node_limit=node_limit,
        dual_task=dual_task,
        scip_params=parse_parameters(set),
        device=device,
    )
    total = len(config.names()) * seeds * len(config.policies)
    with progress_bar(f"solving {instances}", total) as advance:
        rows = run(config, workers=workers, backend=backend, address=address, out=out, report=advance)
    summaries, different = summarise(rows), disagreements(rows)
    if out is not None:
        _write(out, config, rows, summaries)
    if json:
        print_json({"instances": instances, "policies": summaries, "disagreements": different, "runs": rows})
    else:
        print_table(
            f"{instances}: {len(config.names())} instances, {seeds} run(s) of each", *comparison_table(summaries)
        )
        print(FAIRNESS)
        for instance in different:
            print(f"policies end with different optima: instance {instance}")
    return 1 if different else 0


def choose(
    instances: str,
    out: Path,
    policies: str = "",
    count: int = 5,
    seeds: int = 1,
    time_limit: float = 60.0,
    dual_task: bool = False,
    device: str = "cpu",
    workers: int = 1,
    json: bool = False,
) -> int:
    """Try policies on validation instances and keep the best one, as a folder that works as a policy.

    The best is the one with the greatest dual integral in the dual task, else the fastest (1-shifted geometric mean
    of CPU seconds, a run that came to the limit counts twice), else the one with the smallest gap.

    Args:
        instances: a family, a model file or a directory.
        out: the folder; a run that was killed goes on there.
        policies: as in learnsys branch evaluate; by default SCIP's relpscost, pscost and random, and all trained
            policies that ship for the family.
        count: instances of a family, drawn from a seed of their own.
        seeds: solving processes of each policy on each instance.
        time_limit: CPU seconds of a solving process.
        dual_task: choose for the ML4CO dual task.
        device: where networks decide, as in learnsys branch evaluate.
        workers: processes, each on a core of its own; -1 is one for each core.
        json: print JSON instead of a table.
    """
    from dataclasses import asdict

    from learnsys.cli.console import print_json, print_table, progress_bar
    from learnsys.policies.branching.choice import choose as run
    from learnsys.policies.branching.choice import known_candidates
    from learnsys.policies.branching.protocol import VALIDATION_SEED, EvaluationConfig

    config = EvaluationConfig(
        instances=instances,
        policies=_parse(policies) if policies else known_candidates(instances.partition(":")[0]),
        count=count,
        instance_seed=VALIDATION_SEED,
        seeds=seeds,
        time_limit=time_limit,
        dual_task=dual_task,
        device=device,
    )
    with progress_bar(f"trying policies on {instances}", len(config.names()) * seeds * len(config.policies)) as advance:
        chosen, ranked = run(config, workers=workers, out=out, report=advance)
    if json:
        print_json({"chosen": chosen, "standings": [asdict(each) for each in ranked]})
        return 0
    rows = [list(asdict(each).values()) for each in ranked]
    print_table(f"{instances}: {chosen}", ["policy", "solved", "CPU s", "gap", "dual integral"], rows, 0)
    print(f"chosen policy: {out} (learnsys branch solve MODEL --policy {out})")
    return 0


def _parse(text: str) -> tuple[tuple[str, str], ...]:
    """Labels and names of policies from "relpscost,gcnn=runs/gcnn"."""
    found = []
    for part in text.split(","):
        label, equals, name = part.strip().partition("=")
        if not label or (equals and not name):
            raise InputError(f"{text!r} is no list of policies", remedy="write names, or LABEL=FOLDER, with commas")
        found.append((label, name or label))
    return tuple(found)


def _write(out: Path, config: Any, rows: Sequence[dict[str, Any]], summaries: Sequence[dict[str, Any]]) -> None:
    """results.csv, comparison.png, report.html, and the run's summary and timings."""
    from learnsys.cli.report import write_report
    from learnsys.files import write_json, write_text
    from learnsys.policies.branching.figures import write_figure
    from learnsys.runs import Record

    keys = [key for key in rows[0] if key != "course"]
    text = io.StringIO()
    table = csv.DictWriter(text, keys, extrasaction="ignore", lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_text(out / "results.csv", text.getvalue())
    write_figure(out / "comparison.png", rows, config.instances)
    # what depends on the clock stands apart from what does not
    lasting = ("instance", "seed", "policy", "status", "nodes", "lp_iterations", "primal_bound", "dual_bound")
    means = {
        each["policy"]: {key: each[key] for key in ("runs", "solved", "nodes", "lp_iterations")} for each in summaries
    }
    write_json(out / "timings.json", {"policies": {each["policy"]: each for each in summaries}})
    write_json(out / "summary.json", {"policies": means, "runs": [{key: row[key] for key in lasting} for row in rows]})
    write_report([Record.load(out)], out / "report.html")
