"""Workload apportionment, the second task of the ML4CO competition."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from learnsys.envs.branching.instances.family import Family
from learnsys.envs.branching.instances.milp import Milp, Rows


@dataclass(frozen=True)
class WorkloadApportionment(Family):
    """Use as few workers as possible, so that each workload is carried even if any one of its workers fails.

    Each workload may be carried by some workers only, at least two. Gasse et al., "The machine learning for
    combinatorial optimization competition (ML4CO)", 2022, whose sizes the defaults have (61,000 variables, about
    64,300 constraints; variables of workers that are not allowed are fixed at 0, as there). Loads drawn as published
    are often too large to be carried at all: where they exceed `tightness` times the largest multiple of themselves
    that can be carried (a linear program), all are scaled down to that.
    """

    light_workloads: int = 50
    """workloads with a load from `light_load`"""
    heavy_workloads: int = 10
    """workloads with a load from `heavy_load`"""
    strong_workers: int = 500
    """workers with a capacity from `strong_capacity`"""
    weak_workers: int = 500
    """workers with a capacity from `weak_capacity`"""
    light_load: tuple[float, float] = (1.0, 5.0)
    """least and greatest light load"""
    heavy_load: tuple[float, float] = (5.0, 10.0)
    """least and greatest heavy load"""
    strong_capacity: tuple[float, float] = (0.3, 0.5)
    """least and greatest capacity of a strong worker"""
    weak_capacity: tuple[float, float] = (0.1, 0.3)
    """least and greatest capacity of a weak worker"""
    strong_allowed: float = 0.1
    """probability that a workload may use a strong worker"""
    weak_allowed: float = 0.01
    """probability that a workload may use a weak worker"""
    tightness: float = 0.97
    """greatest load, as a part of what can be carried"""

    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
        "tiny": {
            "light_workloads": 6,
            "heavy_workloads": 0,
            "strong_workers": 30,
            "weak_workers": 0,
            "light_load": (0.5, 1.5),
            "strong_allowed": 0.4,
        },
        "small": {"light_workloads": 15, "heavy_workloads": 3, "strong_workers": 100, "weak_workers": 100},
        "competition": {},
    }

    def __post_init__(self) -> None:
        self._at_least(light_workloads=0, heavy_workloads=0, strong_workers=0, weak_workers=0)
        self._at_least(strong_allowed=0, weak_allowed=0, tightness=0)
        self._ranges(light_load=1e-6, heavy_load=1e-6, strong_capacity=1e-6, weak_capacity=1e-6)
        self._require(max(self.strong_allowed, self.weak_allowed) <= 1, "a probability is above 1", "give 0 to 1")
        self._require(0 < self.tightness <= 1, f"tightness={self.tightness} is not possible", "give 0 to 1, not 0")
        self._require(self.light_workloads + self.heavy_workloads > 0, "there are no workloads", "give some")
        self._require(
            self.strong_workers + self.weak_workers > 1, "a workload needs two workers", "give at least two workers"
        )

    def build(self, rng: np.random.Generator) -> Milp:
        capacity = np.concatenate(
            [
                rng.uniform(*self.strong_capacity, self.strong_workers),
                rng.uniform(*self.weak_capacity, self.weak_workers),
            ]
        )
        load = np.concatenate(
            [rng.uniform(*self.light_load, self.light_workloads), rng.uniform(*self.heavy_load, self.heavy_workloads)]
        )
        probability = np.repeat([self.strong_allowed, self.weak_allowed], [self.strong_workers, self.weak_workers])
        allowed = rng.random((load.size, capacity.size)) < probability
        for mine in allowed:
            missing = 2 - int(mine.sum())
            if missing > 0:
                mine[rng.choice(np.flatnonzero(~mine), missing, replace=False)] = True
        scale = self.tightness * largest_scale(capacity, load, allowed)
        if scale < 1.0:  # rounded, so that files do not depend on the last digits of a solver
            load *= math.floor(scale * 1e4) / 1e4 if scale > 1e-3 else scale
        return self._program(capacity, load, allowed)

    def _program(self, capacity: NDArray[np.float64], load: NDArray[np.float64], allowed: NDArray[np.bool_]) -> Milp:
        workloads, workers = allowed.shape
        workload, worker = np.indices(allowed.shape)
        reserve = workload * workers + worker
        use = allowed.size + np.arange(workers)
        pairs = [f"{s}_{w}" for s in range(workloads) for w in range(workers)]

        block = Rows()
        block.add(
            [f"used_{each}" for each in pairs],
            np.tile(np.arange(allowed.size), 2),
            np.concatenate([reserve.ravel(), np.tile(use, workloads)]),
            np.concatenate([np.full(allowed.size, -1.0), np.maximum(capacity, load[:, None]).ravel()]),
            left=0.0,
        )
        block.add([f"capacity_{w}" for w in range(workers)], worker, reserve, right=capacity)
        for s in range(workloads):
            mine = np.flatnonzero(allowed[s])
            failing, other = np.nonzero(~np.eye(mine.size, dtype=bool))
            names = [f"failure_{s}_{w}" for w in mine.tolist()]
            block.add(names, failing, reserve[s, mine[other]], left=load[s])
        columns = allowed.size + workers
        return Milp(
            name="workload",
            objective=np.repeat([0.0, 1.0], [allowed.size, workers]),
            lower=np.zeros(columns),
            upper=np.concatenate([np.where(allowed, capacity, 0.0).ravel(), np.ones(workers)]),
            kinds=np.repeat(["C", "B"], [allowed.size, workers]),
            columns=[*(f"reserved_{each}" for each in pairs), *(f"worker_{w}" for w in range(workers))],
            **block.fields(columns),
        )


def largest_scale(capacity: NDArray[np.float64], load: NDArray[np.float64], allowed: NDArray[np.bool_]) -> float:
    """The largest multiple of all loads that all workers together can carry, failures included.

    Args:
        capacity: (workers,).
        load: (workloads,).
        allowed: (workloads, workers).
    """
    from scipy.optimize import linprog

    workload, worker = np.nonzero(allowed)
    pair = np.arange(workload.size)
    total = pair.size + np.arange(load.size)  # reserved for each workload
    columns = pair.size + load.size + 1
    rows = Rows()  # every worker of a workload may fail; capacities; definition of the totals
    rows.add(
        [""] * pair.size,
        np.tile(pair, 3),
        np.concatenate([pair, total[workload], np.full(pair.size, columns - 1)]),
        np.concatenate([np.ones(pair.size), np.full(pair.size, -1.0), load[workload]]),
        right=0.0,
    )
    rows.add([""] * capacity.size, worker, pair, right=capacity)
    upper = rows.fields(columns)
    rows = Rows()
    rows.add(
        [""] * load.size,
        np.concatenate([workload, np.arange(load.size)]),
        np.concatenate([pair, total]),
        np.concatenate([np.ones(pair.size), np.full(load.size, -1.0)]),
    )
    cost = np.zeros(columns)
    cost[-1] = -1.0
    equal = rows.fields(columns)["matrix"]
    found = linprog(cost, upper["matrix"], upper["right"], equal, np.zeros(load.size), method="highs")
    if found.x is None:
        raise RuntimeError(f"the loads' linear program was not solved: {found.message}")
    return float(found.x[-1])
