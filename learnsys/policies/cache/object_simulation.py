"""The simulation driver of fully associative object caches: a trace in memory, or a stream of chunks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from learnsys.envs.cache.accesses import next_uses
from learnsys.errors import InputError
from learnsys.policies.cache.base import MAX_CHUNK, Chunk, ObjectPolicy
from learnsys.policies.cache.registry import make_object_policy

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

        Raises:
            InputError: ids that are not below `n_ids`, or next uses that are no indices.
        """
        hits = np.empty(ids.size, np.uint8)
        for start in range(0, ids.size, MAX_CHUNK):
            part = slice(start, start + MAX_CHUNK)
            line = np.ascontiguousarray(ids[part], np.int32)
            future = _NONE if next_use is None else np.ascontiguousarray(next_use[part], np.int32)
            _check_below(line, n_ids, "object ids")
            _check_below(future, 2**31, "next uses")
            chunk = Chunk(
                line=line,
                row=_NONE,
                pc=_NONE,
                next_use=future,
                start=self.position,
                size=None if sizes is None else np.maximum(sizes[part], 1).astype(np.int64),
            )
            self.policy.grow(self.state, n_ids)
            self.policy.run(self.state, chunk, hits[part])
            self.position += line.size
        return hits


def _check_below(array: NDArray[np.int32], bound: int, what: str) -> None:
    """Kernels do not check their indices, so that is done here, in one pass that negative numbers fail, too."""
    if array.size and array.view(np.uint32).max() >= bound:
        raise InputError(f"{what} are not between 0 and {bound}")


def stream_objects(
    policy: ObjectPolicy | str,
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
        InputError: an unknown policy, an impossible capacity, or one that needs the future without `next_use`.
    """
    policy = make_object_policy(policy) if isinstance(policy, str) else policy
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
    policy: ObjectPolicy | str,
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
        policy: a policy, or its name in the registry.
        ids: dense object ids below `n_ids`, numbered by first appearance (`DenseIds`); int32 (n,).
        capacity: objects, or bytes if `sizes` are given.
        sizes: bytes of the object in each access, int (n,); Belady is a heuristic then.
        next_use: what `next_uses(ids, n_ids)` returns; computed here if the policy needs it and it is not given.

    Raises:
        InputError: an unknown policy, an impossible capacity, or a trace too long.
    """
    policy = make_object_policy(policy) if isinstance(policy, str) else policy
    if policy.needs_future and next_use is None:
        next_use = next_uses(np.ascontiguousarray(ids, np.int32), n_ids)
    hits = np.empty(ids.size, np.uint8)
    done = 0
    for part in stream_objects(policy, ids, n_ids, capacity, sizes=sizes, next_use=next_use, seed=seed):
        hits[done : done + part.size] = part
        done += part.size
    return hits
