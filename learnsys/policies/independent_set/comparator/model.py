"""The comparator's network, on a dense adjacency: the plain form that the kernels are checked against."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from learnsys.policies.independent_set.comparator.config import ModelConfig


class ComparatorModel(nn.Module):
    """A graph's logit in comparisons; of two graphs, the one with the greater is taken to hold the larger set.

    It is the graph embedding module (GEM) and comparator of Brusca et al., "Maximum independent set: self-training
    through dynamic programming", NeurIPS 2023 (arXiv 2310.18672), with the parameter names of the published code. One
    layer is

        X <- LayerNorm(GELU([S X ; (A + I) F X ; (1 - A) W X]))

    for a graph's adjacency A, from X = 0: vertices differ by nothing but their place in the graph. The read-out is
    the mean over the vertices through dense layers, the last of which also sees the first one's output.

    Shapes: adjacency (n, n) -> logit (1,).
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        width, inner = config.width, 3 * config.width
        self.gnn_f_layers = nn.ModuleList(nn.Linear(inner, width) for _ in range(config.layers))
        self.gnn_s_layers = nn.ModuleList(nn.Linear(inner, width) for _ in range(config.layers))
        self.gnn_a_layers = nn.ModuleList(nn.Linear(inner, width) for _ in range(config.layers))
        self.gnn_layer_norms = nn.ModuleList(nn.LayerNorm(inner) for _ in range(config.layers))
        sizes = [inner, *[width] * (config.dense - 1)]
        self.dense_layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.dense_layers.append(nn.Linear(2 * width, 1))
        self.dense_layer_norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(config.dense - 1))

    def embed(self, adjacency: Tensor) -> Tensor:
        """The vertices' features after the last layer, (n, 3 D)."""
        x = adjacency.new_zeros(adjacency.shape[0], 3 * self.config.width)
        eye = torch.eye(len(x), dtype=x.dtype, device=x.device)
        for f, s, a, norm in zip(
            self.gnn_f_layers, self.gnn_s_layers, self.gnn_a_layers, self.gnn_layer_norms, strict=True
        ):
            parts = [s(x), (adjacency + eye) @ f(x), (1 - adjacency) @ a(x)]
            x = norm(nn.functional.gelu(torch.cat(parts, 1)))
        return x

    def read_out(self, pooled: Tensor) -> Tensor:
        """The logits of graphs from the means of their vertices' features, (..., 3 D) -> (...)."""
        h = first = pooled
        for number, norm in enumerate(self.dense_layer_norms):
            h = norm(nn.functional.relu(self.dense_layers[number](h)))
            first = h if number == 0 else first
        return self.dense_layers[-1](torch.cat([h, first], -1)).squeeze(-1)

    def forward(self, adjacency: Tensor) -> Tensor:
        return self.read_out(self.embed(adjacency).mean(0))
