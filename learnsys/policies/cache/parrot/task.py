"""Parrot as a task of the imitation loop: what a round does with a cache, a trace and the network."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from learnsys.envs.cache.accesses import Accesses
from learnsys.envs.cache.bounds import belady_hits, lru_hits
from learnsys.envs.cache.geometry import CacheGeometry
from learnsys.envs.cache.stepper import Stepper
from learnsys.errors import InputError, LearnsysError
from learnsys.imitation import Arrays, Report
from learnsys.policies.cache.parrot.config import ParrotConfig, TrainingConfig
from learnsys.policies.cache.parrot.data import belady_labels, replay
from learnsys.policies.cache.parrot.embedders import Vocabulary
from learnsys.policies.cache.parrot.losses import LOSSES
from learnsys.policies.cache.parrot.model import choice
from learnsys.policies.cache.parrot.policy import ParrotPolicy
from learnsys.policies.distributed import from_first, joined, processes, share, summed_over_all
from learnsys.policies.torch_arrays import adam_moments, load_adam_moments
from learnsys.statistics import normalised_hit_rate
from learnsys.traces.trace import Trace

_FILL = 8
"""accesses for each line of the cache that fill it with what the policy wants there"""


@dataclass(frozen=True)
class Split:
    """A trace cut by time: 80 % to train on, 10 % to choose by, 10 % to report."""

    train: Accesses
    """the first part alone: its next uses know nothing of what follows"""
    seen: Accesses
    """the first two parts"""
    whole: Accesses
    """the whole trace"""

    @classmethod
    def of(cls, trace: Trace, geometry: CacheGeometry) -> Split:
        """Cut `trace` for a cache.

        Raises:
            InputError: too short to cut.
        """
        n = len(trace)
        if n < 1000:
            raise InputError(f"a trace of {n} accesses is too short to train on", remedy="give 1,000 at least")
        parts = (trace[: round(share * n)] for share in (0.8, 0.9, 1.0))
        return cls(*(Accesses.prepare(part.address, part.pc, geometry) for part in parts))


def bounds(accesses: Accesses, start: int, geometry: CacheGeometry) -> tuple[float, float]:
    """Hit rates of LRU and Belady from access `start` on, their caches warm."""
    lru = lru_hits(accesses, geometry.sets, geometry.ways)[start:]
    return float(lru.mean()), float(belady_hits(accesses, geometry.sets, geometry.ways)[start:].mean())


def beside_bounds(hit_rate: float, lru: float, belady: float) -> dict[str, Any]:
    """A hit rate, its bounds, and the normalised rate (None without headroom)."""
    share = normalised_hit_rate(hit_rate, lru, belady)
    return {"hit_rate": hit_rate, "lru": lru, "belady": belady, "normalised": None if math.isnan(share) else share}


class ParrotTask:
    """Parrot as a `learnsys.imitation.Task`.

    A round rolls the mix of Belady and the network over the next `collect` accesses of the training part (beginning
    anew at its end), keeps what each set looked like, and takes `steps` optimiser steps on sequences drawn from it.
    """

    def __init__(
        self, split: Split, config: ParrotConfig, geometry: CacheGeometry, seed: int, device: str = "cpu"
    ) -> None:
        if config.model.line_size != geometry.line_size:
            raise InputError(
                f"the model reads lines of {config.model.line_size} bytes, the cache has {geometry.line_size}",
                remedy=f"set model.line_size to {geometry.line_size}",
            )
        if config.training.batch < processes():
            raise InputError(
                f"a batch of {config.training.batch} sequences is too small for {processes()} processes",
                remedy="raise training.batch",
            )
        self.split, self.config, self.geometry, self.seed = split, config, geometry, seed
        self._place = np.zeros(1, np.int64)  # where the next roll-out begins in the training part
        self._stepper = self._new_stepper()
        a = split.train
        pcs = Vocabulary.build(a.pc_value, np.bincount(a.pc), config.model.pc_vocabulary)
        addresses = Vocabulary.build(a.line_number, np.bincount(a.line), config.model.address_vocabulary)
        torch.manual_seed(seed)
        self.policy = ParrotPolicy(config.model, pcs, addresses, device)
        self._views = [self.policy.view(part, geometry.sets * geometry.ways) for part in (a, split.seen)]
        self._optimise()
        self.bounds = bounds(split.seen, len(a), geometry)

    def _new_stepper(self) -> Stepper:
        return Stepper(self.split.train, self.geometry.sets, self.geometry.ways, by_set=True)

    def _optimise(self) -> None:
        self._optimiser = torch.optim.Adam(self.policy.model.parameters(), lr=self.config.training.learning_rate)
        self._loss = joined(self.policy.model, self._loss_of, spare=True)  # a head without a loss

    def restart(self, number: int) -> None:
        torch.manual_seed(self.seed + number)
        fresh = ParrotPolicy(self.policy.config, self.policy.pcs, self.policy.addresses, self.policy.device)
        self.policy.model = fresh.model
        self._optimise()

    def collect(self, number: int, expert_share: float, report: Report) -> Arrays:
        n = len(self.split.train)
        start = int(self._place[0])
        length = self.config.training.collect
        stop = n if n - start < 1.5 * length else start + length  # no short part remains for the end
        before = {name: array.copy() for name, array in self._stepper.state().items()}
        coin = np.random.default_rng([self.seed, number, 0]).random(stop - start) < expert_share
        victims = self.policy.roll_out(self._views[0], self._stepper, start, stop, expert=coin, report=report)
        seen = np.empty((stop - start, self.geometry.ways), np.int32)
        decision = np.empty(stop - start, np.bool_)
        a = self.split.train
        replay(a.line, a.row, start, victims, before["tags"], before["touched"], before["filled"], seen, decision)
        self._place[0] = stop
        if stop == n:
            self._place[0] = 0
            self._stepper = self._new_stepper()
        return {"start": np.array([start]), "seen": seen, "decision": decision}

    def fit(self, parts: Sequence[Arrays], number: int, report: Report) -> Mapping[str, float]:
        training, model = self.config.training, self.policy.model
        generator = np.random.default_rng([self.seed, number, 1])
        starts = self._sequences(parts, generator)
        total, sums = self.config.loop.rounds * training.steps, {"loss": 0.0, "accuracy": 0.0}
        model.train()
        for step in range(training.steps):
            for group in self._optimiser.param_groups:
                group["lr"] = _learning_rate(training, (number * training.steps + step) / total)
            batch, factor = share(starts[step * training.batch : (step + 1) * training.batch])
            loss, rows, right, decisions = self._loss(parts, batch, generator)
            all_loss, all_rows, all_right, all_decisions = summed_over_all(loss.item(), rows, right, decisions)
            self._optimiser.zero_grad(set_to_none=True)
            (loss * factor / max(1, all_rows)).backward()
            if training.gradient_norm:
                torch.nn.utils.clip_grad_norm_(model.parameters(), training.gradient_norm)
            self._optimiser.step()
            if not math.isfinite(all_loss):
                raise LearnsysError(f"training diverged in step {step} of round {number}; lower the learning rate")
            sums["loss"] += all_loss / max(1, all_rows)
            sums["accuracy"] += all_right / max(1, all_decisions)
            report("fit", step + 1, training.steps)
        model.eval()
        model.forget(0.0, generator)
        return {name: value / training.steps for name, value in sums.items()}

    def _sequences(self, parts: Sequence[Arrays], generator: np.random.Generator) -> NDArray[np.int64]:
        """(part, offset) of each sequence of a round, (steps * batch, 2): all of them shuffled, as often as needed."""
        training = self.config.training
        rooms = [max(0, part["decision"].size - training.sequence + 1) for part in parts]
        if not sum(rooms):
            raise InputError("no part is as long as a sequence", remedy="raise collect or shorten sequence")
        drawn, wanted = [], training.steps * training.batch
        while wanted > 0:
            drawn.append(generator.permutation(sum(rooms))[:wanted])
            wanted -= drawn[-1].size
        flat = np.concatenate(drawn)
        ends = np.cumsum(rooms)
        part = np.searchsorted(ends, flat, side="right")
        return np.stack([part, flat - (ends - rooms)[part]], 1)

    def _loss_of(
        self, parts: Sequence[Arrays], batch: NDArray[np.int64], generator: np.random.Generator
    ) -> tuple[Tensor, int, int, int]:
        """Of sequences (part, offset), (B, 2): summed loss, its rows, decisions won by Belady's victim, decisions."""
        a, training, policy, model = self.split.train, self.config.training, self.policy, self.policy.model
        warm = training.warm_up
        spread = np.arange(training.sequence)
        offset = batch[:, 1:] + spread
        times = np.concatenate([parts[p]["start"] for p in batch[:, 0]])[:, None] + offset
        seen = np.concatenate([parts[p]["seen"][o + warm : o + training.sequence] for p, o in batch])
        decision = np.concatenate([parts[p]["decision"][o + warm : o + training.sequence] for p, o in batch])
        view = self._views[0]
        model.forget(training.unknown, generator)
        pc, address = (
            torch.from_numpy(keys[ids[times]]).to(policy.device) for keys, ids in ((view.pc, a.pc), (view.line, a.line))
        )
        memory = model.memory(model.states(pc, address)[0])[:, warm - self.config.model.history + 1 :]
        decided = times[:, warm:].reshape(-1)
        shape: tuple[int, ...] = (len(batch), -1)
        if training.decisions_only:  # each with a window of its own
            where = np.flatnonzero(decision)
            decided, seen, decision, shape = decided[where], seen[where], decision[where], (where.size, 1)
            memory = _windows(memory, where, self.config.model.history)
        vectors, features = policy.lines(view, decided, seen)
        scores, reuse = model.attend(
            vectors.unflatten(0, shape), memory, features=None if features is None else features.unflatten(0, shape)
        )
        scores, reuse = scores.flatten(0, 1), reuse.flatten(0, 1)
        distance, victim = belady_labels(decided, seen, a.next_use, training.longest)
        present = torch.from_numpy(seen >= 0).to(policy.device)
        target = torch.from_numpy(victim).to(policy.device)
        log_probability = choice(scores, present)
        arguments = (log_probability, reuse, torch.from_numpy(distance).to(policy.device), target, present)
        rows = torch.stack([LOSSES[name](*arguments) for name in training.losses]).sum(0)
        counted = torch.from_numpy(decision).to(policy.device)
        best = (scores, reuse)[self.config.model.evict_by == "reuse"].detach().masked_fill(~present, -1e9).argmax(1)
        right = (best == target)[counted]
        return rows.sum(), len(rows), int(right.sum()), len(right)

    def evaluate(self, number: int, report: Report) -> Mapping[str, Any]:
        """Hit rate on the validation part; the policy has filled the cache itself, from some way before it on.

        That is, from twice the part's length or `_FILL` accesses for each line of the cache before it, whichever is
        longer, or from the trace's beginning.
        """
        return from_first(lambda: self._evaluate(report))

    def _evaluate(self, report: Report) -> dict[str, Any]:
        view, first = self._views[1], len(self.split.train)
        lines = self.geometry.sets * self.geometry.ways
        start = max(0, first - max(2 * (len(view.accesses) - first), _FILL * lines))
        stepper = Stepper(view.accesses, self.geometry.sets, self.geometry.ways, by_set=True)
        stepper.skip(start)
        self.policy.roll_out(view, stepper, start, len(view.accesses), report=report)
        rate = float(stepper.hits[len(self.split.train) :].mean())
        return {"reward": rate, **beside_bounds(rate, *self.bounds)}

    def weights(self) -> Arrays:
        return self.policy.weights()

    def load_weights(self, weights: Arrays) -> None:
        self.policy.load_weights(weights)

    def state(self) -> Arrays:
        """The optimiser's moments, and the cache between two roll-outs with its place in the trace."""
        state = {f"cache/{name}": array for name, array in self._stepper.state().items()} | {"place": self._place}
        return state | adam_moments(self._optimiser)

    def load_state(self, state: Arrays) -> None:
        if state["place"].shape != (1,) or not 0 <= state["place"][0] < len(self.split.train):
            raise ValueError("its place is not in the trace")
        self._place[...] = state["place"]
        self._stepper.restore({name[6:]: array for name, array in state.items() if name.startswith("cache/")})
        load_adam_moments(self._optimiser, state)


def _learning_rate(training: TrainingConfig, done: float) -> float:
    """The learning rate after a share `done` of all steps."""
    low, high = training.final_learning_rate, training.learning_rate
    return low + (high - low) * 0.5 * (1 + math.cos(math.pi * done))


def _windows(memory: Tensor, where: NDArray[np.int64], history: int) -> Tensor:
    """What decisions attend to, (n, H, M): of `memory` (B, S + H - 1, M), for the decisions `where` (n,) of B x S."""
    rows = memory.shape[1]
    sequence, place = np.divmod(where, rows - history + 1)
    index = (sequence * rows + place)[:, None] + np.arange(history)
    flat = torch.from_numpy(index.ravel()).to(memory.device)
    return memory.flatten(0, 1).index_select(0, flat).unflatten(0, (where.size, history))
