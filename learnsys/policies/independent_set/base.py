"""What a policy for maximum independent sets is."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from learnsys.errors import InputError
from learnsys.graphs.graph import Graph


@dataclass(frozen=True)
class Limits:
    """When a search stops: at whichever comes first.

    With iterations alone, results are a function of the graph and the seed; seconds depend on the machine.
    """

    seconds: float = math.inf
    """CPU seconds of this process"""
    iterations: int | None = None
    """of the policy's own kind, such as a perturbation or an exchange; None for no limit"""

    def __post_init__(self) -> None:
        if not self.seconds >= 0 or (self.iterations is not None and self.iterations < 0):
            raise InputError(
                f"seconds={self.seconds}, iterations={self.iterations} are no limits", remedy="give numbers from 0"
            )


Watch = Callable[[float, int], None]
"""told from time to time: CPU seconds spent, size of the best set so far"""
Stop = Callable[[], bool]
"""asked from time to time whether to end with what is found"""


def never() -> bool:
    """The `Stop` that goes on."""
    return False


class Clock:
    """Counts what a search spends, and notes when it improves.

    Attributes:
        limits: what it may spend.
        iterations: what it has spent; the policy counts.
        curve: (CPU seconds, iterations, size) at each improvement, sizes ascending.
        shift: vertices that `improved` adds, for a search on a part of the graph.
        stop: asked whether to end before the limits.
    """

    def __init__(self, limits: Limits, watch: Watch | None = None, stop: Stop = never) -> None:
        self.limits, self.stop = limits, stop
        self._watch = watch
        self.iterations = 0
        self.curve: list[tuple[float, int, int]] = []
        self.shift = 0
        self._start = time.process_time()

    @property
    def seconds(self) -> float:
        """CPU seconds since the start."""
        return time.process_time() - self._start

    @property
    def left(self) -> float:
        """CPU seconds left, not below 0."""
        return max(0.0, self.limits.seconds - self.seconds)

    @property
    def iterations_left(self) -> int:
        """Iterations left; a very large number if there is no limit."""
        return 2**62 if self.limits.iterations is None else max(0, self.limits.iterations - self.iterations)

    @property
    def over(self) -> bool:
        """Whether nothing is left, or the search is to stop."""
        return self.iterations_left == 0 or self.left == 0 or self.stop()

    def improved(self, size: int) -> None:
        """Note the size of a set in hand; what is no improvement is passed over."""
        size += self.shift
        if not self.curve or size > self.curve[-1][2]:
            self.curve.append((self.seconds, self.iterations, size))

    def work(self, step: Callable[[int], tuple[int, int]], enough: int, most: int = 2**62) -> None:
        """Do iterations in slices of some milliseconds until the limits are spent or a set is large enough.

        Args:
            step: does up to that many iterations; returns the size of the best set, and how many it did: none, if
                nothing is left to do.
            enough: a proved upper bound, or what is aimed at.
            most: iterations, if the limits leave that many.
        """
        size, many, last = -1, 16, self.iterations + most
        while not self.over and size < enough and self.iterations < last:
            start = self.seconds
            size, done = step(min(many, self.iterations_left, last - self.iterations))
            if not done:
                break
            self.iterations += done
            self.improved(size)
            if self._watch is not None:
                self._watch(self.seconds, self.curve[-1][2])
            slice_seconds = min(_SLICE, self.left / 8)
            many = max(1, int(many * min(4.0, slice_seconds / max(1e-9, self.seconds - start))))


_SLICE = 0.005
"""seconds after which a search looks at its clock"""


@dataclass(frozen=True)
class Found:
    """What `search` returns."""

    vertices: NDArray[Any]
    """in any order"""
    bound: int | None = None
    """no independent set is larger, None if nothing is known"""


@dataclass(frozen=True)
class Solution:
    """A verified independent set and how it was found."""

    vertices: NDArray[np.int64]
    """ascending"""
    bound: int | None = None
    """proved upper bound on the size of any independent set"""
    iterations: int = 0
    seconds: float = 0.0
    """CPU seconds, everything included"""
    curve: tuple[tuple[float, int, int], ...] = field(default=(), repr=False)
    """(CPU seconds, iterations, size) at each improvement"""

    @property
    def size(self) -> int:
        return self.vertices.size

    @property
    def optimal(self) -> bool:
        """Whether it is proved that none is larger."""
        return self.bound is not None and self.size >= self.bound

    @property
    def gap(self) -> float | None:
        """(bound - size) / size; None where no bound is known."""
        return None if self.bound is None else (self.bound - self.size) / max(1, self.size)


class IndependentSetPolicy(ABC):
    """Finds a large independent set. The same graph, seed and iteration limit give the same set."""

    anytime: ClassVar[bool] = False
    """whether it goes on until its limits are spent, so that it needs one; others end by themselves"""
    exact: ClassVar[bool] = False
    """whether it proves its result, given enough time"""
    learned: ClassVar[bool] = False
    """whether it is trained, and loaded from a folder"""

    @abstractmethod
    def search(self, graph: Graph, clock: Clock, seed: int) -> Found:
        """Find a set within `clock.limits`, telling `clock.improved(size)` on the way.

        A limit of 0 still gives an independent set, such as the one that the search starts from.
        """

    def solve(
        self,
        graph: Graph,
        *,
        seconds: float = math.inf,
        iterations: int | None = None,
        seed: int = 0,
        watch: Watch | None = None,
        stop: Stop = never,
    ) -> Solution:
        """A verified independent set.

        Args:
            seconds: CPU seconds; slightly more may pass, since the clock is looked at between slices of work.
            iterations: see `Limits`.
            watch: told how far the search is.
            stop: ends the search before its limits; the best set so far is the result.

        Raises:
            InputError: no limit is given to a policy that needs one, or an impossible one.
            RuntimeError: the policy is wrong: its set is not independent, or larger than its bound.
        """
        limits = Limits(seconds, iterations)
        if seed < 0:
            raise InputError(f"seed={seed}", remedy="give a seed from 0")
        if self.anytime and seconds == math.inf and iterations is None:
            raise InputError(f"{type(self).__name__} goes on until stopped", remedy="give seconds or iterations")
        clock = Clock(limits, watch, stop)
        found = self.search(graph, clock, seed)
        vertices = np.sort(np.asarray(found.vertices, np.int64))
        if not graph.is_independent(vertices):
            raise RuntimeError(f"{type(self).__name__} returned a set that is not independent")
        if found.bound is not None and found.bound < vertices.size:
            raise RuntimeError(f"{type(self).__name__} returned a bound of {found.bound} below its own set")
        clock.improved(vertices.size)
        return Solution(vertices, found.bound, clock.iterations, clock.seconds, tuple(clock.curve))
