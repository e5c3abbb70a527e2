"""Pictures of a solving process: its bounds over the nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learnsys.envs.branching.models import INFINITY


def line(now: dict[str, Any], actions: int) -> str:
    """A line of text from `models.summary` and the number of actions."""
    return (
        f"{now['status']}: {now['n_nodes']} nodes, {now['n_lp_iterations']} LP iterations, "
        f"bounds {now['dual_bound']:g} and {now['primal_bound']:g}, {actions} actions"
    )


def picture(trail: Sequence[dict[str, Any]], actions: int) -> NDArray[np.uint8]:
    """Both bounds over the processed nodes, uint8 (300, 500, 3).

    Args:
        trail: `models.summary` at each decision of the episode so far.
        actions: what the waiting decision chooses among.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    nodes = [each["n_nodes"] for each in trail]
    for bound, label in (("primal_bound", "primal bound"), ("dual_bound", "dual bound")):
        values = [each[bound] if abs(each[bound]) < INFINITY else np.nan for each in trail]
        axes.step(nodes, values, where="post", marker=".", label=label)
    axes.set_xlabel("nodes")
    axes.legend(loc="center right")
    if trail:
        axes.set_title(line(trail[-1], actions), fontsize=7)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:, :, :3].copy()
