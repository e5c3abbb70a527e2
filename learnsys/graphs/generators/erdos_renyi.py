"""Erdos-Renyi graphs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learnsys.graphs.generators.base import GraphFamily, Range
from learnsys.graphs.graph import Graph


@dataclass(frozen=True)
class ErdosRenyi(GraphFamily):
    """Each pair of vertices is an edge with the same probability; or a given number of edges, all sets equally likely.

    ER-700-800 of the literature has probability 0.15.
    """

    nodes: Range = (700, 800)
    """least and greatest number of vertices"""
    probability: float = 0.15
    """of an edge"""
    edges: int = 0
    """number of edges; 0: as the probability has it"""

    def __post_init__(self) -> None:
        self._range("nodes", 1)
        p = self.probability
        self._require(0 <= p <= 1, f"probability={p} is none", "give a number from 0 to 1")
        most = math.comb(self.nodes[0], 2)
        self._require(0 <= self.edges <= most, f"edges={self.edges} do not fit", f"give at most {most}")

    def build(self, rng: np.random.Generator) -> Graph:
        n = int(rng.integers(self.nodes[0], self.nodes[1] + 1))
        pairs = math.comb(n, 2)
        if self.edges:
            place = _distinct(rng, pairs, self.edges)
        else:
            place = _bernoulli(rng, pairs, self.probability)
        return Graph.from_edges(_pairs(place, n), n)


def _bernoulli(rng: np.random.Generator, total: int, p: float) -> NDArray[np.int64]:
    """Ascending places below `total`, each in with probability p: by the geometric gaps between them."""
    if p == 0 or total == 0:
        return np.zeros(0, np.int64)
    parts, last = [], -1
    while last < total:
        expected = (total - last) * p
        gaps = rng.geometric(p, int(expected + 4 * math.sqrt(expected) + 10))
        parts.append(last + np.cumsum(gaps))
        last = int(parts[-1][-1])
    places = np.concatenate(parts)
    return places[places < total]


def _distinct(rng: np.random.Generator, total: int, count: int) -> NDArray[np.int64]:
    """`count` different places below `total`, all sets equally likely."""
    if 4 * count > total:
        return rng.choice(total, count, replace=False, shuffle=False)
    found = np.unique(rng.integers(total, size=count + count // 3 + 10))
    while found.size < count:
        found = np.unique(np.concatenate([found, rng.integers(total, size=count)]))
    return rng.choice(found, count, replace=False, shuffle=False)


def _pairs(place: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Pairs (k, 2), smaller first, of the places in the list (0, 1), (0, 2), ..., (1, 2), ... of all pairs below n."""
    starts = np.arange(n) * (2 * n - 1 - np.arange(n)) // 2  # of the pairs whose smaller one is each vertex
    first = np.searchsorted(starts, place, side="right") - 1
    return np.stack([first, place - starts[first] + first + 1], axis=1)
