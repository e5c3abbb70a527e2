"""CPU time of training and of evaluating a Parrot, beside the same network computed one access at a time."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import numpy as np
import torch

from learnsys.envs.cache.geometry import CacheGeometry
from learnsys.envs.cache.stepper import Stepper
from learnsys.imitation import Arrays, silent
from learnsys.policies.cache.parrot.config import ModelConfig, ParrotConfig, TrainingConfig, parrot
from learnsys.policies.cache.parrot.task import ParrotTask, Split
from learnsys.traces import read_trace

from .parrot_stepwise import Entry, StepwiseParrot

TRACE = "sample:gnugo"
ACCESSES = 500_000
"""of the trace that are read"""
STEPS = 40
"""optimiser steps timed"""
PEER_STEPS, PEER_ACCESSES = 2, 2_000
TOLERANCE = 1e-4
"""of the two losses' difference"""


def paper(attend_to: Literal["hidden", "cell"]) -> ParrotConfig:
    """The setting that is timed: 32 sequences of 80, 40 of them warm-up, history 30, ranking and reuse losses."""
    return ParrotConfig(
        ModelConfig(address_vocabulary=5_000, pc_vocabulary=5_000, attend_to=attend_to),
        TrainingConfig(collect=200_000, steps=STEPS),
    )


def speed(given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Two tables: a training step, and an evaluation."""
    torch.set_num_threads(1)
    geometry = CacheGeometry()
    split = Split.of(read_trace((given.traces or [TRACE])[0])[: ACCESSES // (4 if given.quick else 1)], geometry)
    training: list[tuple[str, float, float]] = []
    evaluation: list[tuple[str, float, float]] = []
    small = parrot()
    settings = {
        "paper, hidden states": paper("hidden"),
        "published code, cell states": paper("cell"),
        "paper, loss at decisions only": replace(
            paper("hidden"), training=replace(paper("hidden").training, decisions_only=True)
        ),
        "default recipe": replace(small, training=replace(small.training, steps=STEPS)),
    }
    for name, config in settings.items():
        task = ParrotTask(split, config, geometry, seed=0)
        part = task.collect(0, 1.0, silent)
        task.fit([part], 0, silent)
        step = best(partial(task.fit, [part], 1, silent), 3) / STEPS
        comparable = not config.model.line_features
        peer = math.nan
        if comparable:
            peer = peer_step(task, part) if not config.training.decisions_only else training[0][2]
        training.append((name, step, peer))
        if config.training.decisions_only and comparable:
            continue
        accesses = split.whole
        ours = len(accesses) / best(partial(task.policy.simulate, split.whole, geometry), 2)
        evaluation.append((name, ours, peer_rate(task, geometry) if comparable else math.nan))
    yield {
        "title": "Training step: batch 32 x sequence 80 (warm-up 40), 16 lines, history 30, Adam included, one thread",
        "columns": ["setting", "CPU-s per step", "one access at a time", "ratio"],
        "rows": [[name, f"{a:.4f}", number(b, ".2f"), number(b / a, ".1f")] for name, a, b in training],
        "notes": ["The two compute the same loss (checked to 1e-4), but for the row with the loss at decisions only."],
    }
    yield {
        "title": "Evaluation on 16-way sets, 2 MiB, everything included but reading the trace, one thread",
        "columns": ["setting", "accesses per CPU-s", "one access at a time", "ratio"],
        "rows": [[name, f"{a:,.0f}", number(b, ",.0f"), number(a / b, ".0f")] for name, a, b in evaluation],
        "notes": ["No line evicted scores lower with the one than another line with the other (checked to 1e-4)."],
    }


def number(value: float, form: str) -> str:
    return "-" if math.isnan(value) else format(value, form)


def best(call: Callable[[], Any], times: int) -> float:
    """CPU seconds of the quickest of some calls."""
    found = []
    for _ in range(times):
        before = time.process_time()
        call()
        found.append(time.process_time() - before)
    return min(found)


def peer_step(task: ParrotTask, part: Arrays) -> float:
    """CPU seconds of a step of the stepwise network, on the same sequences; checks that the losses agree."""
    training, a = task.config.training, task.split.train
    starts = np.random.default_rng(0).choice(part["decision"].size - training.sequence, training.batch, replace=False)
    batch = np.stack([np.zeros_like(starts), starts], 1)
    first = int(part["start"][0])
    sequences = []
    for offset in starts.tolist():
        sequence = []
        for i in range(offset, offset + training.sequence):
            t, seen = first + i, part["seen"][i]
            held = seen[seen >= 0]
            numbers = a.line_number[a.line[held]].tolist()
            uses = a.next_use[held].astype(np.float64)
            uses[uses == np.iinfo(np.int32).max] = np.inf
            distance = dict(zip(numbers, (uses - t).tolist(), strict=True))
            sequence.append(Entry(int(a.pc_value[a.pc[t]]), int(a.line_number[a.line[t]]), numbers, distance))
        sequences.append(sequence)
    peer = StepwiseParrot(task.policy)
    optimiser = torch.optim.Adam(peer.parameters(), lr=1e-5)
    with torch.no_grad():
        total, rows, *_ = task._loss([part], batch, np.random.default_rng(0))
        expected = float(total) / rows

    def step() -> float:
        loss = peer.loss(sequences, training.warm_up, training.losses, training.longest)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return float(loss.detach())

    found = step()
    if abs(found - expected) > TOLERANCE * max(1, abs(expected)):
        raise AssertionError(f"the stepwise loss is {found}, not {expected}")
    return best(step, PEER_STEPS)


def peer_rate(task: ParrotTask, geometry: CacheGeometry) -> float:
    """Accesses per CPU second of the stepwise network in a warm cache; checks that it likes our victims best."""
    view, policy = task._views[0], task.policy
    a, start = view.accesses, len(view.accesses) // 2
    stepper = Stepper(a, geometry.sets, geometry.ways, by_set=True)
    policy.roll_out(view, stepper, 0, start)
    sets = [a.line_number[tags[tags >= 0]].tolist() for tags in stepper.tags]
    stop = start + PEER_ACCESSES
    tags = stepper.tags.copy()
    victims = policy.roll_out(view, stepper, start, stop)
    expected = []
    for t in range(start, stop):
        row, wanted = a.row[t], a.line[t]
        held = tags[row]
        if wanted in held:
            continue
        way = victims[t - start] if victims[t - start] >= 0 else int(np.flatnonzero(held < 0)[0])
        if victims[t - start] >= 0:
            expected.append(int(a.line_number[held[way]]))
        held[way] = wanted
    accesses = list(zip(a.pc_value[a.pc[start:stop]].tolist(), a.line_number[a.line[start:stop]].tolist(), strict=True))
    peer = StepwiseParrot(policy)
    before = time.process_time()
    worst = peer.follow(accesses, sets, expected)
    seconds = time.process_time() - before
    if worst > TOLERANCE:
        raise AssertionError(f"the stepwise network prefers other lines by {worst}")
    return len(accesses) / seconds
