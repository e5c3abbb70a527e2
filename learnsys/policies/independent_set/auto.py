"""Reductions first, then the search that suits what is left."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from learnsys.graphs.cliques import clique_bound
from learnsys.graphs.graph import Graph
from learnsys.policies.independent_set.arw import ARW
from learnsys.policies.independent_set.base import Clock, Found, IndependentSetPolicy
from learnsys.policies.independent_set.greedy import min_degree, shuffled
from learnsys.policies.independent_set.numvc import NuMVC
from learnsys.policies.independent_set.reductions import Reduced, reduced

_FEW, _FEW_SPARSE = 5000, 2000
"""vertices up to which NuMVC, whose step looks at all of them, overtakes ARW; and where they have less than 20
neighbours on average"""
_SMALL = 400
"""vertices up to which NuMVC needs no other start than a greedy one"""
_AHEAD, _LONG = 4, 6
"""ARW begins, with so many iterations for each vertex; NuMVC, which has to learn its weights, takes over if so many
times the seconds are left that those took"""


class Auto(IndependentSetPolicy):
    """Exact reductions where they may help, then ARW, and on a small rest NuMVC from ARW's set on (on a very small one
    at once), until the limits or a bound are reached.

    A graph that reductions solve alone, as sparse ones from nature often are, takes no search and comes with a proof.
    """

    anytime = True
    always_reduces: ClassVar[bool] = False
    """whether it does so also where that is hardly worth the time"""

    def search(self, graph: Graph, clock: Clock, seed: int) -> Found:
        first = min_degree(graph.indptr, graph.indices, shuffled(graph.n, seed))
        clock.improved(int(first.sum()))
        if clock.over:
            return Found(np.flatnonzero(first))
        rest = reduced(graph) if self.always_reduces or worth_reducing(graph) else Reduced.none(graph)
        kernel = rest.graph
        bound = clique_bound(kernel)
        chosen = min_degree(kernel.indptr, kernel.indices, shuffled(kernel.n, seed))
        clock.shift = rest.offset
        chosen = self.improve(kernel, chosen, clock, seed, bound)
        clock.shift = 0
        found = rest.lift(np.flatnonzero(chosen))
        return Found(found if found.size >= first.sum() else np.flatnonzero(first), bound + rest.offset)

    def improve(
        self, graph: Graph, chosen: NDArray[np.bool_], clock: Clock, seed: int, enough: int = 2**31
    ) -> NDArray[np.bool_]:
        """Search from an independent set on, bool (n,), in a graph on which no reduction applies."""
        arw = ARW()
        if graph.n > (_FEW if graph.m >= 10 * graph.n else _FEW_SPARSE):
            return arw.improve(graph, chosen, clock, seed, enough)
        if graph.n <= _SMALL:
            return NuMVC().improve(graph, chosen, clock, seed, enough)
        start = clock.seconds
        chosen = arw.improve(graph, chosen, clock, seed, enough, most=_AHEAD * graph.n)
        search = NuMVC() if clock.left > _LONG * (clock.seconds - start) else arw
        return search.improve(graph, chosen, clock, seed, enough)


class ReducedARW(Auto):
    """The reductions, then ARW alone."""

    always_reduces = True

    def improve(
        self, graph: Graph, chosen: NDArray[np.bool_], clock: Clock, seed: int, enough: int = 2**31
    ) -> NDArray[np.bool_]:
        return ARW().improve(graph, chosen, clock, seed, enough)


class ReducedNuMVC(Auto):
    """The reductions, then NuMVC alone."""

    always_reduces = True

    def improve(
        self, graph: Graph, chosen: NDArray[np.bool_], clock: Clock, seed: int, enough: int = 2**31
    ) -> NDArray[np.bool_]:
        return NuMVC().improve(graph, chosen, clock, seed, enough)


def worth_reducing(graph: Graph) -> bool:
    """Whether reductions may be worth their time: not where all vertices have many neighbours, about as many each, as
    in dense random graphs.
    """
    mean = 2 * graph.m / max(1, graph.n)
    return mean < 20 or 4 * int(graph.degrees.min()) < mean
