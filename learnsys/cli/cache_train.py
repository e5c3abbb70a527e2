"""`learnsys cache train`: train a policy to imitate Belady on a trace."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from learnsys.errors import InputError

if TYPE_CHECKING:
    from learnsys.envs.cache.geometry import CacheGeometry
    from learnsys.policies.cache.parrot.config import ParrotConfig
    from learnsys.traces.trace import Trace

BEST = "best"
"""the recipe that chooses among all policies"""


def train(
    *,
    trace: str,
    out: Path,
    recipe: str = BEST,
    capacity: str = "2MiB",
    ways: int = 16,
    line_size: int = 64,
    seed: int = 0,
    steps: int | None = None,
    minutes: float | None = None,
    embedder: Literal["vocabulary", "byte"] | None = None,
    ranking_loss: bool = True,
    reuse_loss: bool = True,
    dagger: bool = True,
    history: int | None = None,
    set: tuple[str, ...] = (),
    smoke: bool = False,
    device: str = "cpu",
    threads: int = 1,
    candidates: str = "",
    json: bool = False,
) -> int:
    """Find the best cache policy for a trace: 80 % to train, 10 % to choose by, 10 % to report.

    A Parrot learns to imitate Belady, runs beside tables and simple policies, and what has the best validation hit
    rate is kept; or, by another recipe, the best network. The same command goes on where a killed run stopped, and
    ends with the same result.

    Args:
        trace: a trace file of any known format, or sample:NAME.
        out: the run folder, which then works as a policy (--policies best=FOLDER or parrot=FOLDER).
        recipe: best (a Parrot by the recipe parrot, and all other candidates beside it); or parrot, parrot_paper,
            parrot_code or parrot_brief, which train that network alone.
        capacity: bytes held, such as 2MiB.
        ways: lines in a set.
        line_size: bytes in a line.
        seed: decides everything random.
        steps: optimiser steps in all, instead of the recipe's.
        minutes: stop after the round in which this much time is over; the result then depends on the machine's speed.
        embedder: of addresses and program counters, instead of the recipe's.
        ranking_loss: --no-ranking-loss puts the log-likelihood of Belady's victim in its place.
        reuse_loss: --no-reuse-loss leaves out the prediction of reuse distances.
        dagger: --no-dagger collects data under Belady alone.
        history: states attended to, instead of the recipe's; warm-up and sequences change with it.
        set: settings of the recipe to change, such as history=80 losses=ndcg,reuse_dist.
        smoke: a run of seconds on the trace's beginning, which only shows that everything works.
        device: where the network computes, such as cpu or cuda.
        threads: of the network's arithmetic; another number can change the last digits.
        candidates: with the recipe best: what to choose from, separated by commas, instead of everything there is.
        json: print the summary as JSON.
    """
    from learnsys.cli.console import print_json, print_table, progress_report
    from learnsys.envs.cache.geometry import CacheGeometry, parse_bytes
    from learnsys.lookup import look_up
    from learnsys.policies.cache.parrot.config import RECIPES, ablated
    from learnsys.policies.cache.parrot.training import train_parrot
    from learnsys.policies.torch_setup import deterministic
    from learnsys.settings import override
    from learnsys.traces import read_trace

    config = look_up({**RECIPES, BEST: RECIPES["parrot"]}, recipe, "recipe")()
    parts: dict[str, Any] = {"embedder": embedder, "history": history, "dagger": dagger}
    config = ablated(config, **parts, ranking_loss=ranking_loss, reuse_loss=reuse_loss)
    config = override(config, set)
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
    settings: dict[str, Any] = {"seed": seed, "device": device, "threads": threads, "minutes": minutes}
    about = {"recipe": recipe, "trace": trace}
    if recipe == BEST:
        with deterministic(device, threads):  # tells what is wrong with these before there is a folder
            summary = _choose(accesses, config, geometry, out, candidates, settings, about)
    else:
        with progress_report(f"training {recipe}") as report:
            summary = train_parrot(accesses, config, geometry, out, **settings, about=about, report=report)
    if json:
        print_json(summary)
    else:
        rows = [
            [name, part["lru"], part["hit_rate"], part["belady"], part["normalised"]]
            for name, part in summary.items()
            if name in ("validation", "test", "test, guarded")
        ]
        if recipe == BEST:
            found = summary["candidates"]
            table = [[name, found[name]["hit_rate"], found[name]["normalised"]] for name in found]
            place = list(found).index(summary["choice"])
            print_table(f"candidates on {trace}, validation part", ["policy", "hit rate", "normalised"], table, place)
        name = BEST if recipe == BEST else "parrot"
        print_table(
            f"{summary.get('choice', recipe)} on {trace}", ["part", "LRU", "hit rate", "Belady", "normalised"], rows
        )
        print(f"trained policy: {out} (learnsys cache simulate --trace {trace} --policies lru,{name}={out},belady)")
    return 0


def _choose(
    trace: Trace,
    config: ParrotConfig,
    geometry: CacheGeometry,
    out: Path,
    candidates: str,
    settings: dict[str, Any],
    about: dict[str, str],
) -> dict[str, Any]:
    """Train what has to be trained into `out`/parrot, and keep the best of all in `out`; the summary."""
    from learnsys.cli.cache_jobs import split
    from learnsys.cli.console import progress_bar, progress_report
    from learnsys.policies.cache.parrot.policy import ParrotPolicy
    from learnsys.policies.cache.parrot.task import Split, beside_bounds, bounds
    from learnsys.policies.cache.parrot.training import train_parrot
    from learnsys.policies.cache.picker import Picked, candidate_names, choose
    from learnsys.policies.devices import on_device
    from learnsys.policies.distributed import alone
    from learnsys.runs import Run

    alone(f"the recipe {BEST}")
    names = split(candidates) or candidate_names()
    parts = Split.of(trace, geometry)
    content = {"policy": BEST, "cache": asdict(geometry), **settings, **about, "candidates": names}
    run = Run(out, {**content, "model": None, "parrot": asdict(config)})
    parrot = None
    if any(name.endswith("parrot") for name in names):
        with progress_report("training parrot") as report:
            train_parrot(trace, config, geometry, out / "parrot", **settings, about=about, report=report)
        parrot = on_device(ParrotPolicy.load(out / "parrot"), settings["device"])
    with progress_bar("simulating", len(names)) as advance:
        seed = settings["seed"]
        choice = choose(parts.whole, geometry, names, parrot=parrot, seed=seed, finished=lambda name: advance(1))
    Picked.save(out, choice, parts.whole)
    train, seen = len(parts.train), len(parts.seen)
    validation, test = bounds(parts.seen, train, geometry), bounds(parts.whole, seen, geometry)
    rows = {name: beside_bounds(rate, *validation) for name, rate in choice.hit_rates.items()}
    summary = {
        "choice": choice.name,
        "candidates": dict(sorted(rows.items(), key=lambda row: -row[1]["hit_rate"])),
        "validation": rows[choice.name],
        "test": beside_bounds(float(choice.hits[seen:].mean()), *test),
    }
    run.finish(summary, {})
    return summary
