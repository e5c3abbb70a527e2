"""Maximum independent set as an integer program, and back."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from learnsys.envs.branching.instances.family import binaries
from learnsys.envs.branching.instances.milp import Milp, Rows
from learnsys.errors import InputError
from learnsys.graphs.cliques import clique_cover
from learnsys.graphs.graph import Graph


def to_milp(graph: Graph, rows: Literal["cliques", "edges"] = "cliques") -> Milp:
    """The program that chooses as many vertices as possible.

    Args:
        rows: "edges": one row x_u + x_v <= 1 for each edge. "cliques": rows of cliques that cover all edges
            (`clique_cover`), the same solutions with a much smaller relaxation.
    """
    block = Rows()
    if rows == "cliques":
        row, vertex = clique_cover(graph)
        number = int(row.max(initial=-1)) + 1
        block.add([f"clique_{each}" for each in range(number)], row, vertex, right=1.0)
    elif rows == "edges":
        names = [f"edge_{u}_{v}" for u, v in graph.edges.tolist()]
        block.add(names, np.arange(graph.m)[:, None], graph.edges, right=1.0)
    else:
        raise InputError(f"rows={rows!r} are not known", remedy="choose cliques or edges")
    return Milp(
        name="independent_set",
        objective=np.ones(graph.n),
        columns=[f"x_{vertex}" for vertex in range(graph.n)],
        maximize=True,
        **binaries(graph.n),
        **block.fields(graph.n),
    )


def from_milp(milp: Milp) -> Graph:
    """The conflict graph of a set-packing program with equal costs: its maximum independent sets are the optima.

    Raises:
        InputError: it is none: not all binary, not maximising equal positive costs, or with rows other than sums of
            variables that are at most 1.
    """

    def require(holds: object, problem: str) -> None:
        if not holds:
            raise InputError(
                f"{milp.name} is no maximum independent set: {problem}", remedy="give a set-packing program"
            )

    cost = milp.objective
    require((milp.kinds == "B").all(), "not all variables are binary")
    sign = 1 if milp.maximize else -1
    require((cost == cost[:1]).all() and (cost * sign > 0).all(), "costs are not equal, or no vertex is wanted")
    require(not milp.matrix.nnz or (milp.matrix.data == 1).all(), "a row has other coefficients than 1")
    require((milp.left <= 0).all() and (milp.right == 1).all(), "a row is not 'at most 1'")
    require((milp.lower <= 0).all() and (milp.upper >= 1).all(), "a variable is fixed")
    indptr, indices = milp.matrix.indptr, milp.matrix.indices
    pairs = [_pairs(indices[low:high]) for low, high in pairwise(indptr)]
    return Graph.from_edges(np.concatenate([np.zeros((0, 2), np.int64), *pairs]), milp.shape[1])


def _pairs(members: NDArray[np.int32]) -> NDArray[np.int64]:
    first, second = np.triu_indices(members.size, 1)
    return np.stack([members[first], members[second]], axis=1).astype(np.int64)
