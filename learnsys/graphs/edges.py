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


def sum_messages(target_terms: Tensor, source_terms: Tensor, slope: Tensor, graph: BipartiteGraph) -> Tensor:
    """For each target the sum over its edges of relu(target_terms[t] + source_terms[s] + value slope).

    Differentiable in the three tensors, not in the edges' values. Without edges the sum is 0.

    Shapes: float32 (T, W), (S, W) and (W,) -> (T, W). On the CPU W must be a multiple of 16, and the kernels run on
    one thread; elsewhere plain torch operations do it.
    """
    if target_terms.device.type == "cpu":
        return _SumMessages.apply(target_terms, source_terms, slope, graph)
    return sum_messages_plainly(target_terms, source_terms, slope, graph)


def sum_messages_plainly(target_terms: Tensor, source_terms: Tensor, slope: Tensor, graph: BipartiteGraph) -> Tensor:
    """The same by gathering, rectifying and scattering: for other devices, and to compare with."""
    device = target_terms.device
    targets = torch.from_numpy(graph.targets).to(device)
    sources = torch.from_numpy(graph.sources).to(device)
    values = torch.from_numpy(graph.values).to(device)
    messages = target_terms[targets] + source_terms[sources] + values[:, None] * slope
    return torch.zeros_like(target_terms).index_add(0, targets, torch.relu(messages))


def message_moments(
    target_terms: Tensor, source_terms: Tensor, slope: Tensor, graph: BipartiteGraph
) -> tuple[float, float, int]:
    """Sum and sum of squares of what `sum_messages` rectifies, over all edges and columns, and their number."""
    terms = (target_terms, source_terms, slope.reshape(1, -1))
    arrays = (each.detach().cpu().contiguous().numpy() for each in terms)
    return edges_kernel.message_moments(graph.pointers, graph.sources, graph.values, *arrays)
