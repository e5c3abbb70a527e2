"""An expensive policy at the root and a cheap one below: Gupta et al., "Hybrid models for learning to branch", 2020.

Theirs passes an embedding from the root's network on to the nodes' one; here both are policies of their own.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pyscipopt import Model

from learnsys.envs.branching.observations.registry import observation_function
from learnsys.errors import InputError
from learnsys.policies.branching.base import BranchingPolicy


class Seen(NamedTuple):
    """An observation by `RootElse`."""

    shallow: bool
    """whether the first policy decides"""
    observation: Any
    """its observation, or the second one's"""


class RootElse:
    """Observation: that of the first policy down to a depth, that of the second one below.

    Args:
        first, second: observation functions, or None.
        depth: the deepest nodes that the first one sees.
    """

    def __init__(self, first: Any, second: Any, depth: int) -> None:
        self.functions = [None if each is None else observation_function(each) for each in (first, second)]
        self.depth = depth

    def before_reset(self, model: Model) -> None:
        """Pass the new episode's model on."""
        for function in self.functions:
            if function is not None:
                function.before_reset(model)

    def extract(self, model: Model, done: bool = False) -> Seen | None:
        """What the policy that decides here wants to see; None when `done`."""
        if done:
            return None
        first, second = self.functions
        shallow = model.getDepth() <= self.depth
        # some functions describe nodes by what they have seen at the root (Khalil2016)
        below = None if second is None or (shallow and model.getDepth() > 0) else second.extract(model, False)
        if not shallow:
            return Seen(False, below)
        return Seen(True, None if first is None else first.extract(model, False))


class HybridPolicy(BranchingPolicy):
    """The first policy decides at the root (or down to a depth), the second one below.

    Args:
        first, second: policies that are asked; both of the same kind of candidates.
        depth: the deepest nodes that the first one decides on; 0 is the root alone.

    Raises:
        InputError: one of them is a rule of SCIP, or they choose from different candidates.
    """

    def __init__(self, first: Any, second: Any, depth: int = 0) -> None:
        if not (isinstance(first, BranchingPolicy) and isinstance(second, BranchingPolicy)):
            raise InputError("a hybrid is made of two policies that are asked", remedy="SCIP's own rules cannot be")
        if first.pseudo_candidates != second.pseudo_candidates:
            raise InputError("the two policies of a hybrid choose from different candidates")
        self.first, self.second = first, second
        self.pseudo_candidates = first.pseudo_candidates  # type: ignore[misc]
        self.observation = RootElse(first.observation, second.observation, depth)

    def start(self, seed: int) -> None:
        self.first.start(seed)
        self.second.start(seed)

    def act(self, observation: Seen, candidates: NDArray[np.int64]) -> int:
        return (self.first if observation.shallow else self.second).act(observation.observation, candidates)
