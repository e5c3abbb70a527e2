"""What all families of instances share: a frozen dataclass of parameters that draws programs."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from learnsys.envs.branching.instances.milp import Milp
from learnsys.errors import InputError

if TYPE_CHECKING:
    from pyscipopt import Model


@dataclass(frozen=True)
class Family(ABC):
    """Base of the families. A subclass is a frozen dataclass whose fields are the parameters of the distribution.

    Its constructor raises `InputError` for parameters with which no instance exists.
    """

    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {}
    """name -> parameters that differ from the defaults"""

    @abstractmethod
    def build(self, rng: np.random.Generator) -> Milp:
        """Draw an instance; everything random in it comes from `rng`."""

    def instance(self, seed: int, index: int = 0) -> Milp:
        """Instance number `index` of the sequence that belongs to `seed`.

        Sequences of different seeds are independent streams of random numbers, so seeds separate data sets.
        """
        if seed < 0 or index < 0:
            raise InputError(f"seed={seed}, index={index}: both count from 0")
        return self.build(np.random.default_rng([seed, index]))

    def generate(self, rng: np.random.Generator) -> Model:
        """Draw an instance as a SCIP model: what environments ask for."""
        return self.build(rng).to_model()

    # ---- checks of parameters ------------------------------------------------------------------------------------

    def _require(self, possible: bool, problem: str, remedy: str) -> None:
        if not possible:
            raise InputError(f"{type(self).__name__}: {problem}", remedy=remedy)

    def _at_least(self, **minima: float) -> None:
        """Check that parameters are finite numbers, whole ones where the default is, not below those given."""
        for name, least in minima.items():
            value = getattr(self, name)
            whole = isinstance(getattr(type(self), name), int)
            possible = least <= value < math.inf and (not whole or isinstance(value, int | np.integer))
            kind = "a whole number" if whole else "a number"
            self._require(possible, f"{name}={value} is not possible", f"give {kind} of at least {least}")

    def _ranges(self, **minima: float) -> None:
        """Check that parameters are (low, high), with low not smaller than given here and high not below low."""
        for name, least in minima.items():
            value = getattr(self, name)
            self._require(
                len(value) == 2 and least <= value[0] <= value[1] < math.inf,
                f"{name}={value} is no range",
                f"give two numbers, the second not below the first, which is at least {least}",
            )

    def parameters(self) -> dict[str, Any]:
        """The parameters by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def binaries(n: int) -> dict[str, Any]:
    """The arguments `lower`, `upper` and `kinds` of a `Milp` with `n` binary variables."""
    return {"lower": np.zeros(n), "upper": np.ones(n), "kinds": np.full(n, "B")}


def fits(sizes: NDArray[np.float64], capacities: NDArray[np.float64]) -> bool:
    """Whether the largest-first, emptiest-bin rule finds a place for every item: True proves that there is one.

    Args:
        sizes: (items, resources).
        capacities: (bins, resources).
    """
    left = capacities.copy()
    scale = np.maximum(capacities.max(axis=0), 1e-12)
    for item in np.argsort(-(sizes / scale).max(axis=1), kind="stable"):
        rest = ((left - sizes[item]) / scale).min(axis=1)
        place = int(rest.argmax())
        if rest[place] < 0.0:
            return False
        left[place] -= sizes[item]
    return True
