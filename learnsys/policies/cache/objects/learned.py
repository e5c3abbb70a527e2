"""The learned policy of object caches: the network of `LearnsysCache`, without PCs, over a sample of candidates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numba import njit, typeof, types
from numpy.typing import NDArray

from learnsys.errors import InputError
from learnsys.policies.cache.base import Chunk, ObjectPolicy, State
from learnsys.policies.cache.learned.network import Network, untrained
from learnsys.policies.cache.learned.samples import Samples, no_samples
from learnsys.policies.cache.objects.learned_kernel import ACCESS, CANDIDATE, ROOM, Objects, Slots, run


@dataclass(frozen=True)
class LearnedObjects(ObjectPolicy):
    """Of some cached objects, evict the one that is worth least, by a network that learns when objects return.

    `learnsys_cache` for caches without sets and traces without PCs: the same network, index and samples (see
    `learnsys.policies.cache.learned`), and features that need no PC. At a miss in a full cache `candidates` objects are
    drawn, as in Learning Relaxed Belady (Song et al., NSDI 2020), and the one requested is weighed against them:
    if it is the least itself, it is not inserted. What an object is worth is computed anew only once its age has grown
    by a third to a half, which spares most of the work. Where sizes count, worth is for each byte.
    """

    name = "learnsys_cache"
    per_object: ClassVar = {
        "last": (np.int64, 0),
        "gap": (np.uint8, 0),
        "earlier_gap": (np.uint8, 0),
        "touches": (np.uint8, 0),
        "recent": (np.float32, 0),
        "frequent": (np.float32, 0),
        "place_of": (np.int32, 0),
    }
    counters = 3

    candidates: int = 64
    """cached objects drawn at each eviction"""
    draws: int = 4
    """candidates that become samples at each eviction, fewer where too many would wait"""
    rate: float = 0.05
    """step size of Adagrad on the embeddings; the layers learn with a fifth of it"""
    bits: int = 14
    """of the hash of a feature: each feature has 2^bits embeddings"""
    embedding: int = 16
    """numbers in an embedding, one of them Adagrad's"""
    hidden: int = 16
    """hidden units"""
    span: int = 2
    """times of return are told apart up to 16 spans of as many requests as the cache holds objects"""

    def __post_init__(self) -> None:
        if not (self.rate > 0 and 1 <= self.bits <= 16 and self.candidates >= 1 and self.draws >= 1 and self.span >= 1):
            raise InputError(
                "learnsys_cache needs a rate above 0, 1 to 16 bits, and at least 1 candidate, draw and span"
            )
        if self.embedding < 2 or self.hidden < 1:
            raise InputError("learnsys_cache needs embeddings of at least 2 and a hidden layer of at least 1")

    def start(self, capacity: int, *, sized: bool = False, seed: int = 0) -> State:
        rng = np.random.default_rng(seed)
        state = super().start(capacity, sized=sized)
        slots: dict[str, Any] = {
            "item": np.zeros(0, np.int32),
            "at": np.zeros(0, np.int64),
            "until": np.zeros(0, np.int64),
            "worth": np.zeros(0, np.float32),
            "past": np.zeros(0, np.int32),
            "reused": np.zeros(0, np.uint8),
            "access": np.zeros((0, ACCESS), np.uint16),
            "base": np.zeros((0, self.embedding), np.float32),
        }
        groups = {
            "slots": slots,
            "network": untrained(ACCESS + CANDIDATE, self.bits, self.embedding, self.hidden, rng)._asdict(),
            "samples": no_samples(ROOM, ACCESS + CANDIDATE, rng)._asdict(),
        }
        return state | {f"{group}.{name}": each for group, arrays in groups.items() for name, each in arrays.items()}

    def grow(self, state: State, n_objects: int) -> None:
        super().grow(state, n_objects)
        room = min(int(state["place"][0]), n_objects)
        if room > len(state["slots.item"]):
            room = max(room, min(2 * len(state["slots.item"]), int(state["place"][0])))
            for name in Slots._fields:
                old = state[f"slots.{name}"]
                state[f"slots.{name}"] = np.zeros((room, *old.shape[1:]), old.dtype)
                state[f"slots.{name}"][: len(old)] = old

    def run(self, state: State, chunk: Chunk, hits: NDArray[np.uint8]) -> None:
        self._advance(state, chunk, hits, np.zeros(0, np.int32), np.zeros(0, np.int64))

    def departures(
        self, state: State, chunk: Chunk, hits: NDArray[np.uint8]
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        gone = np.zeros(hits.size + int(state["place"][2]), np.int32)  # what was held, and what comes
        ends = np.zeros(hits.size, np.int64)
        self._advance(state, chunk, hits, gone, ends)
        return gone, ends

    def _advance(
        self, state: State, chunk: Chunk, hits: NDArray[np.uint8], gone: NDArray[np.int32], ends: NDArray[np.int64]
    ) -> None:
        settings = (np.float32(self.rate), self.candidates, self.draws, self.span)
        accesses = (chunk.line, chunk.size, chunk.start, hits, gone, ends)
        arguments: tuple[Any, ...] = (*accesses, *_grouped(state), state.get("held"), state["place"], *settings)
        _kernel(*arguments)

    def contents(self, state: State) -> NDArray[np.int64]:
        return np.sort(state["slots.item"][: state["place"][2]]).astype(np.int64)


def _grouped(state: State) -> tuple[Any, ...]:
    """The groups of a state; the arrays themselves, not copies."""
    return (
        Objects(*(state[name] for name in LearnedObjects.per_object)),
        *(
            kind(*(state[f"{group}.{name}"] for name in kind._fields))
            for group, kind in (("slots", Slots), ("network", Network), ("samples", Samples))
        ),
    )


def _signatures() -> list[Any]:
    state = LearnedObjects().start(1)
    groups = [typeof(group) for group in _grouped(state)]
    ids, hits, numbers = (types.Array(kind, 1, "C") for kind in (types.int32, types.uint8, types.int64))
    return [
        types.void(
            ids, held, types.int64, hits, ids, numbers, *groups, held, numbers, types.float32, *3 * [types.int64]
        )
        for held in (types.none, numbers)
    ]


_kernel: Any = njit(_signatures(), cache=True, nogil=True, fastmath=True)(run)
