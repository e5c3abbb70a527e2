"""Bipartite graphs in CSR: what messages are sent over, from sources to targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from learnsys.errors import InputError
from learnsys.graphs.bipartite_kernel import around, cut_out, fill_columns, narrow_columns


@dataclass(frozen=True, eq=False)
class BipartiteGraph:
    """Edges from sources to targets, each with a value, sorted by target. The arrays must not be changed.

    In the graph of a linear program that the GCNN reads, targets are rows and sources are variables; the transpose
    leads the other way.
    """

    pointers: NDArray[np.int32]
    """(targets + 1,): where each target's edges begin"""
    sources: NDArray[np.int32]
    """(edges,)"""
    values: NDArray[np.float32]
    """(edges,)"""
    n_sources: int

    @property
    def n_targets(self) -> int:
        return len(self.pointers) - 1

    @property
    def n_edges(self) -> int:
        return len(self.sources)

    @cached_property
    def degrees(self) -> NDArray[np.float32]:
        """The number of edges of each target, (targets,)."""
        return np.diff(self.pointers).astype(np.float32)

    @cached_property
    def targets(self) -> NDArray[np.int32]:
        """The target of each edge, (edges,)."""
        return np.repeat(np.arange(self.n_targets, dtype=np.int32), np.diff(self.pointers))

    @cached_property
    def transpose(self) -> BipartiteGraph:
        """The same edges from targets to sources."""
        return self.of_sources(np.arange(self.n_sources, dtype=np.int32))

    def of_sources(self, chosen: NDArray[np.int32]) -> BipartiteGraph:
        """The edges of the `chosen` sources alone, turned round: source chosen[i] is target i.

        Args:
            chosen: (k,), distinct.
        """
        place = self._place(chosen)
        pointers = narrow_columns(self.sources, place, len(chosen))
        sources = np.empty(pointers[-1], np.int32)
        values = np.empty(pointers[-1], np.float32)
        fill_columns(self.pointers, self.sources, self.values, place, pointers, sources, values)
        return BipartiteGraph(pointers, sources, values, self.n_targets)

    def around(self, chosen: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """The targets with an edge from a chosen source, and the sources of all their edges and the chosen; ascending.

        Messages from sources to targets and back bring the chosen sources nothing from elsewhere.

        Args:
            chosen: (k,), distinct.
        """
        targets, sources = around(self.pointers, self.sources, self._place(chosen))
        return targets, sources

    def cut_out(self, targets: NDArray[np.int32], sources: NDArray[np.int32]) -> BipartiteGraph:
        """The graph of some targets and sources, as `around` gives them, numbered anew in their order."""
        pointers, renumbered, values = cut_out(
            self.pointers, self.sources, self.values, self.n_sources, targets, sources
        )
        return BipartiteGraph(pointers, renumbered, values, len(sources))

    def _place(self, chosen: NDArray[np.int32]) -> NDArray[np.int32]:
        """The place of each source among the chosen, or -1."""
        place = np.full(self.n_sources, -1, np.int32)
        place[chosen] = np.arange(len(chosen), dtype=np.int32)
        return place

    @classmethod
    def from_edges(
        cls, targets: ArrayLike, sources: ArrayLike, values: ArrayLike, shape: tuple[int, int]
    ) -> BipartiteGraph:
        """From a list of edges in any order; those of one target keep theirs.

        Args:
            targets, sources, values: (edges,).
            shape: numbers of targets and sources.

        Raises:
            InputError: an edge leads outside, or the lists differ in length.
        """
        row, column = np.asarray(targets, np.int64), np.asarray(sources, np.int64)
        numbers = np.asarray(values, np.float32)
        if not row.shape == column.shape == numbers.shape or row.ndim != 1:
            raise InputError(f"edges of shapes {row.shape}, {column.shape}, {numbers.shape}", remedy="equal lengths")
        if row.size and not (0 <= row.min() and row.max() < shape[0] and 0 <= column.min() and column.max() < shape[1]):
            raise InputError(f"an edge leads outside of {shape[0]} targets and {shape[1]} sources")
        if row.size and (np.diff(row) < 0).any():
            order = np.argsort(row, kind="stable")
            row, column, numbers = row[order], column[order], numbers[order]
        pointers = np.zeros(shape[0] + 1, np.int32)
        np.cumsum(np.bincount(row, minlength=shape[0]), out=pointers[1:])
        return cls(pointers, column.astype(np.int32), numbers, shape[1])

    @classmethod
    def batch(cls, graphs: Sequence[BipartiteGraph]) -> BipartiteGraph:
        """Several graphs as one: the targets and sources of the second follow those of the first, and so on."""
        edges = np.cumsum([0, *(graph.n_edges for graph in graphs)])
        offsets = np.cumsum([0, *(graph.n_sources for graph in graphs)])
        if edges[-1] >= 2**31 or offsets[-1] >= 2**31:
            raise InputError("a batch of more than 2^31 edges", remedy="make it smaller")
        pointers = [graph.pointers[1:] + np.int32(first) for graph, first in zip(graphs, edges[:-1], strict=True)]
        sources = [graph.sources + np.int32(first) for graph, first in zip(graphs, offsets[:-1], strict=True)]
        return cls(
            np.concatenate([np.zeros(1, np.int32), *pointers]),
            np.concatenate([np.zeros(0, np.int32), *sources]),
            np.concatenate([np.zeros(0, np.float32), *(graph.values for graph in graphs)]),
            int(offsets[-1]),
        )
