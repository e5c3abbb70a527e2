"""The contract of graph readers, and a brute force that independent sets are measured against."""

from __future__ import annotations

import gzip
import os
import tempfile
from pathlib import Path
from typing import Any

from learnsys.errors import InputError
from learnsys.graphs.graph import Graph
from learnsys.graphs.io import read_graphs


def check_graph_reader(path: str | os.PathLike[str], **arguments: Any) -> list[Graph]:
    """Check that a good file gives well-formed graphs, the same ones again, and the same compressed; return them.

    Args:
        path: a graph file that is not compressed.
        arguments: those of `learnsys.graphs.io.read_graphs`.

    Raises:
        AssertionError: the contract is broken.
        InputError: the file cannot be read.
    """
    path = Path(path)
    graphs = read_graphs(path, **arguments)
    assert graphs, "a reader never gives no graph"
    for graph in graphs:
        graph.check()
        assert graph.indptr.dtype == "int64" and graph.indices.dtype == "int32"
        assert graph.indptr.flags.writeable and graph.indices.flags.writeable, "compiled kernels refuse these"
        assert graph.labels is None or graph.labels.shape == (graph.n,)
    again = read_graphs(path, **arguments)
    assert len(again) == len(graphs) and all(a.same_as(b) for a, b in zip(again, graphs, strict=True))
    if not path.name.endswith("_A.txt"):  # which needs a second file beside it
        with tempfile.TemporaryDirectory() as folder:
            packed = Path(folder) / f"{path.name}.gz"
            packed.write_bytes(gzip.compress(path.read_bytes()))
            unpacked = read_graphs(packed, **arguments)
        assert all(a.same_as(b) for a, b in zip(unpacked, graphs, strict=True)), "compressed, it reads otherwise"
    return graphs


def read_graphs_or_refuse(path: str | os.PathLike[str], **arguments: Any) -> list[Graph] | InputError:
    """The graphs, well-formed, or the InputError that says why there are none. Anything else breaks the contract.

    Raises:
        AssertionError: the error does not name the file, or is not one line.
    """
    try:
        graphs = read_graphs(path, **arguments)
    except InputError as error:
        assert os.path.dirname(path) in str(error), f"the error does not name the file: {error}"
        assert "\n" not in str(error), f"the error is not one line: {error}"
        return error
    for graph in graphs:
        graph.check()
    return graphs


def largest_independent_set(graph: Graph) -> list[int]:
    """A maximum independent set by brute force, for graphs of up to some twenty vertices."""
    neighbours = [sum(1 << int(u) for u in graph.neighbours(v)) for v in range(graph.n)]

    def search(left: int) -> list[int]:
        if not left:
            return []
        v = left.bit_length() - 1
        rest = left & ~(1 << v)
        with_v = [v, *search(rest & ~neighbours[v])]
        if not neighbours[v] & rest:
            return with_v
        return max(with_v, search(rest), key=len)

    return search((1 << graph.n) - 1)
