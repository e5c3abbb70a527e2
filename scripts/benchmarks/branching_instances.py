"""The instances that the branching benchmarks share."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module

import numpy as np
from pyscipopt import SCIP_PARAMSETTING, Model, quicksum

from learnsys.envs.branching.instances import parse_family
from learnsys.errors import InputError


def _ours(family: str) -> Callable[[int], Model]:
    def make(seed: int) -> Model:
        return parse_family(family).instance(seed).to_model()

    return make


def _gyozas(module: str, generator: str) -> Callable[[int], Model]:
    def make(seed: int) -> Model:
        try:
            return next(getattr(import_module(f"gyozas.instances.{module}"), generator)(rng=seed))
        except ImportError as error:
            remedy = f"{sys.executable} -m pip install 'learnsys[bench]'"
            raise InputError("gyozas, whose instances are compared here, is not installed", remedy=remedy) from error

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


FULL_SIZE: dict[str, Callable[[int], Model]] = {
    "set cover 500x1000": _ours("setcover"),
    "auction 100x500": _ours("auction"),
    "facility 100x100": _ours("facility"),
    "independent set 500": _ours("independent_set"),
}
"""Seed -> model, in the sizes of Gasse et al. 2019."""

FROM_GYOZAS: dict[str, Callable[[int], Model]] = {
    "set cover 500x1000": _gyozas("set_cover", "SetCoverGenerator"),
    "auction 100x500": _gyozas("combinatorial_auction", "CombinatorialAuctionGenerator"),
    "facility 100x100": _gyozas("capacitated_facility_location", "CapacitatedFacilityLocationGenerator"),
    "independent set 500": _gyozas("independent_set", "IndependentSetGenerator"),
}
"""The same families and sizes as gyozas makes them."""

SMALL: dict[str, Callable[[int], Model]] = {
    "set cover 200x400": _ours("setcover:rows=200,cols=400"),
    "auction 50x200": _ours("auction:items=50,bids=200"),
    "facility 30x20": _ours("facility:customers=30,facilities=20"),
    "independent set 120": _ours("independent_set:nodes=120"),
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
