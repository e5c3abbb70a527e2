"""Boosted trees that choose as strong branching does, fitted by scikit-learn's histogram learner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learnsys.errors import InputError
from learnsys.imitation import Arrays, Report, silent
from learnsys.policies.branching.features.kernel import sum_of_trees
from learnsys.policies.branching.features.nodes import Nodes, measure, softmax


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
