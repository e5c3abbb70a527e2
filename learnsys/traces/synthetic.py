"""Synthetic workloads: access patterns with a known shape, for tests, examples and first experiments."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from learnsys.errors import InputError
from learnsys.lookup import look_up
from learnsys.traces.trace import Trace

_LINE = 64
_CODE = 0x400000
_DATA = 0x10000000


def _accesses(line: NDArray[np.int64], instruction: NDArray[np.int64] | int) -> Trace:
    """An address trace of line numbers, int64 (n,), accessed by instructions with small numbers."""
    instruction = np.broadcast_to(instruction, line.shape)
    return Trace(
        address=(_DATA + _LINE * line).astype(np.uint64),
        pc=(_CODE + 4 * instruction).astype(np.uint64),
    )


def cyclic_scan(n: int, rng: Generator, *, lines: int = 49152) -> Trace:
    """One instruction runs over `lines` lines again and again: LRU's worst case when they do not fit."""
    return _accesses(np.arange(n) % lines, 0)


def stream_hot(n: int, rng: Generator, *, hot: int = 16384, share: float = 0.5) -> Trace:
    """A `share` of accesses, by eight instructions, goes to `hot` lines at random; the rest streams past, by one."""
    if not 0 <= share <= 1:
        raise InputError(f"a share of {share:g} is not between 0 and 1")
    is_hot = rng.random(n) < share
    line = np.where(is_hot, rng.integers(hot, size=n), hot + np.cumsum(~is_hot) - 1)
    return _accesses(line, np.where(is_hot, 1 + line % 8, 0))


def pointer_chase(n: int, rng: Generator, *, lines: int = 49152, chains: int = 4) -> Trace:
    """`chains` linked lists of `lines` lines in all, in random order in memory, are followed in turn."""
    if chains > lines:
        raise InputError(f"{chains} chains cannot be made of {lines} lines")
    order = rng.permutation(lines)
    chain = np.arange(n) % chains
    length = (lines - 1 - chain) // chains + 1
    step = np.arange(n) // chains % length
    return _accesses(order[chain + chains * step], chain)


def phases(n: int, rng: Generator, *, length: int = 50000, kinds: int = 4, lines: int = 24576) -> Trace:
    """Phases of `length` accesses take turns; each of the `kinds` has instructions and `lines` lines of its own.

    Even ones scan their lines in a loop, odd ones access theirs at random, a few much more often than the others.
    """
    t = np.arange(n)
    kind = t // length % kinds
    scanned = t % lines
    drawn = np.minimum(rng.exponential(lines / 4, n).astype(np.int64), lines - 1)
    return _accesses(kind * lines + np.where(kind % 2 == 0, scanned, drawn), kind)


def loops(n: int, rng: Generator, *, arrays: int = 4, lines: int = 4096, growth: float = 2.0) -> Trace:
    """Arrays of `lines`, `lines * growth`, ... lines are scanned one after the other, in a loop, each by its own
    instruction: what recurs soon and what recurs late can be told from the PC.
    """
    if not 1 <= growth <= 100:
        raise InputError(f"a growth of {growth:g} is not between 1 and 100")
    if arrays > 64 or lines * growth**arrays > 2**40:
        raise InputError(f"{arrays} arrays that grow from {lines} lines by {growth} are too large")
    ends = np.cumsum((lines * growth ** np.arange(arrays)).astype(np.int64))
    line = np.arange(n) % ends[-1]
    return _accesses(line, np.searchsorted(ends, line, side="right"))


def zipf(n: int, rng: Generator, *, objects: int = 100000, alpha: float = 0.9) -> Trace:
    """Independent requests; the object of popularity rank k (from 1) is drawn in proportion to k^-alpha."""
    return Trace(address=_zipf_ranks(n, rng, objects, alpha).astype(np.uint64), objects=True)


def zipf_churn(n: int, rng: Generator, *, objects: int = 100000, alpha: float = 0.9, lifetime: int = 200000) -> Trace:
    """As `zipf`, but the object of each rank is replaced by a new one every `lifetime` requests, at its own time."""
    rank = _zipf_ranks(n, rng, objects, alpha)
    version = (np.arange(n) + rng.integers(lifetime, size=objects)[rank]) // lifetime
    return Trace(address=(rank + objects * version).astype(np.uint64), objects=True)


def _zipf_ranks(n: int, rng: Generator, objects: int, alpha: float) -> NDArray[np.int64]:
    if not 0 <= alpha <= 10:
        raise InputError(f"an alpha of {alpha:g} is not between 0 and 10")
    weights = np.cumsum(np.arange(1, objects + 1, dtype=np.float64) ** -alpha)
    return np.minimum(np.searchsorted(weights, rng.random(n) * weights[-1], side="right"), objects - 1)


KINDS: dict[str, Callable[..., Trace]] = {
    "cyclic-scan": cyclic_scan,
    "stream-hot": stream_hot,
    "pointer-chase": pointer_chase,
    "phases": phases,
    "loops": loops,
    "zipf": zipf,
    "zipf-churn": zipf_churn,
}
"""name -> function(n, rng, **parameters)"""


def kind_parameters(kind: str) -> dict[str, int | float]:
    """The parameters of a kind, with their defaults.

    Raises:
        InputError: no kind is called that.
    """
    parameters = inspect.signature(look_up(KINDS, kind, "synthetic trace")).parameters.values()
    return {each.name: each.default for each in parameters if each.kind is each.KEYWORD_ONLY}


def synthesize(kind: str, n: int, seed: int = 0, **parameters: float) -> Trace:
    """A synthetic trace; equal arguments give equal traces.

    Args:
        kind: a name in `KINDS`.
        n: accesses.
        seed: of the random numbers.
        parameters: those of the kind's function, where they shall differ from its defaults.

    Raises:
        InputError: unknown kind or parameter, or an impossible value.
    """
    known = kind_parameters(kind)
    if n < 1 or seed < 0:
        raise InputError(f"{n} accesses with seed {seed} cannot be made", remedy="give n >= 1 and seed >= 0")
    for name, value in parameters.items():
        if name not in known:
            raise InputError(f"{kind} has no parameter {name!r}", remedy=f"choose from {', '.join(known)}")
        if isinstance(known[name], int) and not (1 <= value < 2**40 and value == int(value)):
            raise InputError(f"{name}={value:g} of {kind} is no whole number from 1 to 2^40")
    chosen = {name: int(value) if isinstance(known[name], int) else float(value) for name, value in parameters.items()}
    return KINDS[kind](n, np.random.default_rng(seed), **chosen)
