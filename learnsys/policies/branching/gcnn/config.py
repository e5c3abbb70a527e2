"""The GCNN's configuration, and the named recipes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from learnsys.errors import InputError

Messages = Literal["sum", "concatenate"]
Target = Literal["first", "ties", "soft"]


@dataclass(frozen=True)
class ModelConfig:
    """The network (section 4.2 of Gasse et al. 2019). The defaults are the published code's."""

    width: int = 64
    """of all embeddings; a multiple of 16"""
    incumbent: bool = True
    """read the two features of the incumbent: 19 features of variables, else 17"""
    messages: Messages = "sum"
    """how the terms of target, source and edge meet in a message: added (published), or side by side (KIDA)"""
    dropout: float = 0.0
    """share of features set to 0 in training, after embeddings, convolutions and in the head (KIDA: 0.2)"""

    def __post_init__(self) -> None:
        if self.width < 16 or self.width % 16:
            raise InputError(f"a width of {self.width} is not possible", remedy="give a multiple of 16")
        if self.messages not in get_args(Messages):
            raise InputError(f"messages={self.messages!r}", remedy=f"choose from {', '.join(get_args(Messages))}")
        if not 0 <= self.dropout < 1:
            raise InputError("dropout must lie between 0 and 1")

    @property
    def variable_features(self) -> int:
        return 19 if self.incumbent else 17


@dataclass(frozen=True)
class TrainingConfig:
    """How the network is fitted to strong branching's choices. The defaults are the published code's."""

    target: Target = "first"
    """the first best candidate; any of the best; or all, in proportion to (score / best score)^(1 / temperature)"""
    temperature: float = 0.1
    """of the soft target"""
    learning_rate: float = 1e-3
    """Adam's, at the start"""
    batch: int = 32
    """graphs in an optimiser step"""
    epoch: int = 10_000
    """samples in an epoch, drawn with replacement"""
    epochs: int = 1000
    """at most"""
    decay: float = 0.2
    """factor of the learning rate after `decay_after` epochs without a better validation loss"""
    decay_after: int = 10
    """epochs"""
    stop_after: int = 20
    """epochs without a better validation loss"""
    most: int = 0
    """samples used at most, the first ones; 0 takes all"""
    norm_every: int = 10
    """the normalisations are estimated on every tenth sample"""

    def __post_init__(self) -> None:
        if self.target not in get_args(Target):
            raise InputError(f"target={self.target!r}", remedy=f"choose from {', '.join(get_args(Target))}")
        counts = (self.batch, self.epoch, self.epochs, self.decay_after, self.stop_after, self.norm_every)
        if (
            min(counts) < 1
            or self.most < 0
            or not (self.temperature > 0 and self.learning_rate > 0 and 0 < self.decay <= 1)
        ):
            raise InputError("counts, learning rate and temperature must be positive, decay between 0 and 1")


@dataclass(frozen=True)
class GcnnConfig:
    """All that decides a training run but the data and the seed."""

    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)


def gcnn() -> GcnnConfig:
    """For thousands of samples rather than the paper's hundred thousand: smaller epochs, soft targets, some dropout."""
    training = TrainingConfig(target="soft", temperature=0.05, epoch=3_000, epochs=100, decay_after=6, stop_after=13)
    return GcnnConfig(ModelConfig(dropout=0.1), training)


def gcnn_small() -> GcnnConfig:
    """The same at half the width, for solving on a processor."""
    return GcnnConfig(replace(gcnn().model, width=32), gcnn().training)


def gcnn_tiny() -> GcnnConfig:
    """The same at a quarter of the width."""
    return GcnnConfig(replace(gcnn().model, width=16), gcnn().training)


def gcnn_paper() -> GcnnConfig:
    """Gasse et al. 2019, as in the published torch code."""
    return GcnnConfig()


def gcnn_kida() -> GcnnConfig:
    """KIDA's network for item placement: without the incumbent, batches of 16."""
    return GcnnConfig(ModelConfig(incumbent=False), TrainingConfig(batch=16))


def gcnn_kida_anonymous() -> GcnnConfig:
    """KIDA's network for the anonymous problems: messages side by side, dropout."""
    return GcnnConfig(ModelConfig(incumbent=False, messages="concatenate", dropout=0.2), TrainingConfig(batch=16))


RECIPES: dict[str, Callable[[], GcnnConfig]] = {
    "gcnn": gcnn,
    "gcnn_small": gcnn_small,
    "gcnn_tiny": gcnn_tiny,
    "gcnn_paper": gcnn_paper,
    "gcnn_kida": gcnn_kida,
    "gcnn_kida_anonymous": gcnn_kida_anonymous,
}
"""The named configurations of `learnsys branch train --recipe`."""
