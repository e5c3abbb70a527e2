"""Fit trees or a small network on Khalil's features to choose as strong branching does."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from learnsys.errors import InputError
from learnsys.imitation import Arrays, Report, silent
from learnsys.policies.branching.features.kernel import sum_of_trees
from learnsys.policies.branching.features.policy import (
    WIDTH,
    FeaturePolicy,
    MlpPolicy,
    TreesPolicy,
    matrix_of,
    scale,
    squash,
)
from learnsys.policies.branching.samples import SampleSet
from learnsys.policies.distributed import about as about_processes
from learnsys.policies.distributed import alone, joined, share, together
from learnsys.policies.torch_setup import deterministic
from learnsys.runs import Run, read_json


@dataclass(frozen=True)
class TreesConfig:
    """Gradient boosting with the softmax loss over each node's candidates."""

    trees: int = 150
    """at most"""
    leaves: int = 24
    """of a tree"""
    smallest_leaf: int = 30
    """candidates in a leaf at least"""
    learning_rate: float = 0.15
    """of each tree's step"""
    part: float = 0.4
    """of the nodes, drawn anew for each tree"""
    l2: float = 1.0
    """added to the sum of second derivatives in a leaf, which makes steps on little evidence small"""
    patience: int = 25
    """trees without a better validation loss after which boosting ends"""

    def __post_init__(self) -> None:
        if min(self.trees, self.smallest_leaf, self.patience) < 1 or self.leaves < 2:
            raise InputError("trees, leaves (at least 2), smallest_leaf and patience must be positive")
        if not (0 < self.part <= 1 and 0 < self.learning_rate <= 1 and self.l2 >= 0):
            raise InputError("part and learning_rate must be in (0, 1], l2 must not be negative")


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


class Nodes(NamedTuple):
    """Many nodes' candidates, one below the other."""

    matrix: NDArray[np.float32]
    """(candidates, `WIDTH`)"""
    starts: NDArray[np.int64]
    """(nodes + 1,): where each node's candidates begin"""
    target: NDArray[np.float64]
    """(candidates,): 1 / ties for the candidates of the best score, 0 for the others"""
    ranks: NDArray[np.int64]
    """(candidates,): 0 for the best score, ties included"""

    @property
    def owner(self) -> NDArray[np.int64]:
        """(candidates,): each one's node."""
        return np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))


def read_nodes(samples: SampleSet) -> Nodes:
    """All samples of a set.

    Raises:
        InputError: they were collected without Khalil's features.
    """
    matrices, targets, ranks, sizes = [], [], [], [0]
    for sample in samples:
        if sample.candidate_features.shape[1] * 2 != WIDTH:
            raise InputError("the samples lack Khalil's features", remedy="collect them anew")
        best = sample.scores >= sample.scores.max()
        matrices.append(matrix_of(sample.candidate_features))
        targets.append(best / best.sum())
        ranks.append((sample.scores[:, None] < sample.scores[None, :]).sum(axis=1))
        sizes.append(len(best))
    return Nodes(np.concatenate(matrices), np.cumsum(sizes), np.concatenate(targets), np.concatenate(ranks))


def softmax(scores: NDArray[Any], nodes: Nodes) -> NDArray[np.float64]:
    """(candidates,): the softmax over each node's candidates."""
    owner = nodes.owner
    highest = np.maximum.reduceat(scores, nodes.starts[:-1])
    power = np.exp(scores - highest[owner])
    return power / np.add.reduceat(power, nodes.starts[:-1])[owner]


def measure(scores: NDArray[Any], nodes: Nodes) -> dict[str, float]:
    """The loss, and how often the expert's choice (any of equal ones) is among the first 1, 5 and 10 by `scores`."""
    share = softmax(scores, nodes)
    best = nodes.target > 0
    loss = -(nodes.target[best] * np.log(np.maximum(share[best], 1e-300))).sum() / (len(nodes.starts) - 1)
    hits = dict.fromkeys((1, 5, 10), 0)
    for begin, end in zip(nodes.starts, nodes.starts[1:], strict=False):
        order = np.argsort(-scores[begin:end], kind="stable")
        for k in hits:
            hits[k] += int(nodes.ranks[begin:end][order[:k]].min() == 0)
    return {"loss": float(loss), **{f"acc@{k}": hit / (len(nodes.starts) - 1) for k, hit in hits.items()}}


def boost(train: Nodes, valid: Nodes, config: TreesConfig, seed: int, report: Report = silent) -> Arrays:
    """Trees for `TreesPolicy`: Newton steps on the softmax loss over candidates, each fitted on a part of the nodes.

    A tree is fitted, by scikit-learn's histogram learner, to (target - share) / h with weights h = share (1 - share),
    so that its leaves hold the Newton step of Friedman's TreeBoost ("Greedy function approximation: a gradient
    boosting machine", 2001), as in LambdaMART.

    Raises:
        InputError: scikit-learn is not installed.
    """
    try:
        from sklearn.ensemble import HistGradientBoostingRegressor
        from threadpoolctl import threadpool_limits
    except ImportError:
        raise InputError("scikit-learn is not installed", remedy="pip install 'learnsys[trees]'") from None
    rng = np.random.default_rng(seed)
    cuts = [_cuts_of(column) for column in train.matrix.T]
    # a few numbers for each column: the learner would look for weighted quantiles anew for each tree, slowly
    codes = np.stack([np.searchsorted(c, x) for c, x in zip(cuts, train.matrix.T, strict=True)], axis=1)
    codes = codes.astype(np.float32)
    scores, valid_scores = np.zeros(len(train.matrix)), np.zeros(len(valid.matrix))
    trees: list[Arrays] = []
    best, kept = measure(valid_scores, valid)["loss"], 0
    for number in range(config.trees):
        report("boosting", number, config.trees)
        share = softmax(scores, train)
        h = np.maximum(share * (1 - share), 1e-6)
        drawn = rng.random(len(train.starts) - 1) < config.part
        rows = drawn[train.owner] if drawn.any() else np.ones(len(scores), bool)
        learner = HistGradientBoostingRegressor(
            learning_rate=1.0,
            max_iter=1,
            max_leaf_nodes=config.leaves,
            min_samples_leaf=config.smallest_leaf,
            l2_regularization=config.l2,
            early_stopping=False,
            random_state=seed,
        )
        with threadpool_limits(1):  # small data; and sums in an order of their own
            learner.fit(codes[rows], ((train.target - share) / h)[rows], sample_weight=h[rows])
        tree = _arrays_of(learner, cuts, config.learning_rate)
        trees.append(tree)
        scores += sum_of_trees(train.matrix, *tree.values())
        valid_scores += sum_of_trees(valid.matrix, *tree.values())
        loss = measure(valid_scores, valid)["loss"]
        if loss < best:
            best, kept = loss, len(trees)
        elif len(trees) - kept >= config.patience:
            break
    return _joined(trees[:kept])


def _cuts_of(column: NDArray[np.float32], most: int = 100) -> NDArray[np.float32]:
    """Where a feature may be cut, ascending: at quantiles, the greatest value excepted."""
    values = np.unique(np.quantile(column, np.linspace(0, 1, most + 1), method="lower"))
    return values[:-1]


def _arrays_of(learner: Any, cuts: Sequence[NDArray[np.float32]], factor: float) -> Arrays:
    """A fitted learner of one tree as the arrays of `kernel.sum_of_trees`.

    Args:
        cuts: of each feature. The learner has seen how many of them lie below the feature's value, so that a code of
            at most c means a value of at most cuts[c].
    """
    nodes = learner._predictors[0][0].nodes
    leaf = nodes["is_leaf"].astype(bool)
    threshold = np.zeros(len(nodes))
    for i in np.flatnonzero(~leaf):
        threshold[i] = cuts[nodes["feature_idx"][i]][int(nodes["num_threshold"][i])]
    base = float(np.ravel(learner._baseline_prediction)[0])
    return {
        "roots": np.zeros(1, np.int32),
        "feature": np.where(leaf, -1, nodes["feature_idx"]).astype(np.int32),
        "threshold": threshold,
        "left": nodes["left"].astype(np.int32),
        "right": nodes["right"].astype(np.int32),
        "value": np.where(leaf, factor * (nodes["value"] + base), 0.0).astype(np.float64),
    }


def _joined(trees: list[Arrays]) -> Arrays:
    """One set of arrays from those of many trees."""
    starts = np.cumsum([0, *(len(tree["feature"]) for tree in trees)])
    joined: Arrays = {"roots": starts[:-1].astype(np.int32)}
    for name, kind in (("feature", "i4"), ("threshold", "f8"), ("left", "i4"), ("right", "i4"), ("value", "f8")):
        moved = name in ("left", "right")
        parts = [tree[name] + (start if moved else 0) for tree, start in zip(trees, starts, strict=False)]
        joined[name] = np.concatenate([np.zeros(0), *parts]).astype(kind)
    return joined


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
    data: str | os.PathLike[str],
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
        data: a folder of `learnsys branch collect`: train, valid and test below it.
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
    data = Path(data)
    train, valid, test = (read_nodes(SampleSet(data / split)) for split in ("train", "valid", "test"))
    counts = {name: len(part.starts) - 1 for name, part in (("train", train), ("valid", valid), ("test", test))}
    collected: Any = read_json(data / "config.json") if (data / "config.json").exists() else {}
    about: Mapping[str, Any] = {
        "policy": recipe,
        "data": str(data),
        "samples": counts,
        "seed": seed,
        "device": device,
        **about_processes(),
        "family": collected.get("family"),
        "pseudo_candidates": bool(collected.get("pseudo_candidates", False)),
        **asdict(config),
    }
    policy: FeaturePolicy
    with together(device, out) as (place, folder):
        run = Run(folder, about)
        if isinstance(config, TreesConfig):
            policy = TreesPolicy(boost(train, valid, config, seed, report), about["pseudo_candidates"])
        else:
            with deterministic(place, 1):
                policy = MlpPolicy(fit_mlp(train, valid, config, seed, report, place), about["pseudo_candidates"])
        policy.save(run.folder)
        summary = {
            "samples": counts,
            "numbers": int(sum(each.size for each in policy.arrays.values())),
            "validation": measure(policy.scores(valid.matrix), valid),
            "test": measure(policy.scores(test.matrix), test),
        }
        run.finish(summary, {"cpu_seconds": time.process_time() - began})
    return summary
