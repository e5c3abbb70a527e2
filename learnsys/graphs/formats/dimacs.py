"""The formats that count vertices from 1 and may begin with a line `p`: DIMACS (cliques, colouring) and PACE."""

from __future__ import annotations

import re

import numpy as np

from learnsys.graphs.formats.base import WEIGHTS, GraphFile, GraphFormat
from learnsys.graphs.graph import Graph, check_memory

_HEADER = re.compile(rb"p[ \t]+([A-Za-z]\w*)[ \t]+(\d{1,19})[ \t]+(\d{1,19})[ \t\r]*")


class Dimacs(GraphFormat):
    """Lines `c comment`, `p edge VERTICES EDGES`, `e u v`; the `p` line and the letters `e` may be missing.

    Without a `p` line there are as many vertices as the greatest number says. Lines `n`, `v`, `d` and `x` of old
    generators say nothing about edges and are passed over.
    """

    summary = "DIMACS .clq, .col: 1-based, 'p edge n m', 'e u v'"
    suffixes: tuple[str, ...] = (".clq", ".col", ".dimacs", ".mis", ".max")
    writable = True
    problem, letter = b"edge", b"e "

    def recognises(self, head: bytes) -> bool:
        lines = [line.strip() for line in head.split(b"\n")]
        lines = [line for line in lines if line and line[:1] != b"c"]
        if not lines:
            return False
        return lines[0][:2] in (b"p ", b"p\t") or bool(re.fullmatch(rb"e[ \t]+\d+[ \t]+\d+", lines[0]))

    def read(self, file: GraphFile) -> list[Graph]:
        numbers = file.numbers(comments=b"cnvdx", leads=b"e", special=b"pa")
        nodes, declared, header = None, None, 0
        for place, line in numbers.special:
            if file.data[place : place + 1] == b"a":
                file.fail(f"{file.text(line)} is an arc of a road network: {WEIGHTS}", line, "take the weights out")
            found = _HEADER.fullmatch(file.data[place:].split(b"\n", 1)[0])
            if found is None or nodes is not None:
                problem = "is a second header" if found else "is no header 'p edge VERTICES EDGES'"
                file.fail(f"{file.text(line)} {problem}", line, "mend the line")
            nodes, declared, header = int(found[2]), int(found[3]), line
            check_memory(nodes, 0, file.path, f"line {line}")
        pairs = file.edges(numbers, first=1, nodes=nodes)
        if declared is not None and len(pairs) < declared and 2 * len(pairs) != declared:
            remedy = "fetch the whole file, or correct the header"
            file.fail(f"only {len(pairs)} of the {declared} edges follow that the header announces", header, remedy)
        if nodes is None:
            nodes = int(pairs.max(initial=-1)) + 1
            check_memory(nodes, len(pairs), file.path)
            if not nodes:
                file.fail("holds no graph", remedy="give a header 'p edge VERTICES EDGES' or edges")
        return [Graph.from_edges(pairs, nodes, np.arange(1, nodes + 1))]

    def write(self, graph: Graph) -> bytes:
        lines = [b"p %s %d %d\n" % (self.problem, graph.n, graph.m)]
        lines += [b"%s%d %d\n" % (self.letter, u, v) for u, v in (graph.edges + 1).tolist()]
        return b"".join(lines)


class Pace(Dimacs):
    """The same with lines `u v`, and any name of a problem in the `p` line; PACE challenge since 2016."""

    summary = "PACE .gr: 1-based, 'p td n m', 'u v'"
    suffixes = (".gr",)
    problem, letter = b"td", b""

    def recognises(self, head: bytes) -> bool:
        lines = [line.strip() for line in head.split(b"\n")]
        lines = [line for line in lines if line and line[:1] != b"c"]
        return len(lines) > 1 and lines[0][:2] in (b"p ", b"p\t") and bool(re.match(rb"\d", lines[1]))
