"""Parrot's configuration, and the named recipes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from learnsys.errors import InputError
from learnsys.imitation import LoopConfig, Schedule

Embedder = Literal["vocabulary", "byte"]
Loss = Literal["log_likelihood", "ndcg", "reuse_dist", "kl"]


@dataclass(frozen=True)
class ModelConfig:
    """The network (section 4 of the paper). The defaults are the published code's."""

    address_embedder: Embedder = "vocabulary"
    """how line numbers become vectors; lines in the cache share it"""
    pc_embedder: Embedder = "vocabulary"
    """how program counters become vectors"""
    address_vocabulary: int = 10_000
    """rows of the address table at most, the unknown address included"""
    pc_vocabulary: int = 5_000
    """rows of the PC table at most, the unknown PC included"""
    embedding: int = 64
    """width of an embedding"""
    hidden: int = 128
    """width of the LSTM"""
    history: int = 30
    """H: last states attended to, the current access's included"""
    attend_to: Literal["hidden", "cell"] = "hidden"
    """the LSTM's hidden states (paper) or its cell states (published code)"""
    line_features: bool = False
    """add its last PC and the features of its own past to a line's vector, and score those features directly too"""
    direct: int = 32
    """width of the two layers that score the features directly"""
    line_size: int = 64
    """bytes in a line; training sets it to the cache's"""
    evict_by: Literal["score", "reuse"] = "score"
    """the head that chooses the victim: eviction scores, or the predicted reuse distance"""

    def __post_init__(self) -> None:
        for name in ("embedding", "hidden", "history", "direct"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1")
        if self.address_vocabulary < 2 or self.pc_vocabulary < 2:
            raise InputError("a vocabulary needs 2 rows at least: the unknown and one known")
        if "byte" in (self.address_embedder, self.pc_embedder) and self.embedding % 8:
            raise InputError("the byte embedder needs an embedding width divisible by 8")
        if self.line_size < 1 or self.line_size & (self.line_size - 1):
            raise InputError(f"lines of {self.line_size} bytes are not possible", remedy="give a power of two")


@dataclass(frozen=True)
class TrainingConfig:
    """How the network is fitted to Belady's labels (section 4.3 of the paper)."""

    losses: tuple[Loss, ...] = ("ndcg", "reuse_dist")
    """summed without weights"""
    longest: float = 5.0
    """log10 of the longest reuse distance told apart"""
    decisions_only: bool = False
    """spend the loss on misses in full sets alone, not on every access"""
    learning_rate: float = 1e-3
    """Adam's, at the start"""
    final_learning_rate: float = 1e-3
    """Adam's after the last step; it falls along a cosine between the two"""
    batch: int = 32
    """sequences in a step"""
    sequence: int = 80
    """accesses in a sequence, warm-up included"""
    warm_up: int = 40
    """first accesses of a sequence, which carry no loss"""
    collect: int = 1_600_000
    """accesses rolled out in each round; they continue where the last round stopped"""
    steps: int = 10_000
    """optimiser steps in each round"""
    unknown: float = 0.0
    """share of the vocabulary that each batch sees as unknown, so that the unknown row learns what new values do"""
    gradient_norm: float = 0.0
    """clip gradients to this norm; 0 is off"""

    def __post_init__(self) -> None:
        if not self.losses or set(self.losses) - set(get_args(Loss)):
            raise InputError(f"losses {self.losses!r} are unknown", remedy=f"choose from {', '.join(get_args(Loss))}")
        if not 0 <= self.warm_up < self.sequence:
            raise InputError("warm_up must lie between 0 and sequence - 1")
        if min(self.batch, self.collect, self.steps) < 1 or not 0 <= self.unknown < 1:
            raise InputError("batch, collect and steps must be positive, unknown between 0 and 1")


@dataclass(frozen=True)
class ParrotConfig:
    """All that decides a training run but the trace, the cache and the seed."""

    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    loop: LoopConfig = field(default_factory=LoopConfig)

    def __post_init__(self) -> None:
        if self.training.warm_up < self.model.history - 1:
            raise InputError(
                f"a warm-up of {self.training.warm_up} accesses does not fill a history of {self.model.history}",
                remedy="set warm_up to history - 1 or more",
            )


def parrot() -> ParrotConfig:
    """The default: the paper's model at half its widths, and what was found to pay on recorded programs.

    That is: each line's last PC, its age and the features of its own past; evicting by the predicted reuse distance
    alone, told apart up to 10^6 accesses; loss where something is decided; a trained unknown; the data of four rounds,
    since each round sees another stretch of the trace, and a network fitted to one forgets the others.
    """
    return ParrotConfig(
        ModelConfig(
            address_vocabulary=5_000,
            pc_vocabulary=4_000,
            embedding=32,
            hidden=64,
            line_features=True,
            evict_by="reuse",
        ),
        TrainingConfig(
            losses=("reuse_dist",),
            longest=6.0,
            decisions_only=True,
            final_learning_rate=1e-4,
            collect=400_000,
            steps=150,
            unknown=0.3,
        ),
        LoopConfig(rounds=10, keep=4, average=3),
    )


def parrot_paper() -> ParrotConfig:
    """The paper: history 80, hidden states, ranking and reuse losses, data recollected on-policy every 5,000 steps."""
    return ParrotConfig(
        ModelConfig(address_vocabulary=1_000_000, history=80),
        TrainingConfig(sequence=160, warm_up=80, steps=5_000),
        LoopConfig(rounds=200, patience=20),
    )


def parrot_code() -> ParrotConfig:
    """The published code where it differs: history 30, cell states, log-likelihood, the model's share rising to 1."""
    return ParrotConfig(
        ModelConfig(attend_to="cell"),
        TrainingConfig(losses=("log_likelihood",), steps=10_000),
        LoopConfig(rounds=100, schedule=Schedule.linear(20)),
    )


def parrot_brief() -> ParrotConfig:
    """The default's network with the paper's head and losses, on a budget of a minute: what ablations start from.

    Half the paper's widths, but the lines' features: without them hundreds of steps do not get past LRU.
    """
    return ParrotConfig(
        ModelConfig(
            address_vocabulary=5_000,
            pc_vocabulary=4_000,
            embedding=32,
            hidden=64,
            line_features=True,
        ),
        TrainingConfig(
            decisions_only=True,
            final_learning_rate=1e-4,
            collect=400_000,
            steps=120,
            unknown=0.3,
        ),
        LoopConfig(rounds=3),
    )


def ablated(
    config: ParrotConfig,
    *,
    embedder: Embedder | None = None,
    ranking_loss: bool = True,
    reuse_loss: bool = True,
    dagger: bool = True,
    history: int | None = None,
) -> ParrotConfig:
    """A recipe with one or more of its parts taken out, as in section 5.3 of the paper.

    Args:
        embedder: of addresses and program counters.
        ranking_loss: without it the log-likelihood of Belady's victim stands in its place.
        reuse_loss: without it reuse distances are not predicted.
        dagger: without it Belady alone decides while data is collected.
        history: states attended to; warm-up and sequences are made as much longer or shorter as they must be.

    Raises:
        InputError: a part that the recipe does not have.
    """
    model, training, loop = config.model, config.training, config.loop
    for name, wanted, loss in (("ranking", ranking_loss, "ndcg"), ("reuse", reuse_loss, "reuse_dist")):
        if not wanted and loss not in training.losses:
            raise InputError(f"the recipe has no {name} loss to leave out", remedy="use parrot_paper or parrot_brief")
    if not reuse_loss and model.evict_by == "reuse":
        raise InputError("the recipe evicts by predicted reuse", remedy="use parrot_paper or parrot_brief")
    losses = tuple(
        "log_likelihood" if loss == "ndcg" and not ranking_loss else loss
        for loss in training.losses
        if reuse_loss or loss != "reuse_dist"
    )
    training = replace(training, losses=losses)
    if embedder is not None:
        model = replace(model, address_embedder=embedder, pc_embedder=embedder)
    if history is not None:
        model = replace(model, history=history)
        supervised = training.sequence - training.warm_up
        training = replace(training, warm_up=history, sequence=history + supervised)
    if not dagger:
        loop = replace(loop, schedule=Schedule.constant(1.0))
    return replace(config, model=model, training=training, loop=loop)


RECIPES: dict[str, Callable[[], ParrotConfig]] = {
    "parrot": parrot,
    "parrot_paper": parrot_paper,
    "parrot_code": parrot_code,
    "parrot_brief": parrot_brief,
}
"""The named configurations of `learnsys cache train --recipe`."""
