"""The simulation driver of fully associative object caches: one policy or several, in memory or as a stream."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from learnsys.envs.cache.accesses import NEVER, next_uses
from learnsys.envs.cache.geometry import parse_bytes
from learnsys.errors import InputError
from learnsys.policies.cache.base import MAX_CHUNK, Chunk, ObjectPolicy
from learnsys.policies.cache.registry import make_object_policy
from learnsys.policies.cache.simulation import Result, Tally, part_of, summarise

CHUNK = 2**22
"""accesses that a kernel gets at a time"""

_NONE = np.zeros(0, np.int32)


class ObjectSimulation:
    """One policy on one object cache, from chunk to chunk.

    Args:
        capacity: objects, or bytes if `sized`.

    Attributes:
        state: named arrays; with `position` all that a later chunk depends on.
        position: accesses run so far.

    Raises:
        InputError: the capacity is below 1.
    """

    def __init__(self, policy: ObjectPolicy, capacity: int, *, sized: bool = False, seed: int = 0) -> None:
        self.policy = policy
        self.position = 0
        self.state = policy.start(capacity, sized=sized, seed=seed)

    def run(
        self,
        ids: NDArray[np.int32],
        n_ids: int,
        *,
        sizes: NDArray[np.int64] | None = None,
        next_use: NDArray[np.int32] | None = None,
    ) -> NDArray[np.uint8]:
        """Whether each of the next accesses hits, uint8 (n,).

        Args:
            ids: dense object ids below `n_ids`, numbered by first appearance since the start; int32 (n,).
            sizes: bytes of the object in each access, int (n,); given in every chunk or in none. Sizes below 1
                count as 1.
            next_use: absolute index of the next access to the same object or NEVER, int32 (n,), for a policy that
                `needs_future`.
        """
        hits = np.empty(ids.size, np.uint8)
        for start in range(0, ids.size, MAX_CHUNK):
            part = slice(start, start + MAX_CHUNK)
            line = np.ascontiguousarray(ids[part], np.int32)
            chunk = Chunk(
                line=line,
                row=_NONE,
                pc=_NONE,
                next_use=_NONE if next_use is None else np.ascontiguousarray(next_use[part], np.int32),
                start=self.position,
                size=None if sizes is None else np.maximum(sizes[part], 1).astype(np.int64),
            )
            self.policy.grow(self.state, n_ids)
            self.policy.run(self.state, chunk, hits[part])
            self.position += line.size
        return hits


def stream_objects(
    policy: ObjectPolicy,
    ids: NDArray[np.int32],
    n_ids: int,
    capacity: int,
    *,
    sizes: NDArray[np.int64] | None = None,
    next_use: NDArray[np.int32] | None = None,
    seed: int = 0,
    chunk: int = CHUNK,
) -> Iterator[NDArray[np.uint8]]:
    """Whether each access hits, in consecutive parts of `chunk` accesses; arguments as of `simulate_objects`.

    The arrays may be memory-mapped (those of a `learnsys.envs.cache.spool.Spool`, say), since only one part of them
    is read at a time; memory then holds the policy's state alone.

    Raises:
        InputError: an impossible capacity, or a policy that needs the future without `next_use`.
    """
    if policy.needs_future and next_use is None:
        raise InputError(f"{policy.name} needs next uses", remedy="compute them with next_uses or a Spool")
    simulation = ObjectSimulation(policy, capacity, sized=sizes is not None, seed=seed)
    for start in range(0, ids.size, chunk):
        part = slice(start, start + chunk)
        yield simulation.run(
            ids[part],
            n_ids,
            sizes=None if sizes is None else sizes[part],
            next_use=None if next_use is None else next_use[part],
        )


def simulate_objects(
    policy: ObjectPolicy,
    ids: NDArray[np.int32],
    n_ids: int,
    capacity: int,
    *,
    sizes: NDArray[np.int64] | None = None,
    next_use: NDArray[np.int32] | None = None,
    seed: int = 0,
) -> NDArray[np.uint8]:
    """Whether each access hits a fully associative cache under `policy` that starts empty; uint8 (n,).

    Args:
        ids: dense object ids below `n_ids`, numbered by first appearance (`DenseIds`); int32 (n,).
        capacity: objects, or bytes if `sizes` are given.
        sizes: bytes of the object in each access, int (n,); Belady is a heuristic then.
        next_use: what `next_uses(ids, n_ids)` returns; computed here if the policy needs it and it is not given.

    Raises:
        InputError: an impossible capacity, or a trace too long.
    """
    if policy.needs_future and next_use is None:
        next_use = next_uses(np.ascontiguousarray(ids, np.int32), n_ids)
    hits = np.empty(ids.size, np.uint8)
    done = 0
    for part in stream_objects(policy, ids, n_ids, capacity, sizes=sizes, next_use=next_use, seed=seed):
        hits[done : done + part.size] = part
        done += part.size
    return hits


def object_capacity(text: str | int, n_objects: int, n_bytes: int | None = None) -> int:
    """The capacity that `text` names: a number of objects (5000), a share of the distinct ones (10%), or a size.

    Args:
        n_objects: distinct objects in the trace.
        n_bytes: their bytes, if sizes count; a share is then one of bytes, and sizes such as 64MiB are understood.

    Raises:
        InputError: none of these, or below 1.
    """
    words = str(text).strip()
    whole = n_objects if n_bytes is None else n_bytes
    try:
        if words.endswith("%"):
            capacity = int(whole * float(words[:-1]) / 100)
        else:
            capacity = int(words.replace("_", "")) if n_bytes is None else parse_bytes(words)
    except (ValueError, OverflowError):
        raise InputError(
            f"{text!r} is no capacity of an object cache",
            remedy="write a number of objects such as 5000, or a share such as 10%"
            if n_bytes is None
            else "write bytes such as 64MiB, or a share such as 10%",
        ) from None
    if capacity < 1:
        raise InputError(f"a capacity of {text} holds nothing: the trace has {whole} in all", remedy="give more")
    return capacity


@dataclass(frozen=True)
class ObjectResult(Result):
    """How one policy did on the counted part of one object trace."""

    byte_hit_rate: float = float("nan")
    """bytes of the hits / bytes of all accesses; NaN where sizes do not count"""
    note: str = ""
    """what to know about the policy when sizes count"""


def compare_objects(
    policies: Mapping[str, ObjectPolicy],
    ids: NDArray[np.int32],
    n_ids: int,
    capacity: int,
    *,
    sizes: NDArray[np.int64] | None = None,
    next_use: NDArray[np.int32] | None = None,
    window: tuple[float, float] = (0.0, 1.0),
    seed: int = 0,
    workers: int = 1,
    finished: Callable[[str], None] = lambda name: None,
) -> list[ObjectResult]:
    """Simulate each of `policies` over the whole trace and count the hits in `window`, next to LRU and Belady.

    Args:
        policies: label -> policy. LRU and Belady are run in any case, for the normalised rate, under the labels
            "lru" and "belady", which therefore nothing else may have.
        ids, n_ids, capacity, sizes, next_use: as of `simulate_objects`.
        window: the fractions of the trace between which hits are counted; before it the cache warms up.
        workers: threads; the kernels release the interpreter.
        finished: called with a label as its simulation ends.

    Raises:
        InputError: no accesses, an empty window, or an impossible capacity.
    """
    if ids.size == 0:
        raise InputError("the trace holds no accesses")
    if ids.size >= NEVER:
        raise InputError(f"a trace of {ids.size} accesses is too long", remedy="split it below 2^31 - 1 accesses")
    first, last = part_of(window, ids.size)
    wanted = {**policies}
    for bound in ("lru", "belady"):
        wanted.setdefault(bound, make_object_policy(bound))
    if next_use is None:
        next_use = next_uses(np.ascontiguousarray(ids, np.int32), n_ids)
    byte_rates: dict[str, float] = {}

    def run(name: str, policy: ObjectPolicy) -> Tally:
        before = time.thread_time()
        hits = simulate_objects(policy, ids, n_ids, capacity, sizes=sizes, next_use=next_use, seed=seed)
        seconds = time.thread_time() - before
        if sizes is not None:
            counted = np.asarray(sizes[first:last], np.float64)
            byte_rates[name] = float(counted @ hits[first:last] / max(counted.sum(), 1))
        finished(name)
        return Tally.of(hits, first, last, seconds)

    with ThreadPoolExecutor(max_workers=max(1, workers)) as pool:
        futures = {name: pool.submit(run, name, policy) for name, policy in wanted.items()}
        tallies = {name: future.result() for name, future in futures.items()}
    return [
        ObjectResult(
            **{field.name: getattr(result, field.name) for field in fields(Result)},
            byte_hit_rate=byte_rates.get(result.policy, float("nan")),
            note="" if sizes is None else policies[result.policy].sized_note,
        )
        for result in summarise(tallies, list(policies))
    ]
