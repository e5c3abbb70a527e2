"""Small files of each graph format, with the graph that they hold, and plain slow readers of the text formats."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Edges = set[tuple[int, int]]

EDGES: Edges = {(1, 2), (1, 3), (2, 3), (3, 5)}
"""the graph of most examples: vertices 1 to 5 by their labels, 4 without neighbours"""


@dataclass(frozen=True)
class Example:
    """A file's name and content, and the labels and edges (by labels) of its first graph."""

    name: str
    format: str
    data: bytes
    labels: tuple[int, ...] = (1, 2, 3, 4, 5)
    edges: frozenset[tuple[int, int]] = frozenset(EDGES)
    graphs: int = 1


_ZERO = frozenset({(0, 1), (0, 2), (1, 2), (2, 4)})

EXAMPLES = (
    Example("a.clq", "dimacs", b"c five vertices\np edge 5 4\ne 1 2\ne 1 3\ne 2 3\ne 3 5\n"),
    Example(
        "b.col", "dimacs", b"p col 5 8\r\ne 1 2\r\ne 2 1\r\ne 1 3\r\ne 3 2\r\ne 2 3\r\ne 3 5\r\ne 5 3\r\ne 3 1\r\n"
    ),
    Example("c.clq", "dimacs", b"2 1\n3 1\n3 2\n5 3\n"),  # no header: as many vertices as the greatest number says
    Example("d.dat", "dimacs", b"p clq 5 5\nn 1 7\ne 1 2\ne 4 4\n\ne 1 3\ne 2 3\ne 3 5"),  # a loop, and an empty line
    Example("a.gr", "pace", b"p td 5 4\n1 2\n1 3\n2 3\n3 5\n"),
    Example("a.graph", "metis", b"% five\n5 4\n2 3\n1 3\n1 2 5\n\n3\n"),
    Example("b.graph", "metis", b"5 2 0\n2 3\n3\n5\n\n\n"),  # one-sided: the header counts names in pairs
    Example("a.edges", "edges", b"# comment\n1 2\n3 1\n2 3\n5\t3\n4 4\n"),
    Example(
        "b.csv",
        "edges",
        b"7000000000,1\n1,7000000000\n%\n3;1\n",
        (1, 3, 7_000_000_000),
        frozenset({(1, 3), (1, 7_000_000_000)}),
    ),
    Example("c.txt", "edges", b"1 2 {}\n1 3 {}\n2 3 {}\n3 5 {}\n", (1, 2, 3, 5)),
    Example(
        "a.mtx",
        "matrix-market",
        b"%%MatrixMarket matrix coordinate pattern symmetric\n% comment\n5 5 4\n2 1\n3 1\n3 2\n5 3\n",
    ),
    Example(
        "b.mtx",
        "matrix-market",
        b"%%MatrixMarket matrix coordinate real general\n5 5 6\n2 1 1.0\n3 1 1\n3 2 1e0\n5 3 1\n4 4 1\n1 5 0.0\n",
    ),
    Example("a.g6", "graph6", b">>graph6<<DwG\n", (0, 1, 2, 3, 4), _ZERO),
    Example(
        "a.dgcnn", "dgcnn", b"2\n5 0\n0 2 1 2\n0 2 0 2\n0 3 0 1 4\n0 0\n0 1 2\n1 1\n0 0\n", (0, 1, 2, 3, 4), _ZERO, 2
    ),
    Example("DS_A.txt", "tu", b"1, 2\n2, 1\n3, 1\n2, 3\n3, 5\n6, 7\n", (0, 1, 2, 3, 4), _ZERO, 2),
)

TU_INDICATOR = ("DS_graph_indicator.txt", b"1\n1\n1\n1\n1\n2\n2\n")
"""what stands beside the example of the format `tu`"""


def _numbers(line: str) -> list[int]:
    return [int(word) for word in line.split()]


def _add(edges: Edges, u: int, v: int) -> None:
    if u != v:
        edges.add((min(u, v), max(u, v)))


def _dimacs(text: str) -> tuple[set[int], Edges]:
    vertices: set[int] = set()
    edges: Edges = set()
    for line in text.split("\n"):
        words = line.split()
        if not words or words[0][0] in "cnvdx":
            continue
        if words[0] == "p":
            vertices = set(range(1, int(words[2]) + 1))
        else:
            u, v = map(int, words[1:] if words[0] == "e" else words)
            _add(edges, u, v)
    most = max((end for edge in edges for end in edge), default=0)
    return vertices or set(range(1, most + 1)), edges


def _metis(text: str) -> tuple[set[int], Edges]:
    lines = [line for line in text.split("\n") if not line.strip().startswith("%")]
    while not lines[0].strip():
        lines.pop(0)
    nodes = _numbers(lines[0])[0]
    edges: Edges = set()
    for vertex, line in enumerate(lines[1 : nodes + 1], 1):
        for other in _numbers(line):
            _add(edges, vertex, other)
    return set(range(1, nodes + 1)), edges


def _edges(text: str) -> tuple[set[int], Edges]:
    vertices: set[int] = set()
    edges: Edges = set()
    for line in text.split("\n"):
        for mark in ",;{}":
            line = line.replace(mark, " ")
        words = line.split()
        if words and words[0][0] not in "#%":
            u, v = int(words[0]), int(words[1])
            vertices |= {u, v}
            _add(edges, u, v)
    return vertices, edges


REFERENCES: dict[str, Callable[[str], tuple[set[int], Edges]]] = {
    "dimacs": _dimacs,
    "pace": _dimacs,
    "metis": _metis,
    "edges": _edges,
}
"""format -> a plain reader: labels and edges by labels of a text that the fast reader accepts"""
