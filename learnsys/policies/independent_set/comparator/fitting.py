"""Fitting the comparator to pairs of graphs, on the processor's kernels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from learnsys.graphs import Batch
from learnsys.policies.distributed import joined, processes, share, summed_over_all
from learnsys.policies.independent_set.comparator.config import TrainingConfig
from learnsys.policies.independent_set.comparator.gradient import Arena, Stack, logits, make_stack
from learnsys.policies.independent_set.comparator.model import ComparatorModel

CHUNK = 8
"""graphs in one stack while fitting"""


@dataclass
class Tally:
    """What some steps told."""

    loss: float = 0.0
    """sum over the steps"""
    right: int = 0
    """pairs told right"""
    told: int = 0
    """pairs of unequal value"""
    steps: int = 0

    def __iadd__(self, other: Tally) -> Tally:
        self.loss += other.loss
        self.right += other.right
        self.told += other.told
        self.steps += other.steps
        return self


class KernelFitting:
    """Epochs of optimiser steps, by the fused kernels.

    Args:
        batch: the training graphs.
        graphs: (root, vertices left) of each graph that pairs are made of.
        cover: whether the comparator is one for covers.
    """

    def __init__(
        self,
        model: ComparatorModel,
        optimiser: torch.optim.Optimizer,
        batch: Batch,
        graphs: Sequence[tuple[int, NDArray[np.uint8]]],
        cover: bool,
        config: TrainingConfig,
    ) -> None:
        self._model, self._optimiser, self._config = model, optimiser, config
        self._batch, self._graphs, self._cover, self._arena = batch, graphs, cover, Arena()

    def epoch(self, pairs: NDArray[np.int64], labels: NDArray[np.float32]) -> Tally:
        """One step for each batch of pairs, (P, 2), with the first's part of the label, (P,)."""
        size, tally = self._config.batch, Tally()
        loss_of = joined(self._model, self._loss_of, spare=True)  # the first layer reads nothing
        for low in range(0, len(pairs), size):
            whole = np.arange(low, min(low + size, len(pairs)))
            mine, factor = share(whole)
            label = labels[mine]
            loss, scores = loss_of(pairs[mine], label)
            loss = loss * (factor * mine.size / whole.size)
            self._optimiser.zero_grad(set_to_none=True)
            loss.backward()
            self._optimiser.step()
            told = (label != 0.5) & (factor > 0)
            right = (scores[:, 0] > scores[:, 1]).numpy() == (label == 1)
            tally += Tally(loss.item() / processes(), int(right[told].sum()), int(told.sum()), 1)
        loss, right, told = summed_over_all(tally.loss, tally.right, tally.told).tolist()
        return Tally(loss, int(right), int(told), tally.steps)

    def _loss_of(self, pairs: NDArray[np.int64], label: NDArray[np.float32]) -> tuple[Tensor, Tensor]:
        """The mean loss of pairs (B, 2), and their logits."""
        stacks = stacks_of(self._batch, self._graphs, pairs.ravel(), self._cover)
        scores = logits(self._model, stacks, self._arena).view(-1, 2)
        return comparison_loss(scores, label, self._config.double_softmax), scores


def stacks_of(
    batch: Batch, graphs: Sequence[tuple[int, NDArray[np.uint8]]], numbers: NDArray[np.int64], cover: bool
) -> list[Stack]:
    """Stacks of the graphs `numbers`, in their order."""
    stacks = []
    for low in range(0, numbers.size, CHUNK):
        own = [graphs[number] for number in numbers[low : low + CHUNK]]
        root = np.array([graph for graph, _ in own], np.int64)
        stacks.append(make_stack(batch, root, [kept for _, kept in own], cover))
    return stacks


def comparison_loss(scores: Tensor, label: NDArray[np.float32], double_softmax: bool) -> Tensor:
    """The mean of `comparison_losses`."""
    return comparison_losses(scores, torch.from_numpy(label), double_softmax).mean()


def comparison_losses(scores: Tensor, label: Tensor, double_softmax: bool) -> Tensor:
    """Cross-entropies of pairs of logits (B, 2) with soft labels: the first graph's share (B,), the rest the other's.

    The published code hands probabilities to a loss that expects logits, which applies the softmax twice
    (`double_softmax`): the loss then never falls below 0.31.
    """
    target = torch.stack([label, 1 - label], 1)
    given = torch.softmax(scores, 1) if double_softmax else scores
    return torch.nn.functional.cross_entropy(given, target, reduction="none")
