"""What a simulated cache policy is: named state arrays, and a kernel that advances them over a chunk of accesses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from learnsys.envs.cache.geometry import CacheGeometry
from learnsys.errors import InputError

State = dict[str, NDArray[Any]]
"""A simulation's whole state, by name, so that it can be kept in a file and resumed."""


def _no_values() -> NDArray[np.uint64]:
    return np.zeros(0, np.uint64)


@dataclass(frozen=True)
class Chunk:
    """Consecutive accesses as a kernel reads them; arrays of shape (n,), consecutive chunks make a trace."""

    line: NDArray[np.int32]
    """dense line or object ids, numbered in the order of first appearance since the trace's start"""
    row: NDArray[np.int32]
    """cache set of each line (empty for object caches)"""
    pc: NDArray[np.int32]
    """dense program-counter ids (empty for object caches)"""
    next_use: NDArray[np.int32]
    """absolute index of the next access to the same line, or NEVER; empty unless the policy `needs_future`"""
    start: int
    """absolute index of the chunk's first access"""
    size: NDArray[np.int64] | None = None
    """bytes of each object (at least 1), where sizes count"""
    line_number: NDArray[np.uint64] = field(default_factory=_no_values)
    """what each line id so far stands for, byte address >> log2(line size), (at least the largest id + 1,)"""
    pc_value: NDArray[np.uint64] = field(default_factory=_no_values)
    """the program counter that each id so far stands for, (at least the largest id + 1,)"""


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

    def resident(self, state: State) -> NDArray[np.int32]:
        """Ids of the lines held, in any order, -1 where free; int32 (sets, ways), the state's own array."""
        return state["tags"]


class ObjectPolicy(ABC):
    """Replacement in a fully associative cache of objects.

    The counterpart of `SetPolicy`: `start` allocates the state, `grow` makes room in it, `run` advances it. With
    `sized` the capacity is in bytes, chunks have a `size`, and as many objects are evicted as the missed one needs
    room; an object keeps the size that it was inserted with, and one larger than the cache is never inserted.
    Without, the capacity is a number of objects. A chunk is at most `MAX_CHUNK` accesses long.

    Every state holds `place`, int64: the capacity, what is used of it, and then the policy's own counters; and if
    sizes count `held`, int64: the size of each cached object. Kernels take None for sizes that do not count, and are
    compiled for either.
    """

    name: ClassVar[str]
    needs_future: ClassVar[bool] = False
    sized_note: ClassVar[str] = ""
    """what a reader of results with object sizes must know about this policy"""

    per_object: ClassVar[dict[str, tuple[type[np.generic], int]]] = {}
    """arrays that object ids index: their types, and their values for an object not seen before"""
    queues: ClassVar[tuple[str, ...]] = ()
    """int32 arrays with room for twice the objects that the cache can hold"""
    lists: ClassVar[int] = 0
    """doubly linked lists of objects in the array `links` (see objects/structures.py)"""
    nodes: ClassVar[int] = 1
    """in how many of the lists an object can be at a time"""
    counters: ClassVar[int] = 0
    """numbers in `place` behind capacity and used"""

    def start(self, capacity: int, *, sized: bool = False, seed: int = 0) -> State:
        """The state of an empty cache of `capacity` objects, or bytes if `sized`.

        Raises:
            InputError: the capacity is below 1.
        """
        if capacity < 1:
            raise InputError(f"a cache of {capacity} {'bytes' if sized else 'objects'} holds nothing")
        state: State = {name: np.zeros(0, kind) for name, (kind, _) in self.per_object.items()}
        state |= {name: np.zeros(0, np.int32) for name in self.queues}
        if self.lists:
            state["links"] = np.repeat(np.arange(self.lists, dtype=np.int32), 2)
        if sized:
            state["held"] = np.zeros(0, np.int64)
        state["place"] = np.array([min(capacity, _MOST)] + [0] * (1 + self.counters), np.int64)
        return state

    def grow(self, state: State, n_objects: int) -> None:
        """Make room in `state` for ids below `n_objects`; called before each chunk."""
        for name, (_, fill) in self.per_object.items():
            state[name] = extended(state[name], n_objects, fill)
        for name in self.queues:
            state[name] = extended(state[name], 2 * min(int(state["place"][0]), n_objects) + 1024)
        if self.lists:
            state["links"] = extended(state["links"], 2 * (self.nodes * n_objects + self.lists))
        if "held" in state:
            state["held"] = extended(state["held"], n_objects)

    @abstractmethod
    def run(self, state: State, chunk: Chunk, hits: NDArray[np.uint8]) -> None:
        """Advance `state` over `chunk`; write 1 or 0 for each access into `hits`, shape (n,)."""

    def departures(
        self, state: State, chunk: Chunk, hits: NDArray[np.uint8]
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """As `run`; also which objects leave at each access: the evicted ones, and the missed one if it stays out.

        Returns:
            The objects in the order in which they leave, int32; and where those of each access end there, int64 (n,).

        Raises:
            InputError: this policy does not tell.
        """
        raise InputError(f"{self.name} does not tell which objects it evicts, and cannot be guarded")

    @abstractmethod
    def contents(self, state: State) -> NDArray[np.int64]:
        """What is cached now, ascending: ids, or (of a policy that `needs_future`) the times of their next use."""


MAX_CHUNK = 2**24
"""Accesses that an object policy takes at a time: the room below 2^31 that its counters keep."""
_MOST = 2**60
"""A capacity above holds no more: sums of a few of them stay within int64."""


def extended(array: NDArray[Any], size: int, fill: int = 0) -> NDArray[Any]:
    """`array` itself if it has `size` elements or more, or a copy with at least `size`, the new ones `fill`."""
    if size <= array.size:
        return array
    grown = np.full(max(size, array.size + array.size // 2), fill, array.dtype)
    grown[: array.size] = array
    return grown


def sampled_sets(sets: int, samples: int | None, seed: int = 0) -> NDArray[np.uint8]:
    """Which of `sets` sets a policy learns from, uint8 (sets,): `samples` of them (a power of two), or all (None).

    Those whose low index bits equal their high ones, as hardware proposals choose them: spread over all sets, and
    with no single stride that a program could fall into step with. Other seeds shift them.
    """
    chosen = sets if samples is None else min(samples, sets)
    if chosen < 1 or chosen & (chosen - 1):
        raise InputError(f"{chosen} sampled sets is no power of two", remedy="use 32 or 64")
    index = np.arange(sets) ^ (seed * 0x9E3779B1 >> 8) % sets
    low, high = index % (sets // chosen), index // chosen
    return (low == (high if chosen > 1 else 0)).astype(np.uint8)


def signatures(n_pcs: int, bits: int, seed: int = 0, kinds: int = 1) -> NDArray[np.int32]:
    """A hash of `bits` bits for each dense program-counter id and kind of access, int32 (n_pcs * kinds,).

    Place `pc * kinds + kind`. Hashed, since predictor tables in hardware have collisions: which, depends on the seed.
    """
    mixed = np.arange(n_pcs * kinds, dtype=np.uint32) ^ np.uint32(seed * 0x9E3779B1 % 2**32)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):  # the finaliser of MurmurHash3
        mixed = (mixed ^ (mixed >> np.uint32(shift))) * np.uint32(factor)
    return ((mixed ^ (mixed >> np.uint32(16))) & np.uint32(2**bits - 1)).astype(np.int32)
