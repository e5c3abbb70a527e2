"""What an observation function is, how several are composed, and the bipartite graph that two of them return."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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


class Composed:
    """Several observation functions as one, whose observation is a dict, a tuple or a list of theirs.

    Args:
        functions: a dict, tuple or list of observation functions; nested ones are composed in turn.
    """

    def __init__(self, functions: Mapping[str, Any] | Sequence[Any]) -> None:
        self.functions: Any
        if hasattr(functions, "items"):
            self.functions = {name: compose(function) for name, function in functions.items()}
        else:
            self.functions = type(functions)(compose(function) for function in functions)

    def _each(self) -> Any:
        return self.functions.values() if isinstance(self.functions, dict) else self.functions

    def before_reset(self, model: Model) -> None:
        for function in self._each():
            function.before_reset(model)

    def extract(self, model: Model, done: bool) -> Any:
        if isinstance(self.functions, dict):
            return {name: function.extract(model, done) for name, function in self.functions.items()}
        return type(self.functions)(function.extract(model, done) for function in self.functions)


def compose(functions: Any) -> ObservationFunction:
    """`functions` itself if it is an observation function, or the one composed of a dict, tuple or list of them.

    Raises:
        TypeError: it is neither.
    """
    if isinstance(functions, ObservationFunction):
        return functions
    if isinstance(functions, (dict, tuple, list)):
        return Composed(functions)
    raise TypeError(f"{functions!r} is no observation function: it lacks before_reset(model) and extract(model, done)")
