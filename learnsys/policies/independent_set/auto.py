"""Reductions first, then the search that suits what is left."""

from __future__ import annotations

import numpy as np

from learnsys.graphs.cliques import clique_bound
from learnsys.graphs.graph import Graph
from learnsys.policies.independent_set.arw import ARW
from learnsys.policies.independent_set.base import Clock, Found, IndependentSetPolicy
from learnsys.policies.independent_set.greedy import min_degree, shuffled
from learnsys.policies.independent_set.numvc import NuMVC
from learnsys.policies.independent_set.reductions import reduced

_FEW = 5000
"""vertices up to which NuMVC, whose step looks at all of them, is ahead of ARW"""


class Auto(IndependentSetPolicy):
    """Exact reductions, then NuMVC on a small rest and ARW on a large one, until the limits or a bound are reached.

    A graph that reductions solve alone, as sparse ones from nature often are, takes no search and comes with a proof.
    """

    anytime = True

    def search(self, graph: Graph, clock: Clock, seed: int) -> Found:
        first = min_degree(graph.indptr, graph.indices, shuffled(graph.n, seed))
        clock.improved(int(first.sum()))
        if clock.over:
            return Found(np.flatnonzero(first))
        rest = reduced(graph)
        kernel = rest.graph
        bound = clique_bound(kernel)
        chosen = min_degree(kernel.indptr, kernel.indices, shuffled(kernel.n, seed))
        clock.shift = rest.offset
        chosen = self.policy(kernel).improve(kernel, chosen, clock, seed, bound)
        clock.shift = 0
        found = rest.lift(np.flatnonzero(chosen))
        return Found(found if found.size >= first.sum() else np.flatnonzero(first), bound + rest.offset)

    def policy(self, kernel: Graph) -> ARW | NuMVC:
        """The search for a graph on which no reduction applies."""
        return NuMVC() if kernel.n <= _FEW else ARW()


class ReducedARW(Auto):
    """The reductions, then ARW whatever is left."""

    def policy(self, kernel: Graph) -> ARW | NuMVC:
        return ARW()


class ReducedNuMVC(Auto):
    """The reductions, then NuMVC whatever is left."""

    def policy(self, kernel: Graph) -> ARW | NuMVC:
        return NuMVC()
