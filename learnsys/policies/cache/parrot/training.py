"""Training a Parrot on a trace, into a run folder."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, cast

from learnsys.envs.cache.geometry import CacheGeometry
from learnsys.imitation import Report, imitate, silent
from learnsys.policies.cache.parrot.config import ParrotConfig
from learnsys.policies.cache.parrot.task import ParrotTask, Split, beside_bounds, bounds
from learnsys.policies.torch_setup import deterministic
from learnsys.runs import Run, read_json
from learnsys.traces.trace import Trace


def train_parrot(
    trace: Trace,
    config: ParrotConfig,
    geometry: CacheGeometry,
    out: str | os.PathLike[str],
    *,
    seed: int = 0,
    device: str = "cpu",
    threads: int = 1,
    minutes: float | None = None,
    about: Mapping[str, Any] | None = None,
    report: Report = silent,
) -> dict[str, Any]:
    """Train on a trace into the run folder `out`, going on from a checkpoint there; the summary, also written there.

    Args:
        threads: of the network's arithmetic; another number can change the last digits.
        minutes: end after the round in which this much time is over; the result then depends on the machine's speed.
        about: what else to keep in the run's configuration, such as the trace's name.

    Raises:
        InputError: a trace too short, a configuration impossible on it, or a folder that holds another run.
        LearnsysError: training diverged.
    """
    began, cpu = time.monotonic(), time.process_time()
    with deterministic(device, threads):
        split = Split.of(trace, geometry)
        task = ParrotTask(split, config, geometry, seed, device)
        content = {"policy": "parrot", "cache": asdict(geometry), "seed": seed, "device": device, "threads": threads}
        run = Run(out, {**content, "trace_sha256": _digest(trace), **(about or {}), **asdict(config)})

        if (run.folder / "summary.json").exists():  # written last: nothing is left to do
            return cast(dict[str, Any], read_json(run.folder / "summary.json"))

        def out_of_time() -> bool:
            return minutes is not None and time.monotonic() - began >= 60 * minutes

        progress = imitate(task, config.loop, run, report=report, stop=out_of_time)
        task.policy.save(run.folder)
        trained = time.process_time() - cpu
        best, first = progress.best[0], len(split.seen)
        hit_rate = float(task.policy.simulate(split.whole, geometry)[first:].mean())
    summary = {
        "rounds": progress.rounds,
        "best_round": best["round"],
        "parameters": sum(p.numel() for p in task.policy.model.parameters()),
        "validation": beside_bounds(best["hit_rate"], *task.bounds),
        "test": beside_bounds(hit_rate, *bounds(split.whole, first, geometry)),
    }
    run.finish(summary, {"wall_seconds": time.monotonic() - began, "training_cpu_seconds": trained})
    return summary


def _digest(trace: Trace) -> str:
    """Tells traces apart, so that a run is not resumed on another one."""
    digest = hashlib.sha256(trace.address.tobytes())
    digest.update(b"" if trace.pc is None else trace.pc.tobytes())
    return digest.hexdigest()
