"""`learnsys cache simulate`: hit rates of policies on a trace."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Mapping
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from learnsys.cli.cache_jobs import Question, simulate_objects, simulate_sets, split
from learnsys.cli.console import print_json, print_table
from learnsys.cli.trace import Flat, Reading

if TYPE_CHECKING:
    from learnsys.envs.cache.spool import Spool
    from learnsys.policies.cache.simulation import Result

DEFAULT = "lru,srrip,drrip,shippp,hawkeye,mockingjay,belady"
DEFAULT_OBJECTS = "lru,fifo,clock,sieve,s3fifo,arc,lirs,w_tinylfu,belady"
COLUMNS = ("policy", "hit rate %", "normalised", "misses/LRU", "M/s")
BYTE_COLUMNS = (*COLUMNS, "byte hit rate %")
_BOUNDS = ("lru", "belady", "belady_bypass")
_TIMES = ("seconds", "accesses_per_second")
_CURVE_POINTS = 200


_READING = Reading()


def simulate(
    *,
    trace: str,
    reading: Flat = _READING,
    policies: str = "",
    capacity: str = "",
    ways: int = 16,
    line_size: int = 64,
    window: str = "",
    fit: str = "0.0:0.8",
    objects: bool = False,
    uniform: bool = False,
    guard: bool = False,
    seed: int = 0,
    workers: int = 0,
    device: str = "cpu",
    json: bool = False,
    out: Path | None = None,
) -> int:
    """Simulate cache policies on a trace and print their hit rates.

    A trace of addresses is run through a set-associative cache, a trace of objects through a fully associative one.
    Hits are counted over the whole trace, caches starting empty; if any policy is fitted on an earlier part or was
    trained before, over the last tenth, with warm caches. Normalised: 0 is LRU, 1 is Belady's optimum; misses/LRU:
    misses relative to LRU's; M/s: million accesses simulated in each CPU second.

    Args:
        trace: a trace file of any known format, or sample:NAME.
        policies: names, separated by commas (a wrong one shows them all); NAME=FOLDER loads a trained policy from its
            run folder, and parrot alone is the one that ships for a sample; all stands for every policy that learns
            nothing beforehand. Unless given, a selection.
        capacity: bytes held, 2MiB unless given; for objects their number (5000), or a share of all (10%, the default)
            or bytes (64MiB), which count object sizes where the trace has them. Several, separated by commas, are
            simulated one after the other.
        ways: lines in a set.
        line_size: bytes in a line.
        window: the part in which hits are counted, as two fractions of the trace, such as 0.9:1.0.
        fit: the part on which policies that learn from an earlier part are fitted.
        objects: take the addresses for ids of objects.
        uniform: count all objects as equally large.
        guard: guard the learned policies, so that they stay close to LRU where they are worse; guard:NAME guards one.
        seed: for policies that draw random numbers.
        workers: policies simulated at a time; 0 is one for each core.
        device: where a Parrot decides: cpu (fused kernels), or another device of torch, such as cuda; policies without
            a network stay on the processor.
        json: print JSON instead of tables.
        out: a run folder for the results: summary.json, results.csv, timings.json.
    """
    from learnsys.envs.cache.geometry import CacheGeometry
    from learnsys.envs.cache.spool import Spool
    from learnsys.files import write_text
    from learnsys.policies.devices import about as about_device
    from learnsys.runs import Run

    CacheGeometry(ways * line_size, ways, line_size)  # refuses impossible ones before the trace is read
    reader = reading.open(trace)
    chunks = reading.chunks(reader)
    first = next(chunks)
    objects = objects or first.objects
    question = Question(
        capacities=split(capacity) or ["10%" if objects else "2MiB"],
        policies=policies or (DEFAULT_OBJECTS if objects else DEFAULT),
        ways=ways,
        line_size=line_size,
        window=window,
        fit=fit,
        uniform=uniform,
        seed=seed,
        workers=workers or os.cpu_count() or 1,
        guard=guard,
        trace=trace,
        device=device,
    )
    run = None
    if out is not None:
        config = {**asdict(question), "trace": trace, "reading": asdict(reading), "objects": objects}
        del config["workers"], config["device"]  # the first changes no result
        run = Run(out, config | about_device(device))
    spool = Spool(chain([first], chunks), 1 if objects else line_size)
    answer = simulate_objects(question, spool) if objects else simulate_sets(question, spool)
    summary: dict[str, Any] = {
        "trace": trace,
        "accesses": spool.accesses,
        "objects": objects,
        "window": answer.window,
        "notes": answer.notes,
        "results": {size: [plain_result(row) for row in rows] for size, rows in answer.results.items()},
    }
    if run is not None:
        write_text(run.folder / "results.csv", results_csv(answer.results))
        times = {size: [_only(row, _TIMES) for row in rows] for size, rows in summary["results"].items()}
        lasting = {size: [_without(row, _TIMES) for row in rows] for size, rows in summary["results"].items()}
        curve = None if objects else miss_curve(spool, line_size)
        run.finish({**summary, "results": lasting, "curve": curve}, times)
    if json:
        print_json(summary)
        return 0
    low, high = answer.window
    counted = "all accesses" if (low, high) == (0, 1) else f"the part {low:g}:{high:g}"
    for size, rows in answer.results.items():
        shape = "fully associative" if objects else f"{ways} ways of {line_size} bytes"
        others = [row for row in rows if row.policy not in _BOUNDS]
        best = rows.index(max(others, key=lambda row: row.hit_rate)) if others else None
        cells = [table_row(row) for row in rows]
        columns = BYTE_COLUMNS[: len(cells[0])]
        print_table(f"{Path(trace).name}: {size}, {shape}, hits of {counted}", columns, cells, best)
    for note in answer.notes:
        print(note)
    return 0


def table_row(result: Result) -> list[Any]:
    """One result as the row of a table for people, under `COLUMNS`, or under `BYTE_COLUMNS` where sizes count."""
    return [
        result.policy,
        f"{100 * result.hit_rate:.2f}",
        "-" if math.isnan(result.normalised) else f"{result.normalised:+.3f}",
        "-" if math.isnan(result.misses_to_lru) else f"{result.misses_to_lru:.3f}",
        f"{result.accesses_per_second / 1e6:.2f}",
        *([] if math.isnan(result.byte_hit_rate) else [f"{100 * result.byte_hit_rate:.2f}"]),
    ]


def plain_result(result: Result) -> dict[str, Any]:
    """One result as JSON values: NaN becomes null."""
    return {
        key: None if isinstance(value, float) and math.isnan(value) else value for key, value in asdict(result).items()
    }


def results_csv(results: Mapping[str, list[Result]]) -> str:
    """Capacity -> results as one CSV table."""
    columns = ("policy", "accesses", "hits", "hit_rate", "normalised", "misses_to_lru", "byte_hit_rate")
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["capacity", *columns])
    for size, rows in results.items():
        table.writerows([size, *_only(plain_result(row), columns).values()] for row in rows)
    return text.getvalue()


def miss_curve(spool: Spool, line_size: int) -> dict[str, list[float]]:
    """LRU's miss ratio in fully associative caches of up to all lines: `bytes` and `miss_ratio`."""
    import numpy as np

    from learnsys.envs.cache.stack_distance import lru_miss_curve

    lines = spool.line_number.size
    capacities = np.unique(np.geomspace(1, lines, _CURVE_POINTS).round().astype(np.int64))
    ratio = lru_miss_curve(spool.line, lines).miss_ratio(capacities)
    return {"bytes": (capacities * line_size).tolist(), "miss_ratio": ratio.tolist()}


def _only(row: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: row[name] for name in names}


def _without(row: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in names}
