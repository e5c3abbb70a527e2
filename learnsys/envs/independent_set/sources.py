"""Where the graphs of episodes come from."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from learnsys.errors import InputError
from learnsys.graphs import FAMILIES, Graph, GraphFamily, make_family
from learnsys.graphs.io import graph_files, read_graph

_SAMPLES = 8
_TRIES = 100


@dataclass(frozen=True)
class Room:
    """The greatest graph that padded observations and the action space have room for."""

    vertices: int
    edges: int

    def holds(self, graph: Graph) -> bool:
        return graph.n <= self.vertices and graph.m <= self.edges


class GraphSource:
    """Draws graphs: anew from a family each time, or one of a given collection.

    Args:
        graphs: the name of a family, a `GraphFamily`, a graph file, a folder of them, whatever `Graph.of` takes, or a
            list of graphs and files.

    Raises:
        InputError: there is no such family or file, or it holds no graph.
    """

    def __init__(self, graphs: Any) -> None:
        self.family: GraphFamily | None = None
        self.collection: tuple[Graph, ...] = ()
        if isinstance(graphs, GraphFamily):
            self.family = graphs
        elif isinstance(graphs, str) and graphs in FAMILIES:
            self.family = make_family(graphs)
        elif isinstance(graphs, Sequence) and not isinstance(graphs, str | bytes) and not _is_edges(graphs):
            self.collection = tuple(each for item in graphs for each in _load(item))
        else:
            self.collection = tuple(_load(graphs))
        if self.family is None and not self.collection:
            raise InputError("there are no graphs to draw from", remedy="give one at least")

    def room(self, vertices: int | None, edges: int | None) -> Room:
        """The room asked for; what is None is measured: half more than some drawn graphs need, or what the collection
        needs.

        Raises:
            InputError: it is no size.
        """
        if vertices is None or edges is None:
            some = [self.family.graph(0, k) for k in range(_SAMPLES)] if self.family else self.collection
            slack = 1.5 if self.family else 1.0
            vertices = int(slack * max(graph.n for graph in some)) if vertices is None else vertices
            edges = int(slack * max(graph.m for graph in some)) if edges is None else edges
        if vertices < 1 or edges < 0:
            raise InputError(
                f"no graph has room in {vertices} vertices and {edges} edges", remedy="give positive sizes"
            )
        return Room(vertices, max(edges, 1))

    def draw(self, rng: np.random.Generator, room: Room) -> Graph:
        """A graph that fits; graphs of a family that do not are passed over.

        Raises:
            InputError: none does.
        """
        if self.family is None:
            graph = self.collection[int(rng.integers(len(self.collection)))]
            return check_room(graph, room)
        for _ in range(_TRIES):
            graph = self.family.build(rng)
            if room.holds(graph):
                return graph
        raise InputError(f"of {_TRIES} graphs none has at most {room.vertices} vertices and {room.edges} edges")


def check_room(graph: Graph, room: Room) -> Graph:
    """The graph itself.

    Raises:
        InputError: it is greater than there is room for.
    """
    if not room.holds(graph):
        raise InputError(
            f"a graph of {graph.n} vertices and {graph.m} edges has no room in {room.vertices} and {room.edges}",
            remedy="raise max_vertices and max_edges",
        )
    return graph


def _is_edges(value: Sequence[Any]) -> bool:
    """Whether it is a list of pairs of numbers."""
    return bool(value) and all(np.shape(item) == (2,) and np.asarray(item).dtype.kind in "iu" for item in value)


def _load(item: Any) -> list[Graph]:
    if isinstance(item, str | os.PathLike):
        if os.path.isdir(item):
            return [graph for _, graph in graph_files(item)]
        return [read_graph(item)]
    return [Graph.of(item)]
