"""A trained GCNN as a branching policy: loaded, saved, and asked for single decisions.

Nothing here imports torch, unless it is to compute.
"""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from learnsys.envs.branching.observations.base import BipartiteObservation
from learnsys.envs.branching.observations.node_bipartite import NodeBipartite
from learnsys.errors import InputError
from learnsys.imitation import Arrays
from learnsys.policies.branching.base import BranchingPolicy
from learnsys.policies.branching.gcnn.config import ModelConfig
from learnsys.policies.branching.gcnn.inference import Scorer
from learnsys.policies.branching.gcnn.observation_kernel import clean, compress
from learnsys.policies.saved import save_policy, saved_policy

if TYPE_CHECKING:
    import torch

    from learnsys.policies.branching.gcnn.torch_inference import TorchScorer


class GcnnPolicy(BranchingPolicy):
    """Branches on the candidate that the network scores highest.

    Args:
        config: of the network.
        weights: by the parameters' names in `GcnnModel`.
        pseudo_candidates: score all unfixed discrete variables, as the network was trained to.

    Raises:
        InputError: the weights are not those of such a network.
    """

    name = "gcnn"

    def __init__(self, config: ModelConfig, weights: Arrays, pseudo_candidates: bool = False) -> None:
        self.config, self.weights = config, weights
        self.pseudo_candidates = pseudo_candidates  # type: ignore[misc]
        try:
            self._scorer: Scorer | TorchScorer = Scorer(config, weights)
        except (KeyError, ValueError, IndexError) as error:
            raise InputError(f"the weights are not those of this network ({error})") from None
        self.observation = NodeBipartite(incumbent=config.incumbent, incremental=True)
        self._edges: tuple[Any, Any] = (None, ())

    def through_torch(self, device: torch.device) -> None:
        """Let torch compute the network on a device, which may be the processor, in the kernels' place."""
        from learnsys.policies.branching.gcnn.torch_inference import TorchScorer

        self._scorer = TorchScorer(self.config, self.weights, device)

    def start(self, seed: int) -> None:
        self._edges = (None, ())

    def act(self, observation: BipartiteObservation | None, candidates: NDArray[np.int64]) -> int:
        """See the base class; without an LP to look at, the first candidate."""
        if observation is None:
            return int(candidates[0])
        return int(candidates[np.argmax(self.logits(observation, candidates))])

    def logits(self, observation: BipartiteObservation, candidates: NDArray[np.int64]) -> NDArray[np.float32]:
        """The network's scores of the candidates, float32 (k,).

        Args:
            observation: with 19 features of variables, or 17 if the network reads no incumbent; NaN counts as 0.
        """
        variables, rows, edge_indices, edge_values = observation
        if self._edges[0] is not edge_indices:  # observations share their edges while the LP's rows stay the same
            self._edges = (edge_indices, compress(len(rows), edge_indices, edge_values))
        pointers, columns, values = self._edges[1]
        chosen = np.ascontiguousarray(candidates, dtype=np.int64)
        return self._scorer(clean(variables), clean(rows), pointers, columns, values, chosen)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write `model.safetensors` and, unless a run has put its own, `config.json`."""
        about = {"policy": self.name, "model": asdict(self.config), "pseudo_candidates": self.pseudo_candidates}
        save_policy(folder, dict(self.weights), about)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> GcnnPolicy:
        """The policy saved in `folder`.

        Raises:
            InputError: a file is missing, damaged or another policy's.
        """
        with saved_policy(folder, "GCNN") as (about, arrays):
            return cls(ModelConfig(**about["model"]), arrays, bool(about.get("pseudo_candidates", False)))
