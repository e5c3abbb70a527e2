"""What a simulated cache policy is: named state arrays, and a kernel that advances them over a chunk of accesses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from learnsys.envs.cache.geometry import CacheGeometry

State = dict[str, NDArray[Any]]
"""A simulation's whole state, by name, so that it can be kept in a file and resumed."""


@dataclass(frozen=True)
class Chunk:
    """Consecutive accesses as a kernel reads them; arrays of shape (n,), consecutive chunks make a trace."""

    line: NDArray[np.int32]
    """dense line or object ids, numbered in the order of first appearance since the trace's start"""
    row: NDArray[np.int32]
    """cache set of each line (all 0 for object caches)"""
    pc: NDArray[np.int32]
    """dense program-counter ids"""
    next_use: NDArray[np.int32]
    """absolute index of the next access to the same line, or NEVER; empty unless the policy `needs_future`"""
    start: int
    """absolute index of the chunk's first access"""
    size: NDArray[np.int64] | None = None
    """bytes of each object, where sizes count"""


class SetPolicy(ABC):
    """Replacement in a set-associative cache.

    Subclasses are frozen dataclasses whose fields are the policy's parameters. `start` allocates the state and
    `run` advances it; together they are deterministic under `seed`, and running a trace in one chunk or in many
    gives the same hits.

    A policy that `needs_fit` learns offline: `fit` sees an earlier part of the trace, once, and returns arrays that
    replace those of the same names in the state that `start` makes. Without them it runs as one that learnt nothing.
    """

    name: ClassVar[str]
    needs_future: ClassVar[bool] = False
    needs_fit: ClassVar[bool] = False

    @abstractmethod
    def start(self, geometry: CacheGeometry, seed: int = 0) -> State:
        """The state of an empty cache."""

    @abstractmethod
    def run(self, state: State, chunk: Chunk, hits: NDArray[np.uint8]) -> None:
        """Advance `state` over `chunk`; write 1 or 0 for each access into `hits`, shape (n,)."""

    def fit(self, chunk: Chunk, geometry: CacheGeometry) -> State:
        """What is learnt from `chunk`, the training part; its `next_use` knows nothing after that part's end."""
        return {}

    def grow(self, state: State, n_lines: int, n_pcs: int) -> None:
        """Make room in `state` for ids below `n_lines` and `n_pcs`; called before each chunk."""
