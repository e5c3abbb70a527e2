"""`learnsys cache explain`: why a trained policy evicts what it evicts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from learnsys.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from learnsys.policies.cache.parrot.explaining import Explanation

_SHOWN = ("eviction", "access", "evicted", "next use", "Belady's", "its next use", "its rank", "attends most to")


def explain(
    *,
    trace: str,
    policy: str = "parrot",
    part: str = "0.9:0.92",
    guard: bool = False,
    set_number: int | None = None,
    count: int = 16,
    which: int = 0,
    capacity: str = "2MiB",
    ways: int = 16,
    line_size: int = 64,
    out: Path = Path("explain.png"),
    device: str = "cpu",
    json: bool = False,
) -> int:
    """Show for a stretch of a trace the lines in a set, Belady's choice, the policy's, and what it attends to.

    Prints the set's evictions one by one, all lines of one of them, and how good choices and predictions are by how
    often a line was seen before; the same and the training curves go into a picture. Of a guarded policy it also tells
    which shadow the guard follows when, and which lines it therefore keeps.

    Args:
        trace: a trace file of any known format, or sample:NAME.
        policy: the run folder of a trained Parrot (parrot=FOLDER is the same); "parrot" for the one that ships with a
            sample. guard:parrot and guard:parrot=FOLDER are these under the guard.
        part: the stretch, as two fractions of the trace.
        guard: explain the policy under the guard.
        set_number: the set to look at; the one with the most evictions unless given.
        count: evictions of it to show.
        which: the one whose lines are listed, from 0.
        capacity: bytes held, such as 2MiB.
        ways: lines in a set.
        line_size: bytes in a line.
        out: the picture, a PNG.
        device: where the network computes: cpu (fused kernels), or another device of torch, such as cuda.
        json: print JSON instead of tables.
    """
    import numpy as np

    from learnsys.cli.cache_jobs import parse_part
    from learnsys.cli.console import print_json, print_table, progress_report
    from learnsys.envs.cache.accesses import Accesses
    from learnsys.envs.cache.geometry import CacheGeometry, parse_bytes
    from learnsys.policies.cache.parrot.explaining import RANKS, busiest_set, by_frequency
    from learnsys.policies.cache.parrot.explaining import explain as explain_policy
    from learnsys.policies.cache.parrot.picture import draw
    from learnsys.policies.cache.parrot.policy import ParrotPolicy
    from learnsys.policies.cache.registry import GUARD
    from learnsys.policies.cache.shipped import shipped_folder
    from learnsys.policies.cache.simulation import part_of
    from learnsys.policies.devices import on_device
    from learnsys.runs import read_metrics
    from learnsys.traces import read_trace

    if count < 1 or not 0 <= which < count:
        raise InputError("count must be at least 1, and which below it")
    geometry = CacheGeometry(parse_bytes(capacity), ways, line_size)
    guard = guard or policy.startswith(GUARD)
    name = policy.removeprefix(GUARD).removeprefix("parrot=")
    folder = shipped_folder("parrot", trace) if name == "parrot" else Path(name)
    chosen = on_device(ParrotPolicy.load(folder), device)
    read = read_trace(trace)
    if read.objects:
        raise InputError("holds objects, not addresses", file=trace, remedy="use a trace of a program's accesses")
    accesses = Accesses.prepare(read.address, read.pc, geometry)
    start, stop = part_of(parse_part(part), len(accesses))
    with progress_report("explaining") as report:
        found = explain_policy(chosen, accesses, geometry, start, stop, guard=guard, report=report)
    row = busiest_set(found) if set_number is None else set_number
    shown = np.flatnonzero(accesses.row[found.decisions.time] == row)[:count]
    if not shown.size:
        raise InputError(f"set {row} evicts nothing in this stretch", remedy="leave --set-number out")
    frequency = by_frequency(found, start)
    label = Path(trace).stem.removeprefix("sample:")
    title = f"{label}: set {row}, {shown.size} evictions from access {found.decisions.time[shown[0]]:,} on"
    title += ", under the guard" if guard else ""
    draw(found, shown, frequency, read_metrics(folder), title, out)
    steps, lines = evictions(found, shown), lines_of(found, int(shown[min(which, shown.size - 1)]))
    parts = None if found.lead is None else found.lead.parts()
    if json:
        told = {"set": row, "evictions": steps, "lines": lines, "by_frequency": frequency, "picture": out}
        print_json(told if parts is None else told | {"guard": parts})
        return 0
    short = ["#", "access", "evicted", "used in", "Belady's", "used in", "rank", "attends most to"]
    names = [*_SHOWN]
    if parts is not None:
        print_table(
            f"{label}, part {part}: what the guard follows", list(parts[0]), [[*each.values()] for each in parts]
        )
        short.insert(2, "follows")
        names.insert(2, "follows")
    cells = [[step[name] for name in names] for step in steps]
    print_table(title, short, cells)
    number = min(which, shown.size - 1)
    print_table(f"the lines at eviction {number}", list(lines[0]), [list(line.values()) for line in lines])
    columns = ["seen", "decisions", *(f"accuracy@{k}" for k in RANKS), "lines", "error", "bias"]
    rows = [[_rounded(each[column]) for column in columns] for each in frequency]
    print_table(
        f"part {part}: whether Belady's choice is among the first k, and the error of predicted log10 distances",
        ["seen before", "choices", *(column.removeprefix("accuracy") for column in columns[2:])],
        rows,
    )
    print(f"picture: {out}")
    return 0


def evictions(found: Explanation, shown: NDArray[np.int64]) -> list[dict[str, Any]]:
    """One row for each decision of `shown`."""
    d, a = found.decisions, found.view.accesses
    weights = found.attention(shown)
    rows = []
    for number, i in enumerate(shown.tolist()):
        victim, belady, time = int(d.victim[i]), int(d.belady[i]), int(d.time[i])
        attended = weights[number, victim]
        history = attended.size
        place = int(attended.argmax())
        ago = min(history - 1, time - (found.first)) - place
        rows.append(
            {
                "eviction": number,
                "access": time,
                **({} if found.lead is None else {"follows": found.lead.leader(time)}),
                "pc": hex(int(a.pc_value[a.pc[time]])),
                "evicted": _line(found, int(d.touched[i, victim])),
                "next use": _ahead(float(d.distance[i, victim])),
                "Belady's": _line(found, int(d.touched[i, belady])),
                "its next use": _ahead(float(d.distance[i, belady])),
                "its rank": int(d.rank[i]),
                "attends most to": f"{hex(int(a.pc_value[a.pc[time - ago]]))}, {ago} ago",
                "weight": float(attended[place]),
            }
        )
    return rows


def lines_of(found: Explanation, i: int) -> list[dict[str, Any]]:
    """One row for each line of the set at decision `i`, the policy's favourite victim first."""
    d, a, lead = found.decisions, found.view.accesses, found.lead
    rows = []
    for way in (-d.preference[i]).argsort(kind="stable").tolist():
        touch = int(d.touched[i, way])
        choices = [("policy" if lead is None else "guard", d.victim[i]), ("Belady", d.belady[i])]
        if lead is not None:
            choices.insert(1, ("policy", d.preference[i].argmax()))
        marks = [name for name, chosen in choices if chosen == way]
        rows.append(
            {
                "line": _line(found, touch),
                "last PC": hex(int(a.pc_value[a.pc[touch]])),
                "age": int(d.time[i]) - touch,
                "next use": _ahead(float(d.distance[i, way])),
                "predicted": _ahead(float(d.predicted[i, way])),
                "score": float(d.preference[i, way]),
                "evicted by": ", ".join(marks),
                **({} if lead is None else {"held by": ", ".join(lead.holders(i, way))}),
            }
        )
    return rows


def _line(found: Explanation, touch: int) -> str:
    a = found.view.accesses
    return hex(int(a.line_number[a.line[touch]]))


def _ahead(log: float) -> str:
    """Accesses until a next use, from their log10."""
    return "never" if log >= 6 else f"{10**log:,.0f}"


def _rounded(value: Any) -> Any:
    return f"{value:.2f}" if isinstance(value, float) else value
