"""The network of learnsys_mis: a score for each vertex of the graph that is left."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from learnsys.graphs import Batch
from learnsys.graphs.spmm import Sparse, segment_mean, segment_spread, spmm
from learnsys.policies.independent_set.learned.config import ModelConfig

FEATURES = 6


def features(degree: NDArray[np.int64], size: NDArray[np.int64], edges: NDArray[np.int64]) -> NDArray[np.float32]:
    """What the network is told of vertices, all by their degrees in the graph that is left, float32 (n, FEATURES).

    Args:
        degree: of the vertices, at least 1.
        size, edges: vertices and edges of their graphs.
    """
    mean = 2.0 * edges / size
    columns = (
        np.ones(degree.size),
        np.log1p(degree) / 4,
        degree / mean,
        mean / (degree + 1.0) / 2,
        degree / size,
        np.log1p(size) / 8,
    )
    return np.stack(columns, 1).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Inputs:
    """Graphs as the network reads them; each vertex has a neighbour."""

    x: Tensor
    """(n, FEATURES)"""
    share: Tensor
    """1 / degree, (n, 1)"""
    adjacency: Sparse
    segments: Sparse

    @classmethod
    def of(cls, batch: Batch) -> Inputs:
        degree = batch.graph.degrees.astype(np.int64)
        sizes = batch.sizes
        ends = np.diff(batch.graph.indptr[batch.starts]) // 2
        x = features(degree, np.repeat(sizes, sizes), np.repeat(ends, sizes))
        share = (1.0 / np.maximum(degree, 1)).astype(np.float32)[:, None]
        return cls(
            torch.from_numpy(x),
            torch.from_numpy(share),
            Sparse.of_graph(batch.graph),
            Sparse.of_segments(batch.starts),
        )


class VertexScorer(nn.Module):
    """Message passing with two kinds of sums: what the neighbours are on average, and what they share out.

    A layer is, for a vertex v of degree d(v) in a graph G,

        x_v <- LayerNorm(x_v + GELU(M [x_v ; mean of P x_u ; sum of Q x_u / d(u)] + C mean of G's x))

    over the neighbours u. The second sum tells a vertex how much its neighbours depend on it: with x = 1 it is the
    number of neighbours that v would win if each chose one of its neighbours at random.

    Shapes: `Inputs` of n vertices -> scores (n,); D width.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        d = config.width
        self.enter = nn.Linear(FEATURES, d)
        self.send = nn.ModuleList(nn.Linear(d, 2 * d, bias=False) for _ in range(config.layers))
        self.mix = nn.ModuleList(nn.Linear(3 * d, d) for _ in range(config.layers))
        self.context = nn.ModuleList(nn.Linear(d, d, bias=False) for _ in range(config.layers))
        self.norm = nn.ModuleList(nn.LayerNorm(d) for _ in range(config.layers))
        self.hidden = nn.Linear(d, d)
        self.score = nn.Linear(d, 1)

    def forward(self, inputs: Inputs) -> Tensor:
        d = self.config.width
        x = nn.functional.gelu(self.enter(inputs.x))
        for send, mix, context, norm in zip(self.send, self.mix, self.context, self.norm, strict=True):
            sent = send(x)
            near = spmm(inputs.adjacency, torch.cat([sent[:, :d], sent[:, d:] * inputs.share], 1))
            own = mix(torch.cat([x, near[:, :d] * inputs.share, near[:, d:]], 1))
            own = own + segment_spread(context(segment_mean(x, inputs.segments)), inputs.segments)
            x = norm(x + nn.functional.gelu(own))
        return self.score(nn.functional.gelu(self.hidden(x))).squeeze(1)
