"""The GCNN's scores by the network that training uses, on any device of torch: what the kernels are checked against."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from learnsys.graphs.bipartite import BipartiteGraph
from learnsys.imitation import Arrays
from learnsys.policies.branching.gcnn.config import ModelConfig
from learnsys.policies.branching.gcnn.data import Example, collate
from learnsys.policies.branching.gcnn.model import GcnnModel
from learnsys.policies.torch_arrays import load_parameters
from learnsys.policies.torch_setup import deterministic


class TorchScorer:
    """`learnsys.policies.branching.gcnn.inference.Scorer` through torch.

    Args:
        config: of the network.
        weights: by the parameters' names in `GcnnModel`.
        device: where it computes.

    Raises:
        ValueError: the weights are not those of such a network.
    """

    def __init__(self, config: ModelConfig, weights: Arrays, device: torch.device) -> None:
        self.model, self.device = GcnnModel(config), device
        load_parameters(self.model, weights)
        self.model.to(device).eval()

    def __call__(
        self,
        variable_features: NDArray[np.float32],
        row_features: NDArray[np.float32],
        row_pointers: NDArray[np.int32],
        columns: NDArray[np.int32],
        values: NDArray[np.float32],
        candidates: NDArray[np.int64],
    ) -> NDArray[np.float32]:
        """Logits of the candidates, float32 (k,); see `Scorer`."""
        graph = BipartiteGraph(row_pointers, columns, values, len(variable_features))
        chosen, nothing = candidates.astype(np.int32), np.empty(len(candidates))
        batch = collate([Example(variable_features, row_features, graph, chosen, nothing).near()])
        with deterministic(self.device, 1), torch.inference_mode():
            return self.model(batch.to(self.device)).numpy(force=True)
