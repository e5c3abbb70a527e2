"""learnsys_mis as a task of the imitation loop: local search is the expert."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from learnsys.errors import InputError, LearnsysError
from learnsys.graphs import Graph, batch_graphs
from learnsys.imitation import Arrays, Report
from learnsys.parallel import in_threads
from learnsys.policies.distributed import gathered, own
from learnsys.policies.independent_set.arw import ARW
from learnsys.policies.independent_set.learned.config import LearnedConfig
from learnsys.policies.independent_set.learned.fitting import PaddedScoring, SparseFitting, State
from learnsys.policies.independent_set.learned.policy import ScoredConstruction
from learnsys.policies.independent_set.learned.weights import Weights
from learnsys.policies.independent_set.padded import PaddedGraphs, make_adam
from learnsys.policies.independent_set.randomness import stream_seeds
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
        device: where the network is fitted. Roll-outs are made on the processor.
        jobs: states labelled at a time, in threads; results do not depend on it.
    """

    def __init__(
        self,
        train: Sequence[Graph],
        valid: Sequence[Graph],
        config: LearnedConfig,
        seed: int,
        device: str = "cpu",
        jobs: int = 1,
    ) -> None:
        if not any(graph.m for graph in train):
            raise InputError("no training graph has an edge", remedy="give graphs with edges")
        self.train, self.valid = [graph for graph in train if graph.m], list(valid)
        self.config, self.seed, self.device, self.jobs = config, seed, torch.device(device), jobs
        self._padded = None if self.device.type == "cpu" else PaddedGraphs(batch_graphs(self.train), self.device)
        self.restart(0)

    def restart(self, number: int) -> None:
        torch.manual_seed(self.seed + number)
        self.policy = ScoredConstruction(self.config.model)
        self.policy.model.to(self.device)
        self._optimiser = make_adam(self.policy.model, self.config.training.learning_rate, betas=(0.9, 0.99))

    def collect(self, number: int, expert_share: float, report: Report) -> Arrays:
        count, weights = self.config.training.states, Weights.of(self.policy.model)

        def label(state: int) -> State | None:
            return self._state(np.random.default_rng([self.seed, number, 0, state]), expert_share, weights)

        mine = own(count)
        labelled: list[State | None] = []
        for done, state in enumerate(in_threads(label, mine, self.jobs)):
            labelled.append(state)
            report("label", done + 1, len(mine))
        found = [state for state in gathered(labelled, count) if state is not None]
        return {
            "graph": np.array([graph for graph, _, _ in found], np.int64),
            "open": np.concatenate([left for _, left, _ in found]),
            "votes": np.concatenate([votes for _, _, votes in found]),
        }

    def _state(self, generator: np.random.Generator, expert_share: float, weights: Weights) -> State | None:
        """An unfinished set on a random graph, with its labels; None if nothing is open."""
        which = int(generator.integers(len(self.train)))
        graph, seed = self.train[which], int(generator.integers(2**31))
        if generator.random() < expert_share:
            order = generator.permutation(np.flatnonzero(self._search(graph, seed)))
        else:
            _, order = self.policy.build(graph, weights, stream_seeds(seed, [0]), self.config.training.temperature)
            order = order[order >= 0]
        left = open_vertices(graph, order[: int(generator.integers(max(1, order.size)))])
        if not left.any():
            return None
        return which, left, self._votes(graph.induced(left), seed).astype(np.float32)

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
        training = self.config.training
        states = [state for part in parts for state in self._unpack(part)]
        generator = np.random.default_rng([self.seed, number, 1])
        batches = -(-len(states) // training.batch)
        fitting = self._fitting(states, batches)
        total = 0.0
        for epoch in range(training.epochs):
            report("fit", epoch, training.epochs)
            first = number + epoch / training.epochs
            past = (first + np.arange(batches) / (batches * training.epochs)) / self.config.loop.rounds
            rates = training.learning_rate * (1 - 0.9 * past)
            total += fitting.epoch(generator.permutation(len(states)), rates.tolist())
            if not math.isfinite(total):
                raise LearnsysError(f"training diverged in epoch {epoch} of round {number}; lower the learning rate")
        return {"loss": total / (training.epochs * batches), "states": len(states)}

    def _fitting(self, states: list[State], steps: int) -> SparseFitting | PaddedScoring:
        model, training = self.policy.model, self.config.training
        if self._padded is None:
            return SparseFitting(model, self._optimiser, self.train, states, training)
        return PaddedScoring(model, self._optimiser, self._padded, states, training, steps)

    def _unpack(self, part: Arrays) -> list[State]:
        """The states of a round."""
        sizes = np.array([self.train[g].n for g in part["graph"]])
        opened = np.split(part["open"], np.cumsum(sizes)[:-1])
        votes = np.split(part["votes"], np.cumsum([each.sum() for each in opened])[:-1])
        return list(zip(part["graph"].tolist(), opened, votes, strict=True))

    def evaluate(self, number: int, report: Report) -> Mapping[str, Any]:
        def sizes(graph: Graph) -> list[int]:
            return [self.policy.solve(graph, iterations=count, seed=self.seed).size for count in (1, 8)]

        mine, found = [self.valid[number] for number in own(len(self.valid))], []
        for done, both in enumerate(in_threads(sizes, mine, self.jobs)):
            found.append(both)
            report("evaluate", done + 1, len(mine))
        first, best = np.mean(gathered(found, len(self.valid)), axis=0)
        return {"reward": float(best), "one_roll_out": float(first)}

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
