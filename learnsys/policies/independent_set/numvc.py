"""Local search on vertex covers with edge weights: the best simple method on dense graphs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from learnsys.graphs.graph import Graph
from learnsys.policies.independent_set import numvc_kernel as kernel
from learnsys.policies.independent_set.local_search import LocalSearch
from learnsys.policies.independent_set.randomness import seeded


class NuMVC(LocalSearch):
    """Cai, Su, Luo and Sattar, "NuMVC: an efficient local search algorithm for minimum vertex cover", 2013.

    Two-stage exchange, edge weights that forget (gamma = 0.5, rho = 0.3) and configuration checking, as in the paper's
    algorithm 2; from the complement of a greedy set on. A step looks at every vertex, so graphs of up to some ten
    thousand vertices are its field.
    """

    def start(
        self, graph: Graph, chosen: NDArray[np.bool_], seed: int, best: NDArray[np.bool_]
    ) -> tuple[Callable[[], int], Callable[[int, int], int]]:
        vertex = np.zeros((3, graph.n), np.int32)
        half = np.zeros((5, graph.indices.size), np.int32)
        since = np.zeros(graph.n, np.int64)
        count = np.zeros(6, np.int64)
        block = np.empty(-(-graph.n // 64), np.int32)
        rng = seeded(seed)
        rows = (graph.indptr, graph.indices, vertex, half, since, count)
        kernel.start(*rows, best, chosen)
        return lambda: int(count[kernel.BEST]), lambda many, enough: kernel.search(
            *rows, block, rng, best, many, enough
        )
