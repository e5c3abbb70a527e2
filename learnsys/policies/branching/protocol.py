"""Settings under which the field collects samples and compares branching policies."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pyscipopt import Model

from learnsys.envs.branching.instances import FAMILIES, parse_family
from learnsys.envs.branching.models import read_model
from learnsys.envs.branching.sources import find_files
from learnsys.envs.branching.tasks import DUAL_TASK_PARAMETERS
from learnsys.errors import InputError

FIELD_PARAMETERS: dict[str, Any] = {
    "separating/maxrounds": 0,
    "presolving/maxrestarts": 0,
    "estimation/restarts/restartpolicy": "n",
}
"""Gasse et al. 2019: cuts at the root only and no restarts; presolving and heuristics stay on. SCIP 10's estimation
restarts, which did not exist then, are off, too."""
COLLECTION_SEED = 0
"""seed of the instances that samples come from, if none is given"""
EVALUATION_SEED = 1
"""seed of the instances that policies are compared on, if none is given; none of them has been trained on"""
VALIDATION_SEED = 2
"""seed of the instances that a policy is chosen on"""


@dataclass(frozen=True)
class EvaluationConfig:
    """What is compared, on what, under which settings."""

    instances: str
    """a family ("setcover", "item_placement:small"), a model file or a directory of them"""
    policies: tuple[tuple[str, str], ...]
    """(label, name or folder)"""
    count: int = 20
    """instances of a family"""
    instance_seed: int = EVALUATION_SEED
    """of the family's sequence; samples were collected from another one"""
    seeds: int = 3
    """solving processes of each policy on each instance: with SCIP's and the policy's `scip_seed` of 0, 1, ..."""
    time_limit: float = 3600.0
    """seconds of CPU time of a solving process; in the dual task, after the root"""
    node_limit: int | None = None
    """nodes of a solving process"""
    dual_task: bool = False
    """the ML4CO dual task: primal heuristics off, an objective limit, the root free of charge, scored by the integral
    of the dual bound"""
    scip_params: dict[str, Any] = field(default_factory=dict)
    """set last"""
    device: str = "cpu"
    """where networks decide: cpu (fused kernels), or another device of torch"""

    def __post_init__(self) -> None:
        if not self.policies or min(self.count, self.seeds) < 1 or self.instance_seed < 0 or not self.time_limit > 0:
            raise InputError("a comparison needs policies, instances, seeds and a time limit above 0")
        if len(dict(self.policies)) < len(self.policies):
            raise InputError("two policies have the same label", remedy="give others: LABEL=FOLDER")

    @property
    def family(self) -> str | None:
        """The family's name without its preset and parameters; None for files."""
        name = self.instances.partition(":")[0]
        return name if name in FAMILIES and not os.path.exists(self.instances) else None

    def names(self) -> list[str]:
        """The instances: numbers of a family's, or files."""
        if self.family is not None:
            return [str(index) for index in range(self.count)]
        return [str(path) for path in find_files(Path(self.instances))]

    def scip_seed(self, name: str, seed: int) -> int:
        """SCIP's seed in run `seed` on an instance, which permutes its variables and constraints: `seed` itself.

        In the dual task each instance has one of its own, as ML4CO's environment draws one at each reset: instances of
        one size and order would else all be permuted alike, and a policy would be judged by that permutation.
        """
        if not self.dual_task:
            return seed
        return int(np.random.SeedSequence([seed, self.names().index(name)]).generate_state(1)[0] >> 1)

    def model(self, name: str) -> Model:
        """The instance of that name, in stage PROBLEM."""
        if self.family is None:
            return read_model(name)
        return parse_family(self.instances).instance(self.instance_seed, int(name)).to_model()

    def parameters(self) -> dict[str, Any]:
        """SCIP's parameters, without those of a policy."""
        limits: dict[str, Any] = {} if self.node_limit is None else {"limits/totalnodes": self.node_limit}
        if not self.dual_task:
            limits["limits/time"] = self.time_limit
        settings = DUAL_TASK_PARAMETERS if self.dual_task else FIELD_PARAMETERS
        return {"timing/clocktype": 1, **settings, **limits, **self.scip_params}
