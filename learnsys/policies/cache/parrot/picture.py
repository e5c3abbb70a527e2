"""The picture of `learnsys cache explain`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learnsys.files import atomic_path
from learnsys.policies.cache.parrot.explaining import RANKS, Explanation
from learnsys.policies.cache.parrot.guarded import SHADOWS, Lead
from learnsys.report import PALETTE


def draw(
    found: Explanation,
    shown: NDArray[np.int64],
    frequency: Sequence[Mapping[str, Any]],
    metrics: Sequence[Mapping[str, Any]],
    title: str,
    path: str | os.PathLike[str],
) -> None:
    """Write a PNG: the set over time, what evicted lines attend to, accuracy and error by frequency, training curves.

    Of a guarded policy also what the guard follows over the stretch, and what that brings.

    Args:
        shown: decisions of one set, (m,).
        frequency: rows of `by_frequency`.
        metrics: a training run's metric lines; may be empty.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    more = () if found.lead is None else (0.9,)
    figure = Figure(figsize=(13, 10.5 + 3 * len(more)), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=13, fontweight="bold")
    grid = figure.add_gridspec(3 + len(more), 2, height_ratios=(*more, 1.25, 1.25, 1))
    if found.lead is not None:
        _lead(figure.add_subplot(grid[0, :]), found.lead, found.decisions.time[shown])
    top = [figure.add_subplot(grid[-3, i]) for i in range(2)]
    _lines(figure, top, found, shown)
    _attention(figure, figure.add_subplot(grid[-2, :]), found, shown)
    _frequency(figure.add_subplot(grid[-1, 0]), frequency)
    _curves(figure.add_subplot(grid[-1, 1]), metrics)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110, metadata={"Software": None})


def _lead(axis: Any, lead: Lead, times: NDArray[np.int64]) -> None:
    """Hits of the policy and of the guarded cache since the stretch began, above LRU's; LRU's lead is shaded."""
    at = lead.start + np.arange(lead.hits.size)
    lru = lead.shadow_hits[SHADOWS.index("lru")].astype(np.int64)
    policy = lead.shadow_hits[SHADOWS.index("parrot")]
    axis.axhline(0, color=PALETTE[5], ls="--", lw=1, label="LRU alone")
    axis.plot(at, np.cumsum(policy - lru), color=PALETTE[0], label="Parrot alone")
    axis.plot(at, np.cumsum(lead.hits - lru), color=PALETTE[1], label="guarded")
    label = "the guard follows LRU"
    for part in lead.parts():
        if part["follows"] == "lru":
            axis.axvspan(part["from"], part["to"], color="#9aa5b4", alpha=0.3, lw=0, label=label)
            label = ""
    axis.plot(times, np.zeros(times.size), "|", color="#1c2430", ms=12, label="evictions shown below")
    axis.set_xlim(at[0], at[-1] + 1)
    axis.xaxis.set_major_formatter("{x:,.0f}")
    axis.set_title("hits above LRU's since this part began", fontsize=10)
    axis.set_xlabel("access")
    axis.legend(frameon=False, ncols=5, fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.2))


def _lines(figure: Any, axes: Sequence[Any], found: Explanation, shown: NDArray[np.int64]) -> None:
    """What is to come of each line, and what the policy makes of it: ways by decisions, the same colours."""
    d = found.decisions
    actual, predicted = d.distance[shown].T, d.predicted[shown].T
    ranked = d.preference[shown].T
    by_reuse = found.policy.config.evict_by == "reuse"
    limits = {"vmin": 0, "vmax": float(max(actual.max(), predicted.max()))}
    drawn = (
        (axes[0], actual, "until the next use (log10 of accesses)", limits, "viridis"),
        (axes[1], predicted, "predicted by the policy, which evicts the largest", limits, "viridis")
        if by_reuse
        else (axes[1], ranked - ranked.max(0), "the policy's scores below the set's best", {}, "magma"),
    )
    for axis, values, name, bounds, colours in drawn:
        image = axis.imshow(values, aspect="auto", cmap=colours, interpolation="nearest", **bounds)
        figure.colorbar(image, ax=axis, pad=0.01)
        axis.set_title(name, fontsize=10)
        axis.set_xlabel("eviction in this set")
        axis.set_ylabel("way")
        at = np.arange(shown.size)
        axis.plot(at, d.belady[shown], "o", mfc="none", mec="white", ms=12, mew=1.8, label="Belady's choice")
        evicted = "the policy's choice" if found.lead is None else "evicted by the guard"
        axis.plot(at, d.victim[shown], "x", color="#ff4d4d", ms=8, mew=2.2, label=evicted)
        if found.lead is not None:
            kept = _kept(found.lead, d.time[shown], shown)
            axis.plot(*np.nonzero(kept), ".", color="white", ms=4, label="kept, since the leader holds it")
            axis.plot(
                at, d.preference[shown].argmax(1), "+", color="#ffb347", ms=9, mew=2, label="what Parrot would evict"
            )
        axis.set_xticks(at)
    axes[0].legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.19), ncols=2, fontsize=9, facecolor="#556", labelcolor="white"
    )


def _kept(lead: Lead, times: NDArray[np.int64], shown: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which lines the shadow that is followed at `times` (m,) holds, (m, ways)."""
    return lead.held[shown, lead.followed[times - lead.start]]


def _attention(figure: Any, axis: Any, found: Explanation, shown: NDArray[np.int64]) -> None:
    """Attention of the evicted line to the last accesses, evictions by accesses."""
    weights = found.attention(shown)[np.arange(shown.size), found.decisions.victim[shown]]
    history = weights.shape[1]
    image = axis.imshow(weights, aspect="auto", cmap="magma", interpolation="nearest", vmin=0)
    figure.colorbar(image, ax=axis, pad=0.005)
    axis.set_title("what the evicted line attends to", fontsize=10)
    axis.set_xlabel("accesses ago")
    axis.set_ylabel("eviction in this set")
    at = np.arange(history)
    step = max(1, history // 15)
    axis.set_xticks(at[::-step][::-1], [str(history - 1 - i) for i in at[::-step][::-1]])
    axis.set_yticks(np.arange(shown.size))


def _frequency(axis: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    """Accuracy@k as bars, and the error of predicted distances as a line, by how often lines were seen."""
    rows = [row for row in rows if row["decisions"]]
    at, width = np.arange(len(rows)), 0.8 / len(RANKS)
    for i, k in enumerate(RANKS):
        values = [row[f"accuracy@{k}"] for row in rows]
        axis.bar(at + (i - (len(RANKS) - 1) / 2) * width, values, width, color=PALETTE[i], label=f"accuracy@{k}")
    axis.set_xticks(at, [row["seen"] for row in rows])
    axis.set_xlabel("accesses to the line before this part")
    axis.set_ylabel("Belady's choice among the first k")
    axis.set_ylim(0, 1)
    other = axis.twinx()
    other.plot(at, [row["error"] for row in rows], "o-", color="#1c2430", label="error of log10 reuse (right)")
    other.set_ylim(bottom=0)
    _legend(axis, other, ncols=3)
    axis.set_title("choices and predictions by how often a line was seen", fontsize=10)
    for each in (axis, other):
        each.spines["top"].set_visible(False)


def _curves(axis: Any, metrics: Sequence[Mapping[str, Any]]) -> None:
    """Loss and validation hit rate by round."""
    axis.set_title("training", fontsize=10)
    rounds = [line for line in metrics if "loss" in line and "hit_rate" in line]
    if not rounds:
        axis.text(0.5, 0.5, "no training curve beside this policy", ha="center", transform=axis.transAxes)
        axis.set_axis_off()
        return
    at = [line["round"] for line in rounds]
    axis.plot(at, [line["loss"] for line in rounds], "o-", color=PALETTE[1], label="loss")
    axis.set_xlabel("round")
    axis.set_ylabel("loss")
    axis.set_ylim(bottom=min(0, *(line["loss"] for line in rounds)))
    axis.set_xticks(at)
    other = axis.twinx()
    other.plot(at, [line["hit_rate"] for line in rounds], "s-", color=PALETTE[0], label="hit rate (right)")
    other.axhline(rounds[0]["lru"], color=PALETTE[5], ls="--", lw=1, label="LRU (right)")
    other.axhline(rounds[0]["belady"], color=PALETTE[2], ls="--", lw=1, label="Belady (right)")
    _legend(axis, other, ncols=2)
    for each in (axis, other):
        each.spines["top"].set_visible(False)


def _legend(axis: Any, other: Any, **arguments: Any) -> None:
    """One legend for both scales, below them."""
    below: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.2), "frameon": False}
    left, right = axis.get_legend_handles_labels(), other.get_legend_handles_labels()
    axis.legend([*left[0], *right[0]], [*left[1], *right[1]], fontsize=8, **below, **arguments)
