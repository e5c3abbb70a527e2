"""What local searches share: they go on from a set, at first a greedy one."""

from __future__ import annotations

from abc import abstractmethod

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

    @abstractmethod
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
