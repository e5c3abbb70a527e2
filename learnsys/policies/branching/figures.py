"""Figures and a page about a comparison of branching policies."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from learnsys.files import atomic_path
from learnsys.policies.branching.comparison import FAIRNESS, REFERENCES, bound_course, performance_profile, summarise
from learnsys.report import PALETTE, Finding, Page
from learnsys.runs import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Row = dict[str, Any]

PROFILE = "Performance profile: part of the runs solved within a multiple of the fastest policy's CPU time"
COURSE = "Part of the root's gap that the dual bound has closed, mean over the runs"


def finding(run: Record) -> Finding | None:
    """What a run of `learnsys branch evaluate` found; None if it is another kind of run."""
    if run.summary is None or not {"instances", "dual_task"} <= run.config.keys() or "runs" not in run.summary:
        return None
    measured = {(row["instance"], row["seed"], row["policy"]) for row in run.summary["runs"]}
    rows = [row for row in run.metrics if (row["instance"], row["seed"], row["policy"]) in measured]
    if not rows:
        return None  # metrics.jsonl is gone
    summaries = summarise(rows)
    instances = run.config["instances"]
    return Finding(
        f"Branching on {instances}",
        _verdict(summaries),
        lambda page: _section(page, rows),
        (
            f"learnsys branch evaluate --instances {instances} --policies relpscost,pscost,random --seeds 5",
            f"learnsys branch collect {instances} --samples 1000 --out data/samples",
            "learnsys branch train --data data/samples --recipe gcnn --out runs/gcnn",
            "learnsys branch solve MODEL --policy auto",
        ),
    )


def _verdict(summaries: Sequence[Row]) -> str:
    """What won, in a sentence, whoever it was."""
    if "score" in summaries[0]:
        best = max(summaries, key=lambda each: each["score"])
        low, high = best["score_gain_low"], best["score_gain_high"]
        gained = f"{best['score_gain']:+.1f} over {best['reference']}, 95 % interval {low:+.1f} to {high:+.1f}"
        return f"{best['policy']} has the greatest dual integral, {best['score']:.1f} ({gained})."
    best = min(summaries, key=lambda each: each["seconds"])
    sentence = f"{best['policy']} is the fastest with {best['seconds']:.2f} CPU s"
    if best["policy"] != best["reference"]:
        return f"{sentence}, {_times(best)}."
    others = [each for each in summaries if each is not best]
    if others:
        nearest = min(others, key=lambda each: each["seconds"])
        sentence += f"; {nearest['policy']} comes nearest with {_times(nearest)}"
    return sentence + "."


def _times(each: Row) -> str:
    """Its time in terms of the reference's."""
    low, high, reference = each["ratio_low"], each["ratio_high"], each["reference"]
    whose = f"{reference}, the better of SCIP's rules" if reference in REFERENCES else reference
    chance = ", so it may be chance" if low <= 1 <= high else ""
    return f"{each['ratio']:.2f} times that of {whose} (95 % interval {low:.2f} to {high:.2f}{chance})"


def comparison_table(summaries: Sequence[Row]) -> tuple[list[str], list[list[Any]]]:
    """Columns (one for each policy) and rows as people read them."""
    first = summaries[0]
    lines: dict[str, Callable[[Row], str]] = {
        "CPU s": lambda each: f"{each['seconds']:.2f}",
        "  ± % over seeds": lambda each: _number(100 * each["deviation"]),
        "  after the root": lambda each: f"{each['after_root']:.2f}",
        "  in the policy": lambda each: f"{each['policy_seconds']:.2f}",
        f"  / {first['reference']}": lambda each: f"{each['ratio']:.3f}",
        "  95 % interval": lambda each: f"{each['ratio_low']:.3f} to {each['ratio_high']:.3f}",
        "wins": lambda each: str(each["wins"]),
        "solved": lambda each: f"{each['solved']}/{each['runs']}",
        f"nodes ({first['common']} runs)": lambda each: _number(each["nodes"]),
        "  ± % over seeds ": lambda each: _number(100 * each["nodes_deviation"]),
        "LP iterations": lambda each: _number(each["lp_iterations"]),
    }
    if "score" in first:
        lines["dual integral"] = lambda each: f"{each['score']:.1f}"
        lines[f"  gain over {first['reference']}"] = lambda each: f"{each['score_gain']:+.1f}"
        lines["  95 % interval "] = lambda each: f"{each['score_gain_low']:+.1f} to {each['score_gain_high']:+.1f}"
    rows = [[name.rstrip(), *(line(each) for each in summaries)] for name, line in lines.items()]
    # one seed has no deviation, and runs that all hit the limit have no nodes to compare
    rows = [row for row in rows if any(cell != "-" for cell in row[1:])]
    return ["", *(each["policy"] for each in summaries)], rows


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.0f}"


def draw_profile(axes: Axes, rows: Sequence[Row]) -> None:
    """Performance profiles of all policies."""
    profiles = performance_profile(rows)
    right = max((factors[-1] for factors, _ in profiles.values() if len(factors)), default=2.0)
    right = max(1.25, 1.05 * right)
    for label, (factors, part) in profiles.items():
        axes.step([1.0, *factors, right], [0.0, *part, part[-1] if len(part) else 0.0], where="post", label=label)
    axes.set_xscale("log", base=2)
    axes.set_xlim(1.0, right)
    axes.set_ylim(0.0, 1.02)
    ticks = [tick for tick in (1, 1.25, 1.5, 2, 3, 4, 6, 8, 12, 16, 32, 64, 128) if tick <= right]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("CPU time / fastest policy's")
    axes.set_ylabel("part of the runs solved")
    axes.legend(frameon=False)


def _leading(value: float) -> str:
    """The first digit of a number."""
    return f"{value:e}"[0]


def draw_course(axes: Axes, rows: Sequence[Row]) -> None:
    """The gap closed over time."""
    seconds, closed = bound_course(rows)
    for label in dict.fromkeys(row["policy"] for row in rows):
        if label in closed:
            axes.plot(seconds, closed[label], label=label)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(
        lambda x, _: f"{x:g}" if seconds[-1] < 30 * seconds[0] and _leading(x) in "235" else ""
    )
    axes.set_ylim(0.0, 1.02)
    axes.set_xlabel("CPU seconds")
    axes.set_ylabel("part of the gap closed")
    if closed:
        axes.legend(frameon=False)


def write_figure(path: Path, rows: Sequence[Row], title: str) -> None:
    """Both figures side by side, as PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4), layout="constrained")
    for axes, draw in zip(figure.subplots(1, 2), (draw_profile, draw_course), strict=True):
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_prop_cycle(color=PALETTE)
        axes.grid(color="#e6e9ee", linewidth=0.8)
        axes.set_axisbelow(True)
        draw(axes, rows)
    figure.suptitle(title)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150, metadata={"Software": None})


def _section(page: Page, rows: Sequence[Row]) -> None:
    """Add a comparison to a page: its table, and both figures."""
    page.table(*comparison_table(summarise(rows)))
    page.text(FAIRNESS)
    for caption, draw in ((PROFILE, draw_profile), (COURSE, draw_course)):
        with page.figure(caption) as axes:
            draw(axes, rows)
