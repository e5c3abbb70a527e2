"""The network on a stack of graphs, with gradients: the kernels as one autograd function."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from learnsys.graphs import Batch
from learnsys.graphs.lanes import aligned
from learnsys.policies.independent_set.comparator import kernel
from learnsys.policies.independent_set.comparator.activation_kernel import activate_backward, activate_keeping
from learnsys.policies.independent_set.comparator.model import ComparatorModel
from learnsys.policies.independent_set.comparator.recursion import stack_graphs
from learnsys.policies.independent_set.comparator.weights import layer_parameters

Stack = tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32], NDArray[np.float32], NDArray[np.int64]]
"""ptr, idx, graph_rows, weight, size: see `learnsys.policies.independent_set.comparator.kernel.embed`."""


def make_stack(batch: Batch, root: NDArray[np.int64], kept: list[NDArray[np.uint8]], cover: bool = False) -> Stack:
    """The graphs `root` of a batch, each on the vertices that are kept, uint8 (n,)."""
    lane_start = np.concatenate([[0], np.cumsum(batch.sizes[root])])
    everything = np.concatenate(kept) if kept else np.empty(0, np.uint8)
    return stack_graphs(batch.graph.indptr, batch.graph.indices, batch.starts, root, lane_start, everything, cover)


class Arena:
    """Memory for the arrays of one forward and backward pass, kept for the next: fresh pages cost more than the sums.

    The arrays taken since the last `reset` are valid until the next.
    """

    def __init__(self) -> None:
        self._blocks = [aligned(1, 2**20)[0]]
        self._number = self._used = 0

    def reset(self) -> None:
        """Give everything back."""
        self._number = self._used = 0

    def take(self, rows: int, columns: int) -> NDArray[np.float32]:
        """An array of any content."""
        size = -(-rows * columns // 16) * 16  # whole cache lines
        while self._used + size > self._blocks[self._number].size:
            self._number, self._used = self._number + 1, 0
            if self._number == len(self._blocks):
                self._blocks.append(aligned(1, max(size, 2 * self._blocks[-1].size))[0])
        self._used += size
        start = self._used - size
        return self._blocks[self._number][start : start + rows * columns].reshape(rows, columns)


def logits(model: ComparatorModel, stacks: Sequence[Stack], arena: Arena) -> Tensor:
    """The logits of the stacks' graphs, one after the other, (G,), with gradients for the parameters.

    Stacks of a few graphs are quickest: what is computed of one stays in the processor's cache. The arena is reset
    here, so only the last result can still be differentiated.
    """
    arena.reset()
    pooled = _EmbedAndPool.apply(arena, stacks, *layer_parameters(model))
    return model.read_out(pooled)


class _EmbedAndPool(torch.autograd.Function):
    """The means of the graphs' vertex features, (G, 3 D)."""

    @staticmethod
    def forward(ctx: Any, arena: Arena, stacks: Sequence[Stack], *parameters: Tensor) -> Tensor:
        arrays = [np.ascontiguousarray(each.numpy(force=True)) for each in parameters]
        ctx.arena, ctx.stacks, ctx.arrays, ctx.saved, pooled = arena, stacks, arrays, [], []
        for stack in stacks:
            x, saved = embed_keeping(arena, stack, *arrays)
            ctx.saved.append(saved)
            pooled.append(np.empty((stack[2].size - 1, x.shape[1]), np.float32))
            kernel.pool(x, stack[2], stack[3], stack[4], pooled[-1])
        return torch.from_numpy(np.concatenate(pooled))

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        results = [np.zeros_like(each) for each in ctx.arrays]
        pooled, first = np.ascontiguousarray(gradients[0].numpy()), 0
        for (ptr, idx, graph_rows, weight, size), saved in zip(ctx.stacks, ctx.saved, strict=True):
            last = first + size.size
            grad = ctx.arena.take(ptr.size - 1, pooled.shape[1])
            spread(pooled[first:last], graph_rows, weight, size, grad)
            parts = embed_backward(ctx.arena, (ptr, idx, graph_rows, weight, size), saved, grad, *ctx.arrays)
            for result, part in zip(results, parts, strict=True):
                result += part
            first = last
        return (None, None, *(torch.from_numpy(each) for each in results))


Floats = NDArray[np.float32]
Saved = tuple[list[Floats], list[tuple[Floats, Floats, Floats]], list[NDArray[np.int32]], NDArray[np.int32]]
"""Of each layer its input (of the first: none), what `activate_keeping` kept of its rows, and which rows of its input
stand for the stack's; the degrees of the classes and their graphs, (2, C)."""


def embed_keeping(
    arena: Arena, stack: Stack, matrix: Any, bias: Any, gain: Any, shift: Any
) -> tuple[NDArray[np.float32], Saved]:
    """The rows' features after the last layer, (R, 3 D), and what the backward pass needs."""
    ptr, idx, graph_rows, weight, size = stack
    rows, inner = ptr.size - 1, bias.shape[1]
    row_class, table = np.empty(rows, np.int32), np.empty((2, rows), np.int32)
    classes = kernel.classify(ptr, graph_rows, row_class, table[0], table[1])
    pre = arena.take(classes, inner)
    kernel.first_layer(table[0], table[1], classes, size, bias[0], pre)
    inputs, kept, members = [pre[:0]], [], [row_class]

    def activate(layer: int) -> Floats:
        slope, out, scale = arena.take(*pre.shape), arena.take(*pre.shape), arena.take(1, len(pre))[0]
        activate_keeping(pre, gain[layer], shift[layer], slope, scale, out)
        kept.append((pre, slope, scale))
        return out

    x = activate(0)
    classed, rows_themselves = np.empty_like(idx), np.arange(rows, dtype=np.int32)
    kernel.look_up(row_class, idx, classed)
    for layer in range(1, bias.shape[0]):
        inputs.append(x)
        members.append(row_class if layer == 1 else rows_themselves)
        product = np.dot(x, matrix[layer - 1], out=arena.take(len(x), inner))
        pre = arena.take(rows, inner)
        kernel.aggregate(
            product, members[-1], ptr, classed if layer == 1 else idx, graph_rows, weight, size, bias[layer], pre
        )
        x = activate(layer)
    return x, (inputs, kept, members, table[:, :classes])


def embed_backward(
    arena: Arena, stack: Stack, saved: Saved, grad: NDArray[np.float32], matrix: Any, bias: Any, gain: Any, shift: Any
) -> tuple[NDArray[np.float32], ...]:
    """The gradients of matrix, bias, gain and shift from those of the last layer's rows (R, 3 D), which are used up."""
    ptr, idx, graph_rows, weight, size = stack
    inputs, kept, members, table = saved
    results = tuple(np.zeros_like(each) for each in (matrix, bias, gain, shift))
    for layer in range(bias.shape[0] - 1, -1, -1):
        activate_backward(*kept[layer], gain[layer], grad, results[2][layer], results[3][layer])
        if layer == 0:
            break
        count = inputs[layer].shape[0]
        product, near = arena.take(count, bias.shape[1]), arena.take(*grad.shape)
        if count < len(grad):
            product[:] = 0
        kernel.aggregate_backward(grad, members[layer], ptr, idx, graph_rows, weight, near, product, results[1][layer])
        np.dot(inputs[layer].T, product, out=results[0][layer - 1])
        grad = np.dot(product, matrix[layer - 1].T, out=arena.take(count, bias.shape[1]))
    width = bias.shape[1] // 3
    scale = np.stack([np.ones(table.shape[1]), table[0] + 1.0, size[table[1]] - table[0]], 1).astype(np.float32)
    results[1][0] = (grad * np.repeat(scale, width, 1)).sum(0)
    return results


@njit(
    ["void(float32[:, ::1], int32[::1], float32[::1], int64[::1], float32[:, ::1])"],
    cache=True,
    nogil=True,
)
def spread(pooled, graph_rows, weight, size, out):
    """The gradients of the rows from those of their graphs' means."""
    for g in range(graph_rows.size - 1):
        for r in range(graph_rows[g], graph_rows[g + 1]):
            share = np.float32(weight[r] / size[g])
            for k in range(out.shape[1]):
                out[r, k] = pooled[g, k] * share
