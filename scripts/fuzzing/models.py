"""MPS, LP and CIP files, which SCIP parses and learnsys tries in a child process first.

Each input is a small model that learnsys wrote, with one to four random edits. Whether SCIP reads the numbers rightly
is not asked; what is not refused must be solved to an end, or a limit of 20 nodes, without a crash.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fuzzing import Found, Target
from fuzzing.policies import refusal
from learnsys.envs.branching.instances import parse_family
from learnsys.envs.branching.models import read_model
from learnsys.errors import InputError
from learnsys.testing.traces import mutated


def targets() -> Iterator[Target]:
    milp = parse_family("knapsack:tiny").instance(0, 0)
    for suffix in ("mps", "lp", "cip"):
        text = milp.encode(f".{suffix}")

        def attempt(rng: np.random.Generator, folder: Path, suffix: str = suffix, text: bytes = text) -> Found:
            data = mutated(text, rng)
            path = folder / f"a.{suffix}"
            path.write_bytes(data)
            try:
                model = read_model(path)
            except InputError as error:
                return refusal(error, folder, data)
            model.setParam("limits/nodes", 20)
            model.setParam("limits/time", 5)
            model.optimize()
            model.free()
            return "read", data, ""

        yield Target(suffix, attempt)
