"""Sequences of traces: cut to a length, joined, and filtered."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from learnsys.errors import InputError
from learnsys.traces.hierarchy import Hierarchy
from learnsys.traces.trace import Trace

COLUMNS: dict[str, Any] = {
    "pc": np.uint64,
    "address": np.uint64,
    "store": np.bool_,
    "size": np.uint32,
    "time": np.int64,
}
"""The columns of a trace, in the order in which files hold them, and their types."""


def columns_of(trace: Trace) -> dict[str, np.ndarray]:
    """The columns that `trace` has, by name."""
    return {name: getattr(trace, name) for name in COLUMNS if getattr(trace, name) is not None}


def recut(blocks: Iterable[Trace], n: int) -> Iterator[Trace]:
    """The same accesses in traces of exactly `n` accesses; only the last may be shorter, none is empty."""
    held: list[Trace] = []
    count = 0
    for block in blocks:
        while count + len(block) >= n:
            head, block = block[: n - count], block[n - count :]
            yield join([*held, head])
            held, count = [], 0
        if len(block):
            held.append(block)
            count += len(block)
    if held:
        yield join(held)


def join(blocks: list[Trace]) -> Trace:
    """One trace of several (at least one) with the same columns, in order.

    Raises:
        InputError: they differ in their columns or kind.
    """
    if len(blocks) == 1:
        return blocks[0]
    first = blocks[0]
    for block in blocks[1:]:
        check_alike(first, block)
    return Trace(
        objects=first.objects,
        **{name: np.concatenate([getattr(b, name) for b in blocks]) for name in columns_of(first)},
    )


def check_alike(first: Trace, other: Trace) -> None:
    """Check that two traces have the same columns and kind.

    Raises:
        InputError: they have not.
    """
    if columns_of(first).keys() != columns_of(other).keys() or first.objects != other.objects:
        raise InputError(
            f"chunks differ in their columns: {', '.join(columns_of(first))}, then {', '.join(columns_of(other))}",
            remedy="give every chunk the same columns and the same kind",
        )


def select(trace: Trace, mask: np.ndarray) -> Trace:
    """The accesses where `mask`, bool (n,), is set."""
    return Trace(objects=trace.objects, **{name: column[mask] for name, column in columns_of(trace).items()})


def filtered(blocks: Iterable[Trace], hierarchy: Hierarchy | None) -> Iterator[Trace]:
    """The accesses that miss both private caches; all of them where `hierarchy` is None."""
    if hierarchy is None:
        yield from blocks
        return
    from learnsys.traces.filters import CacheFilter

    caches = CacheFilter(hierarchy)
    for block in blocks:
        yield select(block, caches.apply(block.address))


LINE_BITS = 6
"""A line of 64 bytes, where a trace of one kind is written in a format of the other."""


def byte_addresses(trace: Trace) -> np.ndarray:
    """Byte addresses, uint64 (n,); an object gets a line of 64 bytes for itself.

    Raises:
        InputError: an object id needs more than 58 bits.
    """
    if not trace.objects:
        return trace.address
    if (trace.address >> np.uint64(64 - LINE_BITS)).any():
        raise InputError("object ids above 2^58 have no byte address", remedy="write another format, such as parquet")
    return trace.address << np.uint64(LINE_BITS)


def object_ids(trace: Trace) -> np.ndarray:
    """Object ids, uint64 (n,); an address trace gives the numbers of its 64-byte lines."""
    return trace.address if trace.objects else trace.address >> np.uint64(LINE_BITS)


def _available_memory() -> int:
    """Bytes that new arrays can take without swapping; where the system does not tell, no limit."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return sys.maxsize


def gather(blocks: Iterable[Trace]) -> Trace:
    """All accesses of `blocks` in one trace.

    Raises:
        InputError: there are none, they differ in their columns, or memory does not suffice.
    """
    first: Trace | None = None
    columns: dict[str, np.ndarray] = {}
    count, room = 0, _available_memory()
    for block in blocks:
        if first is None:
            first = block
            columns = {name: np.empty(len(block), COLUMNS[name]) for name in columns_of(block)}
        check_alike(first, block)
        if (count + len(block)) * sum(column.itemsize for column in columns.values()) > room:
            raise InputError(
                f"more than {count} accesses, which do not fit in the {room / 2**30:.1f} GiB of free memory",
                remedy="read in chunks (open_trace), or convert a part of the trace first",
            )
        if count + len(block) > columns["address"].size:
            for column in columns.values():
                column.resize(max(count + len(block), 2 * count), refcheck=False)
        for name, column in columns.items():
            column[count : count + len(block)] = getattr(block, name)
        count += len(block)
    if first is None:
        raise InputError("there are no accesses")
    for column in columns.values():
        column.resize(count, refcheck=False)
    return Trace(objects=first.objects, **columns)
