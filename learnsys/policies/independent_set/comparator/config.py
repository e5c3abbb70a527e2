"""The comparator's configuration, and the named recipes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

from learnsys.errors import InputError
from learnsys.imitation import LoopConfig, Schedule


@dataclass(frozen=True)
class ModelConfig:
    """The network. The defaults are the paper's."""

    width: int = 32
    """D: features of each of the three parts of a layer"""
    layers: int = 3
    """GEM layers, the first of which sees degrees only"""
    dense: int = 4
    """dense layers of the read-out"""

    def __post_init__(self) -> None:
        if self.width < 1 or not (2 <= self.layers <= 1000 and 2 <= self.dense <= 1000):
            raise InputError("width must be at least 1, layers and dense between 2 and 1000")
        if self.width % 8:
            raise InputError(f"a width of {self.width} is not a multiple of 8")


@dataclass(frozen=True)
class TrainingConfig:
    """Self-training: what a round collects, how it is labelled, how the network is fitted."""

    problem: Literal["independent_set", "vertex_cover"] = "independent_set"
    """which recursion the comparator decides"""
    roots: int = 40
    """graphs of the training set rolled out in each round; they continue where the last round stopped"""
    kept: int = 17
    """graphs kept of each roll-out, in the order in which it meets them"""
    spread: bool = False
    """keep graphs from the whole roll-out, at equal distances, instead of the first"""
    roll_outs: int = 5
    """roll-outs that estimate the value of a kept graph; the best counts"""
    mixed: bool = False
    """let greedy sets (least degree first, ties at random) compete with those roll-outs"""
    greedy_sets: int = 5
    """how many of them"""
    pairs: int = 128
    """pairs of kept graphs of one root, the first in lexicographic order"""
    siblings: bool = False
    """pair only the two graphs of a decision (of an even number kept)"""
    ties: bool = True
    """fit pairs of equal value too, to even odds"""
    sample: int = 5120
    """pairs drawn in each epoch from the rounds kept"""
    epochs: int = 120
    """passes over such a sample in each round"""
    batch: int = 32
    """pairs in an optimiser step"""
    learning_rate: float = 1e-3
    """Adam's"""
    double_softmax: bool = True
    """take the cross-entropy of probabilities instead of logits, as the published code does"""

    def __post_init__(self) -> None:
        if (
            min(self.roots, self.roll_outs, self.greedy_sets, self.pairs, self.sample, self.epochs, self.batch) < 1
            or self.kept < 2
        ):
            raise InputError(
                "roots, roll_outs, greedy_sets, pairs, sample, epochs and batch must be positive, kept at least 2"
            )
        if self.batch > self.sample:
            raise InputError(
                f"a batch of {self.batch} pairs is more than the sample of {self.sample}", remedy="lower batch"
            )
        if self.mixed and self.problem == "vertex_cover":
            raise InputError("mixed roll-outs are for independent sets", remedy="leave mixed out")


@dataclass(frozen=True)
class ComparatorConfig:
    """All that decides a training run but the graphs and the seed."""

    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(rounds=9, schedule=Schedule.constant(0.0), keep=3))


def comparator() -> ComparatorConfig:
    """The paper: three passes over 100 graphs, 40 roots a round."""
    return ComparatorConfig()


def comparator_mixed() -> ComparatorConfig:
    """The paper's mixed roll-outs: greedy min-degree competes with the comparator when graphs are labelled."""
    config = comparator()
    return replace(config, training=replace(config.training, mixed=True))


def comparator_spread() -> ComparatorConfig:
    """Mixed roll-outs on graphs of all stages, in many short rounds.

    The paper's roots teach the first decisions only, and nearly all of their pairs tell that a graph with more vertices
    left is better. Here the two graphs of one decision are compared, the last decisions are taught too, and validation
    chooses among more networks.
    """
    config = comparator_mixed()
    training = replace(
        config.training,
        spread=True, siblings=True, kept=40, roots=90, roll_outs=1, greedy_sets=8, epochs=6, sample=5120,
    )  # fmt: skip
    return replace(config, training=training, loop=replace(config.loop, rounds=20, keep=12, average=3))


def comparator_cover() -> ComparatorConfig:
    """Minimum vertex cover: the recursion that grows pendant vertices until the graph is a matching."""
    config = comparator()
    return replace(config, training=replace(config.training, problem="vertex_cover"))


RECIPES: dict[str, Callable[[], ComparatorConfig]] = {
    "comparator": comparator,
    "comparator_mixed": comparator_mixed,
    "comparator_spread": comparator_spread,
    "comparator_cover": comparator_cover,
}
"""The named configurations of the comparator in `learnsys mis train --recipe`."""
