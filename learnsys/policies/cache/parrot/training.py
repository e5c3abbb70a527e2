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
from learnsys.policies.cache.guard import guard
from learnsys.policies.cache.parrot.config import ParrotConfig
from learnsys.policies.cache.parrot.task import ParrotTask, Split, beside_bounds, bounds
from learnsys.policies.cache.replay import Replay
from learnsys.policies.cache.simulation import simulate
from learnsys.policies.distributed import about as about_processes
from learnsys.policies.distributed import out_of_time, together
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

    It tells hit rates in the validation and the test part, in the latter also under the guard.

    Args:
        threads: of the network's arithmetic; another number can change the last digits.
        minutes: end after the round in which this much time is over; the result then depends on the machine's speed.
        about: what else to keep in the run's configuration, such as the trace's name.

    Raises:
        InputError: a trace too short, a configuration impossible on it, or a folder that holds another run.
        LearnsysError: training diverged.
    """
    began, cpu = time.monotonic(), time.process_time()
    with together(device, out) as (place, folder), deterministic(place, threads):
        split = Split.of(trace, geometry)
        task = ParrotTask(split, config, geometry, seed, place)
        content = {"policy": "parrot", "cache": asdict(geometry), "seed": seed, "device": device, "threads": threads}
        content |= about_processes()
        run = Run(folder, {**content, "trace_sha256": _digest(trace), **(about or {}), **asdict(config)})

        if (run.folder / "summary.json").exists():  # written last: nothing is left to do
            return cast(dict[str, Any], read_json(run.folder / "summary.json"))

        progress = imitate(task, config.loop, run, report=report, stop=lambda: out_of_time(began, minutes))
        task.policy.save(run.folder)
        trained = time.process_time() - cpu
        best, first = progress.best[0], len(split.seen)
        victims = task.policy.victims(split.whole, geometry)
        alone = simulate(Replay(), split.whole, geometry, learnt={"victims": victims})
        guarded = simulate(guard(Replay()), split.whole, geometry, learnt={"policy/victims": victims})
    of_test = bounds(split.whole, first, geometry)
    summary = {
        "rounds": progress.rounds,
        "best_round": best["round"],
        "parameters": sum(p.numel() for p in task.policy.model.parameters()),
        "validation": beside_bounds(best["hit_rate"], *task.bounds),
        "test": beside_bounds(float(alone[first:].mean()), *of_test),
        "test, guarded": beside_bounds(float(guarded[first:].mean()), *of_test),
    }
    run.finish(summary, {"wall_seconds": time.monotonic() - began, "training_cpu_seconds": trained})
    return summary


def _digest(trace: Trace) -> str:
    """Tells traces apart, so that a run is not resumed on another one."""
    digest = hashlib.sha256(trace.address.tobytes())
    digest.update(b"" if trace.pc is None else trace.pc.tobytes())
    return digest.hexdigest()
