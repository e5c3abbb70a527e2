"""Parrot computed one access at a time, as the published code is built: what `parrot_speed` compares with.

For every access, hit or miss: dictionaries from values to ids, one call of an LSTM cell, a deque of states, an
attention for each line of the set, with a copy of the history each; the losses step by step, on Python lists of
entries. The arithmetic is that of `learnsys.policies.cache.parrot`, whose weights and vocabularies it takes, so that
results can be compared too.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from learnsys.policies.cache.parrot.losses import LOSSES
from learnsys.policies.cache.parrot.policy import ParrotPolicy


@dataclass
class Entry:
    """One access with the set it falls into, and Belady's view of that set."""

    pc: int
    line: int
    lines: list[int]
    """line numbers held, those of free ways left out"""
    distance: dict[int, float]
    """accesses until the next use of each of the lines, infinite for never"""


class StepwiseParrot(nn.Module):
    """The network with the weights of `policy`, its vocabularies as dictionaries."""

    def __init__(self, policy: ParrotPolicy) -> None:
        super().__init__()
        model, config = policy.model, policy.config
        self.config = config
        self.ids = [
            {int(value): i + 1 for i, value in enumerate(each.values)} for each in (policy.pcs, policy.addresses)
        ]
        self.pc = nn.Embedding.from_pretrained(model.state_dict()["pc.table"].clone(), freeze=False)
        self.address = nn.Embedding.from_pretrained(model.state_dict()["address.table"].clone(), freeze=False)
        self.cell = nn.LSTMCell(2 * config.embedding, config.hidden)
        self.cell.load_state_dict({name.removesuffix("_l0"): value for name, value in model.lstm.state_dict().items()})
        self.attention = nn.Parameter(model.attention.detach().clone())
        self.evict, self.reuse = nn.Linear(2 * config.hidden, 1), nn.Linear(2 * config.hidden, 1)
        self.evict.load_state_dict(model.evict.state_dict())
        self.reuse.load_state_dict(model.reuse.state_dict())
        self.positions = model.positions.clone()

    def begin(self, batch: int) -> Any:
        """The state before the first access: the cell's, and the history."""
        zeros = torch.zeros(batch, self.config.hidden)
        return (zeros, zeros), deque(maxlen=self.config.history)

    def forward(self, entries: list[Entry], state: Any) -> tuple[Tensor, Tensor, Tensor, Any]:
        """Log-probabilities, predicted distances and which ways there are, each (B, W); the next state."""
        before, history = state
        inputs = (
            _embed(self.pc, self.ids[0], (entry.pc for entry in entries)),
            _embed(self.address, self.ids[1], (entry.line for entry in entries)),
        )
        hidden, cell = self.cell(torch.cat(inputs, -1), before)
        history = history.copy()
        history.append(hidden if self.config.attend_to == "hidden" else cell)
        ways = max(1, *(len(entry.lines) for entry in entries)) if len(entries) > 1 else max(1, len(entries[0].lines))
        padded = [entry.lines + [-1] * (ways - len(entry.lines)) for entry in entries]
        present = torch.tensor([[line >= 0 for line in lines] for lines in padded])
        lines = _embed(self.address, self.ids[1], chain.from_iterable(padded)).view(len(entries), ways, -1)
        states = torch.stack(list(history), 1)
        places = self.positions[: states.shape[1]].expand(len(entries), -1, -1)
        # The lines of a set are queries of their own, each with a copy of the history.
        queries = (lines.flatten(0, 1) @ self.attention).unsqueeze(1)
        keys = states.repeat_interleave(ways, 0)
        values = torch.cat((states, places), -1).repeat_interleave(ways, 0)
        weights = torch.softmax(queries @ keys.transpose(1, 2), -1)
        context = (weights @ values).view(len(entries), ways, -1)
        scores = self.evict(context).squeeze(-1).masked_fill(~present, -1e9)
        return torch.log_softmax(scores, -1), self.reuse(context).squeeze(-1), present, ((hidden, cell), history)

    def loss(self, sequences: list[list[Entry]], warm_up: int, losses: Iterable[str], longest: float) -> Tensor:
        """Mean over sequences and the steps behind the warm-up of the sum of `losses`."""
        state = self.begin(len(sequences))
        found = []
        for step in range(len(sequences[0])):
            entries = [sequence[step] for sequence in sequences]
            log_probability, reuse, present, state = self(entries, state)
            if step < warm_up:
                continue
            ways = present.shape[1]
            distances = [
                [
                    min(longest, math.log10(entry.distance[line])) if math.isfinite(entry.distance[line]) else longest
                    for line in entry.lines
                ]
                for entry in entries
            ]
            distance = torch.tensor([row + [0.0] * (ways - len(row)) for row in distances])
            label = distance.masked_fill(~present, -1).argmax(-1)
            arguments = (log_probability, reuse, distance, label, present)
            found.append(sum((LOSSES[name](*arguments) for name in losses), torch.zeros(())))
        return torch.stack(found).mean()

    @torch.no_grad()
    def follow(self, accesses: list[tuple[int, int]], sets: list[list[int]], victims: list[int]) -> float:
        """Simulate a cache that holds `sets`; how much better than `victims` this network's own choices score at most.

        The accesses are (pc, line), the victims line numbers, one for each miss in a full set of 16 ways.
        """
        state, worst, todo = self.begin(1), 0.0, iter(victims)
        for pc, line in accesses:
            held = sets[line % len(sets)]
            log_probability, reuse, _, state = self([Entry(pc, line, held, {})], state)
            if line in held:
                continue
            if len(held) < 16:
                held.append(line)
                continue
            scores = (log_probability if self.config.evict_by == "score" else reuse)[0]
            way = int(scores.argmax())
            given = held.index(next(todo))
            worst = max(worst, float(scores[way] - scores[given]))
            held[given] = line
        return worst


def _embed(table: nn.Embedding, ids: dict[int, int], values: Iterable[int]) -> Tensor:
    return table(torch.tensor([ids.get(value, 0) for value in values]))
