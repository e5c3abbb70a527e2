"""Messages with a ReLU on each edge, summed by target: one fused operation with its gradient.

A message of the GCNN (Gasse et al. 2019, equation 4) is W relu(a_t + b_s + v_e c) + d: a term of the target, one of
the source, one of the edge's value. The last layer commutes with the sum over the edges,

    sum_e (W z_e + d) = W (sum_e z_e) + degree d,

so it is left to the caller, once for each target instead of once for each edge, and what remains is `sum_messages`.
The spmm of `learnsys.graphs` cannot do it because of the ReLU; gathering and scattering edges takes tens of times
longer.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from learnsys.graphs import edges_kernel
from learnsys.graphs.bipartite import BipartiteGraph


class _SumMessages(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, target_terms: Tensor, source_terms: Tensor, slope: Tensor, graph: BipartiteGraph) -> Tensor:
        terms = tuple(each.detach().contiguous() for each in (target_terms, source_terms, slope.reshape(1, -1)))
        out = torch.empty_like(terms[0])
        arrays = (each.numpy() for each in (*terms, out))
        edges_kernel.sum_messages(graph.pointers, graph.sources, graph.values, *arrays)
        ctx.save_for_backward(*terms)
        ctx.graph = graph
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        terms = ctx.saved_tensors
        graph, gradient = ctx.graph, gradients[0].contiguous()
        by_target, by_source, by_slope = (
            torch.empty_like(terms[0]),
            torch.zeros_like(terms[1]),
            torch.empty_like(terms[2]),
        )
        arrays = (each.numpy() for each in (*terms, gradient, by_target, by_source, by_slope))
        edges_kernel.sum_messages_backward(graph.pointers, graph.sources, graph.values, *arrays)
        return by_target, by_source, by_slope.reshape(-1), None


class _SumMessagesBySegment(torch.autograd.Function):
    """In torch operations whose sums have a fixed order: scattering by atomic additions has none."""

    @staticmethod
    def forward(ctx: Any, target_terms: Tensor, source_terms: Tensor, slope: Tensor, graph: BipartiteGraph) -> Tensor:
        arrays = (graph.pointers, graph.targets, graph.sources, graph.values)
        pointers, targets, sources, values = (torch.from_numpy(each).to(target_terms.device) for each in arrays)
        messages = torch.relu(_before_relu(target_terms, source_terms, slope, targets, sources, values))
        ctx.save_for_backward(target_terms, source_terms, slope, pointers, targets, sources, values)
        return _segment_sum(messages, pointers)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        target_terms, source_terms, slope, pointers, targets, sources, values = ctx.saved_tensors
        passed = _before_relu(target_terms, source_terms, slope, targets, sources, values) > 0
        by_edge = torch.where(passed, gradients[0][targets], 0.0)
        of_sources, order = torch.sort(sources, stable=True)
        begins = torch.arange(len(source_terms) + 1, dtype=sources.dtype, device=sources.device)
        by_source = _segment_sum(by_edge[order], torch.searchsorted(of_sources, begins))
        return _segment_sum(by_edge, pointers), by_source, values @ by_edge, None


def _before_relu(
    target_terms: Tensor, source_terms: Tensor, slope: Tensor, targets: Tensor, sources: Tensor, values: Tensor
) -> Tensor:
    """(edges, W)"""
    return target_terms[targets] + source_terms[sources] + values[:, None] * slope


def _segment_sum(rows: Tensor, pointers: Tensor) -> Tensor:
    """The sums of rows pointers[i] to pointers[i + 1], (segments, W); 0 for none."""
    return torch.segment_reduce(rows, "sum", offsets=pointers.long(), initial=0, unsafe=True)


def sum_messages(target_terms: Tensor, source_terms: Tensor, slope: Tensor, graph: BipartiteGraph) -> Tensor:
    """For each target the sum over its edges of relu(target_terms[t] + source_terms[s] + value slope).

    Differentiable in the three tensors, not in the edges' values. Without edges the sum is 0.

    Shapes: float32 (T, W), (S, W) and (W,) -> (T, W). On the CPU W must be a multiple of 16, and the kernels run on
    one thread; on other devices torch operations do it, with equal bits from run to run.
    """
    if target_terms.device.type == "cpu":
        return _SumMessages.apply(target_terms, source_terms, slope, graph)
    return sum_messages_by_segment(target_terms, source_terms, slope, graph)


def sum_messages_by_segment(target_terms: Tensor, source_terms: Tensor, slope: Tensor, graph: BipartiteGraph) -> Tensor:
    """The same in torch operations, for any device and width."""
    return _SumMessagesBySegment.apply(target_terms, source_terms, slope, graph)


def sum_messages_plainly(target_terms: Tensor, source_terms: Tensor, slope: Tensor, graph: BipartiteGraph) -> Tensor:
    """The same by gathering, rectifying and scattering, to compare with."""
    arrays = (graph.targets, graph.sources, graph.values)
    targets, sources, values = (torch.from_numpy(each).to(target_terms.device) for each in arrays)
    messages = torch.relu(_before_relu(target_terms, source_terms, slope, targets, sources, values))
    return torch.zeros_like(target_terms).index_add(0, targets, messages)


def message_moments(
    target_terms: Tensor, source_terms: Tensor, slope: Tensor, graph: BipartiteGraph
) -> tuple[float, float, int]:
    """Sum and sum of squares of what `sum_messages` rectifies, over all edges and columns, and their number."""
    terms = (target_terms, source_terms, slope.reshape(1, -1))
    arrays = (each.detach().cpu().contiguous().numpy() for each in terms)
    return edges_kernel.message_moments(graph.pointers, graph.sources, graph.values, *arrays)
