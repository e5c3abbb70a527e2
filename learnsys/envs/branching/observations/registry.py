"""Observation functions by name, and several as one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from learnsys.envs.branching.observations.base import ObservationFunction
from learnsys.envs.branching.observations.hutter import Hutter2011
from learnsys.envs.branching.observations.khalil import Khalil2016
from learnsys.envs.branching.observations.milp_bipartite import MilpBipartite
from learnsys.envs.branching.observations.node_bipartite import NodeBipartite
from learnsys.envs.branching.observations.pseudocosts import Pseudocosts
from learnsys.envs.branching.observations.strong_branching import StrongBranchingScores
from learnsys.errors import InputError

if TYPE_CHECKING:
    from pyscipopt import Model

OBSERVATIONS: dict[str, Callable[..., ObservationFunction]] = {
    "node_bipartite": NodeBipartite,
    "milp_bipartite": MilpBipartite,
    "khalil2016": Khalil2016,
    "hutter2011": Hutter2011,
    "strong_branching": StrongBranchingScores,
    "pseudocosts": Pseudocosts,
}


class Composed:
    """Several observation functions as one, whose observation is a dict, a tuple or a list of theirs.

    Args:
        functions: a dict, a tuple or a list of what `observation_function` accepts.
    """

    def __init__(self, functions: dict[str, Any] | tuple[Any, ...] | list[Any]) -> None:
        self.functions: Any
        if isinstance(functions, dict):
            self.functions = {name: observation_function(each) for name, each in functions.items()}
        else:
            self.functions = type(functions)(observation_function(each) for each in functions)

    def before_reset(self, model: Model) -> None:
        """Pass the new episode's model on."""
        each: Iterable[Any] = self.functions.values() if isinstance(self.functions, dict) else self.functions
        for function in each:
            function.before_reset(model)

    def extract(self, model: Model, done: bool = False) -> Any:
        """The observations of all, in the order and under the names of the functions; None when `done`."""
        if done:
            return None
        if isinstance(self.functions, dict):
            return {name: function.extract(model, done) for name, function in self.functions.items()}
        return type(self.functions)(function.extract(model, done) for function in self.functions)


def observation_function(wanted: Any) -> ObservationFunction:
    """An observation function from a name, or composed from a dict, tuple or list; one itself is returned as it is.

    Raises:
        InputError: there is no function of this name, or `wanted` is nothing of all this.
    """
    if isinstance(wanted, str):
        if wanted not in OBSERVATIONS:
            raise InputError(f"no observation is called {wanted!r}", remedy=f"take one of {', '.join(OBSERVATIONS)}")
        return OBSERVATIONS[wanted]()
    if isinstance(wanted, (dict, tuple, list)):
        return Composed(wanted)
    if isinstance(wanted, ObservationFunction) and not isinstance(wanted, type):
        return wanted
    raise InputError(
        f"{wanted!r} is no observation function",
        remedy="it needs the methods before_reset(model) and extract(model, done)",
    )
