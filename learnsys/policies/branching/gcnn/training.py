"""Training a GCNN on collected samples, into a run folder."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from learnsys.imitation import Arrays, LoopConfig, Report, imitate, silent
from learnsys.policies.branching.accuracy import by_chance
from learnsys.policies.branching.gcnn.config import GcnnConfig
from learnsys.policies.branching.gcnn.fitting import Examples, Fitter
from learnsys.policies.branching.gcnn.policy import GcnnPolicy
from learnsys.policies.branching.samples import SampleSet
from learnsys.policies.branching.training_data import Folders, TrainingData
from learnsys.policies.distributed import about as about_processes
from learnsys.policies.distributed import out_of_time, together
from learnsys.policies.torch_setup import deterministic
from learnsys.runs import Run


class ImitationTask:
    """Fitting to samples that were collected before, as a `learnsys.imitation.Task`: a round is an epoch.

    The reward is minus the validation loss; ten epochs without a better one (by the configuration) lower the learning
    rate.
    """

    def __init__(self, config: GcnnConfig, train: SampleSet, valid: SampleSet, seed: int, device: str = "cpu") -> None:
        self.fitter = Fitter(config, seed, device)
        self.train, self.valid = Examples(train, config, config.training.most), Examples(valid, config)

    def restart(self, number: int) -> None:
        self.fitter.restart(number)

    def collect(self, number: int, expert_share: float, report: Report) -> Arrays:
        if number == 0:
            report("normalisation", 0, 1)
            self.fitter.settle(self.train, report)
        return {"samples": self.fitter.draw(len(self.train), number)}

    def fit(self, parts: Sequence[Arrays], number: int, report: Report) -> Mapping[str, float]:
        return self.fitter.epoch(self.train, parts[-1]["samples"], number, report, f"epoch {number + 1}")

    def evaluate(self, number: int, report: Report) -> Mapping[str, Any]:
        measured = self.fitter.validate(self.valid)
        self.fitter.observe(measured["loss"])
        return {"reward": -measured["loss"], **{f"validation_{name}": value for name, value in measured.items()}}

    def weights(self) -> Arrays:
        return self.fitter.weights()

    def load_weights(self, weights: Arrays) -> None:
        self.fitter.load_weights(weights)

    def state(self) -> Arrays:
        return self.fitter.state()

    def load_state(self, state: Arrays) -> None:
        self.fitter.load_state(state)


def train_gcnn(
    data: Folders,
    config: GcnnConfig,
    out: str | os.PathLike[str],
    *,
    seed: int = 0,
    device: str = "cpu",
    threads: int = 1,
    minutes: float | None = None,
    about: Mapping[str, Any] | None = None,
    report: Report = silent,
) -> dict[str, Any]:
    """Train on collected samples into the run folder `out`, going on from a checkpoint there; the summary, also there.

    Args:
        data: folders of `learnsys branch collect`, one or several.
        device: where the network is fitted, such as cpu or cuda.
        threads: of torch's arithmetic; another number can change the last digits.
        minutes: end after the epoch in which this much time is over; the result then depends on the machine's speed.
        about: what else to keep in the run's configuration, such as the recipe's name.

    Raises:
        InputError: no such samples, or a folder that holds another run.
        LearnsysError: training diverged.
    """
    began, cpu = time.monotonic(), time.process_time()
    samples, training = TrainingData(data), config.training
    with together(device, out) as (place, folder), deterministic(place, threads):
        content = {"policy": "gcnn", **samples.about(), "seed": seed, "device": device, "threads": threads}
        content |= about_processes()
        run = Run(folder, {**content, **(about or {}), **asdict(config)})
        task = ImitationTask(config, samples.train, samples.valid, seed, place)
        loop = LoopConfig(rounds=training.epochs, patience=training.stop_after)
        progress = imitate(task, loop, run, report=report, stop=lambda: out_of_time(began, minutes))
        GcnnPolicy(config.model, task.weights(), samples.pseudo_candidates).save(run.folder)
        trained = time.process_time() - cpu
        best = progress.best[0]
        measured = task.fitter.validate(Examples(samples.test, config))
    summary = {
        "epochs": progress.rounds,
        "best_epoch": best["round"] + 1,
        "samples": samples.counts,
        "parameters": sum(p.numel() for p in task.fitter.model.parameters()),
        "validation": {name[11:]: value for name, value in best.items() if name.startswith("validation_")},
        "test": measured,
        "by_chance": by_chance(samples.test),
    }
    run.finish(summary, {"wall_seconds": time.monotonic() - began, "training_cpu_seconds": trained})
    return summary
