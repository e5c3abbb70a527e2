"""KIDA: dataset aggregation with knowledge inheritance, on the dual task of ML4CO.

The winners' way (team Nuri, ML4CO 2021): in each round the last round's network branches, and with some probability a
node is labelled and branched on by strong branching instead; a new network is fitted from scratch to the samples of
all rounds; at the end the weights of the best full-length networks are averaged. Networks and averages are chosen by
the reward that they earn inside SCIP, since their accuracy says little about it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from learnsys.envs.branching.instances import parse_family
from learnsys.envs.branching.tasks import DUAL_TASK_PARAMETERS
from learnsys.errors import InputError
from learnsys.imitation import Arrays, LoopConfig, Report, Schedule, imitate, silent
from learnsys.policies.branching.collect import CollectConfig, collect
from learnsys.policies.branching.dual_task import dual_rewards
from learnsys.policies.branching.gcnn.config import GcnnConfig, gcnn_kida
from learnsys.policies.branching.gcnn.fitting import Examples, Fitter
from learnsys.policies.branching.gcnn.policy import GcnnPolicy
from learnsys.policies.branching.samples import SampleSet
from learnsys.policies.torch_setup import deterministic
from learnsys.runs import Run, read_metrics


@dataclass(frozen=True)
class KidaConfig:
    """The rounds of KIDA. The defaults are a tenth of the authors' samples and a fifth of their rounds."""

    rounds: int = 10
    """of collecting and fitting"""
    full_every: int = 2
    """rounds from one full-length training, and evaluation, to the next"""
    samples: int = 1_000
    """for training, collected in each round"""
    valid: int = 200
    """for validation, collected in each round"""
    probability: float = 0.05
    """part of the nodes that strong branching labels and branches on"""
    node_limit: int = 1_000
    """nodes of a roll-out"""
    most_samples: int = 20
    """of one instance"""
    epochs: int = 10
    """of a round's training"""
    full_epochs: int = 100
    """of a full-length one, at most"""
    average: int = 5
    """best full-length networks that are tried in the average"""
    instances: int = 20
    """on which the reward is measured"""
    limit: float = 20_000
    """of an evaluation's episode, in LP iterations: some five seconds, and the reward is a function of the seed"""
    network: GcnnConfig = field(default_factory=gcnn_kida)

    def __post_init__(self) -> None:
        counts = (self.rounds, self.full_every, self.samples, self.valid, self.node_limit, self.most_samples)
        if min(*counts, self.epochs, self.full_epochs, self.average, self.instances, self.limit) < 1:
            raise InputError("all counts of KIDA must be at least 1")


class KidaTask:
    """KIDA as a `learnsys.imitation.Task`. Each round's samples stand in `folder`/round-N.

    The network after N rounds is in `folder`/behaviour-N, which workers load and `--policy` takes.
    """

    def __init__(
        self, family: str, config: KidaConfig, folder: Path, seed: int, workers: int, device: str = "cpu"
    ) -> None:
        self.name, self.family = family, parse_family(family)
        self.config, self.folder, self.seed, self.workers = config, folder, seed, workers
        self.fitter = Fitter(config.network, seed, device)

    def policy(self) -> GcnnPolicy:
        """The network as it stands, as a policy."""
        return GcnnPolicy(self.config.network.model, self.fitter.weights(), pseudo_candidates=True)

    def behaviour(self, number: int) -> Path:
        """Where the policy lies that branches in round `number`, from 0: the network after that many rounds."""
        return self.folder / f"behaviour-{number:03d}"

    def restart(self, number: int) -> None:
        """Every network starts from the same weights, as with the seed that the published script sets anew each time.

        The mean of networks that started from others is near a random one.
        """
        self.fitter.restart(0)

    def collect(self, number: int, expert_share: float, report: Report) -> Arrays:
        folder = self.folder / f"round-{number:03d}"
        behaviour = self.behaviour(number)
        if number == 0:
            self.policy().save(behaviour)
        about = CollectConfig(
            seed=1_000 * self.seed + number + 100,
            probability=expert_share,
            behaviour=str(behaviour),
            pseudo_candidates=True,
            khalil=False,
            node_limit=self.config.node_limit,
            most_samples=self.config.most_samples,
            time_limit=None,
            scip_params=dict(DUAL_TASK_PARAMETERS),
        )
        quotas = {"train": self.config.samples, "valid": self.config.valid, "test": 0}
        done, total = 0, self.config.samples + self.config.valid

        def count(samples: int) -> None:
            nonlocal done
            done += samples
            report(f"round {number + 1}: collecting", min(done, total), total)

        collect(self.name, self.family, quotas, folder, about, workers=self.workers, report=count)
        return {}

    def fit(self, parts: Sequence[Arrays], number: int, report: Report) -> Mapping[str, float]:
        config, fitter = self.config, self.fitter
        folders = [self.folder / f"round-{each:03d}" for each in range(len(parts))]
        train, valid = (
            Examples(SampleSet(*(folder / split for folder in folders)), config.network) for split in ("train", "valid")
        )
        full = (number + 1) % config.full_every == 0 or number + 1 == config.rounds
        fitter.settle(train, report)
        best, weights, lines = float("inf"), fitter.weights(), {}
        for epoch in range(config.full_epochs if full else config.epochs):
            counted = 10_000 * (number + 1) + epoch
            drawn = fitter.draw(len(train), counted)
            fitted = fitter.epoch(train, drawn, counted, report, f"round {number + 1}: epoch {epoch + 1}")
            measured = fitter.validate(valid)
            stale = fitter.observe(measured["loss"])
            if measured["loss"] < best:
                best, weights = measured["loss"], fitter.weights()
                lines = {"epoch": epoch + 1, **fitted, **{f"validation_{key}": it for key, it in measured.items()}}
            if stale >= config.network.training.stop_after:
                break
        fitter.load_weights(weights)
        self.policy().save(self.behaviour(number + 1))
        return {"samples": len(train), **lines}

    def evaluate(self, number: int, report: Report) -> Mapping[str, Any]:
        rewards = dual_rewards(
            self.name, self.policy(), self.config.instances, self.config.limit, report=report, workers=self.workers
        )
        newest = Examples(
            SampleSet(self.folder / f"round-{min(number, self.config.rounds - 1):03d}" / "valid"), self.config.network
        )
        measured = self.fitter.validate(newest)
        return {
            "reward": sum(rewards) / len(rewards),
            "on_policy_acc@1": measured["acc@1"],
            "on_policy_loss": measured["loss"],
        }

    def weights(self) -> Arrays:
        return self.fitter.weights()

    def load_weights(self, weights: Arrays) -> None:
        self.fitter.load_weights(weights)

    def state(self) -> Arrays:
        """Nothing: every round begins with new weights and a new optimiser."""
        return {}

    def load_state(self, state: Arrays) -> None:
        pass


def train_kida(
    family: str,
    config: KidaConfig,
    out: str | os.PathLike[str],
    *,
    seed: int = 0,
    device: str = "cpu",
    workers: int = 1,
    report: Report = silent,
) -> dict[str, Any]:
    """Run KIDA into the run folder `out`, going on from a checkpoint there; the summary, also written there.

    Args:
        family: of the instances, with a preset, such as "item_placement:small".
        device: where the networks are fitted, such as cpu or cuda; roll-outs are made on the processor.
        workers: processes that collect and evaluate.

    Raises:
        InputError: no such family, or a folder that holds another run.
        LearnsysError: training diverged, or SCIP failed.
    """
    began, cpu = time.monotonic(), time.process_time()
    with deterministic(device, 1):
        content = {"policy": "gcnn", "method": "kida", "family": family, "pseudo_candidates": True}
        content |= {"seed": seed, "device": device}
        settings = asdict(config)
        run = Run(
            out, {**content, **{key: it for key, it in settings.items() if key != "network"}, **settings["network"]}
        )
        task = KidaTask(family, config, run.folder, seed, workers, device)
        loop = LoopConfig(
            rounds=config.rounds,
            schedule=Schedule.constant(config.probability),
            keep=0,
            from_scratch=True,
            evaluate_every=config.full_every,
            average=config.average,
            greedy=True,
        )
        progress = imitate(task, loop, run, report=report)
        task.policy().save(run.folder)
    summary = {
        "rounds": progress.rounds,
        "best": progress.best[0],
        "evaluated": [line for line in read_metrics(run.folder) if "reward" in line],
    }
    run.finish(summary, {"wall_seconds": time.monotonic() - began, "cpu_seconds": time.process_time() - cpu})
    return summary
