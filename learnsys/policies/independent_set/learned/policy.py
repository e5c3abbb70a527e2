"""learnsys_mis as a policy: sets built by scores, the best of some of them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from learnsys.errors import InputError
from learnsys.graphs import Graph
from learnsys.imitation import Arrays
from learnsys.policies.independent_set.base import Clock, Found, IndependentSetPolicy
from learnsys.policies.independent_set.learned import construct as kernel
from learnsys.policies.independent_set.learned.config import ModelConfig
from learnsys.policies.independent_set.learned.model import VertexScorer
from learnsys.policies.independent_set.learned.torch_scores import TorchScores
from learnsys.policies.independent_set.learned.weights import Weights
from learnsys.policies.independent_set.randomness import stream_seeds
from learnsys.policies.saved import save_policy, saved_policy
from learnsys.policies.torch_arrays import load_parameters, parameters

Scores = Literal["learned", "random", "degree"]
SOURCES: Mapping[str, int] = {"learned": kernel.LEARNED, "random": kernel.RANDOM, "degree": kernel.DEGREE}


class ScoredConstruction(IndependentSetPolicy):
    """Build sets by scores: take the best vertex, delete its neighbours, score what is left. An iteration is one set.

    The first set takes the best score each time, the others draw by softmax(score / temperature); the largest counts.

    Args:
        config: the network's configuration.
        scores: "learned", or what stands in for them as a control: "random", "degree" (least first, ties at random).
        roll_outs: sets built where no limit is given.
        temperature: of the draws.
        picks: vertices taken for each scoring.
        reduce: take vertices with one neighbour at once.
    """

    name: ClassVar[str] = "learnsys_mis"
    learned: ClassVar[bool] = True

    def __init__(
        self,
        config: ModelConfig | None = None,
        *,
        scores: Scores = "learned",
        roll_outs: int = 16,
        temperature: float = 0.2,
        picks: int = 1,
        reduce: bool = False,
    ) -> None:
        if scores not in SOURCES or roll_outs < 1 or picks < 1 or not temperature >= 0:
            raise InputError(
                f"scores={scores!r}, roll_outs={roll_outs}, temperature={temperature}, picks={picks} are not possible",
                remedy="scores are learned, random or degree; the numbers are positive",
            )
        self.config = config or ModelConfig()
        self.scores, self.roll_outs, self.temperature = scores, roll_outs, temperature
        self.picks, self.reduce = picks, reduce
        self.model = VertexScorer(self.config)
        self._device: torch.device | None = None
        self._scored: tuple[Graph, TorchScores] | None = None

    def through_torch(self, device: torch.device) -> None:
        """Let torch compute the network on a device, which may be the processor, in the kernels' place."""
        self._device = device
        self.model.to(device)

    def search(self, graph: Graph, clock: Clock, seed: int) -> Found:
        weights, limits = Weights.of(self.model), clock.limits
        best: NDArray[np.int64] | None = None
        free = limits.iterations is None and limits.seconds == np.inf
        while best is None or not (clock.iterations >= self.roll_outs if free else clock.over):
            temperature = 0.0 if clock.iterations == 0 and self.scores != "random" else self.temperature
            status, _ = self.build(graph, weights, stream_seeds(seed, [clock.iterations]), temperature)
            clock.iterations += 1
            found = np.flatnonzero(status == 1)
            if best is None or found.size > best.size:
                best = found
                clock.improved(found.size)
        return Found(best)

    def build(
        self, graph: Graph, weights: Weights, state: NDArray[np.uint64], temperature: float, steps: int = -1
    ) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        """One set, or its first `steps` vertices: status and order as `construct` tells them."""
        status, order = np.empty(graph.n, np.uint8), np.empty(graph.n, np.int32)
        if self._device is not None and self.scores == "learned":
            if self._scored is None or self._scored[0] is not graph:
                self._scored = graph, TorchScores(self.model, graph, self._device)
            how = (self._scored[1], graph, state, float(temperature), self.picks, self.reduce, steps)
            kernel.construct_by(*how, status, order)
            return status, order
        kernel.construct(
            *(graph.indptr, graph.indices, state, SOURCES[self.scores], float(temperature)),
            *(self.picks, self.reduce, steps, *weights, status, order),
        )
        return status, order

    def weights(self) -> Arrays:
        """The network's parameters by name."""
        return parameters(self.model)

    def load_weights(self, weights: Arrays) -> None:
        """Put parameters into the network.

        Raises:
            ValueError: names or shapes are not this network's.
        """
        load_parameters(self.model, weights)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write `model.safetensors` and, unless a run has put its own, `config.json`."""
        save_policy(folder, self.weights(), {"policy": self.name, "model": asdict(self.config)})

    @classmethod
    def load(cls, folder: str | os.PathLike[str], **arguments: Any) -> ScoredConstruction:
        """The policy saved in `folder`, with arguments of the constructor.

        Raises:
            InputError: a file is missing, damaged or another policy's.
        """
        with saved_policy(folder, "learnsys_mis") as (about, arrays):
            policy = cls(ModelConfig(**about["model"]), **arguments)
            policy.load_weights(arrays)
        return policy
