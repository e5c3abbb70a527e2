"""The format of METIS and KaHIP: a header, and one line of neighbours for each vertex."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from learnsys.graphs.formats.base import WEIGHTS, GraphFile, GraphFormat
from learnsys.graphs.graph import Graph, check_memory


class Metis(GraphFormat):
    """`VERTICES EDGES [0]`, then the neighbours of vertex 1, of vertex 2, ..., counted from 1; `%` begins a comment.

    An empty line is a vertex without neighbours. An edge that only one of its ends names is an edge.
    """

    summary = "METIS .graph: 'n m', then a line of neighbours for each vertex, 1-based"
    suffixes = (".graph", ".metis")
    writable = True

    def read(self, file: GraphFile) -> list[Graph]:
        numbers = file.numbers(comments=b"%")
        counts = numbers.counts
        filled = np.flatnonzero(counts)
        if not filled.size:
            file.fail("holds no graph", remedy="give a header 'VERTICES EDGES'")
        head = int(filled[0])
        header, line = numbers.row(head), int(numbers.lines[head])
        if not 2 <= header.size <= 4:
            file.fail(f"{file.text(line)} is no header 'VERTICES EDGES'", line, "mend the line")
        if header[2:].any():
            file.fail(f"{file.text(line)} announces weights: {WEIGHTS}", line, "take the weights out")
        nodes, declared = int(header[0]), int(header[1])
        rows = counts[head + 1 :]
        check_memory(nodes, declared, file.path, f"line {line}")
        if rows.size < nodes:
            remedy = "fetch the whole file, or correct the header"
            file.fail(f"only {rows.size} of the {nodes} vertices follow that the header announces", line, remedy)
        if rows[nodes:].any():
            extra = int(numbers.lines[head + 1 + nodes + np.flatnonzero(rows[nodes:])[0]])
            file.fail(f"neighbours after those of the last vertex, {nodes}", extra, "correct the header")
        ends = numbers.values[numbers.starts[head + 1] :]
        sources = np.repeat(np.arange(nodes), rows[:nodes])
        outside = np.flatnonzero((ends < 1) | (ends > nodes))
        if outside.size:
            where = int(numbers.lines[head + 1 + sources[outside[0]]])
            file.fail(f"vertex {ends[outside[0]]} is outside of 1 to {nodes}", where, "mend the line")
        if ends.size != 2 * declared:
            remedy = "correct the header, or fetch the whole file"
            file.fail(f"{ends.size} neighbours are named, not twice the {declared} edges announced", line, remedy)
        return [Graph.from_edges(np.stack([sources, ends - 1], axis=1), nodes, np.arange(1, nodes + 1))]

    def write(self, graph: Graph) -> bytes:
        bounds = graph.indptr.tolist()
        ends = (graph.indices + 1).tolist()
        rows = (" ".join(map(str, ends[low:high])) for low, high in pairwise(bounds))
        return f"{graph.n} {graph.m}\n{''.join(row + chr(10) for row in rows)}".encode()
