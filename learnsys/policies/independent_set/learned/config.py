"""The configuration of learnsys_mis, and its named recipes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from learnsys.errors import InputError
from learnsys.imitation import LoopConfig, Schedule


@dataclass(frozen=True)
class ModelConfig:
    """The network that scores vertices."""

    width: int = 32
    """features of a vertex"""
    layers: int = 4
    """rounds of messages"""

    def __post_init__(self) -> None:
        if self.width < 8 or self.width % 8 or not 1 <= self.layers <= 1000:
            raise InputError("width must be a multiple of 8, layers between 1 and 1000")


@dataclass(frozen=True)
class TrainingConfig:
    """What a round collects and how the network is fitted."""

    states: int = 1000
    """unfinished sets labelled in each round"""
    solutions: int = 4
    """local searches that label an unfinished set; the best of them count"""
    iterations: int = 800
    """of each local search"""
    temperature: float = 0.5
    """of the policy while it collects"""
    epochs: int = 6
    """passes over the states kept, in each round"""
    batch: int = 32
    """unfinished sets in an optimiser step"""
    learning_rate: float = 3e-3
    """Adam's, at the start; it falls to a tenth along a line"""

    def __post_init__(self) -> None:
        if min(self.states, self.solutions, self.epochs, self.batch) < 1 or self.iterations < 0:
            raise InputError("states, solutions, epochs and batch must be positive")


@dataclass(frozen=True)
class LearnedConfig:
    """All that decides a training run but the graphs and the seed."""

    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(rounds=6, schedule=Schedule(1.0, 0.0, 2), keep=0))


def learnsys_mis() -> LearnedConfig:
    """Scores of all vertices, taught by what local search would still take."""
    return LearnedConfig()


RECIPES: dict[str, Callable[[], LearnedConfig]] = {"learnsys_mis": learnsys_mis}
"""The named configurations of learnsys_mis in `learnsys mis train --recipe`."""
