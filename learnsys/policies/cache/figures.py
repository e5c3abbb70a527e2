"""What a report shows of a cache simulation: the table, hit rates by policy and over time, the miss-ratio curve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from learnsys.report import PALETTE, Finding, Page
from learnsys.runs import Record

_BOUNDS = ("lru", "belady", "belady_bypass")


def finding(run: Record) -> Finding | None:
    """What a run of `learnsys cache simulate` found; None if it is another kind of run."""
    if run.summary is None or not {"results", "window", "trace"} <= run.summary.keys():
        return None
    results = {
        size: [{**row, **time} for row, time in zip(rows, run.timings.get(size, [{}] * len(rows)), strict=True)]
        for size, rows in run.summary["results"].items()
    }
    summary = {**run.summary, "results": results}
    trace = summary["trace"]
    return Finding(
        f"Cache replacement on {trace}",
        " ".join(_verdict(size, _ranked(rows)) for size, rows in results.items()),
        lambda page: _section(page, summary),
        (
            f"learnsys cache simulate --trace {trace} --policies all",
            f"learnsys cache train --trace {trace} --recipe best --out runs/best",
            "learnsys trace record --out my.parquet -- PROGRAM ARGUMENTS",
        ),
    )


def _ranked(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return sorted(rows, key=lambda row: -row["hit_rate"])


def _section(page: Page, summary: Mapping[str, Any]) -> None:
    """Add the results of `learnsys cache simulate` to `page`.

    Args:
        summary: `trace`, `window` (two fractions), `results` (capacity -> rows with the fields of
            `simulation.Result`), and for the miss-ratio curve `curve` (`bytes`, `miss_ratio`), which may be missing.
    """
    low, high = summary["window"]
    page.text(
        f"Hits counted between {low:.0%} and {high:.0%} of {summary['trace']}. Normalised: 0 is LRU, 1 is Belady's "
        "optimum, which knows the future."
    )
    for capacity, rows in summary["results"].items():
        ranked = _ranked(rows)
        best = next((place for place, row in enumerate(ranked) if row["policy"] not in _BOUNDS), None)
        if len(summary["results"]) > 1:
            page.text(f"At {capacity}:")
        page.table(
            ["policy", "hit rate %", "normalised", "misses / LRU's", "M accesses/s"],
            [
                [
                    row["policy"],
                    f"{100 * row['hit_rate']:.2f}",
                    _signed(row["normalised"]),
                    _ratio(row["misses_to_lru"]),
                    f"{row['accesses_per_second'] / 1e6:.2f}" if "accesses_per_second" in row else "-",
                ]
                for row in ranked
            ],
            best,
        )
        _bars(page, ranked, capacity)
        _over_time(page, ranked, low, high)
    if summary.get("curve"):
        _curve(page, summary["curve"], summary["results"])


def _verdict(capacity: str, ranked: Sequence[Mapping[str, Any]]) -> str:
    """What won, in a sentence, whoever it was."""
    rates = {row["policy"]: 100 * row["hit_rate"] for row in ranked}
    contenders = [row["policy"] for row in ranked if row["policy"] not in _BOUNDS]
    if not contenders:
        return f"At {capacity} only bounds were simulated."
    best = contenders[0]
    gain = rates[best] - rates.get("lru", rates[best])
    if "lru" in rates and gain <= 0:
        return f"At {capacity} nothing beats LRU; {best} comes nearest ({gain:+.2f} points of hit rate)."
    sentence = f"At {capacity} {best} is the best policy that does not know the future, with {rates[best]:.2f} % hits"
    if "lru" in rates:
        sentence += f", {gain:+.2f} points against LRU"
    if len(contenders) > 1:
        sentence += f"; the next one is {contenders[1]} with {rates[contenders[1]]:.2f} %"
    return sentence + "."


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.3f}"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _bars(page: Page, ranked: Sequence[Mapping[str, Any]], capacity: str) -> None:
    with page.figure(f"Hit rate by policy at {capacity}.", height=0.9 + 0.28 * len(ranked)) as axes:
        names = [row["policy"] for row in reversed(ranked)]
        rates = [100 * row["hit_rate"] for row in reversed(ranked)]
        colours = ["#9aa5b4" if name in _BOUNDS else PALETTE[0] for name in names]
        bars = axes.barh(names, rates, color=colours, height=0.7)
        axes.bar_label(bars, fmt="%.2f", padding=3, fontsize=9)
        axes.set_xlabel("hit rate, %")
        axes.margins(x=0.12)
        axes.grid(axis="y", visible=False)


def _over_time(page: Page, ranked: Sequence[Mapping[str, Any]], low: float, high: float) -> None:
    chosen = [row for row in ranked if row["policy"] in _BOUNDS[:2]]
    chosen += [row for row in ranked if row["policy"] not in _BOUNDS][:4]
    with page.figure("Hit rate over time: LRU, Belady and the best four policies.") as axes:
        for row in chosen:
            points = row["over_time"]
            step = (high - low) / len(points)
            style = "--" if row["policy"] in _BOUNDS else "-"
            axes.plot(
                [100 * (low + (number + 0.5) * step) for number in range(len(points))],
                [100 * value for value in points],
                style,
                label=row["policy"],
                linewidth=1.4,
            )
        axes.set_xlabel("part of the trace, %")
        axes.set_ylabel("hit rate, %")
        axes.legend(frameon=False, ncols=3, fontsize=9, loc="lower left", bbox_to_anchor=(0, 1))


def _curve(page: Page, curve: Mapping[str, Sequence[float]], results: Mapping[str, Any]) -> None:
    from learnsys.envs.cache.geometry import parse_bytes

    with page.figure(
        "LRU miss ratio by capacity (fully associative, whole trace); lines mark what was simulated."
    ) as axes:
        axes.step(
            [value / 2**20 for value in curve["bytes"]], [100 * value for value in curve["miss_ratio"]], where="post"
        )
        for capacity in results:
            axes.axvline(parse_bytes(capacity) / 2**20, color="#9aa5b4", linestyle=":")
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlim(left=2**-6)  # below 16 KiB nothing is interesting
        axes.set_xlabel("capacity, MiB")
        axes.set_ylabel("miss ratio, %")
        axes.set_ylim(0, 100)
