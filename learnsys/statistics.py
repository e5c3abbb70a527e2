"""Statistics that results are told in."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray


def normalised_hit_rate(hit_rate: float, lru: float, optimum: float) -> float:
    """Share of the way from LRU to Belady's optimum: (hit_rate - lru) / (optimum - lru).

    0 is as good as LRU, 1 is optimal, negative is worse than LRU. NaN where the optimum gains nothing over LRU.
    """
    headroom = optimum - lru
    return (hit_rate - lru) / headroom if headroom > 0 else math.nan


def shifted_geometric_mean(values: ArrayLike, shift: float = 1.0) -> float:
    """exp(mean(log(v + shift))) - shift; NaN of nothing. With shift 1 the field's mean of solving times and nodes."""
    array = np.asarray(values, float)
    return float(np.exp(np.log(array + shift).mean()) - shift) if array.size else math.nan


def bootstrap_interval(
    values: ArrayLike,
    statistic: Callable[[NDArray[np.float64]], float] = np.mean,
    *,
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap interval of a statistic (Efron 1979): resampled along the first axis, with replacement.

    Rows of a matrix stay together, so a statistic of two columns, say the ratio of their means, is a paired one.

    Args:
        values: (n,) or (n, ...); NaN, NaN for n = 0.
        statistic: from a resample of the same shape to a number.
    """
    array = np.asarray(values, float)
    if not len(array):
        return math.nan, math.nan
    rng = np.random.default_rng(seed)
    found = [float(statistic(array[rng.integers(len(array), size=len(array))])) for _ in range(draws)]
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
