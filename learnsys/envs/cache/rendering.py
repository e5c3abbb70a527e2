"""Pictures of one pending decision, as text and as pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learnsys.envs.cache.accesses import NEVER
from learnsys.envs.cache.decisions import Decisions

WIDTH, HEIGHT, DPI = 640, 400, 100
"""of the picture, in pixels"""


@dataclass(frozen=True)
class _Scene:
    title: str
    held: NDArray[np.int64]
    """ways that hold a line, (k,)"""
    address: NDArray[np.uint64]
    pc: NDArray[np.uint64]
    age: NDArray[np.int64]
    """accesses since the last touch"""
    wait: NDArray[np.float64]
    """accesses until the next use, infinity for never"""
    lru: int
    belady: int


def _scene(decisions: Decisions, lane: int) -> _Scene:
    d, a, bits = decisions, decisions.instances.accesses, np.uint64(decisions.instances.line_bits)
    t, seen = int(d.time[lane]), int(d.seen[lane])
    rate = f"{int(d.hits[lane])} hits in {seen} accesses"
    if t < 0:
        none, words = np.zeros(0, np.int64), np.zeros(0, np.uint64)
        return _Scene(f"the episode is over: {rate}", none, words, words, none, np.zeros(0), -1, -1)
    row, number = int(d.cache_row[lane]), a.line_number[a.line[t]]
    held = np.flatnonzero(d.tags[row] >= 0)
    last = d.touched[row, held]
    use = a.next_use[last].astype(np.float64)
    use[(use == NEVER) | (use >= d.end[lane])] = np.inf
    place = int(number) & (decisions.instances.all_sets - 1)
    title = f"pc {a.pc_value[a.pc[t]]:#x} accesses {int(number << bits):#x} in set {place}; {rate}"
    lru = int(held[np.argmin(last)]) if held.size else -1
    return _Scene(
        title,
        held,
        a.line_number[d.tags[row, held]] << bits,
        a.pc_value[a.pc[last]],
        t - last,
        use - t,
        lru,
        int(d.belady[lane]),
    )


def text(decisions: Decisions, lane: int) -> str:
    """The access, the lines of its set with their ages and next uses, and what LRU and Belady would evict."""
    scene = _scene(decisions, lane)
    rows = [scene.title, f"{'way':>4}{'line':>20}{'last pc':>20}{'age':>10}{'next use in':>13}"]
    for way, address, pc, age, wait in zip(scene.held, scene.address, scene.pc, scene.age, scene.wait, strict=True):
        marks = (" lru" if way == scene.lru else "") + (" belady" if way == scene.belady else "")
        after = "never" if np.isinf(wait) else f"{wait:.0f}"
        rows.append(f"{way:>4}{int(address):>#20x}{int(pc):>#20x}{age:>10}{after:>13}{marks}")
    if scene.belady >= decisions.ways:
        rows.append("belady evicts nothing")
    return "\n".join(rows) + "\n"


def picture(decisions: Decisions, lane: int) -> NDArray[np.uint8]:
    """Age and next use of each line of the set as bars to both sides; uint8 (height, width, 3)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    scene = _scene(decisions, lane)
    figure = Figure((WIDTH / DPI, HEIGHT / DPI), dpi=DPI, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    far = np.where(np.isinf(scene.wait), 2.0**31, scene.wait)
    axes.barh(scene.held, -np.log2(1 + scene.age), color="#4477aa", label="age")
    colours = ["#cc6677" if way == scene.belady else "#ddaa66" for way in scene.held]
    axes.barh(scene.held, np.log2(1 + far), color=colours, label="next use (red: Belady's choice)")
    axes.set(
        xlim=(-32, 32), ylim=(decisions.ways - 0.5, -0.5), ylabel="way", xlabel="accesses ago | accesses ahead, log2"
    )
    axes.set_title(scene.title, fontsize=7)
    if scene.held.size:
        figure.legend(fontsize=7, loc="outside lower center", ncols=2)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:, :, :3].copy()
