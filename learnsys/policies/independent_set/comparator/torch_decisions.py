"""The comparator's recursion, decided by the padded network that training on a device uses."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from learnsys.graphs import Graph
from learnsys.policies.independent_set.comparator.core_kernel import cut_out, draw, shrink
from learnsys.policies.independent_set.comparator.model import ComparatorModel
from learnsys.policies.independent_set.comparator.padded import padded_logits
from learnsys.policies.independent_set.comparator.recursion import TIE
from learnsys.policies.independent_set.padded import dense_adjacency
from learnsys.policies.torch_setup import deterministic


class TorchDecisions:
    """A comparator's network on a device, in the place of `Weights`, which are the kernels'."""

    def __init__(self, model: ComparatorModel, device: torch.device) -> None:
        self._model, self._device = model, device
        self._last: tuple[Any, int, torch.Tensor] | None = None

    def roll_out(
        self, ptr: Any, idx: Any, starts: Any, root: Any, lane_start: Any, kept: Any, state: Any, cover: bool,
        steps: int, picks: Any, choices: Any,
    ) -> None:  # fmt: skip
        """As `learnsys.policies.independent_set.comparator.recursion.roll_out`, one lane after the other.

        Raises:
            InputError: a graph is too large.
        """
        for lane, graph in enumerate(root):
            own = cut_out(ptr, idx, starts[graph], starts[graph + 1])
            left = kept[lane_start[lane] : lane_start[lane + 1]]
            self._recur(
                own,
                self._adjacency(own, idx, int(graph)),
                left,
                state[lane : lane + 1],
                cover,
                steps,
                picks[lane],
                choices[lane],
            )

    def _adjacency(self, core: Any, idx: Any, number: int) -> torch.Tensor:
        """Of a graph, twice, (2, N, N); that of the last one is kept."""
        if self._last is None or self._last[0] is not idx or self._last[1] != number:
            graph = Graph(core[0].astype(np.int64), core[1])
            self._last = idx, number, dense_adjacency(graph, self._device).expand(2, -1, -1)
        return self._last[2]

    def _recur(
        self, core: Any, adjacency: torch.Tensor, left: NDArray[np.uint8], state: NDArray[np.uint64], cover: bool,
        steps: int, picks: Any, choices: Any,
    ) -> None:  # fmt: skip
        own_ptr, own_idx, vertex = core
        n = vertex.size
        new_ptr, new_idx, new_vertex = np.zeros(n + 1, np.int32), np.empty(own_idx.size + 1, np.int32), vertex.copy()
        degree, number, counts = np.empty(n, np.int32), np.empty(n, np.int32), np.zeros(4, np.int64)
        step = 0
        while not (steps and step >= steps):
            shrink(
                own_ptr, own_idx, vertex, n, 1 - left, cover,
                new_ptr, new_idx, new_vertex, 0, 0, degree, number, counts,
            )  # fmt: skip
            if counts[0] == 0:
                break
            v = new_vertex[int(draw(state, 0) * counts[0])]
            pair = np.stack([left, left])
            pair[0, v] = 0
            pair[1, own_idx[own_ptr[v] : own_ptr[v + 1]]] = 0
            first, second = self._logits(adjacency, pair, cover)
            side = int(second > first + TIE)
            left[:] = pair[side]
            if step < picks.size:
                picks[step], choices[step] = v, side
            step += 1

    def _logits(self, adjacency: torch.Tensor, pair: NDArray[np.uint8], cover: bool) -> NDArray[np.float32]:
        """Of the two graphs on the vertices that are kept, uint8 (2, n)."""
        kept, removed = np.zeros((2, *adjacency.shape[1:2]), np.float32), None
        kept[:, : pair.shape[1]] = pair
        if cover:
            removed = np.zeros_like(kept)
            removed[:, : pair.shape[1]] = 1 - pair
        with deterministic(self._device, 1), torch.inference_mode():
            masks = [None if each is None else torch.from_numpy(each).to(self._device) for each in (kept, removed)]
            assert masks[0] is not None
            return padded_logits(self._model, adjacency, masks[0], masks[1]).numpy(force=True)
