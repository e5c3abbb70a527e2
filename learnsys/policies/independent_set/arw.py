"""Iterated local search with (1,2)-swaps: the best simple method on large sparse graphs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from learnsys.errors import InputError
from learnsys.graphs.graph import Graph
from learnsys.policies.independent_set import arw_kernel as kernel
from learnsys.policies.independent_set.local_search import LocalSearch
from learnsys.policies.independent_set.randomness import seeded


class ARW(LocalSearch):
    """Andrade, Resende and Werneck, "Fast local search for the maximum independent set problem", 2012.

    From a greedy set on: force a vertex in (rarely more), take free vertices in and replace a member by two of its
    neighbours until neither is possible, and keep the result if it is not smaller, else with probability
    1 / (1 + loss * distance to the best). Two differences: the vertex forced in is, of some random ones, that with the
    fewest neighbours in the set (in the paper: that which was out for the longest time, which here breaks ties); and
    the neighbour that keeps a vertex out is known without a search, so that an iteration costs what it changes.

    Args:
        tries: random vertices of which one is forced in; unless given, 4, or 32 where vertices have less than 20
            neighbours on average.
    """

    def __init__(self, tries: int | None = None) -> None:
        if tries is not None and tries < 1:
            raise InputError(f"tries={tries}", remedy="give at least 1")
        self.tries = tries

    def start(
        self, graph: Graph, chosen: NDArray[np.bool_], seed: int, best: NDArray[np.bool_]
    ) -> tuple[Callable[[], int], Callable[[int, int], int]]:
        tries = self.tries or (4 if graph.m >= 10 * graph.n else 32)
        node = np.zeros((graph.n, 4), np.int32)
        lists = np.zeros((6, graph.n), np.int32)
        count = np.zeros(11, np.int64)
        rng = seeded(seed)
        rows = (graph.indptr, graph.indices, node, lists, count, rng, best)
        kernel.start(*rows, chosen)
        return lambda: int(count[kernel.BEST]), lambda many, enough: kernel.search(*rows, many, tries, enough)
