"""Local search on vertex covers with edge weights: the best simple method on dense graphs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from learnsys.graphs.graph import Graph
from learnsys.policies.independent_set import numvc_kernel as kernel
from learnsys.policies.independent_set.base import Clock
from learnsys.policies.independent_set.local_search import LocalSearch
from learnsys.policies.independent_set.randomness import seeded


class NuMVC(LocalSearch):
    """Cai, Su, Luo and Sattar, "NuMVC: an efficient local search algorithm for minimum vertex cover", 2013.

    Two-stage exchange, edge weights that forget (gamma = 0.5, rho = 0.3) and configuration checking, as in the paper's
    algorithm 2; from the complement of a greedy set on. A step looks at every vertex, so graphs of up to some ten
    thousand vertices are its field.
    """

    def improve(
        self,
        graph: Graph,
        chosen: NDArray[np.bool_],
        clock: Clock,
        seed: int,
        enough: int = 2**31,
        most: int = 2**62,
    ) -> NDArray[np.bool_]:
        vertex = np.zeros((3, graph.n), np.int32)
        half = np.zeros((5, graph.indices.size), np.int32)
        since = np.zeros(graph.n, np.int64)
        count = np.zeros(6, np.int64)
        best = np.zeros(graph.n, np.bool_)
        block = np.empty(-(-graph.n // 64), np.int32)
        rng = seeded(seed)
        rows = (graph.indptr, graph.indices, vertex, half, since, count)
        kernel.start(*rows, best, np.ascontiguousarray(chosen, np.bool_))
        clock.improved(int(count[kernel.BEST]))

        def step(many: int) -> tuple[int, int]:
            done = kernel.search(*rows, block, rng, best, many, enough)
            return int(count[kernel.BEST]), done

        if graph.m and count[kernel.BEST] < enough:
            clock.work(step, enough, most)
        return best
