"""Files that hold many graphs: the TU data sets, also as the text of DGCNN, and graph6."""

from __future__ import annotations

import warnings

import numpy as np

from learnsys.graphs.batch import Batch
from learnsys.graphs.formats.base import GraphFile, GraphFormat
from learnsys.graphs.graph import Graph, check_memory


class Dgcnn(GraphFormat):
    """`GRAPHS`, then for each graph `VERTICES LABEL` and a line `TAG DEGREE NEIGHBOURS...` for each vertex, from 0.

    Labels and tags say nothing about edges and are left out.
    """

    summary = "TU data sets as the text of DGCNN: many graphs in one file, 0-based"
    suffixes = (".dgcnn",)
    many = True

    def recognises(self, head: bytes) -> bool:
        lines = [line.split() for line in head.split(b"\n")[:3]]
        if len(lines) < 3 or not all(part.isdigit() for line in lines for part in line):
            return False
        if [len(line) for line in lines[:2]] != [1, 2] or len(lines[2]) < 2:
            return False
        return len(lines[2]) == 2 + int(lines[2][1])

    def read(self, file: GraphFile) -> list[Graph]:
        numbers = file.numbers()
        filled = np.flatnonzero(numbers.counts)
        if not filled.size or numbers.counts[filled[0]] != 1:
            file.fail("does not begin with the number of its graphs", remedy="name the right --format")
        graphs, at = [], 1
        for number in range(int(numbers.row(filled[0])[0])):
            if at >= filled.size:
                file.fail(f"ends before graph {number + 1}", remedy="fetch the whole file, or correct its first line")
            header, line = numbers.row(filled[at]), int(numbers.lines[filled[at]])
            if header.size != 2:
                file.fail(f"{file.text(line)} does not begin graph {number + 1}", line, "mend the line")
            nodes = int(header[0])
            check_memory(nodes, 0, file.path, f"line {line}")
            if at + nodes >= filled.size:
                file.fail(f"ends within graph {number + 1}, which begins here", line, "fetch the whole file")
            edges = []
            for vertex, row in enumerate(filled[at + 1 : at + 1 + nodes]):
                values, line = numbers.row(row), int(numbers.lines[row])
                if values.size < 2 or values.size != 2 + values[1] or (values[2:] >= nodes).any():
                    file.fail(f"{file.text(line)} is no row of a graph of {nodes} vertices", line, "mend the line")
                edges.append(np.stack([np.full(values.size - 2, vertex), values[2:]], axis=1))
            graphs.append(Graph.from_edges(np.concatenate(edges) if edges else np.zeros((0, 2), int), nodes))
            at += nodes + 1
        if at < filled.size:
            file.fail("lines after the last graph", int(numbers.lines[filled[at]]), "correct the first line")
        return graphs


class Tu(GraphFormat):
    """`DS_A.txt` with lines `u, v` for all graphs together, vertices from 1, beside `DS_graph_indicator.txt` with the
    number of each vertex's graph, ascending from 1.
    """

    summary = "TU data sets: DS_A.txt with DS_graph_indicator.txt beside it"
    suffixes = ("_a.txt",)
    many = True

    def read(self, file: GraphFile) -> list[Graph]:
        beside = file.path.with_name(file.path.name[: -len("A.txt")] + "graph_indicator.txt")
        try:
            indicator = GraphFile(beside, beside.read_bytes())
        except OSError as error:
            indicator = file
            file.fail(f"{beside.name} cannot be read ({error.strerror})", remedy="put it beside the edges")
        numbers = indicator.numbers()
        owner = numbers.values
        if (numbers.counts > 1).any() or not owner.size or owner[0] < 1 or (np.diff(owner) < 0).any():
            indicator.fail("does not give one number for each vertex, ascending from 1", remedy="restore the file")
        pairs = file.edges(file.numbers(blanks=b","), first=1, nodes=owner.size)
        if (owner[pairs[:, 0]] != owner[pairs[:, 1]]).any():
            u, v = pairs[np.flatnonzero(owner[pairs[:, 0]] != owner[pairs[:, 1]])[0]] + 1
            file.fail(f"edge {u}, {v} joins two graphs", remedy="restore the file")
        whole = Graph.from_edges(pairs, owner.size)
        starts = np.flatnonzero(np.diff(owner, prepend=0))
        batch = Batch(whole, np.append(starts, owner.size))
        return [batch[number] for number in range(len(batch))]


class Graph6(GraphFormat):
    """One graph in each line, in McKay's graph6 or sparse6; read with networkx."""

    summary = "graph6 and sparse6 (one graph a line)"
    suffixes = (".g6", ".s6", ".graph6", ".sparse6")
    many = True

    def recognises(self, head: bytes) -> bool:
        return head.startswith((b">>graph6<<", b">>sparse6<<"))

    def read(self, file: GraphFile) -> list[Graph]:
        import networkx

        graphs = []
        for number, line in enumerate(file.data.split(b"\n"), 1):
            text = line.strip().removeprefix(b">>graph6<<").removeprefix(b">>sparse6<<")
            if not text:
                continue
            read = networkx.from_sparse6_bytes if text[:1] == b":" else networkx.from_graph6_bytes
            announced = _announced(text.removeprefix(b":"))
            check_memory(announced * 16, 0, file.path, f"line {number}")
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    graphs.append(Graph.from_networkx(networkx.Graph(read(text))))
            except (networkx.NetworkXException, ValueError, IndexError):
                file.fail(f"{file.text(number)} is neither graph6 nor sparse6", number, "name the right --format")
        if not graphs:
            file.fail("holds no graph")
        return graphs


def _announced(text: bytes) -> int:
    """The number of vertices that a graph6 line begins with: 1, 3 or 6 bytes of 6 bits."""
    skip, length = (2, 6) if text[:2] == b"~~" else (1, 3) if text[:1] == b"~" else (0, 1)
    value = 0
    for byte in text[skip : skip + length]:
        value = value * 64 + max(0, byte - 63)
    return value
