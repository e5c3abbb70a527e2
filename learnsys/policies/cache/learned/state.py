"""The state of `LearnsysCache`: four named tuples of arrays, as its kernel takes them.

Sizes: S sets of W ways, F features of an access, G of a candidate at an eviction, D numbers in an embedding, H hidden
units, L, P and C places for lines, pages and PCs, Q places for samples.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import typeof, types
from numpy.typing import NDArray

from learnsys.policies.cache.base import State
from learnsys.policies.cache.learned.features import ACCESS_FEATURES, CANDIDATE_FEATURES
from learnsys.policies.cache.learned.network import Network, untrained
from learnsys.policies.cache.learned.samples import Samples, no_samples

ACCESS, CANDIDATE = len(ACCESS_FEATURES), len(CANDIDATE_FEATURES)
QUANTA = 128
"""accesses to a set over which OPTgen replays MIN"""


class Cache(NamedTuple):
    """What is cached, and what is known of it."""

    tags: NDArray[np.int32]
    """(S, W) line ids, -1 where free; ways fill from the lowest"""
    at: NDArray[np.int32]
    """(S, W) index of the access that touched the line last"""
    when: NDArray[np.int32]
    """(S, W) the set's clock at that access"""
    reused: NDArray[np.uint8]
    """(S, W) hits since the line was inserted, at most 7"""
    caller: NDArray[np.uint32]
    """(S, W) hash of the PC of that access"""
    past: NDArray[np.uint32]
    """(S, W) hash of the line's last gaps and touches at that access"""
    prior: NDArray[np.int32]
    """(S, W) place of that access's PC and outcome in `counter` and `distance`"""
    page: NDArray[np.int32]
    """(S, W) the line's place among the pages"""
    access: NDArray[np.uint16]
    """(S, W, F) features of that access"""
    base: NDArray[np.float32]
    """(S, W, D) sum of their embeddings, as they were then"""
    clock: NDArray[np.int64]
    """(S,) accesses to the set"""
    occupancy: NDArray[np.uint8]
    """(S, QUANTA) lines that MIN would hold at each recent clock, modulo QUANTA"""


class History(NamedTuple):
    """What is remembered of lines, pages and PCs."""

    line_key: NDArray[np.uint64]
    """(L,) line number plus one, 0: none"""
    line_time: NDArray[np.int32]
    """(L,) the set's clock at the line's last access"""
    line_gaps: NDArray[np.uint8]
    """(L, 2) logarithms of the line's last two gaps"""
    line_touches: NDArray[np.uint8]
    """(L,) at most 15"""
    line_prior: NDArray[np.int32]
    """(L,) as `prior` of a resident line"""
    line_caller: NDArray[np.uint32]
    """(L,) hash of the line's last PC"""
    page_time: NDArray[np.int32]
    """(P,) index of the last access to the page plus one, 0: none"""
    page_touches: NDArray[np.int32]
    """(P,)"""
    page_caller: NDArray[np.uint32]
    """(P,) hash of the page's last PC"""
    pc_number: NDArray[np.int64]
    """(C,) last line number that the PC accessed"""
    pc_delta: NDArray[np.int64]
    """(C,) the step that led there"""
    set_caller: NDArray[np.uint32]
    """(S,) hash of the set's last PC"""
    counter: NDArray[np.int8]
    """(2 C,) of PCs at misses and hits: how often MIN kept their lines, 0 to 31"""
    distance: NDArray[np.float32]
    """(2 C,) of PCs at misses and hits: mean log2 of the reuse distance in sixteenths of the ways, at most 8"""
    recent: NDArray[np.uint32]
    """(2,) hashes of the last two different PCs"""


GROUPS: dict[str, Any] = {"cache": Cache, "history": History, "network": Network, "samples": Samples}


def allocate(
    sets: int, ways: int, *, bits: int, embedding: int, hidden: int, room: int, rng: np.random.Generator
) -> dict[str, Any]:
    """The groups of an empty cache with an untrained network; `room` is Q."""
    shape = (sets, ways)
    lines = 1 << (8 * sets * ways - 1).bit_length()
    pages, pcs = max(lines // 4, 1024), 2**14
    cache = Cache(
        tags=np.full(shape, -1, np.int32),
        at=np.zeros(shape, np.int32),
        when=np.zeros(shape, np.int32),
        reused=np.zeros(shape, np.uint8),
        caller=np.zeros(shape, np.uint32),
        past=np.zeros(shape, np.uint32),
        prior=np.zeros(shape, np.int32),
        page=np.zeros(shape, np.int32),
        access=np.zeros((*shape, ACCESS), np.uint16),
        base=np.zeros((*shape, embedding), np.float32),
        clock=np.zeros(sets, np.int64),
        occupancy=np.zeros((sets, QUANTA), np.uint8),
    )
    history = History(
        line_key=np.zeros(lines, np.uint64),
        line_time=np.zeros(lines, np.int32),
        line_gaps=np.zeros((lines, 2), np.uint8),
        line_touches=np.zeros(lines, np.uint8),
        line_prior=np.zeros(lines, np.int32),
        line_caller=np.zeros(lines, np.uint32),
        page_time=np.zeros(pages, np.int32),
        page_touches=np.zeros(pages, np.int32),
        page_caller=np.zeros(pages, np.uint32),
        pc_number=np.zeros(pcs, np.int64),
        pc_delta=np.zeros(pcs, np.int64),
        set_caller=np.zeros(sets, np.uint32),
        counter=np.full(2 * pcs, 16, np.int8),
        distance=np.full(2 * pcs, 4, np.float32),
        recent=np.zeros(2, np.uint32),
    )
    network = untrained(ACCESS + CANDIDATE, bits, embedding, hidden, rng)
    samples = no_samples(room, ACCESS + CANDIDATE, rng)
    return {"cache": cache, "history": history, "network": network, "samples": samples}


def flat(groups: dict[str, Any]) -> State:
    """The groups as one state: "tags" and what else belongs to the cache, "history.line_key", "network.table", ..."""
    return {_name(group, name): array for group, arrays in groups.items() for name, array in arrays._asdict().items()}


def grouped(state: State) -> tuple[Any, ...]:
    """The groups of a state in their order; the arrays themselves, not copies."""
    return tuple(kind(*(state[_name(group, name)] for name in kind._fields)) for group, kind in GROUPS.items())


def _name(group: str, name: str) -> str:
    return name if group == "cache" else f"{group}.{name}"


def signatures() -> list[types.Type]:
    """Numba's types of the four groups, as `allocate` makes them."""
    groups = allocate(1, 1, bits=1, embedding=2, hidden=1, room=1, rng=np.random.default_rng(0))
    return [typeof(group) for group in groups.values()]
