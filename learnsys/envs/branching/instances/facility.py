"""Capacitated facility location, by the method of Cornuejols, Sridharan and Thizy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from learnsys.envs.branching.instances.family import Family, fits
from learnsys.envs.branching.instances.milp import Milp, Rows


@dataclass(frozen=True)
class FacilityLocation(Family):
    """Open facilities and serve customers' demands from them, at the least cost.

    Cornuejols, Sridharan and Thizy, "A comparison of heuristics and relaxations for the capacitated plant location
    problem", European Journal of Operational Research 50, 1991. Customers and facilities lie in the unit square;
    serving costs ten times the distance for each unit of demand; opening costs a number of `cost_scale` times the
    square root of the capacity (before capacities are scaled) plus one of `cost_constant`. Two kinds of rows tighten
    the LP: open capacity meets the total demand, and closed facilities serve nobody. Presets: sizes of Gasse et al.,
    NeurIPS 2019.
    """

    customers: int = 100
    """customers"""
    facilities: int = 100
    """places for facilities"""
    continuous_assignment: bool = True
    """a customer may be served by several facilities"""
    ratio: float = 5.0
    """the capacities of all facilities are scaled to this times the total demand"""
    demand: tuple[int, int] = (5, 35)
    """least and greatest demand"""
    capacity: tuple[int, int] = (10, 160)
    """least and greatest capacity, before scaling"""
    cost_scale: tuple[int, int] = (100, 110)
    """least and greatest cost of opening for the square root of a unit of capacity"""
    cost_constant: tuple[int, int] = (0, 90)
    """least and greatest further cost of opening"""

    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
        "tiny": {"customers": 25, "facilities": 25},
        "easy": {},
        "medium": {"customers": 200},
        "hard": {"customers": 400},
    }

    def __post_init__(self) -> None:
        self._at_least(customers=1, facilities=1, ratio=1.0)
        self._ranges(demand=1, capacity=1, cost_scale=0, cost_constant=0)

    def build(self, rng: np.random.Generator) -> Milp:
        n, m = self.customers, self.facilities
        demands = rng.integers(*self.demand, n, endpoint=True).astype(float)
        capacities = rng.integers(*self.capacity, m, endpoint=True).astype(float)
        opening = rng.integers(*self.cost_scale, m, endpoint=True) * np.sqrt(capacities)
        opening += rng.integers(*self.cost_constant, m, endpoint=True)
        away = rng.random((n, 1, 2)) - rng.random((1, m, 2))
        serving = 10.0 * np.sqrt((away**2).sum(axis=2)) * demands[:, None]
        capacities *= self.ratio * demands.sum() / capacities.sum()
        self._require(
            self.continuous_assignment or fits(demands[:, None], capacities[:, None]),
            "no assignment of each customer to one facility was found",
            "give a larger ratio, or continuous assignment",
        )
        customer, facility = np.indices((n, m))
        serve = m + customer * m + facility
        open_ = np.arange(m)

        block = Rows()
        block.add([f"d_{i}" for i in range(n)], customer, serve, left=1.0)
        block.add(
            [f"c_{j}" for j in range(m)],
            np.concatenate([facility.ravel(), open_]),
            np.concatenate([serve.ravel(), open_]),
            np.concatenate([np.repeat(demands, m), -capacities]),
            right=0.0,
        )
        block.add(["total"], np.zeros(m, int), open_, capacities, left=demands.sum())
        tight = np.arange(n * m)
        block.add(
            [f"t_{i}_{j}" for i in range(n) for j in range(m)],
            np.tile(tight, 2),
            np.concatenate([serve.ravel(), facility.ravel()]),
            np.repeat([1.0, -1.0], n * m),
            right=0.0,
        )
        columns = m + n * m
        return Milp(
            name="facility",
            objective=np.concatenate([opening, serving.ravel()]),
            lower=np.zeros(columns),
            upper=np.ones(columns),
            kinds=np.repeat(["B", "C" if self.continuous_assignment else "B"], [m, n * m]),
            columns=[*(f"f_{j}" for j in range(m)), *(f"s_{i}_{j}" for i in range(n) for j in range(m))],
            **block.fields(columns),
        )
