"""Fitting the scorer to labelled states: on the processor's sparse products, or padded on a device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from learnsys.graphs import Graph, batch_graphs
from learnsys.graphs.spmm import segment_sum
from learnsys.policies.distributed import joined, processes, share, summed_over_all
from learnsys.policies.independent_set.learned.config import TrainingConfig
from learnsys.policies.independent_set.learned.model import Inputs, VertexScorer
from learnsys.policies.independent_set.padded import (
    WARM_UP,
    PaddedGraphs,
    StepPlayer,
    Steps,
    changed_by,
    masked_sums,
)

State = tuple[int, NDArray[np.bool_], NDArray[np.float32]]
"""graph, its open vertices (n,), how good a choice each of these is (open,)"""


class SparseFitting:
    """Epochs of optimiser steps, one batch of states after the other.

    Args:
        graphs: those that the states number.
    """

    def __init__(
        self,
        model: VertexScorer,
        optimiser: torch.optim.Optimizer,
        graphs: Sequence[Graph],
        states: Sequence[State],
        config: TrainingConfig,
    ) -> None:
        self._model, self._optimiser, self._graphs, self._states = model, optimiser, graphs, states
        self._batch = config.batch

    def epoch(self, order: NDArray[np.int64], rates: Sequence[float]) -> float:
        """Fit the states in an order, (S,), with the learning rate of each step; the sum of the steps' losses."""
        total, loss_of = 0.0, joined(self._model, self._loss_of)
        for step, rate in enumerate(rates):
            whole = order[step * self._batch : (step + 1) * self._batch]
            mine, factor = share(whole)
            for group in self._optimiser.param_groups:
                group["lr"] = rate
            loss = loss_of([self._states[k] for k in mine]) * (factor * mine.size / whole.size)
            self._optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self._model.parameters(), 1.0)
            self._optimiser.step()
            total += loss.item()
        return float(summed_over_all(total)[0]) / processes()

    def _loss_of(self, states: Sequence[State]) -> Tensor:
        """Mean over the states of the cross-entropy between the shares and the softmax of the scores."""
        inputs = Inputs.of(batch_graphs([self._graphs[graph].induced(left) for graph, left, _ in states]))
        target = torch.from_numpy(np.concatenate([votes / votes.sum() for _, _, votes in states]))
        scores = self._model(inputs)
        scores = scores - scores.max().detach()
        total = segment_sum(torch.exp(scores)[:, None], inputs.segments)[:, 0]
        return (torch.log(total + 1e-30).sum() - (target * scores).sum()) / len(states)


class PaddedScoring:
    """The same on padded dense graphs, each step recorded once and played from then on.

    Args:
        padded: the graphs that the states number.
        steps: in an epoch.
    """

    def __init__(
        self,
        model: VertexScorer,
        optimiser: torch.optim.Optimizer,
        padded: PaddedGraphs,
        states: Sequence[State],
        config: TrainingConfig,
        steps: int,
    ) -> None:
        self._model, self._optimiser, self._padded = model, optimiser, padded
        self._device = padded.adjacency.device
        opened = np.zeros((len(states), padded.size), np.float32)
        target = np.zeros_like(opened)
        for number, (_, left, votes) in enumerate(states):
            opened[number, : left.size] = left
            target[number, np.flatnonzero(left)] = votes / votes.sum()
        self._graph = self._put(np.array([graph for graph, _, _ in states], np.int64))
        self._open, self._target = self._put(opened), self._put(target)
        shape = (max(steps, WARM_UP), Steps.width(config.batch))
        self._batch = config.batch
        self._order, self._share = self._put(np.zeros(shape, np.int64)), self._put(np.zeros(shape, np.float32))
        self._at, self._total = self._put(np.zeros(1, np.int64)), self._put(np.zeros((), np.float32))
        self._loss = joined(model, self._loss_of)
        self._play = StepPlayer(self._step, lambda: changed_by(model, optimiser), self._device)

    def _put(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(array).to(self._device)

    def _loss_of(self, at: Tensor) -> Tensor:
        """This process's part of the step's loss."""
        number, share = self._order.index_select(0, at)[0], self._share.index_select(0, at)[0]
        opened, target = self._open.index_select(0, number), self._target.index_select(0, number)
        adjacency = self._padded.take(self._graph.index_select(0, number))
        scores = padded_scores(self._model, adjacency, opened)
        normaliser = torch.logsumexp(scores.masked_fill(opened == 0, -torch.inf), 1)
        return ((normaliser - (target * scores).sum(1)) * share).sum()

    def _step(self) -> None:
        loss = self._loss(self._at)
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._model.parameters(), 1.0)
        self._optimiser.step()
        self._total += loss.detach()
        self._at += 1

    def epoch(self, order: NDArray[np.int64], rates: Sequence[float]) -> float:
        """As `SparseFitting.epoch`."""
        mine = Steps.of(order.size, self._batch)
        at = mine.step, mine.place
        padded, share = np.zeros(self._order.shape, np.int64), np.zeros(self._share.shape, np.float32)
        padded[at], share[at] = order[mine.number], mine.share
        self._order.copy_(torch.from_numpy(padded))
        self._share.copy_(torch.from_numpy(share))
        self._at.zero_()
        self._total.zero_()
        for rate in rates:
            for group in self._optimiser.param_groups:
                if isinstance(group["lr"], Tensor):
                    group["lr"].fill_(rate)
                else:
                    group["lr"] = rate
            self._play()
        return float(summed_over_all(self._total.item())[0]) / processes()


class _Sums(torch.autograd.Function):
    """`masked_sums`, whose operator is symmetric."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, adjacency: Tensor, mask: Tensor) -> Tensor:
        ctx.save_for_backward(adjacency, mask)
        return masked_sums(x, adjacency, mask)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return masked_sums(gradients[0], *ctx.saved_tensors), None, None


def padded_scores(model: VertexScorer, adjacency: Tensor, opened: Tensor) -> Tensor:
    """What the network says of open vertices; of others, anything: (B, N).

    Args:
        adjacency: of the whole graphs, float32 (B, N, N).
        opened: 1 for the open vertices, each of which has an open neighbour, (B, N).
    """
    d, mask = model.config.width, opened[..., None]
    degree = masked_sums(mask, adjacency, mask).clamp_(min=1)
    size = opened.sum(1)[:, None, None].clamp(min=1)
    mean = (degree * mask).sum(1, keepdim=True) / size
    told = (
        torch.ones_like(degree),
        torch.log1p(degree) / 4,
        degree / mean,
        mean / (degree + 1) / 2,
        degree / size,
        (torch.log1p(size) / 8).expand_as(degree),
    )
    x = torch.nn.functional.gelu(model.enter(torch.cat(told, 2)))
    share = 1 / degree
    for send, mix, context, norm in zip(model.send, model.mix, model.context, model.norm, strict=True):
        sent = send(x)
        near = _Sums.apply(torch.cat([sent[..., :d], sent[..., d:] * share], 2), adjacency, mask)
        own = mix(torch.cat([x, near[..., :d] * share, near[..., d:]], 2))
        average = torch.bmm(mask.mT, x) / size
        x = norm(x + torch.nn.functional.gelu(own + context(average)))
    return model.score(torch.nn.functional.gelu(model.hidden(x))).squeeze(2)
