"""Hit rates of learned cache policies, next to LRU, the simple policies and Belady, on recorded traces."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learnsys.cli.console import progress_bar
from learnsys.envs.cache.accesses import Accesses
from learnsys.envs.cache.geometry import CacheGeometry
from learnsys.files import write_json
from learnsys.policies.cache.guard import guard
from learnsys.policies.cache.registry import GUARD, load_learned_policy, make_set_policy
from learnsys.policies.cache.simulation import Result, Simulation, Tally, chunk_of, fit, part_of, simulate, summarise
from learnsys.runs import read_json
from learnsys.traces import read_trace
from learnsys.traces.samples import sample_names

SIMPLE = ("lru", "srrip", "drrip", "shippp", "hawkeye", "mockingjay")
TABLES = ("table_address", "table_pc", "table_both", "eta_address", "eta_pc", "eta_both")
LEARNED = "learnsys_cache"
FIT = (0.0, 0.8)
WINDOWS = {"last tenth": (0.9, 1.0), "validation, 80 to 90 %": (0.8, 0.9), "whole trace, cold": (0.0, 1.0)}
HEADROOM = 0.03
"""traces with less between LRU and Belady in the window are controls and left out of means"""
BEST_TABLE = "best table"
PAPER_SETS = (
    6, 35, 38, 53, 67, 70, 113, 143, 157, 196, 287, 324, 332, 348, 362, 398, 406, 456, 458, 488, 497, 499, 558, 611,
    718, 725, 754, 775, 793, 822, 862, 895, 928, 1062, 1086, 1101, 1102, 1137, 1144, 1175, 1210, 1211, 1223, 1237,
    1268, 1308, 1342, 1348, 1353, 1424, 1437, 1456, 1574, 1599, 1604, 1662, 1683, 1782, 1789, 1812, 1905, 1940, 1967,
    1973,
)  # fmt: skip
"""the sets of 2048 that the published code keeps of a trace"""

Found = dict[str, dict[str, list[Result]]]
"""policy -> trace -> one result for each seed"""


def quality(given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Tables of normalised hit rates and of points above LRU for each window."""
    traces = given.traces or [f"sample:{name}" for name in sample_names()]
    geometry = CacheGeometry()
    found: dict[str, Found] = {window: {} for window in WINDOWS}
    seeds = range(given.first_seed, given.first_seed + given.seeds)
    with progress_bar("simulating", len(traces) * len(seeds)) as advance, ThreadPoolExecutor(given.workers) as pool:
        for trace in traces:
            for of_seed in pool.map(partial(kept_or_measured, geometry, trace, given), seeds):
                for window, results in of_seed.items():
                    for result in results:
                        found[window].setdefault(result.policy, {}).setdefault(trace, []).append(result)
                advance(1)
    sets = "64 sampled sets" if given.sampled else "all sets"
    for window, part in WINDOWS.items():
        if part[0] >= FIT[1]:
            add_best_table(found[window], found["validation, 80 to 90 %"])
    for window, rows in found.items():
        yield normalised(rows, traces, f"Normalised hit rate, {window}, {sets}")
    yield cost(found["whole trace, cold"], traces)
    yield points(found["last tenth"], traces, f"Points of hit rate above LRU, last tenth, {sets}")


def kept_or_measured(
    geometry: CacheGeometry, trace: str, given: argparse.Namespace, seed: int
) -> dict[str, list[Result]]:
    """What `measure` returns; with `given.keep` it is kept in that folder, and taken from there if it is there."""
    path = None if given.keep is None else Path(given.keep) / f"{label(trace)}-{seed}.json"
    if path is not None and path.exists():
        kept: Any = read_json(path)
        return {window: [Result(**result) for result in kept[window]] for window in WINDOWS}
    found = measure(prepared(trace, geometry, given.sampled), geometry, trace, given, seed)
    if path is not None:
        write_json(path, {window: [asdict(result) for result in results] for window, results in found.items()})
    return found


def prepared(trace: str, geometry: CacheGeometry, sampled: bool) -> Accesses:
    """The accesses of a trace; `sampled` keeps those to the paper's sets."""
    read = read_trace(trace)
    address, pc = read.address, read.pc
    if sampled:
        keep = np.isin((address >> np.uint64(geometry.line_bits)) & np.uint64(geometry.sets - 1), PAPER_SETS)
        address, pc = address[keep], None if pc is None else pc[keep]
    return Accesses.prepare(address, pc, geometry)


def measure(
    accesses: Accesses, geometry: CacheGeometry, trace: str, given: argparse.Namespace, seed: int
) -> dict[str, list[Result]]:
    """Results by window. Each policy runs once over the whole trace and is counted in every window."""
    policies = {name: make_set_policy(name) for name in (*SIMPLE, *TABLES, "belady")}
    if given.parrot is not None:
        folder = str(Path(given.parrot) / label(trace))
        policies |= {name: load_learned_policy(name, folder) for name in ("parrot", "guard:parrot")}
    n = len(accesses)
    ran = {}
    for name, policy in policies.items():
        learnt = fit(policy, accesses, geometry, *part_of(FIT, n)) if name in TABLES else None
        before = time.thread_time()
        hits = simulate(policy, accesses, geometry, seed=seed, learnt=learnt)
        ran[name] = hits, time.thread_time() - before
    ran |= guarded_and_not(accesses, geometry, seed)
    results: dict[str, list[Result]] = {}
    for window, part in WINDOWS.items():
        names = [name for name in ran if name not in TABLES or part[0] >= FIT[1]]
        tallies = {name: Tally.of(ran[name][0], *part_of(part, n), ran[name][1]) for name in names}
        results[window] = summarise(tallies, names)
    return results


def guarded_and_not(
    accesses: Accesses, geometry: CacheGeometry, seed: int
) -> dict[str, tuple[NDArray[np.uint8], float]]:
    """Hits and CPU seconds of the learned policy, and of the guard around it, which contains it as its first shadow."""
    policy, n = guard(make_set_policy(LEARNED)), len(accesses)
    before = time.thread_time()
    simulation, hits = Simulation(policy, geometry, seed), np.zeros(n, np.uint8)
    policy.grow(simulation.state, accesses.line_number.size, accesses.pc_value.size)
    shadows = policy.follow(simulation.state, chunk_of(accesses, 0, n), hits)
    seconds = time.thread_time() - before
    return {LEARNED: (shadows[0], seconds), GUARD + LEARNED: (hits, seconds)}


def add_best_table(rows: Found, chosen_by: Found) -> None:
    """The row of the table with the best hit rate on the validation part, trace by trace; the others leave."""
    best = {
        trace: max((name for name in TABLES), key=lambda name: chosen_by[name][trace][0].hit_rate)
        for trace in chosen_by["lru"]
    }
    rows[BEST_TABLE] = {
        trace: [replace(result, policy=BEST_TABLE) for result in rows[name][trace]] for trace, name in best.items()
    }


def normalised(rows: Found, traces: list[str], title: str) -> dict[str, Any]:
    """Mean and range over seeds for each trace, and the mean over the traces with headroom."""
    gap = {trace: rows["belady"][trace][0].hit_rate - rows["lru"][trace][0].hit_rate for trace in traces}
    counted = [trace for trace in traces if gap[trace] >= HEADROOM]
    lines = []
    for name in shown(rows):
        cells = [spread([result.normalised for result in rows[name][trace]]) for trace in traces]
        seeds = range(len(rows[name][traces[0]]))
        means = [float(np.mean([rows[name][trace][seed].normalised for trace in counted or traces])) for seed in seeds]
        lines.append([name, *cells, spread(means, 3) if counted else "-"])
    headroom = ", ".join(f"{label(trace)} {100 * gap[trace]:.2f}" for trace in traces)
    return {
        "title": title,
        "columns": ["policy", *(label(trace) for trace in traces), "mean"],
        "rows": lines,
        "notes": [
            f"Points between LRU and Belady: {headroom}. The mean is over those with {100 * HEADROOM:g} or more. "
            "Mean over seeds, in brackets the lowest and the highest."
        ],
    }


def points(rows: Found, traces: list[str], title: str) -> dict[str, Any]:
    """Points of hit rate above LRU: mean and range over seeds."""
    lines = []
    for name in shown(rows):
        gains = [
            [100 * (result.hit_rate - rows["lru"][trace][0].hit_rate) for result in rows[name][trace]]
            for trace in traces
        ]
        lines.append([name, *(spread(each) for each in gains), f"{min(map(min, gains)):+.2f}"])
    columns = ["policy", *(label(trace) for trace in traces), "lowest"]
    return {"title": title, "columns": columns, "rows": lines, "notes": []}


def cost(rows: Found, traces: list[str]) -> dict[str, Any]:
    """Microseconds of CPU time for each access; learned policies with the guard around them."""
    lines = [
        [
            name,
            *(f"{np.mean([1e6 / result.accesses_per_second for result in rows[name][trace]]):.3f}" for trace in traces),
        ]
        for name in shown(rows)
    ]
    columns = ["policy", *(label(trace) for trace in traces)]
    return {"title": "Microseconds of CPU time for each access", "columns": columns, "rows": lines, "notes": []}


def shown(rows: Found) -> list[str]:
    """The policies in the order of the tables."""
    others = [name for name in rows if name not in (*SIMPLE, *TABLES, BEST_TABLE, "belady")]
    tables = [BEST_TABLE] if BEST_TABLE in rows else []
    return [*SIMPLE[1:], *tables, *others]


def label(trace: str) -> str:
    return Path(trace).stem.removeprefix("sample:")


def spread(values: list[float], digits: int = 2) -> str:
    """Mean, and the range where there is one: "+0.31 (+0.28, +0.33)"."""
    if np.isnan(values).any():
        return "-"
    text = f"{np.mean(values):+.{digits}f}"
    return text if np.ptp(values) == 0 else f"{text} ({min(values):+.{digits}f}, {max(values):+.{digits}f})"
