"""Combinatorial auctions, by Leyton-Brown's "arbitrary" scheme."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from learnsys.envs.branching.instances.family import Family, binaries
from learnsys.envs.branching.instances.milp import Milp, Rows


@dataclass(frozen=True)
class CombinatorialAuction(Family):
    """Accept bids on bundles of items for the most revenue, each item sold at most once.

    Leyton-Brown, Pearson and Shoham, "Towards a universal test suite for combinatorial auction algorithms", EC 2000,
    section 4.2 ("arbitrary relationships"). A bidder that makes more than two bids gets at most one of them, through a
    dummy item. Presets: sizes of Gasse et al., NeurIPS 2019.
    """

    items: int = 100
    """items for sale"""
    bids: int = 500
    """bids"""
    min_value: float = 1.0
    """least common value of an item"""
    max_value: float = 100.0
    """greatest common value of an item"""
    value_deviation: float = 0.5
    """how far a bidder's value may lie from the common one, as a part of `max_value`"""
    add_item_prob: float = 0.65
    """probability that a bundle gets one more item"""
    max_sub_bids: int = 5
    """most bids of a bidder on substitutes for the first bundle"""
    additivity: float = 0.2
    """a bundle of k items is worth k ** (1 + additivity) more than its items"""
    budget_factor: float = 1.5
    """a substitute's price is at most this times the first bundle's price"""
    resale_factor: float = 0.5
    """a substitute's common value is at least this times the first bundle's"""
    integers: bool = False
    """prices are rounded down"""

    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
        "tiny": {"items": 50, "bids": 200},
        "easy": {},
        "medium": {"items": 200, "bids": 1000},
        "hard": {"items": 300, "bids": 1500},
    }

    def __post_init__(self) -> None:
        self._at_least(items=1, bids=1, min_value=0, max_value=self.min_value, value_deviation=0, add_item_prob=0)
        self._at_least(max_sub_bids=0, additivity=-1, budget_factor=0, resale_factor=0)
        self._require(self.add_item_prob <= 1, f"add_item_prob={self.add_item_prob} is above 1", "give 0 to 1")

    def build(self, rng: np.random.Generator) -> Milp:
        from learnsys.envs.branching.instances.auction_kernel import draw_bids

        values = self.min_value + (self.max_value - self.min_value) * rng.random(self.items)
        weights = np.triu(rng.random((self.items, self.items)), 1)
        weights += weights.T
        bundles, prices, dummies = draw_bids(
            rng,
            values,
            weights / np.maximum(weights.sum(axis=1), 1e-12),
            self.bids,
            self.max_value * self.value_deviation,
            self.add_item_prob,
            self.max_sub_bids,
            1.0 + self.additivity,
            self.budget_factor,
            self.resale_factor,
            self.integers,
        )
        bid, item = np.nonzero(bundles)
        tied = np.flatnonzero(dummies >= 0)
        row = np.concatenate([item, self.items + dummies[tied]])
        wanted, row = np.unique(row, return_inverse=True)  # items that nobody wants need no row
        names = [f"item_{j}" if j < self.items else f"bidder_{j - self.items}" for j in wanted.tolist()]
        block = Rows()
        block.add(names, row, np.concatenate([bid, tied]), right=1.0)
        return Milp(
            name="auction",
            objective=prices,
            columns=[f"x_{each}" for each in range(self.bids)],
            maximize=True,
            **binaries(self.bids),
            **block.fields(self.bids),
        )
