"""What a trace holds: counts, reuse distances and the LRU miss-ratio curve, in one pass over its chunks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from learnsys.errors import InputError
from learnsys.traces.trace import Trace


def profile(chunks: Iterable[Trace], line_size: int = 64) -> dict[str, Any]:
    """Describe a trace; memory grows with its distinct lines and PCs, not with its length.

    Args:
        chunks: the trace.
        line_size: bytes in a line, for traces of addresses.

    Returns:
        A dictionary for JSON. `reuse_distances` counts the accesses whose LRU stack distance lies `from` .. `to`
        (None: first accesses); `lru_curve` gives the miss ratio of a fully associative LRU cache at capacities
        that double.

    Raises:
        InputError: `line_size` is no power of two, or there is no access.
    """
    from learnsys.envs.cache.accesses import DenseIds
    from learnsys.envs.cache.stack_distance import MissCurve, StackDistances

    if line_size < 1 or line_size & (line_size - 1):
        raise InputError(f"a line of {line_size} bytes is no power of two", remedy="use 32, 64 or 128")
    lines, pcs, distances = DenseIds(), DenseIds(), StackDistances()
    histogram = np.zeros(1, np.int64)
    sizes = np.zeros(0, np.int64)
    first: Trace | None = None
    accesses = stores = 0
    low = high = None
    for chunk in chunks:
        first = first or chunk
        accesses += len(chunk)
        key = chunk.address if chunk.objects else chunk.address >> np.uint64(line_size.bit_length() - 1)
        ids = lines.map(key)
        counts = np.bincount(distances.run(ids) + 1)
        histogram = np.pad(histogram, (0, max(0, counts.size - histogram.size)))
        histogram[: counts.size] += counts
        if chunk.pc is not None:
            pcs.map(chunk.pc)
        if chunk.store is not None:
            stores += int(np.count_nonzero(chunk.store))
        if chunk.size is not None:
            sizes = np.pad(sizes, (0, len(lines) - sizes.size))
            sizes[ids] = chunk.size
        if chunk.time is not None:
            low = int(chunk.time.min()) if low is None else min(low, int(chunk.time.min()))
            high = int(chunk.time.max()) if high is None else max(high, int(chunk.time.max()))
    if first is None:
        raise InputError("there are no accesses to describe")
    capacities = 2 ** np.arange(len(lines).bit_length() + (len(lines) & (len(lines) - 1) > 0))
    ratios = MissCurve(accesses, histogram[1:]).miss_ratio(capacities)
    return {
        "accesses": accesses,
        "objects": first.objects,
        "distinct": len(lines),
        "line_size": None if first.objects else line_size,
        "footprint_bytes": len(lines) * line_size if not first.objects else int(sizes.sum()) if sizes.size else None,
        "pcs": None if first.pc is None else len(pcs),
        "stores": None if first.store is None else stores,
        "time": None if low is None else [low, high],
        "reuse_distances": _buckets(histogram),
        "lru_curve": [
            {
                "capacity": int(capacity),
                "bytes": None if first.objects else int(capacity) * line_size,
                "miss_ratio": float(ratio),
            }
            for capacity, ratio in zip(capacities, ratios, strict=True)
        ],
    }


def _buckets(histogram: np.ndarray) -> list[dict[str, int | None]]:
    """Accesses by stack distance 0, 1, 2-3, 4-7, ..., and the first accesses, which stand at index 0."""
    buckets: list[dict[str, int | None]] = []
    start = 0
    while start < histogram.size - 1:
        stop = max(1, 2 * start)
        buckets.append({"from": start, "to": stop - 1, "accesses": int(histogram[1 + start : 1 + stop].sum())})
        start = stop
    buckets.append({"from": None, "to": None, "accesses": int(histogram[0])})
    return buckets
