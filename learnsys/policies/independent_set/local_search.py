"""What local searches share: they go on from a set, at first a greedy one."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from learnsys.graphs.cliques import clique_bound
from learnsys.graphs.graph import Graph
from learnsys.policies.independent_set.base import Clock, Found, IndependentSetPolicy
from learnsys.policies.independent_set.greedy import min_degree, shuffled


class LocalSearch(IndependentSetPolicy):
    """Improves the greedy set until the clock's limits, or a set as large as a partition into cliques allows."""

    anytime = True

    def search(self, graph: Graph, clock: Clock, seed: int) -> Found:
        start = min_degree(graph.indptr, graph.indices, shuffled(graph.n, seed))
        bound = clique_bound(graph)
        return Found(np.flatnonzero(self.improve(graph, start, clock, seed, bound)), bound)

    def improve(
        self,
        graph: Graph,
        chosen: NDArray[np.bool_],
        clock: Clock,
        seed: int,
        enough: int = 2**31,
        most: int = 2**62,
    ) -> NDArray[np.bool_]:
        """Search from an independent set on, bool (n,); returns the best set, bool (n,).

        Args:
            enough: stop at a set of that size.
            most: iterations, if the clock's limits leave that many.
        """
        best = np.zeros(graph.n, np.bool_)
        size, search = self.start(graph, np.ascontiguousarray(chosen, np.bool_), seed, best)
        clock.improved(size())

        def step(many: int) -> tuple[int, int]:
            done = search(many, enough)
            return size(), done

        if graph.m and size() < enough:
            clock.work(step, enough, most)
        return best

    @abstractmethod
    def start(
        self, graph: Graph, chosen: NDArray[np.bool_], seed: int, best: NDArray[np.bool_]
    ) -> tuple[Callable[[], int], Callable[[int, int], int]]:
        """Begin with an independent set, bool (n,).

        Args:
            best: where the best set is kept, bool (n,).

        Returns:
            What tells the best set's size, and what goes on for some iterations, or until the best set has a size that
            is enough, and tells how many it did.
        """
