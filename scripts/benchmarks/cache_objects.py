"""Object caches beside libcachesim: the same trace, capacities and process, in turns."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learnsys.envs.cache.accesses import DenseIds, next_uses
from learnsys.policies.cache.object_simulation import simulate_objects
from learnsys.policies.cache.registry import make_object_policy
from learnsys.traces import Trace, write_trace
from learnsys.traces.synthetic import synthesize

SIX = {"lru": "LRU", "fifo": "FIFO", "clock": "Clock", "sieve": "Sieve", "s3fifo": "S3FIFO", "belady": "Belady"}
"""our policies -> libcachesim's classes; misses must be equal"""
OTHERS = {"lfu": "LFU", "arc": "ARC", "lirs": "LIRS", "w_tinylfu": "WTinyLFU"}
"""the same, where the definitions leave choices open"""
SHARES = (0.01, 0.1)


def scrambled_zipf(n: int, objects: int, alpha: float, seed: int) -> NDArray[np.uint64]:
    """64-bit keys, uint64 (n,), of independent Zipf requests: ranks times an odd constant, so that nothing is dense."""
    return synthesize("zipf", n, seed, objects=objects, alpha=alpha).address * np.uint64(0xD1342543DE82EF95)


def cpu_seconds(function: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of a call, and what it returned."""
    before = time.process_time()
    value = function()
    return time.process_time() - before, value


def geometric_mean(values: list[float]) -> float:
    return math.exp(sum(math.log(value) for value in values) / len(values))


class Comparison:
    """One trace, in memory for us and as a memory-mapped oracleGeneral file for libcachesim."""

    def __init__(self, keys: NDArray[np.uint64], folder: Path) -> None:
        import libcachesim

        self.peer = libcachesim
        self.keys = keys
        self.ids, self.n_ids = self.map()
        self.next_use = next_uses(self.ids, self.n_ids)
        path = folder / "trace.oracleGeneral"
        write_trace(path, Trace(address=keys, size=np.ones(keys.size, np.uint32), objects=True))
        options = libcachesim.ReaderInitParam(ignore_obj_size=True)
        self.reader = libcachesim.TraceReader(str(path), libcachesim.TraceType.ORACLE_GENERAL_TRACE, options)

    def map(self) -> tuple[NDArray[np.int32], int]:
        dense = DenseIds()
        return dense.map(self.keys), len(dense)

    def ours(self, name: str, capacity: int, prepared: bool) -> int:
        """Misses; ids (and Belady's next uses) are computed here unless `prepared`."""
        future = make_object_policy(name).needs_future
        ids, n_ids = (self.ids, self.n_ids) if prepared else self.map()
        next_use = (self.next_use if prepared else next_uses(ids, n_ids)) if future else None
        hits = simulate_objects(name, ids, n_ids, capacity, next_use=next_use)
        return self.keys.size - int(np.count_nonzero(hits))

    def theirs(self, name: str, capacity: int) -> int:
        """Misses; the table is made for the number of objects, as libcachesim advises."""
        cache = getattr(self.peer, name)(capacity, hashpower=math.ceil(math.log2(self.n_ids)))
        return round(cache.process_trace(self.reader)[0] * self.keys.size)

    def measure(self, name: str, peer: str, capacity: int, repeats: int) -> dict[str, Any]:
        """CPU seconds of `repeats` runs of each kind, in turns, and misses."""
        simulate_objects(name, self.ids[:1], 1, 1)  # kernels are loaded before anything is measured
        seconds: dict[str, list[float]] = {"simulation": [], "all": [], "peer": []}
        misses = {}
        for _ in range(repeats):
            self.reader.reset()
            for kind, call in (
                ("peer", lambda: self.theirs(peer, capacity)),
                ("all", lambda: self.ours(name, capacity, prepared=False)),
                ("simulation", lambda: self.ours(name, capacity, prepared=True)),
            ):
                spent, misses[kind] = cpu_seconds(call)
                seconds[kind].append(max(spent, 1e-6))
        return {"policy": name, "seconds": seconds, "misses": misses["simulation"], "their_misses": misses["peer"]}


def beside_libcachesim(seed: int, repeats: int, quick: bool) -> Iterator[dict[str, Any]]:
    """Requests per second of every policy at two capacities, without and with the preparation of ids."""
    requests, objects = (200_000, 20_000) if quick else (10_000_000, 1_000_000)
    with tempfile.TemporaryDirectory(prefix="learnsys-") as folder:
        comparison = Comparison(scrambled_zipf(requests, objects, 1.0, seed), Path(folder))
        found = {
            f"{name} {share:.0%}": comparison.measure(
                name, peer, int(share * comparison.n_ids), 1 if quick else repeats
            )
            for name, peer in (SIX | OTHERS).items()
            for share in SHARES
        }
    equal = all(each["misses"] == each["their_misses"] for each in found.values() if each["policy"] in SIX)
    for label, statistic in (("best", min), ("median", np.median)):
        rows = []
        ratios: dict[str, list[float]] = {"simulation": [], "all": []}
        for name, each in found.items():
            spent = {kind: float(statistic(seconds)) for kind, seconds in each["seconds"].items()}
            ratio = {kind: spent["peer"] / spent[kind] for kind in ratios}
            if each["policy"] in SIX:
                for kind, values in ratios.items():
                    values.append(ratio[kind])
            apart = each["misses"] / each["their_misses"] - 1
            rows.append(
                [
                    name,
                    *(f"{requests / spent[kind] / 1e6:.1f}" for kind in ("simulation", "all", "peer")),
                    *(f"{ratio[kind]:.1f}" for kind in ratios),
                    str(each["misses"]),
                    "equal" if apart == 0 else f"{apart:+.2%}",
                ]
            )
        means = {kind: geometric_mean(values) for kind, values in ratios.items()}
        yield {
            "title": f"Zipf(1.0), {requests:,} requests, {comparison.n_ids:,} objects: million requests per CPU s, "
            f"{label} of {1 if quick else repeats} runs",
            "columns": ["policy", "ours", "+ ids", "theirs", "ratio", "+ ids", "misses", "apart"],
            "rows": rows,
            "means": means,
            "notes": [
                f"misses of {', '.join(SIX)} equal to libcachesim's: {'yes' if equal else 'NO'}",
                f"geometric mean of their ratios: {means['simulation']:.1f} (wanted 12); with ids and next uses "
                f"computed each time: {means['all']:.1f} (wanted 4)",
            ],
        }
