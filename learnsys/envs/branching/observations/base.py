"""What an observation function is, and the bipartite graph that two of them return."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pyscipopt import Model


@runtime_checkable
class ObservationFunction(Protocol):
    """Extracts an observation from a model that waits for a decision."""

    def before_reset(self, model: Model) -> None:
        """Forget the last episode; `model` is the next one's, in stage PROBLEM."""

    def extract(self, model: Model, done: bool) -> Any:
        """The observation, in arrays that nobody else writes to; None when `done` or when there is none to make.

        Call it inside a branching callback, or while the solving process is suspended there.
        """


class BipartiteObservation(NamedTuple):
    """A graph of variables and rows: an edge for each non-zero coefficient.

    A row with two finite sides is split: one row `-a x <= -lhs`, then one row `a x <= rhs`.
    """

    variable_features: NDArray[np.float64]
    """(variables, features); row i describes `model.getVars(transformed=True)[i]`"""
    row_features: NDArray[np.float64]
    """(split rows, features)"""
    edge_indices: NDArray[np.int64]
    """(2, edges): split row, variable; the rows ascend"""
    edge_values: NDArray[np.float64]
    """(edges,)"""
