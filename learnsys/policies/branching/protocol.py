"""Settings under which the field collects samples and compares branching policies."""

from __future__ import annotations

from typing import Any

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
