"""Choose among policies by what they achieve inside SCIP, SCIP's own rules and random branching included.

Neither the accuracy of imitation nor the name of a method says who is best on a problem: KIDA's authors submitted
random branching for one of ML4CO's three, because it won there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from learnsys.errors import InputError
from learnsys.policies.branching.evaluation import evaluate
from learnsys.policies.branching.protocol import EvaluationConfig
from learnsys.policies.branching.registry import LEARNED, TRAINED
from learnsys.runs import Run
from learnsys.statistics import shifted_geometric_mean

SIMPLE = ("relpscost", "pscost", "random")
"""candidates that there always are"""


@dataclass(frozen=True)
class Standing:
    """What one candidate achieved."""

    policy: str
    solved: int
    seconds: float
    """1-shifted geometric mean of the CPU time, twice the limit where it did not suffice"""
    gap: float
    """mean of the gap at the end, each at most 1"""
    score: float
    """mean dual integral, 0 outside the dual task"""

    @property
    def rank(self) -> tuple[float, float, float]:
        """Smaller is better: the score; if there is none, the time; if it is the limit for all, the gap."""
        return -self.score, self.seconds, self.gap


def standings(rows: Sequence[dict[str, Any]], limit: float) -> list[Standing]:
    """All candidates, best first; of equal ones the first by name order in `rows`."""
    found = []
    for label in dict.fromkeys(row["policy"] for row in rows):
        own = [row for row in rows if row["policy"] == label]
        found.append(
            Standing(
                policy=label,
                solved=sum(bool(row["solved"]) for row in own),
                seconds=shifted_geometric_mean([row["seconds"] if row["solved"] else 2 * limit for row in own]),
                gap=float(np.mean([min(row["gap"], 1.0) for row in own])),
                score=float(np.mean([row.get("score", 0.0) for row in own])),
            )
        )
    return sorted(found, key=lambda each: each.rank)


def known_candidates(family: str | None) -> tuple[tuple[str, str], ...]:
    """The simple rules, and the trained policies that ship for a family."""
    shipped = [f"{kind}:{family}" for kind in LEARNED if (TRAINED / kind / str(family) / "config.json").is_file()]
    return tuple((name, name) for name in (*SIMPLE, *shipped))


def choose(
    config: EvaluationConfig,
    *,
    workers: int = 1,
    out: Path | None = None,
    report: Callable[[int], None] = lambda runs: None,
) -> tuple[str, list[Standing]]:
    """The name or folder of the best candidate of `config`, and all standings, best first.

    Args:
        config: the candidates, and what they are tried on: instances that are not those of the later comparison.
        workers: processes.
        out: a folder that will work as the chosen policy.
        report: called with the number of runs as they are done.
    """
    rows = evaluate(config, workers=workers, out=None if out is None else out / "validation", report=report)
    ranked = standings(rows, config.time_limit)
    chosen = dict(config.policies)[ranked[0].policy]
    if out is not None:
        if os.path.isdir(chosen):
            chosen = os.path.abspath(chosen)
        run = Run(out, {"policy": "choice", "chosen": chosen, "instances": config.instances, "family": config.family})
        run.finish({"chosen": chosen}, {"standings": [asdict(each) for each in ranked]})
    return chosen, ranked


def parse_candidates(text: str, family: str | None) -> tuple[tuple[str, str], ...]:
    """The candidates of "auto" or "auto:relpscost+pscost+runs/gcnn".

    Raises:
        InputError: the list is empty.
    """
    _, colon, rest = text.partition(":")
    if not colon:
        return known_candidates(family)
    names = [name for name in rest.split("+") if name]
    if not names:
        raise InputError(f"{text!r} names no candidates", remedy="write auto, or auto:relpscost+pscost+FOLDER")
    return tuple((name, name) for name in names)
