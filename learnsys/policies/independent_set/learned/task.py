"""learnsys_mis as a task of the imitation loop: local search is the expert."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from learnsys.errors import InputError, LearnsysError
from learnsys.graphs import Graph, batch_graphs
from learnsys.graphs.spmm import segment_sum
from learnsys.imitation import Arrays, Report
from learnsys.policies.independent_set.arw import ARW
from learnsys.policies.independent_set.comparator.policy import stream_seeds
from learnsys.policies.independent_set.learned.config import LearnedConfig
from learnsys.policies.independent_set.learned.model import Inputs
from learnsys.policies.independent_set.learned.policy import ScoredConstruction
from learnsys.policies.independent_set.learned.weights import Weights
from learnsys.policies.torch_arrays import adam_moments, load_adam_moments


class LearnedTask:
    """learnsys_mis as a `learnsys.imitation.Task`.

    A round collects unfinished sets: the first vertices, a random number of them, that the policy (or local search, at
    the expert's share) takes in a training graph. Of the graph that is still open, a few local searches find sets, and
    the share of the best of these sets that a vertex belongs to is how good a next choice it is. The network's scores,
    as a softmax over the open vertices, are fitted to these shares.

    Args:
        train: the graphs to collect on.
        valid: the graphs by which the best network is chosen.
    """

    def __init__(self, train: Sequence[Graph], valid: Sequence[Graph], config: LearnedConfig, seed: int) -> None:
        if not any(graph.m for graph in train):
            raise InputError("no training graph has an edge", remedy="give graphs with edges")
        self.train, self.valid = [graph for graph in train if graph.m], list(valid)
        self.config, self.seed = config, seed
        self._fresh(seed)

    def _fresh(self, seed: int) -> None:
        torch.manual_seed(seed)
        self.policy = ScoredConstruction(self.config.model)
        self._optimiser = torch.optim.Adam(
            self.policy.model.parameters(), lr=self.config.training.learning_rate, betas=(0.9, 0.99)
        )

    def restart(self, number: int) -> None:
        self._fresh(self.seed + number)

    def collect(self, number: int, expert_share: float, report: Report) -> Arrays:
        training, weights = self.config.training, Weights.of(self.policy.model)
        generator = np.random.default_rng([self.seed, number])
        graphs, opened, votes = [], [], []
        for state in range(training.states):
            which = int(generator.integers(len(self.train)))
            graph, seed = self.train[which], int(generator.integers(2**31))
            by_expert = generator.random() < expert_share
            if by_expert:
                chosen = self._search(graph, seed)
                order = generator.permutation(np.flatnonzero(chosen))
            else:
                _, order = self.policy.build(graph, weights, stream_seeds(seed, [0]), training.temperature)
                order = order[order >= 0]
            taken = order[: int(generator.integers(max(1, order.size)))]
            left = open_vertices(graph, taken)
            if left.any():
                graphs.append(which)
                opened.append(left)
                votes.append(self._votes(graph.induced(left), seed))
            report("label", state + 1, training.states)
        return {
            "graph": np.array(graphs, np.int64),
            "open": np.concatenate(opened),
            "votes": np.concatenate(votes).astype(np.float32),
        }

    def _search(self, graph: Graph, seed: int) -> NDArray[np.bool_]:
        found = ARW().solve(graph, iterations=self.config.training.iterations, seed=seed)
        chosen = np.zeros(graph.n, np.bool_)
        chosen[found.vertices] = True
        return chosen

    def _votes(self, graph: Graph, seed: int) -> NDArray[np.float64]:
        """The share of the best sets found that each vertex is in, (n,)."""
        sets = np.stack([self._search(graph, seed + k) for k in range(self.config.training.solutions)])
        sizes = sets.sum(1)
        return sets[sizes == sizes.max()].mean(0)

    def fit(self, parts: Sequence[Arrays], number: int, report: Report) -> Mapping[str, float]:
        training, model = self.config.training, self.policy.model
        states = [state for part in parts for state in self._unpack(part)]
        generator = np.random.default_rng([self.seed, number, 1])
        batches = -(-len(states) // training.batch)
        steps, done, total = training.epochs * batches, 0, 0.0
        model.train()
        for _ in range(training.epochs):
            order = generator.permutation(len(states))
            for low in range(0, len(states), training.batch):
                past = (number + done / steps) / self.config.loop.rounds
                for group in self._optimiser.param_groups:
                    group["lr"] = training.learning_rate * (1 - 0.9 * past)
                chosen = [states[k] for k in order[low : low + training.batch]]
                loss = self._loss(chosen)
                self._optimiser.zero_grad(set_to_none=True)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                self._optimiser.step()
                if not math.isfinite(loss.item()):
                    raise LearnsysError(f"training diverged in step {done} of round {number}; lower the learning rate")
                total += loss.item()
                done += 1
                report("fit", done, steps)
        model.eval()
        return {"loss": total / done, "states": len(states)}

    def _unpack(self, part: Arrays) -> list[tuple[int, NDArray[np.bool_], NDArray[np.float32]]]:
        """(graph, open vertices, shares of the open ones) of each state."""
        sizes = np.array([self.train[g].n for g in part["graph"]])
        opened = np.split(part["open"], np.cumsum(sizes)[:-1])
        votes = np.split(part["votes"], np.cumsum([each.sum() for each in opened])[:-1])
        return list(zip(part["graph"].tolist(), opened, votes, strict=True))

    def _loss(self, states: Sequence[tuple[int, NDArray[np.bool_], NDArray[np.float32]]]) -> Tensor:
        """Mean over the states of the cross-entropy between the shares and the softmax of the scores."""
        inputs = Inputs.of(batch_graphs([self.train[graph].induced(left) for graph, left, _ in states]))
        target = torch.from_numpy(np.concatenate([votes / votes.sum() for _, _, votes in states]))
        scores = self.policy.model(inputs)
        scores = scores - scores.max().detach()
        total = segment_sum(torch.exp(scores)[:, None], inputs.segments)[:, 0]
        return (torch.log(total + 1e-30).sum() - (target * scores).sum()) / len(states)

    def evaluate(self, number: int, report: Report) -> Mapping[str, Any]:
        first, best = [], []
        for done, graph in enumerate(self.valid):
            first.append(self.policy.solve(graph, iterations=1, seed=self.seed).size)
            best.append(self.policy.solve(graph, iterations=8, seed=self.seed).size)
            report("evaluate", done + 1, len(self.valid))
        return {"reward": float(np.mean(best)), "one_roll_out": float(np.mean(first))}

    def weights(self) -> Arrays:
        return self.policy.weights()

    def load_weights(self, weights: Arrays) -> None:
        self.policy.load_weights(weights)

    def state(self) -> Arrays:
        return adam_moments(self._optimiser)

    def load_state(self, state: Arrays) -> None:
        load_adam_moments(self._optimiser, state)


def open_vertices(graph: Graph, taken: NDArray[Any]) -> NDArray[np.bool_]:
    """The vertices that are neither taken nor joined to a taken one, and have an open neighbour, bool (n,)."""
    left = np.ones(graph.n, np.bool_)
    left[taken] = False
    for v in taken:
        left[graph.neighbours(v)] = False
    left[left] = graph.induced(left).degrees > 0
    return left
