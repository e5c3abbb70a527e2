"""How often a policy's first candidates hold one of strong branching's best ones."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from learnsys.errors import InputError
from learnsys.policies.branching.samples import SampleSet


def best(scores: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which candidates have the greatest score; a difference in the last digits is none."""
    top = scores.max()
    return scores >= top - 1e-9 * abs(top)


def rank(values: NDArray[Any], wanted: NDArray[np.bool_]) -> int:
    """How many candidates stand before the first wanted one, from the greatest value to the least (ties in order)."""
    return int(np.flatnonzero(wanted[np.argsort(-values, kind="stable")])[0])


def by_chance(samples: SampleSet) -> dict[str, float]:
    """acc@1 of a candidate drawn at random, and of the pseudocosts' choice: what a policy is to be compared with.

    Raises:
        InputError: there are no samples.
    """
    chance, pseudocost = [], []
    for sample in samples:
        right = best(sample.scores)
        chance.append(right.mean())
        pseudocost.append(right[sample.pseudocost_choice])
    if not chance:
        raise InputError("there are no test samples")
    return {"random": float(np.mean(chance)), "pseudocost": float(np.mean(pseudocost))}
