"""What episodes are cut from: traces, reduced to some cache sets and to a part of their time, made ready once."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
from numba import njit
from numpy.typing import NDArray

from learnsys.envs.cache.accesses import NEVER, Accesses
from learnsys.envs.cache.bounds import belady_hits, lru_hits
from learnsys.envs.cache.geometry import CacheGeometry
from learnsys.errors import InputError
from learnsys.lookup import look_up
from learnsys.traces.trace import Trace

TraceSource = str | os.PathLike[str] | Trace | Mapping[str, Any]
"""A trace file or `sample:NAME`, a trace in memory, or the arguments of `learnsys.traces.synthetic.synthesize`."""

PARTS = {"all": (0.0, 1.0), "train": (0.0, 0.8), "valid": (0.8, 0.9), "test": (0.9, 1.0)}
"""Parts of a trace by name: the split by time of Liu et al., "An Imitation Learning Approach for Cache
Replacement", ICML 2020."""

PARROT_SETS = (
    *(6, 35, 38, 53, 67, 70, 113, 143, 157, 196, 287, 324, 332, 348, 362, 398, 406, 456, 458, 488, 497, 499),
    *(558, 611, 718, 725, 754, 775, 793, 822, 862, 895, 928, 1062, 1086, 1101, 1102, 1137, 1144, 1175, 1210, 1211),
    *(1223, 1237, 1268, 1308, 1342, 1348, 1353, 1424, 1437, 1456, 1574, 1599, 1604, 1662, 1683, 1782, 1789, 1812),
    *(1905, 1940, 1967, 1973),
)
"""The 64 of 2048 sets that the same paper keeps."""


@njit(["void(int32[:], int32[:], int32[:])"], cache=True, nogil=True)
def _previous(ids, last, previous):
    for t in range(ids.size):
        previous[t] = last[ids[t]]
        last[ids[t]] = t


def _previous_of(ids: NDArray[np.int32], n_ids: int) -> NDArray[np.int32]:
    previous = np.empty(ids.size, np.int32)
    _previous(ids, np.full(n_ids, -1, np.int32), previous)
    return previous


@dataclass(frozen=True, eq=False)
class Instances:
    """Prepared traces, end to end in one set of arrays.

    `accesses.row` numbers the kept sets from 0; ids of lines and program counters differ between traces.
    """

    accesses: Accesses
    spans: tuple[tuple[int, int], ...]
    """first and last-plus-one access of each trace"""
    sets: int
    """sets kept, the rows of each cache"""
    geometry: CacheGeometry

    @cached_property
    def line_bits(self) -> int:
        return self.geometry.line_bits

    @cached_property
    def all_sets(self) -> int:
        """Sets of the cache, those left out included."""
        return self.geometry.sets

    @cached_property
    def previous_use(self) -> NDArray[np.int32]:
        """Index of the previous access to the same line, -1 where there is none; int32 (n,)."""
        return _previous_of(self.accesses.line, self.accesses.line_number.size)

    @cached_property
    def previous_in_set(self) -> NDArray[np.int32]:
        """Index of the previous access to the same set, -1 where there is none (it may be another trace's); (n,)."""
        return _previous_of(self.accesses.row, self.sets)

    @cached_property
    def _bounds(self) -> dict[tuple[int, int, bool], tuple[float, float]]:
        return {}

    def bounds(self, begin: int, end: int, bypass: bool) -> tuple[float, float]:
        """Hit rates of LRU and of Belady on accesses `begin` to `end`, from an empty cache."""
        key = begin, end, bypass
        if key not in self._bounds:
            if len(self._bounds) >= 2**16:
                self._bounds.clear()
            a, part = self.accesses, slice(begin, end)
            window = replace(a, line=a.line[part], pc=a.pc[part], row=a.row[part], next_use=a.next_use[part])
            ways = self.geometry.ways
            lru = float(lru_hits(window, self.sets, ways).mean())
            self._bounds[key] = lru, float(belady_hits(window, self.sets, ways, bypass).mean())
        return self._bounds[key]

    def window(
        self,
        generator: np.random.Generator,
        trace: int | None = None,
        length: int | None = None,
        random_start: bool = False,
        start: int | None = None,
    ) -> tuple[int, int]:
        """First and last-plus-one access of an episode.

        Args:
            generator: draws the trace (of several, unless `trace` tells) and the start.
            trace: number of the trace.
            length: accesses in the episode, None for all that follow the start.
            random_start: draw the start among those that leave room for `length` accesses.
            start: the start, counted from the trace's first (kept) access.

        Raises:
            InputError: `trace` or `start` is not in range.
        """
        if trace is None:
            trace = int(generator.integers(len(self.spans))) if len(self.spans) > 1 else 0
        elif not 0 <= trace < len(self.spans):
            raise InputError(f"there is no trace {trace}", remedy=f"give a number below {len(self.spans)}")
        first, last = self.spans[trace]
        if start is not None:
            if not 0 <= start < last - first:
                raise InputError(
                    f"the episode cannot start at access {start}", remedy=f"give a start below {last - first}"
                )
            first += start
        elif random_start and length is not None and last - first > length:
            first += int(generator.integers(last - first - length + 1))
        return first, last if length is None else min(last, first + length)

    def split(self, parts: int) -> Instances:
        """Each trace cut into `parts` groups of sets, in the order trace 0 group 0, trace 0 group 1, ...

        Set number s (of the kept ones) goes to group s % parts, so every group is an independent stream.

        Raises:
            InputError: there are fewer sets than parts.
        """
        if parts > self.sets:
            raise InputError(f"{self.sets} sets cannot be split among {parts}", remedy="ask for fewer environments")
        a, pieces = self.accesses, []
        for first, last in self.spans:
            group = a.row[first:last] % parts
            for part in range(parts):
                index = first + np.flatnonzero(group == part)
                if index.size == 0:
                    raise InputError(f"the trace never touches sets {part}, {part + parts}, ...", remedy="use fewer")
                follow = a.next_use[index]
                known = follow != NEVER
                follow[known] = np.searchsorted(index, follow[known])
                piece = replace(a, line=a.line[index], pc=a.pc[index], row=a.row[index] // parts, next_use=follow)
                pieces.append(piece)
        return _join(pieces, -(-self.sets // parts), self.geometry, shared_ids=True)


def _join(pieces: Sequence[Accesses], sets: int, geometry: CacheGeometry, shared_ids: bool = False) -> Instances:
    ends = np.cumsum([len(piece) for piece in pieces]).tolist()
    spans = tuple(zip([0, *ends[:-1]], ends, strict=True))
    if len(pieces) == 1:
        return Instances(pieces[0], spans, sets, geometry)
    if ends[-1] >= NEVER:
        raise InputError(f"{ends[-1]} accesses are too many together", remedy="give fewer or shorter traces")
    columns: dict[str, list[NDArray[Any]]] = {name: [] for name in ("line", "pc", "row", "next_use")}
    lines = pcs = 0
    for piece, (first, _) in zip(pieces, spans, strict=True):
        columns["line"].append(piece.line + np.int32(lines))
        columns["pc"].append(piece.pc + np.int32(pcs))
        columns["row"].append(piece.row)
        columns["next_use"].append(np.where(piece.next_use == NEVER, NEVER, piece.next_use + np.int32(first)))
        if not shared_ids:
            lines += piece.line_number.size
            pcs += piece.pc_value.size
    numbers, values = pieces[0].line_number, pieces[0].pc_value
    if not shared_ids:
        numbers = np.concatenate([piece.line_number for piece in pieces])
        values = np.concatenate([piece.pc_value for piece in pieces])
    joined = {name: np.concatenate(column) for name, column in columns.items()}
    return Instances(Accesses(**joined, line_number=numbers, pc_value=values), spans, sets, geometry)


def choose_sets(sets: str | int | Iterable[int], geometry: CacheGeometry) -> tuple[int, ...] | None:
    """The sets to keep, ascending; None for all.

    Args:
        sets: "all", "parrot" (`PARROT_SETS`), a number of sets to sample (always the same ones), or their numbers.

    Raises:
        InputError: no such choice, or sets that the cache does not have.
    """
    if isinstance(sets, str) and sets not in ("all", "parrot"):
        raise InputError(f"{sets!r} is no choice of sets", remedy="give 'all', 'parrot', a number or a list of numbers")
    if isinstance(sets, str) and sets == "all":
        return None
    if isinstance(sets, int | np.integer):
        if not 1 <= sets <= geometry.sets:
            raise InputError(f"{sets} sets cannot be sampled from {geometry.sets}")
        return tuple(sorted(np.random.default_rng(0).permutation(geometry.sets)[: int(sets)].tolist()))
    chosen = sorted({int(each) for each in (PARROT_SETS if isinstance(sets, str) else sets)})
    if not chosen or chosen[0] < 0 or chosen[-1] >= geometry.sets:
        raise InputError(
            f"the chosen sets are not among the cache's {geometry.sets}", remedy=f"choose from 0 to {geometry.sets - 1}"
        )
    return tuple(chosen)


def choose_part(part: str | Sequence[float]) -> tuple[float, float]:
    """Two fractions of a trace's length, from a name in `PARTS` or a pair.

    Raises:
        InputError: neither, or not in order.
    """
    if isinstance(part, str):
        return look_up(PARTS, part, "part of a trace")
    low, high = (float(each) for each in part) if len(part) == 2 else (1.0, 0.0)
    if not 0.0 <= low < high <= 1.0:
        raise InputError(f"{part!r} is no part of a trace", remedy="give two fractions such as (0.8, 1.0)")
    return low, high


_READY: WeakValueDictionary[Any, Accesses] = WeakValueDictionary()
"""Prepared traces still in use, so that many environments in a process share one copy."""


def load_instances(
    trace: TraceSource | Sequence[TraceSource],
    geometry: CacheGeometry,
    sets: str | int | Iterable[int] = "all",
    part: str | Sequence[float] = "all",
) -> Instances:
    """Read and prepare one trace or several.

    Raises:
        InputError: a trace cannot be read, holds object ids, or has no access in the chosen part and sets.
    """
    several = isinstance(trace, Sequence) and not isinstance(trace, str)
    sources: Sequence[TraceSource] = trace if several else [trace]  # type: ignore[assignment,list-item]
    if not sources:
        raise InputError("an empty list of traces", remedy="give at least one trace")
    kept, fractions = choose_sets(sets, geometry), choose_part(part)
    pieces = [_prepare(source, geometry, kept, fractions) for source in sources]
    return _join(pieces, geometry.sets if kept is None else len(kept), geometry)


def _prepare(
    source: TraceSource, geometry: CacheGeometry, kept: tuple[int, ...] | None, part: tuple[float, float]
) -> Accesses:
    key: Any = None
    if isinstance(source, str | os.PathLike) and os.path.isfile(source):
        state = os.stat(source)
        key = os.path.abspath(source), state.st_mtime_ns, state.st_size, geometry, kept, part
    elif not isinstance(source, Trace):
        key = repr(source), geometry, kept, part
    accesses = None if key is None else _READY.get(key)
    if accesses is None:
        name = "the given trace" if isinstance(source, Trace) else str(source)
        accesses = _filtered(_read(source), name, geometry, kept, part)
        if key is not None:
            _READY[key] = accesses
    return accesses


def _read(source: TraceSource) -> Trace:
    if isinstance(source, Trace):
        return source
    if isinstance(source, Mapping):
        from learnsys.traces.synthetic import synthesize

        missing = {"kind", "n"} - set(source)
        if missing:
            raise InputError(f"a synthetic trace without {sorted(missing)[0]!r}", remedy="give its kind and n")
        return synthesize(**source)
    from learnsys.traces import read_trace

    return read_trace(source)


def _filtered(
    trace: Trace, name: str, geometry: CacheGeometry, kept: tuple[int, ...] | None, part: tuple[float, float]
) -> Accesses:
    if trace.objects:
        raise InputError(f"{name} holds object ids", remedy="give a trace of addresses")
    trace = trace[round(part[0] * len(trace)) : round(part[1] * len(trace))]
    address, pc = trace.address, trace.pc
    if kept is not None:
        row = (address >> np.uint64(geometry.line_bits)) & np.uint64(geometry.sets - 1)
        rank = np.full(geometry.sets, -1, np.int32)
        rank[list(kept)] = np.arange(len(kept))
        keep = rank[row] >= 0
        address, pc = address[keep], None if pc is None else pc[keep]
    if address.size == 0:
        raise InputError(f"{name} has no access in the chosen part and sets", remedy="choose more of it")
    accesses = Accesses.prepare(address, pc, geometry)
    return accesses if kept is None else replace(accesses, row=rank[accesses.row])
