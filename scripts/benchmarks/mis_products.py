"""Message passing: the sparse product with a prepared transpose beside the usual ways, forward and backward."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from learnsys.graphs import batch_graphs, make_family
from learnsys.graphs.spmm import Sparse, spmm


def products(seed: int, quick: bool) -> Iterator[dict[str, Any]]:
    """CPU milliseconds of summing neighbours: 32 graphs of 1,000 vertices and 10,000 edges, 64 features, one thread."""
    torch.set_num_threads(1)
    family = make_family("er", nodes=(1000, 1000), edges=10_000)
    batch = batch_graphs([family.graph(seed, index) for index in range(32)])
    sparse = Sparse.of_graph(batch.graph)
    target = torch.repeat_interleave(torch.arange(batch.graph.n), torch.from_numpy(batch.graph.degrees))
    source = torch.from_numpy(batch.graph.indices.astype("int64"))
    ways: dict[str, Callable[[Tensor], Tensor]] = {
        "index_select and index_add": lambda x: torch.zeros_like(x).index_add(0, target, x.index_select(0, source)),
        "gather and scatter_add": lambda x: torch.zeros_like(x).scatter_add(
            0, target[:, None].expand(-1, x.shape[1]), x[source]
        ),
        "torch CSR, its own backward": lambda x: sparse.forward @ x,
        "spmm": lambda x: spmm(sparse, x),
    }
    rounds = 2 if quick else 5
    timed = {name: _milliseconds(way, batch.graph.n, rounds) for name, way in ways.items()}
    base = timed["spmm"][1]
    yield {
        "title": "summing neighbours: CPU ms",
        "columns": ["way", "forward", "forward and backward", "times spmm"],
        "rows": [[name, forward, both, both / base] for name, (forward, both) in timed.items()],
        "goals": ["16 times index_add, forward and backward"],
    }


def _milliseconds(way: Callable[[Tensor], Tensor], n: int, rounds: int) -> tuple[float, float]:
    x = torch.randn(n, 64, requires_grad=True)
    gradient = torch.randn(n, 64)
    forward, both = [], []
    for _ in range(rounds + 1):
        start = time.process_time()
        result = way(x)
        middle = time.process_time()
        result.backward(gradient)
        forward.append(middle - start)
        both.append(time.process_time() - start)
    return 1e3 * min(forward[1:]), 1e3 * min(both[1:])
