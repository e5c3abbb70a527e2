"""The trained comparator as a policy: the best of some roll-outs of its recursion."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from typing import ClassVar, Literal

import numpy as np
import torch

from learnsys.graphs import Graph, batch_graphs
from learnsys.imitation import Arrays
from learnsys.policies.independent_set.base import Clock, Found, IndependentSetPolicy
from learnsys.policies.independent_set.comparator.config import ModelConfig
from learnsys.policies.independent_set.comparator.model import ComparatorModel
from learnsys.policies.independent_set.comparator.rollout import RollOuts, run_recursions
from learnsys.policies.independent_set.comparator.torch_decisions import TorchDecisions
from learnsys.policies.independent_set.comparator.weights import Weights
from learnsys.policies.independent_set.randomness import stream_seeds
from learnsys.policies.saved import save_policy, saved_policy
from learnsys.policies.torch_arrays import load_parameters, parameters

Problem = Literal["independent_set", "vertex_cover"]


class ComparatorPolicy(IndependentSetPolicy):
    """Roll-outs of the recursion that the network decides; an iteration is one of them, and the largest set counts.

    Args:
        config: the network's configuration.
        problem: the recursion it was trained for. With vertex covers, the set is the complement of the cover.
        roll_outs: how many there are where no limit is given.
    """

    name: ClassVar[str] = "comparator"
    learned: ClassVar[bool] = True

    def __init__(self, config: ModelConfig, problem: Problem = "independent_set", roll_outs: int = 5) -> None:
        self.config, self.problem, self.roll_outs = config, problem, roll_outs
        self.model = ComparatorModel(config)
        self._device: torch.device | None = None

    def through_torch(self, device: torch.device) -> None:
        """Let torch compute the network on a device, which may be the processor, in the kernels' place."""
        self._device = device
        self.model.to(device)

    def _network(self) -> Weights | TorchDecisions:
        return Weights.of(self.model) if self._device is None else TorchDecisions(self.model, self._device)

    @property
    def cover(self) -> bool:
        return self.problem == "vertex_cover"

    def search(self, graph: Graph, clock: Clock, seed: int) -> Found:
        batch, network = batch_graphs([graph]), self._network()
        limits, best = clock.limits, None
        number = 0
        while best is None or not clock.over:
            result = run_recursions(batch, network, [0], stream_seeds(seed, [number]), cover=self.cover)
            found = result.set(0)
            if best is None or found.size > best.size:
                best = found
                clock.improved(found.size)
            number += 1
            clock.iterations += 1
            if limits.iterations is None and limits.seconds == np.inf and number >= self.roll_outs:
                break
        return Found(best)

    def roll_out(self, graphs: Sequence[Graph], seed: int = 0) -> RollOuts:
        """One roll-out of each graph."""
        seeds = stream_seeds(seed, range(len(graphs)))
        return run_recursions(batch_graphs(graphs), self._network(), np.arange(len(graphs)), seeds, cover=self.cover)

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
        content = {"policy": self.name, "model": asdict(self.config), "training": {"problem": self.problem}}
        save_policy(folder, self.weights(), content)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> ComparatorPolicy:
        """The policy saved in `folder`.

        Raises:
            InputError: a file is missing, damaged or another policy's.
        """
        with saved_policy(folder, "comparator") as (about, arrays):
            policy = cls(ModelConfig(**about["model"]), about["training"]["problem"])
            policy.load_weights(arrays)
        return policy
