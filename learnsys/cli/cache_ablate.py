"""`learnsys cache ablate`: what each part of a recipe is worth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from learnsys.errors import InputError

if TYPE_CHECKING:
    from learnsys.envs.cache.geometry import CacheGeometry
    from learnsys.policies.cache.parrot.config import ParrotConfig

VARIANTS: dict[str, dict[str, Any]] = {
    "full": {},
    "no DAgger": {"dagger": False},
    "no ranking loss": {"ranking_loss": False},
    "no reuse loss": {"reuse_loss": False},
    "byte embedder": {"embedder": "byte"},
    "history 5": {"history": 5},
}
"""name -> arguments of `learnsys.policies.cache.parrot.config.ablated`"""


def ablate(
    *,
    traces: tuple[str, ...],
    out: Path,
    recipe: str = "parrot_brief",
    variants: str = "full,no DAgger,no ranking loss,no reuse loss",
    seeds: int = 3,
    accesses: int = 0,
    capacity: str = "2MiB",
    ways: int = 16,
    set: tuple[str, ...] = (),
    guard: bool = False,
    device: str = "cpu",
    workers: int = 1,
    backend: str = "loky",
    address: str | None = None,
    json: bool = False,
) -> int:
    """Train a recipe with one part left out at a time, and print what each part is worth.

    Every variant, trace and seed is a run of its own (80 % to train, 10 % to choose by, 10 % to report); the same
    command goes on where a killed one stopped.

    Args:
        traces: trace files, or sample:NAME.
        out: a folder for the runs: OUT/TRACE/VARIANT/seed-N, and summary.json.
        recipe: what to leave parts out of.
        variants: which, separated by commas: full, no DAgger, no ranking loss (log-likelihood in its place),
            no reuse loss, byte embedder, history 5.
        seeds: runs of each, with seeds 0, 1, ...
        accesses: only that many from each trace's beginning; 0 takes all.
        capacity: bytes held, such as 2MiB.
        ways: lines in a set.
        set: settings of the recipe to change in all variants, such as training.steps=500.
        guard: show each variant under the guard, too, in the test part: rows guard:VARIANT.
        device: where the networks compute, such as cpu or cuda.
        workers: runs at a time; -1 is one for each core.
        backend: loky for this machine, dask or ray for a cluster that sees OUT and the traces.
        address: of the cluster.
        json: print the summary as JSON.
    """
    from learnsys.cli.cache_jobs import split
    from learnsys.cli.console import print_json, print_table, progress_bar
    from learnsys.envs.cache.geometry import CacheGeometry, parse_bytes
    from learnsys.files import write_json
    from learnsys.lookup import look_up
    from learnsys.parallel import run_parallel
    from learnsys.policies.cache.parrot.config import RECIPES, ablated
    from learnsys.policies.cache.registry import GUARD
    from learnsys.settings import override

    names = split(variants)
    full = look_up(RECIPES, recipe, "recipe")()
    if not names or any(name not in VARIANTS for name in names):
        raise InputError(f"{variants!r} are not all variants", remedy=f"choose from {', '.join(VARIANTS)}")
    if seeds < 1 or not traces:
        raise InputError("give at least one trace and one seed")
    if len({Path(trace).stem for trace in traces}) < len(traces):
        raise InputError("two traces have the same name", remedy="rename one of the files")
    geometry = CacheGeometry(parse_bytes(capacity), ways)
    configs = {name: override(ablated(full, **VARIANTS[name]), set) for name in names}
    jobs, places = [], []
    for trace in traces:
        label = Path(trace).stem.removeprefix("sample:")
        for name, config in configs.items():
            config = replace(config, model=replace(config.model, line_size=geometry.line_size))
            for seed in range(seeds):
                folder = out / label / name.replace(" ", "-") / f"seed-{seed}"
                about = {"recipe": recipe, "variant": name, "trace": trace}
                jobs.append((trace, accesses, config, geometry, folder, seed, device, about))
                places.append((name, label))
    found: dict[str, dict[str, list[dict[str, Any]]]] = {name: {} for name in names}
    with progress_bar(f"{recipe}: runs", len(jobs)) as advance:
        summaries = run_parallel(_train, jobs, workers=workers, backend=backend, address=address)
        for (name, label), summary, job in zip(places, summaries, jobs, strict=True):
            if guard and "test, guarded" not in summary:
                path = Path(job[4]) / "summary.json"
                raise InputError("tells nothing under the guard", file=path, remedy="train this run anew, elsewhere")
            found[name].setdefault(label, []).append(summary)
            advance(1)
    result = {name: normalised(of_traces, ("validation", "test")) for name, of_traces in found.items()}
    if guard:
        result |= {
            GUARD + name: {
                label: {"test": part["test, guarded"]}
                for label, part in normalised(of_traces, ("test, guarded",)).items()
            }
            for name, of_traces in found.items()
        }
    write_json(out / "summary.json", {"recipe": recipe, "seeds": seeds, "accesses": accesses, "normalised": result})
    if json:
        print_json(result)
        return 0
    labels = list(result[names[0]])
    beside = [each for name in names for each in ((name, GUARD + name) if guard else (name,))]
    for part, shown in (("validation", names), ("test", beside)):
        rows = [
            [name, *(spread(result[name][label][part]) for label in labels), mean(result[name], part)] for name in shown
        ]
        title = f"{recipe}, normalised hit rate in the {part} part: mean of {seeds} seeds (lowest, highest)"
        print_table(title, ["variant", *labels, "mean"], rows)
    return 0


def _train(
    trace: str,
    accesses: int,
    config: ParrotConfig,
    geometry: CacheGeometry,
    folder: Path,
    seed: int,
    device: str,
    about: dict[str, str],
) -> dict[str, Any]:
    """One run; its summary."""
    from learnsys.policies.cache.parrot.training import train_parrot
    from learnsys.traces import read_trace

    read = read_trace(trace)
    if read.objects:
        raise InputError("holds objects, not addresses", file=trace, remedy="use a trace of a program's accesses")
    read = read[:accesses] if accesses else read
    return train_parrot(read, config, geometry, folder, seed=seed, device=device, about=about)


def normalised(
    of_traces: dict[str, list[dict[str, Any]]], parts: tuple[str, ...]
) -> dict[str, dict[str, list[float | None]]]:
    """trace -> part -> the normalised rate of each run."""
    return {
        label: {part: [run[part]["normalised"] for run in runs] for part in parts} for label, runs in of_traces.items()
    }


def spread(values: list[float | None]) -> str:
    """Mean and range of normalised rates; a dash where there is no headroom."""
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    text = f"{sum(known) / len(known):+.3f}"
    return text if len(known) == 1 else f"{text} ({min(known):+.3f}, {max(known):+.3f})"


def mean(of_traces: dict[str, dict[str, list[float | None]]], part: str) -> str:
    """The mean over traces and seeds."""
    values = [value for parts in of_traces.values() for value in parts[part] if value is not None]
    return f"{sum(values) / len(values):+.3f}" if values else "-"
