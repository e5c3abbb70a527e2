"""The instances that the branching benchmarks share."""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
from pyscipopt import SCIP_PARAMSETTING, Model, quicksum

from learnsys.errors import InputError


def _gyozas(module: str, generator: str, **sizes: int | float) -> Callable[[int], Model]:
    def make(seed: int) -> Model:
        try:
            from importlib import import_module

            return next(getattr(import_module(f"gyozas.instances.{module}"), generator)(**sizes, rng=seed))
        except ImportError as error:
            remedy = f"{sys.executable} -m pip install 'learnsys[bench]'"
            raise InputError("the benchmarks' instances come from gyozas, which is not here", remedy=remedy) from error

    return make


def multiple_knapsack(seed: int, rows: int = 5, items: int = 40) -> Model:
    """Weights U{1..1000}, capacities of half the row sums, profits that correlate with the weights."""
    rng = np.random.default_rng(seed)
    weights = rng.integers(1, 1001, (rows, items))
    profits = weights.mean(axis=0) + 500 * rng.random(items)
    model = Model()
    x = [model.addVar(f"x{j}", vtype="B", obj=float(profit)) for j, profit in enumerate(profits)]
    for row in weights:
        model.addCons(quicksum(int(w) * xj for w, xj in zip(row, x, strict=True)) <= int(row.sum()) // 2)
    model.setMaximize()
    return model


_SET_COVER = ("set_cover", "SetCoverGenerator")
_AUCTION = ("combinatorial_auction", "CombinatorialAuctionGenerator")
_FACILITY = ("capacitated_facility_location", "CapacitatedFacilityLocationGenerator")
_INDEPENDENT_SET = ("independent_set", "IndependentSetGenerator")

FULL_SIZE: dict[str, Callable[[int], Model]] = {
    "set cover 500x1000": _gyozas(*_SET_COVER),
    "auction 100x500": _gyozas(*_AUCTION),
    "facility 100x100": _gyozas(*_FACILITY),
    "independent set 500": _gyozas(*_INDEPENDENT_SET),
}
"""Seed -> model, in the sizes of Gasse et al. 2019."""

SMALL: dict[str, Callable[[int], Model]] = {
    "set cover 200x400": _gyozas(*_SET_COVER, n_rows=200, n_cols=400),
    "auction 50x200": _gyozas(*_AUCTION, n_items=50, n_bids=200),
    "facility 30x20": _gyozas(*_FACILITY, n_customers=30, n_facilities=20),
    "independent set 120": _gyozas(*_INDEPENDENT_SET, n_nodes=120),
    "multiple knapsack 5x40": multiple_knapsack,
}
"""The same families in sizes for strong branching at many nodes."""


def as_published(model: Model) -> Model:
    """SCIP as in Gasse et al. 2019: cuts at the root only, no restarts."""
    model.hideOutput()
    model.setParams({"separating/maxrounds": 0, "presolving/maxrestarts": 0})
    return model


def to_branch_on(model: Model) -> Model:
    """Presolving and propagation only, so that small instances have trees."""
    model.hideOutput()
    model.setHeuristics(SCIP_PARAMSETTING.OFF)
    model.setParams({"separating/maxrounds": 0, "separating/maxroundsroot": 0, "presolving/maxrestarts": 0})
    return model
