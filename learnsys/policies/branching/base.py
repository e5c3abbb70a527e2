"""What a branching policy is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray


class BranchingPolicy(ABC):
    """Chooses the variable to branch on.

    The same object serves an environment's loop (`act` on its observations, in the direct form) and SCIP itself
    (`solve.solve` calls it inside the branching callback).
    """

    observation: Any = None
    """the observation function that `act` needs, or its name; None for none"""
    pseudo_candidates: ClassVar[bool] = False
    """branch on unfixed discrete variables, whatever their LP value, not only on those with a fractional one"""

    def start(self, seed: int) -> None:
        """Called before each solving process; what follows is a function of `seed`."""

    @abstractmethod
    def act(self, observation: Any, candidates: NDArray[np.int64]) -> int:
        """The candidate to branch on.

        Args:
            observation: what the observation function extracted at this node.
            candidates: problem indices, int64 (k,), k > 0.

        Returns:
            One of `candidates`.
        """


class ScipRule:
    """One of SCIP's own branching rules: a setting, not a policy that is asked.

    Args:
        rule: SCIP's name of the rule.
    """

    def __init__(self, rule: str) -> None:
        self.rule = rule

    @property
    def parameters(self) -> dict[str, Any]:
        """SCIP parameters that put the rule above all others."""
        return {f"branching/{self.rule}/priority": 536_870_911}
