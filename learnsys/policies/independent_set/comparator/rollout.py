"""Roll-outs of the recursion, from Python."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from learnsys.graphs import Batch
from learnsys.parallel import in_threads
from learnsys.policies.independent_set.comparator.recursion import roll_out
from learnsys.policies.independent_set.comparator.torch_decisions import TorchDecisions
from learnsys.policies.independent_set.comparator.weights import Weights

LANES = 1
"""recursions that advance together; more of them fall out of the processor's cache"""


@dataclass(frozen=True, eq=False)
class RollOuts:
    """What a batch of recursions ended with."""

    sizes: NDArray[np.int64]
    """(L,): the size of each lane's independent set, or of its vertex cover"""
    chosen: NDArray[np.uint8]
    """1 for the vertices in the lane's independent set (with covers: outside of its cover), lanes end to end"""
    lane_start: NDArray[np.int64]
    """(L + 1,): where each lane's vertices begin in `chosen`"""
    picks: NDArray[np.int32]
    """(L, S): the vertex of each of the first decisions, -1 after the end"""
    choices: NDArray[np.int8]
    """(L, S): 1 where its neighbours were removed, 0 where it was"""

    def set(self, lane: int) -> NDArray[np.int64]:
        """The vertices of a lane's independent set, ascending."""
        return np.flatnonzero(self.chosen[self.lane_start[lane] : self.lane_start[lane + 1]])


def run_recursions(
    batch: Batch,
    network: Weights | TorchDecisions,
    root: ArrayLike,
    seeds: ArrayLike,
    *,
    alive: Sequence[NDArray[np.uint8]] | None = None,
    cover: bool = False,
    steps: int = 0,
    record: int = 0,
    lanes: int = LANES,
    jobs: int = 1,
) -> RollOuts:
    """Run one recursion for each of `root`.

    Args:
        batch: the graphs.
        network: for the kernels, or through torch.
        root: the graph of each lane, (L,).
        seeds: of each lane's random stream, (L,) uint64; a lane's result depends on nothing else of the batch.
        alive: the vertices that each lane starts with, uint8 (n,); None for all.
        cover: find vertex covers.
        steps: decisions at most, 0 for all; the sets are then not independent yet.
        record: decisions to record.
        lanes: recursions that advance together.
        jobs: threads that share the work; results do not depend on it.
    """
    root = np.asarray(root, np.int64)
    state = np.array(seeds, np.uint64)
    lane_start = np.concatenate([[0], np.cumsum(batch.sizes[root])])
    kept = np.ones(lane_start[-1], np.uint8)
    if alive is not None and len(alive):
        kept[:] = np.concatenate(alive)
    picks = np.full((root.size, record), -1, np.int32)
    choices = np.zeros((root.size, record), np.int8)

    def advance(low: int) -> None:
        high = min(low + lanes, root.size)
        own = lane_start[low : high + 1]
        graphs = batch.graph.indptr, batch.graph.indices, batch.starts, root[low:high], own - own[0]
        begins = kept[own[0] : own[-1]], state[low:high], cover, steps
        records = picks[low:high], choices[low:high]
        if isinstance(network, TorchDecisions):
            network.roll_out(*graphs, *begins, *records)
        else:
            roll_out(*graphs, *begins, *network, *records)

    for _ in in_threads(advance, range(0, root.size, lanes), jobs):
        pass
    if cover and not steps:
        break_pairs(batch.graph.indptr, batch.graph.indices, batch.starts, root, lane_start, kept)
    sizes = np.add.reduceat(kept, lane_start[:-1], dtype=np.int64) if root.size else np.empty(0, np.int64)
    sizes[np.diff(lane_start) == 0] = 0
    return RollOuts(np.diff(lane_start) - sizes if cover else sizes, kept, lane_start, picks, choices)


@njit(["void(int64[::1], int32[::1], int64[::1], int64[::1], int64[::1], uint8[::1])"], cache=True, nogil=True)
def break_pairs(ptr, idx, starts, root, lane_start, kept):
    """Drop the first end of each edge between kept vertices."""
    for lane in range(root.size):
        low, place = starts[root[lane]], lane_start[lane]
        for v in range(lane_start[lane + 1] - place):
            for e in range(ptr[low + v], ptr[low + v + 1]):
                if kept[place + v] and kept[place + idx[e] - low]:
                    kept[place + v] = 0
