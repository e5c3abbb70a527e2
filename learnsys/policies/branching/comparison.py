"""What the runs of `evaluation` say about the policies: the field's means, wins, deviations, and intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learnsys.statistics import bootstrap_interval, shifted_geometric_mean

REFERENCES = ("relpscost", "pscost")
"""the rules of SCIP of which the faster one is what ratios refer to; without them it is the first policy"""
FAIRNESS = (
    "Nodes and LP iterations: over the runs that all policies solved. SCIP's own rules do work that is not counted "
    "there (strong branching tightens bounds and cuts off children), so compare them by time."
)

Row = dict[str, Any]


def summarise(rows: Sequence[Row]) -> list[Row]:
    """One summary for each policy, in the order of the policies.

    Times are CPU seconds; means are 1-shifted geometric ones; a run that came to a limit counts with its time.

    Returns:
        For each policy: `policy`; `runs`; `solved`; `wins`, the runs in which it was the fastest that solved;
        `seconds`, `after_root`, `wall_seconds` and `policy_seconds`; `deviation`, the mean over instances of the
        standard deviation of the time over seeds, as a part of its mean; `nodes`, `nodes_deviation` and
        `lp_iterations` over the runs that all solved (NaN if there are none); `reference`, the policy that `ratio`,
        its time over the reference's, refers to, and `ratio_low`, `ratio_high`, a paired bootstrap interval over
        instances; for the dual task `score`, its mean, and `score_gain`, `score_gain_low`, `score_gain_high` over the
        reference, paired likewise.
    """
    labels = list(dict.fromkeys(row["policy"] for row in rows))
    by_run = {(row["instance"], row["seed"], row["policy"]): row for row in rows}
    pairs = sorted({(row["instance"], row["seed"]) for row in rows})
    pairs = [pair for pair in pairs if all((*pair, label) in by_run for label in labels)]
    instances = list(dict.fromkeys(instance for instance, _ in pairs))
    common = [pair for pair in pairs if all(by_run[(*pair, label)]["solved"] for label in labels)]

    def column(label: str, key: str, of: Sequence[tuple[Any, Any]] = pairs) -> NDArray[np.float64]:
        return np.array([by_run[(*pair, label)][key] for pair in of], float)

    def per_instance(label: str, key: str, logarithm: bool) -> NDArray[np.float64]:
        values = column(label, key)
        values = np.log(values + 1.0) if logarithm else values
        return np.array([values[[pair[0] == each for pair in pairs]].mean() for each in instances])

    means = {label: shifted_geometric_mean(column(label, "seconds")) for label in labels}
    reference = min((label for label in labels if label in REFERENCES), key=means.__getitem__, default=labels[0])
    fastest = []
    for pair in pairs:
        times = {label: by_run[(*pair, label)]["seconds"] for label in labels if by_run[(*pair, label)]["solved"]}
        fastest.append(min(times, key=times.__getitem__, default=None))
    summaries = []
    for label in labels:
        both = np.stack([per_instance(label, "seconds", True), per_instance(reference, "seconds", True)], axis=1)
        low, high = bootstrap_interval(both, _ratio)
        found: Row = {
            "policy": label,
            "runs": len(pairs),
            "solved": sum(bool(by_run[(*pair, label)]["solved"]) for pair in pairs),
            "wins": fastest.count(label),
            **{
                key: shifted_geometric_mean(column(label, key))
                for key in ("seconds", "after_root", "wall_seconds", "policy_seconds")
            },
            "deviation": _deviation(pairs, column(label, "seconds")),
            "nodes": shifted_geometric_mean(column(label, "nodes", common)),
            "nodes_deviation": _deviation(common, column(label, "nodes", common)),
            "lp_iterations": shifted_geometric_mean(column(label, "lp_iterations", common)),
            "common": len(common),
            "reference": reference,
            "ratio": _ratio(both),
            "ratio_low": low,
            "ratio_high": high,
        }
        if all("score" in row for row in rows):
            gains = per_instance(label, "score", False) - per_instance(reference, "score", False)
            low, high = bootstrap_interval(gains)
            found |= {
                "score": float(column(label, "score").mean()),
                "score_gain": float(gains.mean()),
                "score_gain_low": low,
                "score_gain_high": high,
            }
        summaries.append(found)
    return summaries


def _ratio(logarithms: NDArray[np.float64]) -> float:
    """The ratio of the shifted geometric means of two columns of log(v + 1)."""
    first, second = np.expm1(logarithms.mean(axis=0))
    return float(first / second) if second > 0 else math.nan


def _deviation(pairs: Sequence[tuple[Any, Any]], values: NDArray[np.float64]) -> float:
    """Mean over instances of (standard deviation over seeds / mean); NaN if no instance has two runs."""
    groups: dict[Any, list[float]] = {}
    for (instance, _), value in zip(pairs, values, strict=True):
        groups.setdefault(instance, []).append(value)
    found = [np.std(group, ddof=1) / np.mean(group) for group in groups.values() if len(group) > 1 and np.mean(group)]
    return float(np.mean(found)) if found else math.nan


def disagreements(rows: Sequence[Row], tolerance: float = 1e-6) -> list[str]:
    """Instances on which two runs that solved them ended with different optima: a sign of a wrong solver or rule."""
    optima: dict[Any, list[float]] = {}
    for row in rows:
        if row["solved"]:
            optima.setdefault(row["instance"], []).append(row["primal_bound"])
    return [
        str(instance)
        for instance, values in optima.items()
        if max(values) - min(values) > tolerance * max(1.0, abs(values[0]))
    ]


# ---- curves ----------------------------------------------------------------------------------------------------------


def performance_profile(rows: Sequence[Row]) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """For each policy: factors t >= 1, ascending, and the part of the runs solved within t times the best's time.

    Dolan and More, "Benchmarking optimization software with performance profiles", Mathematical Programming 91, 2002.
    """
    best: dict[Any, float] = {}
    for row in rows:
        key = row["instance"], row["seed"]
        if row["solved"]:
            best[key] = min(best.get(key, math.inf), row["seconds"])
    runs = len({(row["instance"], row["seed"]) for row in rows})
    profiles = {}
    for label in dict.fromkeys(row["policy"] for row in rows):
        factors = sorted(
            row["seconds"] / best[row["instance"], row["seed"]]
            for row in rows
            if row["policy"] == label and row["solved"]
        )
        profiles[label] = np.array(factors), np.arange(1, len(factors) + 1) / max(runs, 1)
    return profiles


def bound_course(rows: Sequence[Row], points: int = 120) -> tuple[NDArray[np.float64], dict[str, NDArray[np.float64]]]:
    """How the gap closes: CPU seconds (points,), and for each policy the mean over its runs of the part closed.

    The gap of an instance and seed goes from the weakest dual bound with which a policy left the root to the best
    solution that any found; before the root is done nothing counts as closed.
    """
    starts: dict[Any, float] = {}
    ends: dict[Any, float] = {}
    for row in rows:
        key = row["instance"], row["seed"]
        sense = row["sense"]
        if row["course"]:
            # the bounds at the root's end: the last point of one node
            root = [point for point in row["course"] if point[1] <= 1] or row["course"][:1]
            starts[key] = min(starts.get(key, math.inf), sense * root[-1][2])
        ends[key] = min(ends.get(key, math.inf), sense * row["primal_bound"])
    times = [point[0] for row in rows for point in row["course"]] or [1.0]
    below_root = [point[0] for row in rows for point in row["course"] if point[1] > 1] or times
    seconds = np.geomspace(max(0.7 * min(below_root), 1e-3), max(times), points)
    total: dict[str, list[NDArray[np.float64]]] = {}
    for row in rows:
        key = row["instance"], row["seed"]
        gap = ends[key] - starts.get(key, math.inf)
        if not row["course"] or not 1e-9 < gap < 1e19:
            continue
        sense = row["sense"]
        when = np.array([point[0] for point in row["course"]])
        closed = np.clip((sense * np.array([point[2] for point in row["course"]]) - starts[key]) / gap, 0.0, 1.0)
        place = np.searchsorted(when, seconds, side="right")
        total.setdefault(row["policy"], []).append(np.concatenate([[0.0], closed])[place])
    return seconds, {label: np.mean(curves, axis=0) for label, curves in total.items()}
