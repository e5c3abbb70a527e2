"""Samples of strong branching as one matrix of Khalil's features, and how well scores of its rows fit them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from learnsys.errors import InputError
from learnsys.policies.branching.accuracy import best, rank
from learnsys.policies.branching.features.policy import WIDTH, matrix_of
from learnsys.policies.branching.samples import SampleSet


class Nodes(NamedTuple):
    """Many nodes' candidates, one below the other."""

    matrix: NDArray[np.float32]
    """(candidates, `WIDTH`)"""
    starts: NDArray[np.int64]
    """(nodes + 1,): where each node's candidates begin"""
    target: NDArray[np.float64]
    """(candidates,): 1 / ties for the candidates of the best score, 0 for the others"""

    @property
    def owner(self) -> NDArray[np.int64]:
        """(candidates,): each one's node."""
        return np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))


def read_nodes(samples: SampleSet) -> Nodes:
    """All samples of a set.

    Raises:
        InputError: they were collected without Khalil's features.
    """
    matrices, targets, sizes = [], [], [0]
    for sample in samples:
        if sample.candidate_features.shape[1] * 2 != WIDTH:
            raise InputError("the samples lack Khalil's features", remedy="collect them anew")
        wanted = best(sample.scores)
        matrices.append(matrix_of(sample.candidate_features))
        targets.append(wanted / wanted.sum())
        sizes.append(len(wanted))
    return Nodes(np.concatenate(matrices), np.cumsum(sizes), np.concatenate(targets))


def softmax(scores: NDArray[Any], nodes: Nodes) -> NDArray[np.float64]:
    """(candidates,): the softmax over each node's candidates."""
    owner = nodes.owner
    highest = np.maximum.reduceat(scores, nodes.starts[:-1])
    power = np.exp(scores - highest[owner])
    return power / np.add.reduceat(power, nodes.starts[:-1])[owner]


def measure(scores: NDArray[Any], nodes: Nodes) -> dict[str, float]:
    """The loss, and how often the expert's choice (any of equal ones) is among the first 1, 5 and 10 by `scores`."""
    share = softmax(scores, nodes)
    wanted = nodes.target > 0
    loss = -(nodes.target[wanted] * np.log(np.maximum(share[wanted], 1e-300))).sum() / (len(nodes.starts) - 1)
    places = np.array([rank(scores[i:j], wanted[i:j]) for i, j in pairwise(nodes.starts)])
    return {"loss": float(loss), **{f"acc@{k}": float((places < k).mean()) for k in (1, 5, 10)}}
