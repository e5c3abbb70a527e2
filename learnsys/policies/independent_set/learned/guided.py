"""Local search that starts from sets built by scores."""

from __future__ import annotations

import os
from typing import Any, ClassVar, Literal

import numpy as np

from learnsys.errors import InputError
from learnsys.graphs import Graph
from learnsys.graphs.cliques import clique_bound
from learnsys.policies.independent_set.arw import ARW
from learnsys.policies.independent_set.auto import Auto
from learnsys.policies.independent_set.base import Clock, Found, IndependentSetPolicy
from learnsys.policies.independent_set.learned.policy import ScoredConstruction
from learnsys.policies.independent_set.learned.weights import Weights
from learnsys.policies.independent_set.numvc import NuMVC
from learnsys.policies.independent_set.randomness import stream_seeds

Search = Literal["auto", "arw", "numvc"]
SEARCHES: dict[Search, type[Auto] | type[ARW] | type[NuMVC]] = {"auto": Auto, "arw": ARW, "numvc": NuMVC}


class GuidedSearch(IndependentSetPolicy):
    """The best of some sets built by scores, then local search from there for the time that is left.

    Args:
        construction: builds the sets; its `scores` may be a control.
        search: "arw", "numvc", or "auto" (ARW, then NuMVC where there is time for it).
        starts: sets built.
    """

    name: ClassVar[str] = "learnsys_mis_guided"
    anytime: ClassVar[bool] = True
    learned: ClassVar[bool] = True

    def __init__(self, construction: ScoredConstruction, search: Search = "auto", starts: int = 1) -> None:
        if search not in SEARCHES or starts < 1:
            raise InputError(
                f"search={search!r}, starts={starts} are not possible",
                remedy=f"choose from {', '.join(SEARCHES)}, and 1 or more",
            )
        self.construction, self.starts = construction, starts
        self.local = SEARCHES[search]()

    def search(self, graph: Graph, clock: Clock, seed: int) -> Found:
        weights, best = Weights.of(self.construction.model), np.zeros(graph.n, np.bool_)
        bound = clique_bound(graph)
        for number in range(self.starts):
            temperature = self.construction.temperature if number else 0.0
            status, _ = self.construction.build(graph, weights, stream_seeds(seed, [number]), temperature)
            if number == 0 or (status == 1).sum() > best.sum():
                best = status == 1
                clock.improved(int(best.sum()))
            if clock.over:
                break
        return Found(np.flatnonzero(self.local.improve(graph, best, clock, seed, bound)), bound)

    @classmethod
    def load(cls, folder: str | os.PathLike[str], **arguments: Any) -> GuidedSearch:
        """Guided by the learnsys_mis saved in `folder`.

        Raises:
            InputError: there is none.
        """
        return cls(ScoredConstruction.load(folder), **arguments)
