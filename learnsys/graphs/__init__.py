"""Graphs in compressed rows: containers, batches, products, files and generators.

from learnsys.graphs import Graph, make_family, read_graph

graph = make_family("rb-small").graph(seed=0)
graph = read_graph("brock200_1.clq").complement()
"""

from learnsys.graphs.batch import Batch, batch_graphs
from learnsys.graphs.generators import FAMILIES, GraphFamily, make_family
from learnsys.graphs.graph import Graph
from learnsys.graphs.io import read_graph, read_graphs, write_graph

__all__ = [
    "FAMILIES",
    "Batch",
    "Graph",
    "GraphFamily",
    "batch_graphs",
    "make_family",
    "read_graph",
    "read_graphs",
    "write_graph",
]
