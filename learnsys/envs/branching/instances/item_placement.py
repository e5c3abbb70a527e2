"""Balanced item placement, the first task of the ML4CO competition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from learnsys.envs.branching.instances.family import Family, fits
from learnsys.envs.branching.instances.milp import Milp, Rows


@dataclass(frozen=True)
class ItemPlacement(Family):
    """Place items of several dimensions into equal bins, so that all bins are used as evenly as possible.

    A bin's deficit in a resource is how far its use stays below an equal share, as a part of that share; the greatest
    deficit of each resource weighs more than the sum of all. Gasse et al., "The machine learning for combinatorial
    optimization competition (ML4CO)", 2022, whose sizes the defaults have (1083 variables, 195 constraints).
    """

    small_items: int = 100
    """items with sizes drawn from `small_size`"""
    big_items: int = 5
    """items with sizes drawn from `big_size`"""
    bins: int = 10
    """bins"""
    resources: int = 3
    """dimensions of items and bins"""
    capacity_factor: float = 2.0
    """a bin's capacity, in equal shares of all items"""
    small_size: tuple[float, float] = (0.0, 0.1)
    """least and greatest size of small items"""
    big_size: tuple[float, float] = (0.9, 1.0)
    """least and greatest size of big items"""

    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
        "tiny": {"small_items": 12, "big_items": 2, "bins": 3, "resources": 2},
        "small": {"small_items": 30, "big_items": 3, "bins": 5},
        "competition": {},
    }

    def __post_init__(self) -> None:
        self._at_least(small_items=0, big_items=0, bins=1, resources=1, capacity_factor=1.0)
        self._ranges(small_size=0.0, big_size=0.0)
        self._require(self.small_items + self.big_items > 0, "there are no items", "give some small or big items")
        greatest = max(self.small_size[1] * (self.small_items > 0), self.big_size[1] * (self.big_items > 0))
        self._require(greatest > 0.0, "all items have size 0", "give a range of sizes above 0")

    def build(self, rng: np.random.Generator) -> Milp:
        n, b, r = self.small_items + self.big_items, self.bins, self.resources
        small = rng.uniform(*self.small_size, (self.small_items, r))
        sizes = np.concatenate([small, rng.uniform(*self.big_size, (self.big_items, r))])
        total = sizes.sum(axis=0)
        capacity = self.capacity_factor * total / b
        self._require(
            fits(sizes, np.tile(capacity, (b, 1))),
            f"no placement of {n} items into {b} bins was found",
            "give a larger capacity_factor, fewer bins or smaller items",
        )
        item, bin_, resource = np.indices((n, b, r))
        place = item * b + bin_
        pair = np.arange(b * r)  # bin and resource
        deficit = n * b + pair
        worst = n * b + b * r + pair % r
        names = [f"{i}_{k}" for i in range(b) for k in range(r)]

        block = Rows()
        block.add([f"once_{i}" for i in range(n)], item[:, :, 0], place[:, :, 0], left=1.0, right=1.0)
        use = bin_ * r + resource
        block.add([f"capacity_{each}" for each in names], use, place, sizes[:, None, :], right=np.tile(capacity, b))
        share = sizes[:, None, :] * b / total
        row = np.concatenate([use.ravel(), pair])
        column = np.concatenate([place.ravel(), deficit])
        value = np.concatenate([np.broadcast_to(share, use.shape).ravel(), np.ones(b * r)])
        block.add([f"deficit_{each}" for each in names], row, column, value, left=1.0)
        block.add(
            [f"worst_{each}" for each in names],
            np.tile(pair, 2),
            np.concatenate([worst, deficit]),
            np.repeat([1.0, -1.0], b * r),
            left=0.0,
        )
        columns = n * b + b * r + r
        return Milp(
            name="item_placement",
            objective=np.repeat([0.0, 1.0, 10.0 * b * r], [n * b, b * r, r]),
            lower=np.zeros(columns),
            upper=np.ones(columns),
            kinds=np.repeat(["B", "C"], [n * b, b * r + r]),
            columns=[
                *(f"place_{i}_{k}" for i in range(n) for k in range(b)),
                *(f"d_{each}" for each in names),
                *(f"max_d_{k}" for k in range(r)),
            ],
            **block.fields(columns),
        )
