"""Parrot's network: an LSTM over the access stream, and attention from each cached line to its last states."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from learnsys.policies.cache.parrot.config import ModelConfig
from learnsys.policies.cache.parrot.data import scan
from learnsys.policies.cache.parrot.embedders import make_embedder
from learnsys.policies.cache.parrot.features import FEATURES

Carry = tuple[Tensor, Tensor]
"""The LSTM's hidden and cell state, each (1, B, D)."""


class ParrotModel(nn.Module):
    """The network of section 4 of the paper.

    Args:
        pc_rows, address_rows: ids of the two vocabularies, the unknown's included.

    The LSTM reads the accesses of the whole cache, which no eviction can change; all that a decision needs of an
    access's state s_k (D wide) are its key W s_k (E wide) and the share of s_k in the two heads. `memory` computes
    these E + 2 numbers for each access once, and `attend` decides from them.

    Shapes: B sequences of T accesses; S decisions, one at each of the last S accesses of a sequence; L lines in a
    set; E embedding, D hidden width, H history, M = E + 2.

    - pc, address int64 (B, T) -> memory float32 (B, T, M)
    - line vectors (B, S, L, E), memory of the last S + H - 1 accesses -> scores, reuse (B, S, L)
    """

    positions: Tensor

    def __init__(self, config: ModelConfig, pc_rows: int, address_rows: int) -> None:
        super().__init__()
        self.config = config
        width, hidden = config.embedding, config.hidden
        self.pc = make_embedder(config.pc_embedder, pc_rows, width)
        self.address = make_embedder(config.address_embedder, address_rows, width)
        self.lstm = nn.LSTM(2 * width, hidden, batch_first=True)
        self.attention = nn.Parameter(torch.empty(width, hidden))
        nn.init.xavier_uniform_(self.attention)
        self.evict = nn.Linear(2 * hidden, 1)
        self.reuse = nn.Linear(2 * hidden, 1)
        if config.line_features:
            self.line_pc = make_embedder(config.pc_embedder, pc_rows, width)
            self.line_features = nn.Linear(FEATURES, width)
            self.direct = nn.Sequential(
                nn.Linear(FEATURES, config.direct),
                nn.ReLU(),
                nn.Linear(config.direct, config.direct),
                nn.ReLU(),
                nn.Linear(config.direct, 2),
            )
        self.register_buffer("positions", _positions(config.history, hidden), persistent=False)

    def forget(self, share: float, generator: np.random.Generator) -> None:
        """Read a random `share` of all PCs and addresses as unknown, until the next call."""
        self.pc.forget(share, generator)
        self.address.forget(share, generator)
        if self.config.line_features:
            self.line_pc.forget(share, generator)

    def states(self, pc: Tensor, address: Tensor, carry: Carry | None = None) -> tuple[Tensor, Carry]:
        """States attended to, (B, T, D), and the LSTM's state after them."""
        inputs = torch.cat((self.pc(pc), self.address(address)), -1)
        hidden, after = self.lstm(inputs, carry)
        if self.config.attend_to == "hidden":
            return hidden, after
        first = (torch.zeros_like(after[0]), torch.zeros_like(after[1])) if carry is None else carry
        return self._cells(inputs, hidden, first), after

    def _cells(self, inputs: Tensor, hidden: Tensor, first: Carry) -> Tensor:
        """The cell states, which nn.LSTM keeps to itself: c_t = f_t c_{t-1} + i_t g_t, the gates from h_{t-1}."""
        before = torch.cat((first[0].transpose(0, 1), hidden[:, :-1]), 1)
        wide = 3 * self.config.hidden  # input, forget and cell gate; the output gate does not touch c
        weight_ih, weight_hh, bias_ih, bias_hh = self.lstm.all_weights[0]
        weight = torch.cat((weight_ih[:wide], weight_hh[:wide]), 1)
        bias = bias_ih[:wide] + bias_hh[:wide]
        gates = nn.functional.linear(torch.cat((inputs, before), -1), weight, bias)
        enter, forget, candidate = gates.chunk(3, -1)
        kept, added = forget.sigmoid(), enter.sigmoid() * candidate.tanh()
        if not torch.is_grad_enabled() and kept.device.type == "cpu":
            scan(kept.numpy(), first[1][0].numpy(), added.numpy())
            return added
        cell, cells = first[1][0], []
        for factor, term in zip(kept.unbind(1), added.unbind(1), strict=True):
            cell = torch.addcmul(term, factor, cell)
            cells.append(cell)
        return torch.stack(cells, 1)

    def memory(self, states: Tensor) -> Tensor:
        """What decisions need of states (..., D): keys and the states' share in both heads, (..., M)."""
        hidden = self.config.hidden
        heads = torch.cat((self.evict.weight[:, :hidden], self.reuse.weight[:, :hidden]))
        return nn.functional.linear(states, torch.cat((self.attention, heads)))

    def lines(self, address: Tensor, pc: Tensor | None = None, features: Tensor | None = None) -> Tensor:
        """Vectors of lines, (..., E), of their numbers, their last PCs and their features."""
        vectors = self.address(address)
        if pc is None or features is None:
            return vectors
        return vectors + self.line_pc(pc) + self.line_features(features)

    def attend(
        self, lines: Tensor, memory: Tensor, valid: Tensor | None = None, features: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Eviction scores and predicted log10 reuse distances (equations 3 to 6 of the paper), each (B, S, L).

        Args:
            lines: vectors, (B, S, L, E).
            memory: of S + H - 1 consecutive accesses, (B, S + H - 1, M); decision s attends to rows s to s + H - 1.
            valid: which rows decision s may see, bool (B, S, H); without it all.
            features: of the lines, (B, S, L, F), scored directly on top.
        """
        width, history = lines.shape[-1], self.config.history
        hidden = self.config.hidden
        places = self.positions @ torch.cat((self.evict.weight[:, hidden:], self.reuse.weight[:, hidden:])).T
        values = memory[..., width:].unfold(1, history, 1).transpose(-1, -2) + places
        both = self.weights(lines, memory, valid) @ values
        if features is not None:
            both = both + self.direct(features)
        return both[..., 0] + self.evict.bias, both[..., 1] + self.reuse.bias

    def weights(self, lines: Tensor, memory: Tensor, valid: Tensor | None = None) -> Tensor:
        """How much each line attends to each access of its history, oldest first, (B, S, L, H); see `attend`."""
        batch, decisions, ways, width = lines.shape
        history = self.config.history
        logits = lines.reshape(batch, decisions * ways, width) @ memory[..., :width].transpose(1, 2)
        logits = logits.view(batch, decisions, ways, memory.shape[1])
        step = logits.stride()
        windows = logits.as_strided(
            (batch, decisions, ways, history), (step[0], step[1] + step[3], step[2], step[3])
        )  # window s begins at row s
        if valid is not None:
            windows = windows.masked_fill(~valid.unsqueeze(-2), -torch.inf)
        return torch.softmax(windows, -1)


def choice(scores: Tensor, present: Tensor) -> Tensor:
    """Log-probabilities of evicting each line, softmax over those `present`; same shape as `scores`."""
    return torch.log_softmax(scores.masked_fill(~present, -1e9), -1)


def _positions(history: int, width: int) -> Tensor:
    """Fixed encodings of the places in the history, oldest first, (history, width).

    As published: the angle of dimension i is place / 10000^(2 i / width), its sine in even dimensions and its cosine
    in odd ones.
    """
    dimension = torch.arange(width)
    angle = torch.arange(history).unsqueeze(1) / 10_000 ** (2 * dimension / width)
    return torch.where(dimension % 2 == 0, angle.sin(), angle.cos()).float()
