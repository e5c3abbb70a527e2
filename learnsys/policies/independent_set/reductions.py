"""Exact reductions: a smaller graph whose maximum independent sets give those of the whole."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learnsys.errors import InputError
from learnsys.graphs.graph import Graph
from learnsys.policies.independent_set import reductions_kernel as kernel

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Reduced:
    """What is left of a graph, and the way back."""

    graph: Graph
    """the kernel; its labels are the numbers in the whole graph (of folded vertices: the number they go by)"""
    offset: int
    """a maximum set of the whole has so many vertices more than one of the kernel"""
    nodes: int
    """of the whole graph"""
    log: NDArray[np.int32]
    """what was done, for `lift`"""

    @classmethod
    def none(cls, graph: Graph) -> Reduced:
        """No reduction at all."""
        whole = Graph(graph.indptr, graph.indices, np.arange(graph.n))
        return cls(whole, 0, graph.n, np.zeros(0, np.int32))

    def lift(self, vertices: NDArray[np.int64]) -> NDArray[np.int64]:
        """The independent set of the whole graph, ascending, that belongs to one of the kernel."""
        assert self.graph.labels is not None
        chosen = np.zeros(self.nodes, np.bool_)
        chosen[self.graph.labels[np.asarray(vertices, np.int64)]] = True
        kernel.replay(chosen, self.log, self.log.size)
        return np.flatnonzero(chosen)


class Reducer:
    """A graph that is reduced, and from which vertices may be taken or deleted in between.

    Butenko et al., 2002, for triangles and folding; Akiba and Iwata, "Branch-and-reduce exponential/FPT algorithms in
    practice", 2016, for domination and twins. A folded vertex goes by the number of the vertex of degree 2 (of the
    first twin) that it was made from.

    Attributes:
        degree: int32 (n,), neighbours that are left; below 0 for vertices that are gone. Not to be written to.
    """

    def __init__(self, graph: Graph) -> None:
        n = graph.n
        self._nodes = n
        self._pool = np.empty(2 * graph.indices.size + 64, np.int32)
        self._pool[: graph.indices.size] = graph.indices
        self._rows = np.stack([graph.indptr[:-1], graph.degrees])
        self.degree = graph.degrees.astype(np.int32)
        self._lists = np.zeros((5, max(3, n)), np.int32)
        self._count = np.zeros(6, np.int64)
        self._count[kernel.POOL_END] = graph.indices.size
        self._log = np.empty(6 * n + 8, np.int32)
        kernel.touch_all(*self._state)

    @property
    def _state(self) -> tuple[Array, Array, Array, Array, Array]:
        return self._pool, self._rows, self.degree, self._lists, self._count

    @property
    def offset(self) -> int:
        """Vertices of the set that are certain so far."""
        return int(self._count[kernel.OFFSET])

    def reduce(self) -> None:
        """Apply all reductions until none applies."""
        while not kernel.reduce(*self._state, self._log):
            other = np.empty_like(self._pool)
            kernel.compact(*self._state, other)
            self._pool = other

    def take(self, vertex: int) -> None:
        """Put a vertex that is left into the set."""
        self._require_left(vertex)
        kernel.take(*self._state, self._log, vertex)

    def delete(self, vertex: int) -> None:
        """Leave a vertex that is left out of the set."""
        self._require_left(vertex)
        kernel.delete(*self._state, vertex)

    def _require_left(self, vertex: int) -> None:
        if not 0 <= vertex < self._nodes or self.degree[vertex] < 0:
            raise InputError(f"vertex {vertex} is not left in the graph", remedy="choose one of degree 0 or more")

    def rest(self) -> Reduced:
        """What is left, as a compact graph."""
        left = np.flatnonzero(self.degree >= 0)
        pool = np.empty_like(self._pool)
        kernel.compact(*self._state, pool)
        self._pool = pool
        number = np.zeros(self._nodes, np.int32)
        number[left] = np.arange(left.size, dtype=np.int32)
        ends = number[self._pool[: self._count[kernel.POOL_END]]]
        starts = np.repeat(np.arange(left.size, dtype=np.int32), self.degree[left])
        upper = starts < ends
        graph = Graph.from_edges(np.stack([starts[upper], ends[upper]], axis=1), left.size, left)
        log = self._log[: self._count[kernel.LOG_END]].copy()
        return Reduced(graph, self.offset, self._nodes, log)


def reduced(graph: Graph) -> Reduced:
    """The kernel of a graph under all reductions."""
    reducer = Reducer(graph)
    reducer.reduce()
    return reducer.rest()
