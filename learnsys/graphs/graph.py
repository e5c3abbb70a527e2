"""A simple undirected graph in compressed sparse rows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from learnsys.errors import InputError

if TYPE_CHECKING:
    import networkx
    from scipy.sparse import csr_array

MAX_NODES = 2**31 - 2
"""vertices are numbered by int32"""


@dataclass(frozen=True, eq=False)
class Graph:
    """Vertices 0 to n - 1 and edges without direction, loops or doubles. The arrays are not to be written to.

    `Graph(indptr, indices)` takes rows as they are, for code that knows them to be right; `check` verifies them. The
    constructors `from_...` mend order, doubles and one-sided edges, and drop loops.
    """

    indptr: NDArray[np.int64]
    """(n + 1,): vertex v's neighbours stand at indptr[v] to indptr[v + 1] - 1"""
    indices: NDArray[np.int32]
    """(2 m,): the neighbours, ascending within a row; each edge stands in both rows"""
    labels: NDArray[np.int64] | None = None
    """(n,): how the vertices are called outside, such as in a file that counts from 1; None: by their numbers"""

    # ---- constructors --------------------------------------------------------------------------------------------

    @classmethod
    def from_edges(cls, edges: ArrayLike, nodes: int | None = None, labels: NDArray[np.int64] | None = None) -> Graph:
        """The graph of an edge array.

        Args:
            edges: integers, (m, 2), in any order and direction; doubles count once, loops are dropped.
            nodes: number of vertices; one more than the greatest end unless given.
            labels: see the class.

        Raises:
            InputError: not of that shape, not whole numbers, or an end outside of 0 to nodes - 1.
        """
        from learnsys.graphs.graph_kernel import rows_of

        pairs = np.asarray(edges)
        if pairs.size == 0:
            pairs = np.zeros((0, 2), np.int32)
        if pairs.ndim != 2 or pairs.shape[1] != 2:
            remedy = "give an array of shape (edges, 2)"
            raise InputError(f"an array of shape {pairs.shape} is no list of edges", remedy=remedy)
        if pairs.dtype.kind not in "iub":
            raise InputError(f"edges of type {pairs.dtype} are no whole numbers", remedy="give integers")
        low, high = (int(pairs.min()), int(pairs.max())) if pairs.size else (0, -1)
        nodes = high + 1 if nodes is None else int(nodes)
        if low < 0 or high >= nodes or nodes > MAX_NODES:
            name = low if low < 0 else high
            raise InputError(
                f"vertex {name} is outside of 0 to {nodes - 1}" if nodes <= MAX_NODES else f"{nodes} vertices",
                remedy=f"number the vertices from 0, at most {MAX_NODES} of them",
            )
        if nodes > 2**24:
            check_memory(nodes, len(pairs))
        first, second = (np.ascontiguousarray(pairs[:, k], np.int32) for k in (0, 1))
        indptr, indices = rows_of(nodes, first, second)
        return cls(indptr, indices, labels)

    @classmethod
    def from_scipy(cls, matrix: Any) -> Graph:
        """The graph of a square scipy sparse matrix: an edge wherever an entry is stored that is not zero.

        Raises:
            InputError: not square, or entries that look like weights (neither 0 nor 1).
        """
        found = matrix.tocoo()
        if found.ndim != 2 or found.shape[0] != found.shape[1]:
            raise InputError(f"a matrix of shape {found.shape} is no adjacency", remedy="give a square one")
        if not np.isin(found.data, (0, 1)).all():
            raise InputError("the matrix has weights, and sets are counted", remedy="give entries 0 and 1")
        stored = found.data != 0
        pairs = np.stack([found.coords[0][stored], found.coords[1][stored]], axis=1)
        return cls.from_edges(pairs, found.shape[0])

    @classmethod
    def from_networkx(cls, graph: networkx.Graph) -> Graph:
        """The graph of a networkx graph; vertex k is its k-th node. Directions and parallel edges are dropped.

        Raises:
            InputError: a node or edge has a weight other than 1.
        """
        number = {node: k for k, node in enumerate(graph)}
        for kind, items in (("node", graph.nodes(data="weight")), ("edge", graph.edges(data="weight"))):
            heavy = next((it for it in items if it[-1] not in (None, 1)), None)
            if heavy is not None:
                raise InputError(f"{kind} {heavy[:-1]!r} has a weight, and sets are counted", remedy="delete weights")
        pairs = np.fromiter((number[end] for edge in graph.edges() for end in edge[:2]), np.int64)
        return cls.from_edges(pairs.reshape(-1, 2), len(number))

    @classmethod
    def of(cls, source: Any) -> Graph:
        """The graph of whatever describes one: a `Graph`, a networkx graph, a scipy sparse matrix, an edge array.

        Raises:
            InputError: it describes none.
        """
        if isinstance(source, Graph):
            return source
        if hasattr(source, "tocoo"):
            return cls.from_scipy(source)
        if is_networkx(source):
            return cls.from_networkx(source)
        try:
            return cls.from_edges(source)
        except (TypeError, ValueError):
            remedy = "give a networkx graph, a scipy sparse matrix or an edge array"
            raise InputError(f"{type(source).__name__} is no graph", remedy=remedy) from None

    # ---- what it holds -------------------------------------------------------------------------------------------

    @property
    def n(self) -> int:
        """Number of vertices."""
        return self.indptr.size - 1

    @property
    def m(self) -> int:
        """Number of edges."""
        return self.indices.size // 2

    @property
    def density(self) -> float:
        """Edges among all pairs."""
        return self.m / max(1, self.n * (self.n - 1) / 2)

    @cached_property
    def degrees(self) -> NDArray[np.int64]:
        """(n,)"""
        return np.diff(self.indptr)

    @cached_property
    def edges(self) -> NDArray[np.int32]:
        """(m, 2), each with its smaller end first, ascending."""
        rows = np.repeat(np.arange(self.n, dtype=np.int32), self.degrees)
        upper = rows < self.indices
        return np.stack([rows[upper], self.indices[upper]], axis=1)

    @property
    def names(self) -> NDArray[np.int64]:
        """(n,): how the vertices are called outside."""
        return np.arange(self.n) if self.labels is None else self.labels

    def neighbours(self, vertex: int) -> NDArray[np.int32]:
        """Ascending."""
        return self.indices[self.indptr[vertex] : self.indptr[vertex + 1]]

    def __repr__(self) -> str:
        return f"Graph(n={self.n}, m={self.m})"

    def same_as(self, other: Graph) -> bool:
        """Whether both have the same rows."""
        return np.array_equal(self.indptr, other.indptr) and np.array_equal(self.indices, other.indices)

    # ---- other graphs --------------------------------------------------------------------------------------------

    def induced(self, keep: ArrayLike) -> Graph:
        """The subgraph on some vertices, numbered anew in ascending order; labels go along.

        Args:
            keep: bool (n,), or vertices that ascend, int (k,).
        """
        from learnsys.graphs.graph_kernel import induce

        mask = np.asarray(keep)
        vertices = np.flatnonzero(mask) if mask.dtype == np.bool_ else np.asarray(mask, np.int64)
        labels = None if self.labels is None else self.labels[vertices]
        indptr, indices = induce(self.indptr, self.indices, vertices)
        return Graph(indptr, indices, labels)

    def complement(self) -> Graph:
        """Joined where this one is not: cliques here are independent sets there. Takes 4 n^2 bytes if sparse.

        Raises:
            InputError: it would not fit into memory.
        """
        from learnsys.graphs.graph_kernel import complement

        check_memory(self.n, self.n * (self.n - 1) // 2 - self.m)
        indptr, indices = complement(self.indptr, self.indices)
        return Graph(indptr, indices, self.labels)

    # ---- to others -----------------------------------------------------------------------------------------------

    def to_scipy(self) -> csr_array:
        """The adjacency matrix, int8 (n, n), sharing `indices`."""
        from scipy.sparse import csr_array

        indptr = self.indptr if self.indices.size >= 2**31 else self.indptr.astype(np.int32)
        return csr_array((np.ones(self.indices.size, np.int8), self.indices, indptr), shape=(self.n, self.n))

    def to_networkx(self) -> networkx.Graph:
        """With nodes 0 to n - 1."""
        import networkx

        graph = networkx.Graph()
        graph.add_nodes_from(range(self.n))
        graph.add_edges_from(self.edges.tolist())
        return graph

    # ---- checks --------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Verify the class's promises.

        Raises:
            InputError: naming the first vertex whose row is wrong.
        """
        from learnsys.graphs.graph_kernel import first_fault

        vertex = first_fault(self.indptr, self.indices)
        if vertex >= 0:
            raise InputError(f"the row of vertex {vertex} is no row of a simple undirected graph")

    def is_independent(self, vertices: ArrayLike) -> bool:
        """Whether the vertices, int (k,), exist, differ from each other and have no edge among them."""
        from learnsys.graphs.graph_kernel import conflict

        chosen = np.asarray(vertices, np.int64).ravel()
        if chosen.size and (chosen.min() < 0 or chosen.max() >= self.n):
            return False
        mask = np.zeros(self.n, np.bool_)
        mask[chosen] = True
        return int(mask.sum()) == chosen.size and conflict(self.indptr, self.indices, mask) < 0


def is_networkx(source: Any) -> bool:
    """Whether an object is a graph of networkx, told without importing it."""
    return hasattr(source, "adj") and hasattr(source, "nodes") and callable(getattr(source, "edges", None))


def check_memory(nodes: int, edges: int, file: Any = None, place: str | None = None) -> None:
    """Refuse a graph that the machine has no room for, before its arrays are made.

    Raises:
        InputError: vertices are more than int32 can number, or building the rows would take more memory than is free.
    """
    need = 16 * nodes + 24 * edges  # at the height of `rows_of`
    free = _free_bytes()
    if nodes > MAX_NODES or (free is not None and need > free):
        room = f", which takes {need / 2**30:,.1f} GiB of {free / 2**30:,.1f} free" if free is not None else ""
        raise InputError(
            f"a graph of {nodes:,} vertices and {edges:,} edges{room}",
            file=file,
            place=place,
            remedy="give a part of it, or use a larger machine",
        )


def _free_bytes() -> int | None:
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return None  # no Linux: allocation itself will tell
