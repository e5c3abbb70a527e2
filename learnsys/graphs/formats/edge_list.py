"""Lists of edges, as SNAP, KONECT and networkx write them, in any numbering."""

from __future__ import annotations

import re

import numpy as np

from learnsys.graphs.formats.base import WEIGHTS, GraphFile, GraphFormat
from learnsys.graphs.graph import Graph

_PAIR = re.compile(rb"\d+[ \t,;]+\d+([ \t,;]+(\{.*\}|1(\.0*)?))?")


class EdgeList(GraphFormat):
    """Lines `u v`, separated by blanks, tabs, commas or semicolons; `#` and `%` begin comments.

    The vertices are the numbers that occur, of any size; they are put in order and become the graph's labels. A vertex
    without edges can be given as a line with its number twice. A third column must be 1 or empty braces (`{}`).
    """

    summary = "edges 'u v' in any numbering (SNAP, KONECT, networkx)"
    suffixes = (".edges", ".edgelist", ".el", ".txt", ".csv", ".tsv", ".snap", ".konect")
    writable = True

    def recognises(self, head: bytes) -> bool:
        lines = [line.strip() for line in head.split(b"\n")]
        lines = [line for line in lines if line and line[:1] not in b"#%"]
        return bool(lines) and all(_PAIR.fullmatch(line) for line in lines[:20])

    def read(self, file: GraphFile) -> list[Graph]:
        heavy = re.search(rb"\{[^\n}]*[^\s{}][^\n]*", file.data)
        if heavy:
            line = file.data.count(b"\n", 0, heavy.start()) + 1
            file.fail(f"{file.text(line)} holds attributes: {WEIGHTS}", line, "take them out")
        numbers = file.numbers(comments=b"#%", blanks=b",;{}")
        counts = numbers.counts
        if counts.size and (counts[counts > 0] == 3).all():
            third = numbers.values[2::3]
            if (third != 1).any():
                line = int(numbers.lines[np.flatnonzero(counts)[np.flatnonzero(third != 1)[0]]])
                file.fail(f"{file.text(line)} holds a third number: {WEIGHTS}", line, "take the weights out")
            pairs = numbers.values.reshape(-1, 3)[:, :2]
        else:
            pairs = file.edges(numbers, first=0, nodes=None)
        if not len(pairs):
            file.fail("holds no edge", remedy="a graph without edges needs a format with a header, such as METIS")
        labels, places = np.unique(pairs, return_inverse=True)
        return [Graph.from_edges(places.reshape(-1, 2), labels.size, labels)]

    def write(self, graph: Graph) -> bytes:
        alone = np.flatnonzero(graph.degrees == 0)
        pairs = graph.names[np.concatenate([graph.edges, np.stack([alone, alone], axis=1)])]
        return b"".join(b"%d %d\n" % (u, v) for u, v in pairs.tolist())
