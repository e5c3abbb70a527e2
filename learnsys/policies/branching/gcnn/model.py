"""The GCNN of Gasse et al. 2019 in torch, for training."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from learnsys.graphs.bipartite import BipartiteGraph
from learnsys.graphs.edges import message_moments, sum_messages
from learnsys.policies.branching.gcnn.config import ModelConfig

ROW_FEATURES = 5
_CONSTANT = 1e-10
"""a variance below this share of the mean square is rounding: the feature is constant"""


@dataclass(frozen=True)
class Batch:
    """Graphs as one, and their candidates: B graphs, N variables, M rows, K candidates in all."""

    variable_features: Tensor
    """float32 (N, 19 or 17)"""
    row_features: Tensor
    """float32 (M, 5)"""
    graph: BipartiteGraph
    """from variables (sources) to rows (targets)"""
    back: BipartiteGraph
    """from rows to the candidates alone: no other variable's score is of use"""
    candidates: Tensor
    """int64 (K,): the variable of each"""
    owner: Tensor
    """int64 (K,): the graph of each"""
    place: Tensor
    """int64 (K,): its place among the candidates of its graph"""

    def to(self, device: torch.device) -> Batch:
        """The same with its tensors on another device."""
        tensors: Any = {name: it.to(device) for name, it in vars(self).items() if isinstance(it, Tensor)}
        return replace(self, **tensors)


class _Measured(Exception):
    """The layer whose statistics are being taken has seen what it needs of this batch."""


class PreNorm(nn.Module):
    """(x + shift) scale with statistics taken once before training: mean 0 and variance 1 for each unit.

    `shift` is minus the mean, `scale` one over the population's standard deviation (1 for a constant unit).

    Shapes: (..., units) -> the same. With `only_scale` there is one unit, for all columns, and no shift.
    """

    shift: Tensor | None
    scale: Tensor

    def __init__(self, units: int = 1, only_scale: bool = False) -> None:
        super().__init__()
        self.units = units
        self.register_buffer("shift", None if only_scale else torch.zeros(units))
        self.register_buffer("scale", torch.ones(units))
        self.moments: list[Any] | None = None
        """sum, sum of squares and count of what was seen, while statistics are taken"""

    def forward(self, x: Tensor) -> Tensor:
        if self.moments is not None:
            flat = x.detach().double().reshape(-1, self.units)
            self.observe(flat.sum(0), flat.square().sum(0), len(flat))
        return x * self.scale if self.shift is None else (x + self.shift) * self.scale

    def observe(self, total: Any, squares: Any, count: int) -> None:
        """Take in sums over `count` numbers of each unit; the forward pass ends here."""
        assert self.moments is not None
        self.moments = [before + now for before, now in zip(self.moments, (total, squares, count), strict=True)]
        raise _Measured

    def freeze(self) -> None:
        """Set shift and scale by what was seen."""
        assert self.moments is not None
        total, squares, count = (torch.as_tensor(each, dtype=torch.float64) for each in self.moments)
        self.moments = None
        mean, square = total / count.clamp_min(1), squares / count.clamp_min(1)
        variance = square - mean.square()
        constant = variance <= _CONSTANT * square
        if self.shift is not None:
            self.shift.copy_(-mean)
        self.scale.copy_(torch.where(constant, 1.0, variance.clamp_min(1e-300).rsqrt()))


class HalfConvolution(nn.Module):
    """Messages from one side of the graph to the other, summed, and what the target makes of them (equation 4).

    The message's last layer is applied behind the sum, see `learnsys.graphs.edges`. Side by side, the three terms do
    not meet under the ReLU; the target's is then the same for all its edges, and only the source's needs them.

    Shapes: targets (T, W), sources (S, W), edges from sources to targets -> (T, W).
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.width
        self.concatenate = config.messages == "concatenate"
        self.feature_module_left = nn.Sequential(nn.Linear(width, width))
        self.feature_module_edge = nn.Sequential(nn.Linear(1, width, bias=False))
        self.feature_module_right = nn.Sequential(nn.Linear(width, width, bias=False))
        self.feature_module_final = nn.Sequential(
            PreNorm(only_scale=True), nn.ReLU(), nn.Linear((3 if self.concatenate else 1) * width, width)
        )
        self.post_conv_module = nn.Sequential(PreNorm(only_scale=True))
        self.output_module = nn.Sequential(nn.Linear(2 * width, width), nn.ReLU(), nn.Linear(width, width))

    def forward(self, targets: Tensor, sources: Tensor, graph: BipartiteGraph, edge_norm: PreNorm) -> Tensor:
        norm: Any = self.feature_module_final[0]
        last: Any = self.feature_module_final[2]
        edge: Any = self.feature_module_edge[0]
        left, right = self.feature_module_left(targets), self.feature_module_right(sources)
        slope = edge.weight[:, 0]
        sums = self._concatenated if self.concatenate else self._added
        z = sums(norm, left, right, slope, graph, edge_norm)
        degrees = torch.from_numpy(graph.degrees).to(z.device)
        total = nn.functional.linear(z, last.weight) + degrees[:, None] * last.bias
        return self.output_module(torch.cat((self.post_conv_module(total), targets), 1))

    @staticmethod
    def _added(
        norm: PreNorm, left: Tensor, right: Tensor, slope: Tensor, graph: BipartiteGraph, edge_norm: PreNorm
    ) -> Tensor:
        assert edge_norm.shift is not None
        slope = slope * edge_norm.scale  # the edges' normalisation goes into the terms
        left = left + slope * edge_norm.shift
        if norm.moments is not None:
            norm.observe(*message_moments(left, right, slope, graph))
        return sum_messages(left * norm.scale, right * norm.scale, slope * norm.scale, graph)

    @staticmethod
    def _concatenated(
        norm: PreNorm, left: Tensor, right: Tensor, slope: Tensor, graph: BipartiteGraph, edge_norm: PreNorm
    ) -> Tensor:
        values = edge_norm(torch.from_numpy(graph.values.copy()).to(left.device)[:, None])[:, 0]
        targets = torch.from_numpy(graph.targets).to(left.device)
        degrees = torch.from_numpy(graph.degrees).to(left.device)[:, None]
        if norm.moments is not None:
            out = torch.from_numpy(graph.transpose.degrees).to(left.device)[:, None]
            edges = values[:, None] * slope
            parts = [(left, degrees), (edges, torch.ones_like(values)[:, None]), (right, out)]
            first, second = (sum((each.double() ** power * weight).sum() for each, weight in parts) for power in (1, 2))
            norm.observe(first, second, 3 * edges.numel())
        zeros = torch.zeros_like(left), torch.zeros_like(slope)
        positive, negative = (
            torch.zeros(len(left), device=left.device).index_add(0, targets, torch.relu(sign * values))[:, None]
            for sign in (1, -1)
        )
        of_edges = positive * torch.relu(slope) + negative * torch.relu(-slope)
        of_sources = sum_messages(zeros[0], right, zeros[1], graph)
        return norm.scale * torch.cat((degrees * torch.relu(left), of_edges, of_sources), 1)


class GcnnModel(nn.Module):
    """The network. Parameters have the names of the published torch code, whose weights load as they are.

    Shapes: a `Batch` -> logits, float32 (K,).
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.cons_embedding = _embedding(ROW_FEATURES, config.width)
        self.edge_embedding = nn.Sequential(PreNorm(1))
        self.var_embedding = _embedding(config.variable_features, config.width)
        self.conv_v_to_c = HalfConvolution(config)
        self.conv_c_to_v = HalfConvolution(config)
        self.output_module = nn.Sequential(
            nn.Linear(config.width, config.width), nn.ReLU(), nn.Linear(config.width, 1, bias=False)
        )
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, batch: Batch) -> Tensor:
        edge_norm: Any = self.edge_embedding[0]
        if edge_norm.moments is not None:
            edge_norm(torch.from_numpy(batch.graph.values.copy())[:, None])
        rows = self.dropout(self.cons_embedding(batch.row_features))
        variables = self.dropout(self.var_embedding(batch.variable_features))
        rows = self.dropout(self.conv_v_to_c(rows, variables, batch.graph, edge_norm))
        chosen = variables[batch.candidates]
        chosen = self.dropout(self.conv_c_to_v(chosen, rows, batch.back, edge_norm))
        hidden = self.dropout(self.output_module[1](self.output_module[0](chosen)))
        return self.output_module[2](hidden)[:, 0]

    def norms(self) -> Iterator[PreNorm]:
        """The normalisations, in the order in which they can be estimated."""
        parts: list[Any] = [self.cons_embedding, self.edge_embedding, self.var_embedding]
        for convolution in (self.conv_v_to_c, self.conv_c_to_v):
            parts += [convolution.feature_module_final, convolution.post_conv_module]
        yield from (part[0] for part in parts)

    @torch.no_grad()
    def estimate_norms(self, batches: Callable[[], Iterable[Batch]]) -> None:
        """Estimate the normalisations layer by layer, each behind those that are frozen already.

        Args:
            batches: gives the same batches at each call, in which every variable is a candidate.
        """
        training = self.training
        self.eval()
        for norm in self.norms():
            norm.moments = [0.0, 0.0, 0]
            for batch in batches():
                with suppress(_Measured):
                    self(batch)
            norm.freeze()
        self.train(training)


def _embedding(features: int, width: int) -> nn.Sequential:
    return nn.Sequential(PreNorm(features), nn.Linear(features, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())


def log_probabilities(logits: Tensor, batch: Batch) -> Tensor:
    """Log-softmax over the candidates of each graph, (B, largest number of candidates); padded with -inf."""
    shape = (int(batch.owner.max()) + 1, int(batch.place.max()) + 1)
    table = logits.new_full(shape, -torch.inf).index_put((batch.owner, batch.place), logits)
    return torch.log_softmax(table, 1)


def loss_of(log_probability: Tensor, wanted: Tensor, batch: Batch, target: str) -> Tensor:
    """Summed over the graphs: the cross-entropy, or, for "ties", minus the log of the chance of any wanted candidate.

    With ties the cross-entropy would ask for equal chances of all best candidates, where any choice of one is right.

    Args:
        log_probability: (B, largest number of candidates), from `log_probabilities`.
        wanted: (K,), a distribution over the candidates of each graph.
    """
    if target != "ties":
        return -(wanted * log_probability[batch.owner, batch.place]).sum()
    allowed = torch.zeros_like(log_probability, dtype=torch.bool).index_put((batch.owner, batch.place), wanted > 0)
    return -torch.logsumexp(log_probability.masked_fill(~allowed, -torch.inf), 1).sum()
