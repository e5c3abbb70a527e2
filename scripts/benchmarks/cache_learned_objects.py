"""Miss ratios of the learned object cache beside the simple policies, and libcachesim's LRB and 3L-Cache."""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.cache_objects import Comparison
from learnsys.cli.console import progress_bar
from learnsys.envs.cache.accesses import DenseIds
from learnsys.policies.cache.object_simulation import simulate_objects
from learnsys.policies.cache.registry import GUARD, make_object_policy
from learnsys.traces import read_trace

SIMPLE = ("lru", "s3fifo", "sieve", "arc", "w_tinylfu")
LEARNED = ("learnsys_cache", f"{GUARD}learnsys_cache")
PEERS = {"LRB (libcachesim)": "LRB", "3L-Cache (libcachesim)": "ThreeLCache"}
SHARES = (0.01, 0.1)
PEERS_UP_TO = 1_000_000
"""requests of the longest trace on which peers are run: they need up to a tenth of a millisecond for each miss"""


def learned_objects(given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A table of miss ratios and one of times; nothing without object traces."""
    if not given.objects:
        return
    misses: dict[str, list[str]] = {}
    microseconds: dict[str, list[str]] = {}
    columns = ["policy"]
    with progress_bar("simulating object caches", len(given.objects) * len(SHARES)) as advance:
        for path in given.objects:
            keys = read_trace(path).address[: given.requests]
            dense = DenseIds()
            ids = dense.map(keys)
            for share in SHARES:
                capacity = int(share * len(dense))
                columns.append(f"{Path(path).name.split('.')[0]} {share:.0%}")
                for name in (*SIMPLE, *LEARNED, "belady"):
                    _enter(misses, microseconds, name, of_ours(name, ids, len(dense), capacity, given.seeds), ids.size)
                if importlib.util.find_spec("libcachesim") is not None:
                    for peer_name, runs in of_peers(keys, capacity).items():
                        _enter(misses, microseconds, peer_name, runs, ids.size)
                advance(1)
    order = [*SIMPLE, *(label for label in PEERS if label in misses), *LEARNED, "belady"]
    notes = [
        "Mean over seeds, in brackets the lowest and the highest. All objects count as equally large.",
        f"LRB and 3L-Cache are run on traces of at most {PEERS_UP_TO:,} requests, with the windows that libcachesim "
        "sets: its interface offers none (an unknown parameter ends the process).",
    ]
    for title, found in (("Miss ratios of object caches, %", misses), ("Microseconds for each request", microseconds)):
        yield {"title": title, "columns": columns, "rows": [[name, *found[name]] for name in order], "notes": notes}
        notes = []


Runs = list[tuple[float, float]]
"""(miss ratio of the whole trace from an empty cache, CPU seconds) of each seed"""


def of_ours(name: str, ids: NDArray[np.int32], n_ids: int, capacity: int, seeds: int) -> Runs:
    """The learned policy, guarded or not, under several seeds, others under one."""
    simulate_objects(name, ids[:1], 1, 1)  # kernels are loaded before anything is measured

    def run(seed: int) -> float:
        return 1 - float(np.mean(simulate_objects(make_object_policy(name), ids, n_ids, capacity, seed=seed)))

    return [timed(partial(run, seed)) for seed in range(seeds if name in LEARNED else 1)]


def of_peers(keys: NDArray[np.uint64], capacity: int) -> dict[str, Runs]:
    """The classes of libcachesim; none on long traces."""
    if keys.size > PEERS_UP_TO:
        return {label: [] for label in PEERS}
    with tempfile.TemporaryDirectory(prefix="learnsys-") as folder:
        comparison = Comparison(keys, Path(folder))
        found: dict[str, Runs] = {}
        for label, peer in PEERS.items():
            comparison.reader.reset()
            misses, seconds = timed(partial(comparison.theirs, peer, capacity))
            found[label] = [(misses / keys.size, seconds)]
    return found


def timed(call: Callable[[], float]) -> tuple[float, float]:
    """What a call returns, and its CPU seconds."""
    before = time.process_time()
    return call(), time.process_time() - before


def _enter(
    misses: dict[str, list[str]], microseconds: dict[str, list[str]], name: str, runs: list[tuple[float, float]], n: int
) -> None:
    ratios = [100 * ratio for ratio, _ in runs]
    spread = f" ({min(ratios):.1f}, {max(ratios):.1f})" if len(runs) > 1 else ""
    misses.setdefault(name, []).append(f"{np.mean(ratios):.1f}{spread}" if runs else "-")
    seconds = float(np.mean([spent for _, spent in runs])) if runs else 0
    microseconds.setdefault(name, []).append(f"{1e6 * seconds / n:.2f}" if runs else "-")
