"""The comparator's recursion in its plain form: one graph at a time, on a dense adjacency, through torch.

The kernels must decide as it does, and their speed is told beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from learnsys.graphs import Graph
from learnsys.policies.independent_set.comparator.model import ComparatorModel

_MASK = 2**64 - 1
_TIE = 1e-5


def uniforms(seed: int) -> Iterator[float]:
    """The stream of a recursion: splitmix64 of the seed, in [0, 1)."""
    state = seed & _MASK
    while True:
        state = (state + 0x9E3779B97F4A7C15) & _MASK
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
        yield ((z ^ (z >> 31)) >> 11) * 2.0**-53


@dataclass(frozen=True)
class DenseRecursion:
    """What a recursion ended with."""

    size: int
    """of the independent set, or of the vertex cover"""
    vertices: NDArray[np.int64]
    """the independent set, or the cover, ascending"""
    picks: list[int]
    choices: list[int]


def adjacency_of(graph: Graph) -> Tensor:
    """The dense adjacency, float32 (n, n)."""
    return torch.from_numpy(graph.to_scipy().toarray().astype(np.float32))


@torch.inference_mode()
def independent_set(model: ComparatorModel, graph: Graph, seed: int) -> DenseRecursion:
    """The recursion of the paper for independent sets."""
    adjacency, vertices = adjacency_of(graph), np.arange(graph.n)
    stream, picks, choices = uniforms(seed), [], []
    while adjacency.any():
        candidates = torch.nonzero(adjacency.any(1))[:, 0]
        v = candidates[int(next(stream) * len(candidates))]
        kept = [torch.ones(len(adjacency), dtype=torch.bool), adjacency[v] == 0]
        kept[0][v] = False
        graphs = [adjacency[each][:, each] for each in kept]
        side = int(model(graphs[1]) > model(graphs[0]) + _TIE)
        picks.append(int(vertices[v]))
        choices.append(side)
        adjacency, vertices = graphs[side], vertices[kept[side].numpy()]
    return DenseRecursion(vertices.size, vertices, picks, choices)


@torch.inference_mode()
def vertex_cover(model: ComparatorModel, graph: Graph, seed: int) -> DenseRecursion:
    """The recursion of the paper for vertex covers: a covered vertex keeps one edge, to a new vertex."""
    adjacency = adjacency_of(graph)
    stream, picks, choices, cover = uniforms(seed), [], [], []
    while True:
        degree = adjacency.sum(1)
        # In an isolated edge both ends have degree 1, and the sum of a vertex's neighbours' degrees is 1 too.
        open_ = (degree > 0) & ~((degree == 1) & (adjacency @ degree == 1))
        candidates = torch.nonzero(open_)[:, 0]
        if not len(candidates):
            break
        v = candidates[int(next(stream) * len(candidates))]
        sides = [v[None], torch.nonzero(adjacency[v])[:, 0]]
        graphs = [covered(adjacency, each) for each in sides]
        side = int(model(graphs[1]) > model(graphs[0]) + _TIE)
        picks.append(int(v))
        choices.append(side)
        cover += sides[side].tolist()
        adjacency = graphs[side]
    left = torch.nonzero(adjacency[: graph.n, : graph.n].triu())
    cover += [int(u) for u, w in left.tolist() if u not in cover and w not in cover]
    vertices = np.array(sorted(cover), np.int64)
    return DenseRecursion(int(adjacency.sum()) // 2, vertices, picks, choices)


def covered(adjacency: Tensor, vertices: Tensor) -> Tensor:
    """The adjacency after `vertices` lost their edges and got a new neighbour each."""
    n, more = len(adjacency), len(vertices)
    grown = adjacency.new_zeros(n + more, n + more)
    grown[:n, :n] = adjacency
    grown[vertices] = 0
    grown[:, vertices] = 0
    new = torch.arange(n, n + more)
    grown[vertices, new] = 1
    grown[new, vertices] = 1
    return grown
