"""Hit rates of learned cache policies, next to LRU, the simple policies and Belady, on recorded traces."""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Iterator, Sequence
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
from learnsys.policies.cache.base import State
from learnsys.policies.cache.picker import PARROT, VALIDATION, candidate_names, run_candidate
from learnsys.policies.cache.registry import GUARD, guarded, load_learned_policy, make_set_policy
from learnsys.policies.cache.replay import Replay
from learnsys.policies.cache.simulation import Result, Simulation, Tally, chunk_of, part_of, simulate, summarise
from learnsys.runs import read_json
from learnsys.traces import read_trace
from learnsys.traces.samples import sample_names

SIMPLE = ("lru", "srrip", "drrip", "shippp", "hawkeye", "mockingjay")
TABLES = ("table_address", "table_pc", "table_both", "eta_address", "eta_pc", "eta_both")
LEARNED = "learnsys_cache"
BEST_TABLE, PICKER = "best table", "picker"
SHOWN = (*SIMPLE, BEST_TABLE, LEARNED, GUARD + LEARNED, PARROT, GUARD + PARROT, PICKER, "belady")
"""rows of the tables; what else there is to pick from is measured, but not shown"""
LAST, BEFORE, WHOLE = "last tenth", "validation, 80 to 90 %", "whole trace, cold"
PARTS = {LAST: (0.9, 1.0), BEFORE: VALIDATION, WHOLE: (0.0, 1.0)}
SAMPLED = "last tenth, the paper's 64 sets"
"""the last tenth, only what goes to the sets below"""
HEADROOM = 0.03
"""traces with less between LRU and Belady, in the part and over all sets, are controls and left out of means"""
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
    found: dict[str, Found] = {window: {} for window in (*PARTS, SAMPLED)}
    seeds = range(given.first_seed, given.first_seed + given.seeds)
    with progress_bar("simulating", len(traces) * len(seeds)) as advance, ThreadPoolExecutor(given.workers) as pool:
        for trace in traces:
            for of_seed in pool.map(partial(kept_or_measured, geometry, trace, given), seeds):
                for window, results in of_seed.items():
                    for name, result in results.items():
                        found[window].setdefault(name, {}).setdefault(trace, []).append(result)
                advance(1)
    candidates = [name for name in candidate_names() if name in found[BEFORE]]
    picks = choices(found[BEFORE], candidates)
    tables = choices(found[BEFORE], TABLES)
    for window in (LAST, BEFORE, SAMPLED):  # the whole trace holds what tables and Parrot have learnt from
        found[window] |= {BEST_TABLE: chosen(found[window], tables), PICKER: chosen(found[window], picks)}
    times = found[WHOLE]
    found[WHOLE] = {name: rows for name, rows in times.items() if name.removeprefix(GUARD) != PARROT}
    for part in PARTS:
        yield normalised(found[part], traces, f"{part}, all sets", found[part], found[SAMPLED] if part == LAST else {})
    yield normalised(found[SAMPLED], traces, SAMPLED, found[LAST])
    yield cost(times, traces)
    yield points(found[LAST], traces, f"Points of hit rate above LRU, {LAST}, all sets")
    yield picked(picks, traces, len(candidates))


def kept_or_measured(
    geometry: CacheGeometry, trace: str, given: argparse.Namespace, seed: int
) -> dict[str, dict[str, Result]]:
    """window -> policy -> result. With `given.keep` results stay in that folder, and only missing ones are measured."""
    path = None if given.keep is None else Path(given.keep) / f"{label(trace)}-{seed}.json"
    kept: Any = {} if path is None or not path.exists() else read_json(path)
    found = {window: {row["policy"]: Result(**row) for row in kept.get(window, [])} for window in (*PARTS, SAMPLED)}
    folder = None if given.parrot is None else Path(given.parrot) / f"{label(trace)}-{seed}"
    names = [name for name in candidate_names() if folder is not None or name.removeprefix(GUARD) != PARROT]
    missing = [name for name in (*names, "belady") if any(name not in results for results in found.values())]
    if missing:
        measured = measure(trace, geometry, missing, folder, seed)
        found = {window: results | measured[window] for window, results in found.items()}
        if path is not None:
            content = {window: [asdict(result) for result in results.values()] for window, results in found.items()}
            write_json(path, content)
    return {window: {name: results[name] for name in (*names, "belady")} for window, results in found.items()}


def measure(
    trace: str, geometry: CacheGeometry, names: Sequence[str], folder: Path | None, seed: int
) -> dict[str, dict[str, Result]]:
    """Results by window. Each policy runs once over the whole trace and is counted in every window."""
    read = read_trace(trace)
    accesses = Accesses.prepare(read.address, read.pc, geometry)
    n = len(accesses)
    ran: dict[str, tuple[NDArray[np.uint8], float]] = {}
    for name in dict.fromkeys(("lru", "belady", *names)):
        if name in ran:
            continue
        before = time.thread_time()
        if name == "belady":
            ran[name] = simulate(make_set_policy(name), accesses, geometry), time.thread_time() - before
        elif name.removeprefix(GUARD) == LEARNED:
            ran |= guarded_and_not(LEARNED, make_set_policy(LEARNED), {}, accesses, geometry, seed)
        elif name.removeprefix(GUARD) == PARROT:
            victims = load_learned_policy(PARROT, str(folder)).victims(accesses, geometry)
            spent = time.thread_time() - before
            found = guarded_and_not(PARROT, Replay(), {"policy/victims": victims}, accesses, geometry, seed)
            ran |= {name: (hits, spent + seconds) for name, (hits, seconds) in found.items()}
        else:
            ran[name] = run_candidate(name, accesses, geometry, seed=seed)[0], time.thread_time() - before
    paper = np.isin(accesses.line_number[accesses.line] & np.uint64(geometry.sets - 1), PAPER_SETS)
    results: dict[str, dict[str, Result]] = {}
    for window in (*PARTS, SAMPLED):
        first, last = part_of(PARTS.get(window, PARTS[LAST]), n)
        counted = np.arange(first, last)
        if window == SAMPLED:
            counted = counted[paper[first:last]]
        tallies = {
            name: replace(Tally.of(hits[counted], 0, counted.size, seconds), simulated=n)
            for name, (hits, seconds) in ran.items()
        }
        results[window] = {result.policy: result for result in summarise(tallies, list(tallies))}
    return results


def guarded_and_not(
    name: str, policy: Any, learnt: State, accesses: Accesses, geometry: CacheGeometry, seed: int
) -> dict[str, tuple[NDArray[np.uint8], float]]:
    """Hits and CPU seconds of a learned policy, and of the guard around it, which contains it as its first shadow."""
    before = time.thread_time()
    guard, n = guarded(policy), len(accesses)
    simulation, hits = Simulation(guard, geometry, seed, learnt), np.zeros(n, np.uint8)
    guard.grow(simulation.state, accesses.line_number.size, accesses.pc_value.size)
    shadows = guard.follow(simulation.state, chunk_of(accesses, 0, n), hits)
    seconds = time.thread_time() - before
    return {name: (shadows[0], seconds), GUARD + name: (hits, seconds)}


def choices(rows: Found, names: Sequence[str]) -> dict[str, list[str]]:
    """trace -> for each seed the one of `names` with the best hit rate, of equals the first."""
    return {
        trace: [max(names, key=lambda name: rows[name][trace][seed].hit_rate) for seed in range(len(results))]
        for trace, results in rows["lru"].items()
    }


def chosen(rows: Found, names: dict[str, list[str]]) -> dict[str, list[Result]]:
    """trace -> one result for each seed, of the policy that was chosen for it."""
    return {trace: [rows[name][trace][seed] for seed, name in enumerate(of_trace)] for trace, of_trace in names.items()}


def normalised(
    rows: Found, traces: list[str], title: str, all_sets: Found, sampled: Found | None = None
) -> dict[str, Any]:
    """Mean and range over seeds for each trace, and the mean over the traces with headroom.

    Args:
        all_sets: what tells the headroom.
        sampled: the same policies on the sampled sets: their mean becomes one more column.
    """
    gap = {trace: all_sets["belady"][trace][0].hit_rate - all_sets["lru"][trace][0].hit_rate for trace in traces}
    counted = [trace for trace in traces if gap[trace] >= HEADROOM]
    lines = []
    for name in shown(rows):
        cells = [spread([result.normalised for result in rows[name][trace]]) for trace in traces]
        means = [mean_of(found[name], counted) for found in (rows, sampled) if found]
        lines.append([name, *cells, *means])
    headroom = ", ".join(f"{label(trace)} {100 * gap[trace]:.2f}" for trace in traces)
    return {
        "title": f"Normalised hit rate, {title}",
        "columns": ["policy", *(label(trace) for trace in traces), "mean", *(["mean, 64 sets"] if sampled else [])],
        "rows": lines,
        "notes": [
            f"Points between LRU and Belady, all sets: {headroom}. The mean is over those with {100 * HEADROOM:g} or "
            "more. Mean over seeds, in brackets the lowest and the highest."
        ],
    }


def mean_of(results: dict[str, list[Result]], traces: list[str]) -> str:
    """The mean over `traces`, and its range over seeds."""
    if not traces:
        return "-"
    return spread(np.mean([[result.normalised for result in results[trace]] for trace in traces], 0).tolist(), 3)


def points(rows: Found, traces: list[str], title: str) -> dict[str, Any]:
    """Points of hit rate above LRU: mean and range over seeds."""
    lines = []
    for name in shown(rows)[1:]:
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


def picked(picks: dict[str, list[str]], traces: list[str], candidates: int) -> dict[str, Any]:
    """What the picker took, and how often."""
    counts = [Counter(picks[trace]).most_common() for trace in traces]
    return {
        "title": f"What the picker chose among {candidates} by hit rate from 80 to 90 %",
        "columns": ["trace", "chosen (seeds)"],
        "rows": [
            [label(trace), ", ".join(f"{name} ({times})" for name, times in of_trace)]
            for trace, of_trace in zip(traces, counts, strict=True)
        ],
        "notes": [],
    }


def shown(rows: Found) -> list[str]:
    """The policies in the order of the tables."""
    return [name for name in SHOWN if name in rows]


def label(trace: str) -> str:
    return Path(trace).stem.removeprefix("sample:")


def spread(values: list[float], digits: int = 2) -> str:
    """Mean, and the range where there is one: "+0.31 (+0.28, +0.33)"."""
    if np.isnan(values).any():
        return "-"
    text = f"{np.mean(values):+.{digits}f}"
    return text if np.ptp(values) == 0 else f"{text} ({min(values):+.{digits}f}, {max(values):+.{digits}f})"
