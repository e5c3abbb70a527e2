"""learnsys_mis's scores by the padded network that training on a device uses."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from learnsys.graphs import Graph
from learnsys.policies.independent_set.learned.fitting import padded_scores
from learnsys.policies.independent_set.learned.model import VertexScorer
from learnsys.policies.independent_set.padded import dense_adjacency
from learnsys.policies.torch_setup import deterministic


class TorchScores:
    """What a network on a device says of the vertices of one graph that are left.

    Raises:
        InputError: the graph is too large.
    """

    def __init__(self, model: VertexScorer, graph: Graph, device: torch.device) -> None:
        self._model, self._device = model, device
        self._adjacency = dense_adjacency(graph, device)

    def __call__(self, left: NDArray[np.int32]) -> NDArray[np.float32]:
        """The scores (k,) of the vertices that are left (k,), each of which has a neighbour among them."""
        opened = np.zeros((1, self._adjacency.shape[1]), np.float32)
        opened[0, left] = 1
        with deterministic(self._device, 1), torch.inference_mode():
            found = padded_scores(self._model, self._adjacency, torch.from_numpy(opened).to(self._device))
        return found.numpy(force=True)[0, left]
