"""Many graphs as one: block-diagonal batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from learnsys.graphs.graph import Graph


@dataclass(frozen=True, eq=False)
class Batch:
    """Disjoint graphs side by side in one `Graph`."""

    graph: Graph
    """their union; the vertices of graph g are those from starts[g] to starts[g + 1] - 1"""
    starts: NDArray[np.int64]
    """(graphs + 1,)"""

    def __len__(self) -> int:
        return self.starts.size - 1

    @property
    def sizes(self) -> NDArray[np.int64]:
        """(graphs,): vertices of each."""
        return np.diff(self.starts)

    @cached_property
    def owner(self) -> NDArray[np.int64]:
        """(n,): the graph of each vertex."""
        return np.repeat(np.arange(len(self)), self.sizes)

    def __getitem__(self, number: int) -> Graph:
        """Graph `number`, as it was put in (without labels)."""
        if not 0 <= number < len(self):
            raise IndexError(number)
        low, high = self.starts[number], self.starts[number + 1]
        indptr = self.graph.indptr[low : high + 1]
        indices = self.graph.indices[indptr[0] : indptr[-1]] - np.int32(low)
        return Graph(indptr - indptr[0], indices)

    def induced(self, keep: ArrayLike) -> tuple[Batch, NDArray[np.int64]]:
        """The batch on the vertices that are kept, bool (n,), and their old numbers, int64 (kept,).

        Graphs stay in their places, even if nothing is left of them.
        """
        mask = np.asarray(keep, np.bool_)
        counts = np.concatenate([[0], np.cumsum(mask)])
        return Batch(self.graph.induced(mask), counts[self.starts]), np.flatnonzero(mask)


def batch_graphs(graphs: Sequence[Graph]) -> Batch:
    """Put graphs side by side, in their order. Labels are left out."""
    starts = np.cumsum([0, *(graph.n for graph in graphs)], dtype=np.int64)
    ends = np.cumsum([0, *(graph.indices.size for graph in graphs)], dtype=np.int64)
    indptr = np.zeros(starts[-1] + 1, np.int64)
    indices = np.empty(ends[-1], np.int32)
    for number, graph in enumerate(graphs):
        indptr[starts[number] + 1 : starts[number + 1] + 1] = graph.indptr[1:] + ends[number]
        np.add(graph.indices, np.int32(starts[number]), out=indices[ends[number] : ends[number + 1]])
    return Batch(Graph(indptr, indices), starts)
