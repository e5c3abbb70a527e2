"""Subgraphs of a few graphs on a dense adjacency of one size, for fitting on an accelerator.

An accelerator is kept busy by few, large and regular operations: the graphs' adjacencies stay on it, a subgraph is a
mask, and a whole optimiser step is recorded once and played again for each batch.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from learnsys.errors import InputError
from learnsys.graphs import Batch, Graph, batch_graphs
from learnsys.policies.distributed import own, processes

_MULTIPLE = 8
"""sizes are rounded up to this: matrix units take rows of so many numbers"""
LARGEST = 20_000
"""vertices of a graph whose adjacency is held dense while a policy decides: 1.6 GB"""
WARM_UP = 3
"""steps before the recorded one, in which libraries make their buffers"""


class PaddedGraphs:
    """The adjacencies of a batch's graphs on a device.

    Args:
        batch: the graphs.
        device: such as cuda.

    Attributes:
        size: N, the vertices that each graph is padded to.
    """

    def __init__(self, batch: Batch, device: torch.device | str) -> None:
        largest = int(batch.sizes.max(initial=1))
        self.size = -(-largest // _MULTIPLE) * _MULTIPLE
        owner, start = batch.owner, batch.starts[:-1]
        rows = np.repeat(np.arange(batch.graph.n), batch.graph.degrees)
        graph = owner[rows]
        dense = np.zeros((len(batch), self.size, self.size), np.uint8)
        dense[graph, rows - start[graph], batch.graph.indices - start[graph]] = 1
        self.adjacency = torch.from_numpy(dense).to(device)
        """uint8 (graphs, N, N)"""

    def take(self, number: Tensor) -> Tensor:
        """The adjacencies of some graphs, int64 (B,): float32 (B, N, N)."""
        return self.adjacency.index_select(0, number).float()


def dense_adjacency(graph: Graph, device: torch.device) -> Tensor:
    """The padded adjacency of one graph on a device, float32 (1, N, N).

    Raises:
        InputError: the graph is too large for that.
    """
    if graph.n > LARGEST:
        raise InputError(
            f"a graph of {graph.n:,} vertices is too large for {device}, where adjacencies are dense "
            f"(up to {LARGEST:,} vertices)",
            remedy="use --device cpu",
        )
    return PaddedGraphs(batch_graphs([graph]), device).take(torch.zeros(1, dtype=torch.int64, device=device))


def masked_sums(x: Tensor, adjacency: Tensor, mask: Tensor) -> Tensor:
    """The sums over the neighbours that are left of features (B, N, F); 0 for vertices that are not left.

    Args:
        adjacency: float32 (B, N, N).
        mask: 1 for the vertices that are left, (B, N, 1).
    """
    return torch.bmm(adjacency, x * mask).mul_(mask)


@dataclass(frozen=True)
class Steps:
    """The items of an epoch in batches, as this process takes its share of each: item `number` at (`step`, `place`)."""

    number: NDArray[np.int64]
    step: NDArray[np.int64]
    place: NDArray[np.int64]
    share: NDArray[np.float32]
    """of each in the loss of its step; the mean over the processes of the sums over their items is the mean loss"""

    @classmethod
    def of(cls, count: int, batch: int) -> Steps:
        """Of `count` items."""
        number = np.arange(count)
        step, place = number // batch, number % batch
        share = (processes() / np.bincount(step)[step]).astype(np.float32)
        mine = np.isin(place, own(batch))
        return cls(number[mine], step[mine], place[mine] // processes(), share[mine])

    @staticmethod
    def width(batch: int) -> int:
        """Places in a step, at most."""
        return -(-batch // processes())


class StepPlayer:
    """An optimiser step that is recorded on a CUDA device and played from then on; elsewhere it just runs.

    Recording spares the time in which the processor tells the device what to do, many times what the step itself takes.

    Args:
        step: works on tensors that stay where they are, and never waits for the device. It is called a few times
            before it is recorded, and `keep` is put back afterwards.
        keep: the tensors that a step changes, given anew at each call: an optimiser makes its own at its first step.
        device: where the step works.
    """

    def __init__(self, step: Callable[[], None], keep: Callable[[], list[Tensor]], device: torch.device) -> None:
        self._step = step
        self._graph: torch.cuda.CUDAGraph | None = None
        if device.type == "cuda" and processes() == 1:  # a recording would not meet the other processes
            self._record(keep)

    def __call__(self) -> None:
        if self._graph is None:
            self._step()
        else:
            self._graph.replay()

    def _record(self, keep: Callable[[], list[Tensor]]) -> None:
        before = {id(tensor): tensor.detach().clone() for tensor in keep()}
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                self._step()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                self._step()
            self._graph = graph
        except RuntimeError as error:
            warnings.warn(f"steps run unrecorded, and slower ({str(error).splitlines()[0]})", stacklevel=2)
        with torch.no_grad():
            for tensor in keep():
                old = before.get(id(tensor))
                if old is None:  # made by the first step: moments begin with 0
                    tensor.zero_()
                else:
                    tensor.copy_(old)


def changed_by(model: torch.nn.Module, optimiser: torch.optim.Optimizer) -> list[Tensor]:
    """What an optimiser step changes: parameters, and the optimiser's moments and counts of steps."""
    moments = [value for each in optimiser.state.values() for value in each.values() if isinstance(value, Tensor)]
    return [*model.parameters(), *moments]


def make_adam(model: torch.nn.Module, learning_rate: float, **arguments: object) -> torch.optim.Adam:
    """Adam for a model on any device; on CUDA its steps can be recorded."""
    device = next(model.parameters()).device
    rate = torch.tensor(learning_rate, device=device) if device.type == "cuda" else learning_rate
    options: dict[str, object] = {"fused": True, "capturable": device.type == "cuda"}
    return torch.optim.Adam(model.parameters(), lr=rate, **options, **arguments)  # type: ignore[arg-type]
