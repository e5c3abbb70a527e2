"""ARC: adaptive replacement between recency and frequency."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from learnsys.envs.cache.intrinsics import prefetch
from learnsys.policies.cache.base import Chunk, ObjectPolicy, State
from learnsys.policies.cache.objects.structures import append, oldest, unlink

T1, T2, B1, B2, ABSENT = 0, 1, 2, 3, 4
"""Lists: cached and seen once, cached and seen again, and the ids that left each of them."""
LISTS = 4
AHEAD = 24


@njit(
    [
        f"void(int32[::1], {sizes}, int32[::1], uint8[::1], {sizes}, int64[::1], float64[::1], uint8[::1])"
        for sizes in ("none", "int64[::1]")
    ],
    cache=True,
    nogil=True,
)
def arc_kernel(ids, size, links, where, held, place, target, hits):
    """Figure 4 of the paper; `used[k]` is the size of list k, `target[0]` the paper's p, the size aimed at for T1.

    `place`: capacity, used, and that of each list.
    """
    capacity = place[0]
    used = place[2:]
    for t in range(ids.size):
        ahead = np.int64(ids[min(t + AHEAD, ids.size - 1)])
        prefetch(where, ahead)
        prefetch(links, 2 * (ahead + LISTS))
        i = np.int64(ids[t])
        source = np.int64(where[i])
        if source == T1 or source == T2:
            hits[t] = 1
            unlink(links, i + LISTS)
            append(links, T2, i + LISTS)
            if source == T1:
                weight = held[i] if held is not None else np.int64(1)
                used[T1] -= weight
                used[T2] += weight
                where[i] = T2
            continue
        hits[t] = 0
        need = size[t] if held is not None else np.int64(1)
        if need > capacity:
            continue
        if source != ABSENT:  # cases II and III: remembered
            if source == B1:
                target[0] = min(float(capacity), target[0] + need * max(used[B2] / used[B1], 1.0))
            else:
                target[0] = max(0.0, target[0] - need * max(used[B1] / used[B2], 1.0))
            unlink(links, i + LISTS)
            used[source] -= held[i] if held is not None else np.int64(1)
            where[i] = ABSENT
        else:  # case IV
            while used[T1] + used[B1] + need > capacity:
                source_list = B1 if used[B1] > 0 else T1
                node = oldest(links, source_list)
                unlink(links, node)
                used[source_list] -= held[node - LISTS] if held is not None else np.int64(1)
                where[node - LISTS] = ABSENT
            while used[B2] > 0 and used[T1] + used[T2] + used[B1] + used[B2] + need > 2 * capacity:
                node = oldest(links, B2)
                unlink(links, node)
                used[B2] -= held[node - LISTS] if held is not None else np.int64(1)
                where[node - LISTS] = ABSENT
        while used[T1] + used[T2] + need > capacity:  # "replace"
            over = used[T1] > target[0] or (source == B2 and used[T1] == target[0])
            victim_list = T1 if used[T1] > 0 and (over or used[T2] == 0) else T2
            node = oldest(links, victim_list)
            unlink(links, node)
            append(links, victim_list + 2, node)
            weight = held[node - LISTS] if held is not None else np.int64(1)
            used[victim_list] -= weight
            used[victim_list + 2] += weight
            where[node - LISTS] = victim_list + 2
        goal = T1 if source == ABSENT else T2
        append(links, goal, i + LISTS)
        used[goal] += need
        where[i] = goal
        if held is not None:
            held[i] = need
    place[1] = used[T1] + used[T2]


@dataclass(frozen=True)
class ARC(ObjectPolicy):
    """Balance the objects seen once against those seen again by what the ids of both would have hit.

    Megiddo and Modha, "ARC: a self-tuning, low overhead replacement cache", 2003, figure 4. With object sizes, its
    counts are bytes.
    """

    name = "arc"
    per_object: ClassVar = {"where": (np.uint8, ABSENT)}
    lists = LISTS
    counters = 4

    def start(self, capacity: int, *, sized: bool = False, seed: int = 0) -> State:
        return {**super().start(capacity, sized=sized), "target": np.zeros(1)}

    def run(self, state: State, chunk: Chunk, hits: NDArray[np.uint8]) -> None:
        arrays = [state.get(name) for name in ("links", "where", "held", "place", "target")]
        arc_kernel(*[chunk.line, chunk.size, *arrays, hits])

    def contents(self, state: State) -> NDArray[np.int64]:
        return np.flatnonzero(state["where"] <= T2)
