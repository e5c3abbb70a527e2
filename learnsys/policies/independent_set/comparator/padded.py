"""The comparator on padded dense graphs, and its fitting on a device: the same steps as the kernels', all at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from learnsys.policies.distributed import joined, processes, summed_over_all
from learnsys.policies.independent_set.comparator.config import TrainingConfig
from learnsys.policies.independent_set.comparator.fitting import Tally, comparison_losses
from learnsys.policies.independent_set.comparator.model import ComparatorModel
from learnsys.policies.independent_set.padded import (
    WARM_UP,
    PaddedGraphs,
    StepPlayer,
    Steps,
    changed_by,
    masked_sums,
)


def padded_logits(model: ComparatorModel, adjacency: Tensor, kept: Tensor, looped: Tensor | None = None) -> Tensor:
    """The logits of graphs, (B,): what `ComparatorModel` says of each on its own.

    Args:
        adjacency: of the whole graphs, float32 (B, N, N).
        kept: 1 for the vertices that are left, (B, N).
        looped: 1 for the vertices that stand for both ends of an isolated edge (with covers: those removed), (B, N).
    """
    weight = kept if looped is None else kept + 2 * looped
    size = weight.sum(1, keepdim=True)
    mask, weights = kept[..., None], weight[..., None]
    loops = None if looped is None else looped[..., None]
    degree = _near(adjacency, mask, loops, torch.ones_like(mask))
    scale = torch.cat([torch.ones_like(degree), degree + 1, size[..., None] - degree], 2)
    parts: list[Any] = [model.gnn_s_layers, model.gnn_f_layers, model.gnn_a_layers]
    biases = [torch.cat([part[number].bias for part in parts]) for number in range(model.config.layers)]
    pre = (scale[..., None] * biases[0].view(3, -1)).flatten(2)
    x = model.gnn_layer_norms[0](torch.nn.functional.gelu(pre))
    for number in range(1, model.config.layers):
        matrix = torch.cat([part[number].weight for part in parts])
        product = torch.nn.functional.linear(x, matrix, biases[number])
        pre = _Aggregate.apply(product, adjacency, mask, loops, weights)
        x = model.gnn_layer_norms[number](torch.nn.functional.gelu(pre))
    return model.read_out(torch.bmm((weight / size)[:, None], x)[:, 0])


def _near(adjacency: Tensor, mask: Tensor, loops: Tensor | None, x: Tensor) -> Tensor:
    """`masked_sums`, and the vertex itself where it has an edge of its own."""
    near = masked_sums(x, adjacency, mask)
    return near if loops is None else near.addcmul_(loops, x)


class _Aggregate(torch.autograd.Function):
    """[S X ; F X ; W X] -> [S X ; (A + I) F X ; (1 - A) W X], (B, N, 3 D); A is symmetric, so backward is the same."""

    @staticmethod
    def forward(
        ctx: Any, product: Tensor, adjacency: Tensor, mask: Tensor, loops: Tensor | None, weight: Tensor
    ) -> Tensor:
        ctx.save_for_backward(adjacency, mask, loops, weight)
        width = product.shape[2] // 3
        near = _near(adjacency, mask, loops, product[..., width:])
        pre = product.clone()
        pre[..., width : 2 * width].add_(near[..., :width])
        everyone = torch.bmm(weight.mT, product[..., 2 * width :])
        torch.sub(everyone, near[..., width:], out=pre[..., 2 * width :])
        return pre

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        adjacency, mask, loops, weight = ctx.saved_tensors
        grad = gradients[0].clone()
        width = grad.shape[2] // 3
        near = _near(adjacency, mask, loops, gradients[0][..., width:])
        grad[..., width : 2 * width].add_(near[..., :width])
        everyone = gradients[0][..., 2 * width :].sum(1, keepdim=True)
        torch.sub(weight * everyone, near[..., width:], out=grad[..., 2 * width :])
        return grad, None, None, None, None


class PaddedFitting:
    """Epochs of Adam steps on a device, as `learnsys.policies.independent_set.comparator.fitting.KernelFitting` does.

    Args:
        padded: the training graphs.
        graphs: (root, vertices left) of each graph that pairs are made of.
        cover: whether vertices that are not left have an edge of their own.
        steps: in an epoch, at most.
    """

    def __init__(
        self,
        model: ComparatorModel,
        optimiser: torch.optim.Optimizer,
        padded: PaddedGraphs,
        graphs: Sequence[tuple[int, NDArray[np.uint8]]],
        cover: bool,
        config: TrainingConfig,
        steps: int,
    ) -> None:
        self._model, self._optimiser, self._padded, self._config = model, optimiser, padded, config
        self._device = padded.adjacency.device
        kept = np.zeros((len(graphs), padded.size), np.float32)
        looped = np.zeros_like(kept)
        for number, (_, left) in enumerate(graphs):
            kept[number, : left.size] = left
            looped[number, : left.size] = 1 - left if cover else 0
        self._root = self._put(np.array([root for root, _ in graphs], np.int64))
        self._kept, self._looped = self._put(kept), self._put(looped) if cover else None
        shape = (max(steps, WARM_UP), Steps.width(config.batch))
        self._pairs = self._put(np.zeros((*shape, 2), np.int64))
        self._label, self._share = self._put(np.zeros(shape, np.float32)), self._put(np.zeros(shape, np.float32))
        self._at, self._tally = self._put(np.zeros(1, np.int64)), self._put(np.zeros(3, np.float32))
        self._loss = joined(model, self._loss_of, spare=True)  # the first layer reads nothing
        self._play = StepPlayer(self._step, lambda: changed_by(model, optimiser), self._device)

    def _put(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(array).to(self._device)

    def _loss_of(self, at: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """This process's part of the step's loss; the pairs that it tells right, and those it could."""
        number = self._pairs.index_select(0, at).flatten()
        label, share = self._label.index_select(0, at)[0], self._share.index_select(0, at)[0]
        kept = self._kept.index_select(0, number)
        looped = None if self._looped is None else self._looped.index_select(0, number)
        adjacency = self._padded.take(self._root.index_select(0, number))
        scores = padded_logits(self._model, adjacency, kept, looped).view(-1, 2)
        loss = (comparison_losses(scores, label, self._config.double_softmax) * share).sum()
        told = (label != 0.5) & (share > 0)
        right = told & ((scores[:, 0] > scores[:, 1]) == (label == 1))
        return loss, right.sum(), told.sum()

    def _step(self) -> None:
        loss, right, told = self._loss(self._at)
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self._optimiser.step()
        self._tally += torch.stack([loss.detach(), right, told])
        self._at += 1

    def epoch(self, pairs: NDArray[np.int64], labels: NDArray[np.float32]) -> Tally:
        """One step for each batch of pairs, (P, 2), with the first's part of the label, (P,)."""
        steps = -(-len(pairs) // self._config.batch)
        mine = Steps.of(len(pairs), self._config.batch)
        at = mine.step, mine.place
        order = np.zeros(self._pairs.shape, np.int64)
        label, share = np.full(self._label.shape, 0.5, np.float32), np.zeros(self._share.shape, np.float32)
        order[at], label[at], share[at] = pairs[mine.number], labels[mine.number], mine.share
        self._pairs.copy_(torch.from_numpy(order))
        self._label.copy_(torch.from_numpy(label))
        self._share.copy_(torch.from_numpy(share))
        self._at.zero_()
        self._tally.zero_()
        for _ in range(steps):
            self._play()
        loss, right, told = summed_over_all(*self._tally.tolist()).tolist()
        loss /= processes()  # each process has its part of the sum as a mean
        return Tally(loss, int(right), int(told), steps)
