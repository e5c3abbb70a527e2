"""Set-associative LRU beside pycachesim, and fully associative LRU beside cachetools."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from learnsys.envs.cache.accesses import Accesses
from learnsys.envs.cache.bounds import lru_hits
from learnsys.envs.cache.geometry import CacheGeometry
from learnsys.policies.cache.object_simulation import simulate_objects

from .cache_objects import cpu_seconds, scrambled_zipf

GEOMETRY = CacheGeometry(capacity=2 * 2**20, ways=16)


def beside_pycachesim(seed: int, repeats: int, quick: bool) -> Iterator[dict[str, Any]]:
    """Accesses per second of one set-associative cache, and of one cache of objects."""
    from cachesim import Cache, CacheSimulator, MainMemory
    from cachetools import LRUCache

    n = 50_000 if quick else 1_000_000
    numbers = scrambled_zipf(n, n // 5, 0.8, seed) % np.uint64(2**40)
    accesses = Accesses.prepare(numbers * np.uint64(64), None, GEOMETRY)
    addresses = (numbers * np.uint64(64)).tolist()
    objects = accesses.line.tolist()
    capacity = accesses.line_number.size // 10

    def pycachesim() -> tuple[Any, Any]:
        memory = MainMemory()
        cache = Cache("LLC", GEOMETRY.sets, GEOMETRY.ways, GEOMETRY.line_size, "LRU")
        memory.load_to(cache)
        memory.store_from(cache)
        return CacheSimulator(cache, memory), cache

    def one_call_each() -> int:
        simulator, cache = pycachesim()
        for address in addresses:
            simulator.load(address)
        return cache.stats()["HIT_count"]

    def one_call_for_all() -> int:
        simulator, cache = pycachesim()
        simulator.load(addresses)
        return cache.stats()["HIT_count"]

    def cachetools() -> int:
        cache: LRUCache[int, bool] = LRUCache(capacity)
        hits = 0
        for i in objects:
            if cache.get(i):
                hits += 1
            else:
                cache[i] = True
        return hits

    def ours() -> int:
        return int(lru_hits(accesses, GEOMETRY.sets, GEOMETRY.ways).sum())

    def ours_objects() -> int:
        return int(simulate_objects("lru", accesses.line, accesses.line_number.size, capacity).sum())

    rivals: dict[str, tuple[Callable[[], int], Callable[[], int]]] = {
        "pycachesim, a call for each": (ours, one_call_each),
        "pycachesim, a call for all": (ours, one_call_for_all),
        "cachetools": (ours_objects, cachetools),
    }
    rows, ratios = [], []
    for label, (mine, theirs) in rivals.items():
        seconds: dict[str, list[float]] = {"ours": [], "theirs": []}
        hits = {"ours": mine()}  # kernels are loaded before anything is measured
        for _ in range(1 if quick else repeats):
            for kind, call in (("theirs", theirs), ("ours", mine)):
                spent, hits[kind] = cpu_seconds(call)
                seconds[kind].append(max(spent, 1e-6))
        best = {kind: min(spent) for kind, spent in seconds.items()}
        middle = {kind: float(np.median(spent)) for kind, spent in seconds.items()}
        ratios.append((best["theirs"] / best["ours"], middle["theirs"] / middle["ours"]))
        rows.append(
            [
                label,
                *(f"{n / best[kind] / 1e6:.1f}" for kind in ("ours", "theirs")),
                *(f"{ratio:.1f}" for ratio in ratios[-1]),
                str(hits["ours"]),
                "equal" if hits["ours"] == hits["theirs"] else f"{hits['theirs'] - hits['ours']:+}",
            ]
        )
    yield {
        "title": f"LRU, 2 MiB in 16 ways (cachetools: {capacity:,} objects), {n:,} accesses: millions per CPU s",
        "columns": ["beside", "ours", "theirs", "ratio", "of medians", "hits", "apart"],
        "rows": rows,
        "notes": [
            "against pycachesim called for each access, wanted 30: {:.1f} (best), {:.1f} (median)".format(*ratios[0]),
            "against pycachesim called once for a list: {:.1f} (best), {:.1f} (median)".format(*ratios[1]),
        ],
    }
