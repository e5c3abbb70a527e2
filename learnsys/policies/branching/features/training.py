"""Fit trees or a small network on Khalil's features to choose as strong branching does."""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from learnsys.errors import InputError
from learnsys.imitation import Arrays, Report, silent
from learnsys.policies.branching.accuracy import by_chance
from learnsys.policies.branching.features.nodes import Nodes, measure, read_nodes
from learnsys.policies.branching.features.policy import FeaturePolicy, MlpPolicy, TreesPolicy, scale, squash
from learnsys.policies.branching.features.trees import TreesConfig, boost
from learnsys.policies.branching.training_data import Folders, TrainingData
from learnsys.policies.distributed import about as about_processes
from learnsys.policies.distributed import alone, joined, share, together
from learnsys.policies.torch_setup import deterministic
from learnsys.runs import Run


@dataclass(frozen=True)
class MlpConfig:
    """Adam on the softmax loss over each node's candidates."""

    width: int = 48
    """of both hidden layers"""
    learning_rate: float = 2e-3
    """at first; it falls along a cosine"""
    epochs: int = 60
    """over all nodes; the weights of the best one by validation loss are kept"""
    batch: int = 32
    """nodes"""
    weight_decay: float = 1e-4
    """AdamW's"""

    def __post_init__(self) -> None:
        if min(self.width, self.epochs, self.batch) < 1 or not self.learning_rate > 0 or self.weight_decay < 0:
            raise InputError("width, epochs, batch and learning_rate must be positive")


RECIPES = {"trees": TreesConfig, "mlp": MlpConfig}
"""recipe -> configuration"""


def fit_mlp(
    train: Nodes, valid: Nodes, config: MlpConfig, seed: int, report: Report = silent, device: str = "cpu"
) -> Arrays:
    """Weights for `MlpPolicy`."""
    import torch

    from learnsys.policies.branching.features.network import PREFIX, make_layers

    squashed = squash(train.matrix)
    mean, deviation = squashed.mean(axis=0), np.maximum(squashed.std(axis=0), 1e-3)
    inputs = torch.from_numpy(scale(train.matrix, mean, deviation)).to(device)
    torch.manual_seed(seed)
    layers = make_layers(config.width, config.width).to(device)
    optimiser = torch.optim.AdamW(layers.parameters(), config.learning_rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.epochs)
    rng = np.random.default_rng(seed)
    target, starts = torch.from_numpy(train.target.astype(np.float32)).to(device), train.starts

    def mean_loss(rows: torch.Tensor, sizes: list[int]) -> torch.Tensor:
        scores, targets = layers(inputs[rows]).squeeze(1).split(sizes), target[rows].split(sizes)
        return torch.stack([-(t * s.log_softmax(0)).sum() for s, t in zip(scores, targets, strict=True)]).mean()

    loss = joined(layers, mean_loss)
    best, kept = np.inf, {}
    for epoch in range(config.epochs):
        report("epoch", epoch, config.epochs)
        order = rng.permutation(len(starts) - 1)
        for begin in range(0, len(order), config.batch):
            whole = order[begin : begin + config.batch]
            chosen, factor = share(whole)
            rows = torch.from_numpy(np.concatenate([np.arange(starts[i], starts[i + 1]) for i in chosen]))
            sizes = [int(starts[i + 1] - starts[i]) for i in chosen]
            optimiser.zero_grad()
            (loss(rows, sizes) * (factor * len(chosen) / len(whole))).backward()
            optimiser.step()
        schedule.step()
        arrays = {f"{PREFIX}{name}": value.numpy(force=True).copy() for name, value in layers.state_dict().items()}
        arrays |= {"mean": mean, "deviation": deviation}
        measured = measure(MlpPolicy(arrays).scores(valid.matrix), valid)["loss"]
        if measured < best:
            best, kept = measured, arrays
    return kept


def train_features(
    data: Folders,
    recipe: str,
    config: TreesConfig | MlpConfig,
    out: str | os.PathLike[str],
    *,
    seed: int = 0,
    device: str = "cpu",
    report: Report = silent,
) -> dict[str, Any]:
    """Train a feature policy on collected samples into the run folder `out`; the summary, also there.

    Args:
        data: folders of `learnsys branch collect`, one or several.
        device: where the small network is fitted; trees are fitted on the processor.

    Raises:
        InputError: no such samples, no such device, a folder that holds another run,
            scikit-learn is missing, or there are several processes for trees.
    """
    began = time.process_time()
    if recipe == "trees":
        alone("the recipe trees")
        if device != "cpu":
            raise InputError("trees are fitted on the processor", remedy="use --device cpu")
    samples = TrainingData(data)
    train, valid, test = (read_nodes(part) for part in (samples.train, samples.valid, samples.test))
    about = {"policy": recipe, **samples.about(), "seed": seed, "device": device, **about_processes(), **asdict(config)}
    pseudo = samples.pseudo_candidates
    policy: FeaturePolicy
    with together(device, out) as (place, folder):
        run = Run(folder, about)
        if isinstance(config, TreesConfig):
            policy = TreesPolicy(boost(train, valid, config, seed, report), pseudo)
        else:
            with deterministic(place, 1):
                policy = MlpPolicy(fit_mlp(train, valid, config, seed, report, place), pseudo)
        policy.save(run.folder)
        summary = {
            "samples": samples.counts,
            "numbers": int(sum(each.size for each in policy.arrays.values())),
            "validation": measure(policy.scores(valid.matrix), valid),
            "test": measure(policy.scores(test.matrix), test),
            "by_chance": by_chance(samples.test),
        }
        run.finish(summary, {"cpu_seconds": time.process_time() - began})
    return summary
