"""`learnsys mis solve`: a large independent set of a graph in a file."""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from learnsys.cli.console import print_json, progress_report

if TYPE_CHECKING:
    from learnsys.policies.independent_set.base import Solution, Watch


def solve(
    graph: Annotated[Path, tyro.conf.Positional],
    *,
    policy: str = "auto",
    time: float = 10.0,
    iterations: int = 0,
    seed: int = 0,
    format: str = "",
    clique: bool = False,
    device: str = "cpu",
    out: Path | None = None,
    json: bool = False,
) -> int:
    """Find a large independent set of a graph, verified; say whether it is proved to be a maximum one.

    Ctrl-C ends the search with the best set so far; the exit code is then 130.

    Args:
        graph: a file: DIMACS, PACE, METIS, edge list, Matrix Market or graph6, also with .gz.
        policy: auto, greedy, random, arw, numvc, exact, ... (a wrong one shows them all), or the folder of a trained
            one.
        time: CPU seconds at most; what is proved earlier ends earlier.
        iterations: at most, if not 0; without a time (--time inf) the result depends on graph and seed alone.
        seed: of random choices.
        format: of the file, where its name and content do not tell.
        clique: find a large clique instead.
        device: where a network decides: cpu (fused kernels), or another device of torch, such as cuda.
        out: a file for the set: one vertex a line, by the numbers in the graph's file.
        json: print JSON, the vertices included, instead of a sentence.
    """
    from learnsys.files import write_text
    from learnsys.graphs.io import read_graph
    from learnsys.policies.devices import all_on_device
    from learnsys.policies.independent_set.registry import make_independent_set_policy

    solver = make_independent_set_policy(policy)
    all_on_device({policy: solver}, device)
    given = read_graph(graph, format=format or None)
    searched = given.complement() if clique else given
    with watch_search(f"{policy} on {graph.name}", time) as watch, interruptible() as interrupted:
        found = solver.solve(
            searched, seconds=time, iterations=iterations or None, seed=seed, watch=watch, stop=interrupted.is_set
        )
    code = 130 if interrupted.is_set() else 0
    vertices = given.names[found.vertices]
    if out is not None:
        write_text(out, "".join(f"{vertex}\n" for vertex in vertices.tolist()))
    if json:
        print_json(
            {"graph": str(graph), "vertices": given.n, "edges": given.m, **plain(found), "set": vertices.tolist()}
        )
        return code
    kind = "a clique" if clique else "an independent set"
    print(f"{graph}: {given.n:,} vertices, {given.m:,} edges: {kind} of {found.size:,}, {status(found)}")
    print(f"{policy}: {found.seconds:.3g} CPU-s" + (f", {found.iterations:,} iterations" if found.iterations else ""))
    return code


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C sets instead of ending the command; the second ends it."""
    interrupted = threading.Event()

    def note(number: int, frame: object) -> None:
        if interrupted.is_set():
            raise KeyboardInterrupt
        interrupted.set()

    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        yield interrupted
        return
    before = signal.signal(signal.SIGINT, note)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def watch_search(title: str, seconds: float) -> Iterator[Watch]:
    """A bar of the time spent, with the best size so far, on standard error, if that is a terminal."""
    total = 0 if math.isinf(seconds) else max(1, round(seconds))
    with progress_report(title) as report:
        yield lambda spent, size: report(f"{size:,} vertices", min(round(spent), total or round(spent)), total)


def status(found: Solution) -> str:
    """What is known about the size, in words."""
    if found.optimal:
        return "proved to be a largest one"
    if found.bound is None:
        return "verified; no upper bound known"
    gap = found.gap
    assert gap is not None
    return f"verified; none is larger than {found.bound:,} (gap {100 * gap:.1f} %)"


def plain(found: Solution) -> dict[str, Any]:
    """A solution for JSON, without its vertices."""
    return {
        "size": found.size,
        "bound": found.bound,
        "gap": None if found.gap is None or math.isinf(found.gap) else found.gap,
        "optimal": found.optimal,
        "iterations": found.iterations,
        "seconds": found.seconds,
        "curve": [list(point) for point in found.curve],
    }
