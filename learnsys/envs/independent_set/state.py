"""A graph with a set half built."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from learnsys.envs.independent_set import kernel
from learnsys.graphs import Graph


class State:
    """The vertices in the set, those deleted, and those still open; an open vertex has an open neighbour.

    Attributes:
        graph: the whole graph.
        status: int8 (n,), `kernel.OUT`, `IN` or `OPEN`.
        degree: open neighbours of the open vertices, int32 (n,); 0 for the others.
        size: vertices in the set.
        proposed: the vertex to decide on, where the environment chooses it; -1 otherwise.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.status = np.empty(graph.n, np.int8)
        self.degree = np.empty(graph.n, np.int32)
        self.size = int(kernel.begin(*self._rows()))
        self.proposed = -1

    def _rows(self) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int8], NDArray[np.int32]]:
        return self.graph.indptr, self.graph.indices, self.status, self.degree

    @property
    def open(self) -> NDArray[np.int64]:
        """The open vertices, ascending."""
        return np.flatnonzero(self.status == kernel.OPEN)

    @property
    def chosen(self) -> NDArray[np.int64]:
        """The vertices in the set, ascending."""
        return np.flatnonzero(self.status == kernel.IN)

    def take(self, v: int) -> int:
        """Put an open vertex into the set; how many vertices enter it (others may be left without neighbours)."""
        entered = int(kernel.take(*self._rows(), v))
        self.size += entered
        return entered

    def delete(self, v: int) -> int:
        """Delete an open vertex; how many vertices enter the set."""
        entered = int(kernel.delete(*self._rows(), v))
        self.size += entered
        return entered

    def open_edges(self) -> NDArray[np.int32]:
        """The edges between open vertices, int32 (e, 2), the lesser vertex first."""
        edges = self.graph.edges
        both = (self.status[edges[:, 0]] == kernel.OPEN) & (self.status[edges[:, 1]] == kernel.OPEN)
        return np.ascontiguousarray(edges[both], np.int32)
