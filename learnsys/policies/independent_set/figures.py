"""What a report shows of policies compared on graphs: the table, and quality against time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from learnsys.policies.independent_set.evaluation import Trial, quality
from learnsys.policies.independent_set.registry import POLICIES
from learnsys.report import Finding, Page
from learnsys.runs import Record

_POINTS = 80

Row = Mapping[str, Any]


def finding(run: Record) -> Finding | None:
    """What a run of `learnsys mis evaluate` found; None if it is another kind of run."""
    if run.summary is None or "best_mean" not in run.summary:
        return None
    summary, timings = run.summary, run.timings
    seconds = timings.get("seconds", {})
    rows = [{"seconds": seconds.get(row["policy"], math.nan), **row} for row in summary["results"]]
    graphs = run.config["graphs"]
    return Finding(
        f"Independent sets of {graphs}",
        _verdict(rows, run.config["policies"]),
        lambda page: _section(page, rows, summary, timings.get("curves", {})),
        (
            f"learnsys mis evaluate {graphs} --policies greedy,arw,numvc,auto,exact --time 5",
            "learnsys mis solve GRAPH --time 10 --out set.txt",
            f"learnsys mis train {graphs} --out runs/mis",
        ),
    )


def table(rows: Sequence[Row]) -> tuple[list[str], list[list[Any]]]:
    """Columns and rows as people read them; one seed has no deviation."""
    several = any(row["spread"] is not None for row in rows)
    columns = [
        "policy",
        "mean size",
        *(["± seeds"] if several else []),
        "of best known",
        "at best %",
        "proved %",
        "CPU-s",
    ]
    cells = [
        [
            row["policy"],
            f"{row['size']:,.2f}",
            *([row["spread"]] if several else []),
            f"{row['ratio']:.4f}",
            *(100 * row[key] for key in ("at_best", "proved")),
            f"{row['seconds']:.4f}",
        ]
        for row in rows
    ]
    return columns, cells


def largest(rows: Sequence[Row]) -> int:
    """The number of the row with the largest sets."""
    return max(range(len(rows)), key=lambda number: rows[number]["size"])


def quality_curves(
    trials: Sequence[Trial], best: Mapping[str, int], rows: Sequence[Row]
) -> dict[str, list[tuple[float, float]]]:
    """policy -> (CPU seconds, mean of size / best known), from when each of its runs has a set."""
    last = max(trial.solution.curve[-1][0] for trial in trials)
    end = max(last, *(row["seconds"] for row in rows))
    times = np.geomspace(1e-5, max(end, 1e-4), _POINTS)
    curves = {}
    for row in rows:
        values = quality([trial for trial in trials if trial.policy == row["policy"]], best, times)
        curves[row["policy"]] = [
            (float(f"{time:.3g}"), round(value, 5))
            for time, value in zip(times.tolist(), values.tolist(), strict=True)
            if math.isfinite(value)
        ]
    return curves


def _verdict(rows: Sequence[Row], names: Mapping[str, str]) -> str:
    """What won, in a sentence, whoever it was."""
    best = rows[largest(rows)]
    alike = [row["policy"] for row in rows if row["size"] == best["size"]]
    sentence = (
        f"{' and '.join(alike)} {'finds' if len(alike) == 1 else 'find'} the largest sets: {best['size']:.2f} vertices "
        f"on average, {100 * best['ratio']:.1f} % of the best known"
    )
    others = [row for row in rows if row["policy"] not in alike]
    learned = [row for row in others if names.get(row["policy"]) not in POLICIES]
    for row in learned or others[:1]:
        word = "the learned " if row in learned else ""
        sentence += f"; {word}{row['policy']} has {100 * row['ratio']:.1f} %"
    greedy = next((row for row in others if row["policy"] == "greedy"), None)
    if greedy is not None and learned:
        sentence += f", greedy {100 * greedy['ratio']:.1f} %"
    return sentence + "."


def _section(page: Page, rows: Sequence[Row], about: Mapping[str, Any], curves: Mapping[str, Any]) -> None:
    page.text(
        f"{about['graphs']:,} graphs; the best sets known have {about['best_mean']:.2f} vertices on average, and "
        f"{about['proved']:,} are proved to be largest. Every set is verified."
    )
    page.table(*table(rows), best=largest(rows))
    drawn = {policy: points for policy, points in curves.items() if points}
    if not drawn:
        return
    with page.figure("Mean size relative to the best known, against CPU seconds spent on a graph.") as axes:
        end = max(points[-1][0] for points in drawn.values())
        for policy, points in drawn.items():
            seconds, values = zip(*points, strict=True)
            axes.plot([*seconds, end], [*values, values[-1]], label=policy, drawstyle="steps-post")
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlabel("CPU seconds")
        axes.set_ylabel("size / best known")
        axes.legend(frameon=False)
