"""Figures and a page about a comparison of branching policies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from learnsys.files import atomic_path
from learnsys.policies.branching.comparison import FAIRNESS, bound_course, performance_profile
from learnsys.report import PALETTE, Page

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Row = dict[str, Any]

PROFILE = "Performance profile: part of the runs solved within a multiple of the fastest policy's CPU time"
COURSE = "Part of the root's gap that the dual bound has closed, mean over the runs"


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


def draw_course(axes: Axes, rows: Sequence[Row]) -> None:
    """The gap closed over time."""
    seconds, closed = bound_course(rows)
    for label in dict.fromkeys(row["policy"] for row in rows):
        if label in closed:
            axes.plot(seconds, closed[label], label=label)
    axes.set_xscale("log")
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


def comparison_section(page: Page, table: tuple[Sequence[str], Sequence[Sequence[Any]]], rows: Sequence[Row]) -> None:
    """Add a comparison to a page: its table, and both figures."""
    page.table(*table)
    page.text(FAIRNESS)
    for caption, draw in ((PROFILE, draw_profile), (COURSE, draw_course)):
        with page.figure(caption) as axes:
            draw(axes, rows)
