"""`learnsys cache train`: train a policy to imitate Belady on a trace."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from learnsys.errors import InputError


def train(
    *,
    trace: str,
    out: Path,
    recipe: str = "parrot",
    capacity: str = "2MiB",
    ways: int = 16,
    line_size: int = 64,
    seed: int = 0,
    steps: int | None = None,
    minutes: float | None = None,
    set: tuple[str, ...] = (),
    smoke: bool = False,
    device: str = "cpu",
    threads: int = 1,
    json: bool = False,
) -> int:
    """Train a cache policy to imitate Belady on a trace: 80 % to train, 10 % to choose by, 10 % to report.

    The best network by validation hit rate is kept. The same command goes on where a killed run stopped, and ends
    with the same result.

    Args:
        trace: a trace file of any known format, or sample:NAME.
        out: the run folder, which then works as a policy (--policies parrot=FOLDER).
        recipe: parrot, parrot_paper or parrot_code.
        capacity: bytes held, such as 2MiB.
        ways: lines in a set.
        line_size: bytes in a line.
        seed: decides everything random.
        steps: optimiser steps in all, instead of the recipe's.
        minutes: stop after the round in which this much time is over; the result then depends on the machine's speed.
        set: settings of the recipe to change, such as history=80 losses=ndcg,reuse_dist.
        smoke: a run of seconds on the trace's beginning, which only shows that everything works.
        device: where the network computes, such as cpu or cuda.
        threads: of the network's arithmetic; another number can change the last digits.
        json: print the summary as JSON.
    """
    from learnsys.cli.console import print_json, print_table, progress_report
    from learnsys.envs.cache.geometry import CacheGeometry, parse_bytes
    from learnsys.policies.cache.parrot.config import RECIPES
    from learnsys.policies.cache.parrot.training import train_parrot
    from learnsys.settings import override
    from learnsys.traces import read_trace

    if recipe not in RECIPES:
        raise InputError(f"no recipe is called {recipe!r}", remedy=f"choose from {', '.join(RECIPES)}")
    config = override(RECIPES[recipe](), set)
    if smoke:
        config = override(config, ("collect=20000", "training.steps=5", "loop.rounds=2", "batch=4"))
    if steps is not None:
        rounds = -(-steps // config.training.steps)
        per_round = -(-steps // max(1, rounds))
        config = override(config, (f"training.steps={per_round}", f"loop.rounds={rounds}"))
    geometry = CacheGeometry(parse_bytes(capacity), ways, line_size)
    config = replace(config, model=replace(config.model, line_size=line_size))
    accesses = read_trace(trace)
    if smoke:
        accesses = accesses[:100_000]
    if accesses.objects:
        raise InputError("holds objects, not addresses", file=trace, remedy="use a trace of a program's accesses")
    with progress_report(f"training {recipe}") as report:
        summary = train_parrot(
            accesses,
            config,
            geometry,
            out,
            seed=seed,
            device=device,
            threads=threads,
            minutes=minutes,
            about={"recipe": recipe, "trace": trace},
            report=report,
        )
    if json:
        print_json(summary)
    else:
        rows = [
            [name, part["lru"], part["hit_rate"], part["belady"], part["normalised"]]
            for name, part in summary.items()
            if name in ("validation", "test")
        ]
        print_table(f"{recipe} on {trace}", ["part", "LRU", "hit rate", "Belady", "normalised"], rows)
        print(f"trained policy: {out} (learnsys cache simulate --trace {trace} --policies lru,parrot={out},belady)")
    return 0
