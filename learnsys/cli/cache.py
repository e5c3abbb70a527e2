"""`learnsys cache simulate`: hit rates of policies on a trace."""

from __future__ import annotations

import csv
import io
import math
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from learnsys.cli.console import print_json, print_table
from learnsys.errors import InputError
from learnsys.policies.cache.registry import (
    LEARNED_POLICIES,
    SET_POLICIES,
    load_learned_policy,
    make_set_policy,
)
from learnsys.policies.cache.simulation import Result, compare


def simulate(
    *,
    trace: str,
    policies: str = "lru,srrip,belady",
    capacity: str = "2MiB",
    ways: int = 16,
    line_size: int = 64,
    window: str | None = None,
    fit: str = "0.0:0.8",
    objects: bool = False,
    seed: int = 0,
    workers: int = 0,
    json: bool = False,
    out: Path | None = None,
) -> int:
    """Simulate cache policies on a trace and print their hit rates.

    Hits are counted over the whole trace, caches starting empty; if any policy is fitted on an earlier part or was
    trained before, over the last tenth, with warm caches.

    Args:
        trace: a trace file of any known format, or sample:NAME.
        policies: names, separated by commas; NAME=FOLDER loads a trained policy from its run folder; "all" is every
            policy that needs no training.
        capacity: bytes held (2MiB); several, separated by commas, are simulated one after the other. For object
            traces the number of objects (5000) or a share of the distinct ones (10%).
        ways: lines in a set.
        line_size: bytes in a line.
        window: the part in which hits are counted, as two fractions of the trace, such as 0.9:1.0.
        fit: the part on which policies that learn from an earlier part are fitted.
        objects: treat the addresses as object ids, in a fully associative cache.
        seed: for policies that draw random numbers.
        workers: policies simulated at a time; 0 is one for each core.
        json: print JSON instead of a table.
        out: a run folder to write the results to.
    """
    from learnsys.envs.cache.accesses import Accesses
    from learnsys.envs.cache.geometry import CacheGeometry, parse_bytes
    from learnsys.traces import read_trace

    chosen = parse_policies(policies)
    learning = any(getattr(p, "needs_fit", False) or not hasattr(p, "start") for p in chosen.values())
    counted = parse_part(window) if window else (0.9, 1.0) if learning else (0.0, 1.0)
    workers = workers or os.cpu_count() or 1
    accesses = read_trace(trace)
    results: dict[str, list[Result]] = {}
    for size in capacity.split(","):
        geometry = CacheGeometry(parse_bytes(size), ways, line_size)
        prepared = Accesses.prepare(accesses.address, accesses.pc, geometry)
        results[size] = compare(
            chosen, prepared, geometry, window=counted, fit_on=parse_part(fit), seed=seed, workers=workers
        )
    if json:
        print_json([{"capacity": size, **plain_result(r)} for size, rows in results.items() for r in rows])
    else:
        for size, rows in results.items():
            print_table(f"{trace}, {size}, {ways} ways", COLUMNS, [table_row(r) for r in rows])
    return 0


COLUMNS = ("policy", "hit rate %", "normalised", "misses vs LRU", "M accesses/s")


def table_row(result: Result) -> list[Any]:
    """One result as the row of a table for people, under `COLUMNS`."""
    return [
        result.policy,
        f"{100 * result.hit_rate:.2f}",
        "-" if math.isnan(result.normalised) else f"{result.normalised:+.3f}",
        "-" if math.isnan(result.misses_to_lru) else f"{100 * (result.misses_to_lru - 1):+.1f} %",
        f"{result.accesses_per_second / 1e6:.1f}",
    ]


def plain_result(result: Result) -> dict[str, Any]:
    """One result as JSON values: NaN becomes null."""
    return {
        key: None if isinstance(value, float) and math.isnan(value) else value for key, value in asdict(result).items()
    }


def parse_policies(text: str) -> dict[str, Any]:
    """label -> policy of a list such as "lru,parrot=runs/parrot,belady".

    Raises:
        InputError: an unknown name, or one listed twice.
    """
    chosen: dict[str, Any] = {}
    for item in [part.strip() for part in text.split(",") if part.strip()]:
        name, _, folder = item.partition("=")
        label = name if folder and name not in chosen else item
        if label in chosen:
            raise InputError(f"policy {item!r} is listed twice")
        chosen[label] = load_learned_policy(name, folder) if folder else make_set_policy(name)
    if not chosen:
        raise InputError("no policies given", remedy=f"choose from {', '.join([*SET_POLICIES, *LEARNED_POLICIES])}")
    return chosen


def parse_part(text: str) -> tuple[float, float]:
    """Two fractions written as "0.9:1.0".

    Raises:
        InputError: not of that form.
    """
    try:
        low, high = (float(part) for part in text.split(":"))
    except ValueError:
        raise InputError(f"{text!r} is no part of a trace", remedy="give two fractions such as 0.9:1.0") from None
    return low, high


def results_csv(results: dict[str, list[Result]]) -> str:
    """Capacity -> results as one CSV table."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["capacity", "policy", "accesses", "hits", "hit_rate", "normalised", "misses_to_lru"])
    for size, rows in results.items():
        for r in rows:
            table.writerow([size, r.policy, r.accesses, r.hits, r.hit_rate, r.normalised, r.misses_to_lru])
    return text.getvalue()
