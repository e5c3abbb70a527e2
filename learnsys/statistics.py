"""Statistics that results are told in."""

from __future__ import annotations

import math


def normalised_hit_rate(hit_rate: float, lru: float, optimum: float) -> float:
    """Share of the way from LRU to Belady's optimum: (hit_rate - lru) / (optimum - lru).

    0 is as good as LRU, 1 is optimal, negative is worse than LRU. NaN where the optimum gains nothing over LRU.
    """
    headroom = optimum - lru
    return (hit_rate - lru) / headroom if headroom > 0 else math.nan
