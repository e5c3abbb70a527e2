"""The LSTM over a whole trace: parts of it side by side, joined where their states have become one.

An LSTM's states are a chain, so that a trace costs a small matrix-vector product after the other, and memory bandwidth
sets the pace. But an LSTM forgets: two runs over the same accesses from different states come together. So a chunk is
cut into segments that all begin from zero at first and go on together, one matrix product for each step of all; then
each begins again from the state in which the one before it ended, until it meets what it did before. Where that
happens everywhere, the states are those of the chain, to `TOLERANCE`; if after a few rounds it does not, the chain is
computed as a chain.
"""

from __future__ import annotations

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from learnsys.policies.cache.parrot.arithmetic import logistic, tangent
from learnsys.policies.cache.parrot.embedders import ByteEmbedder, VocabularyEmbedder
from learnsys.policies.cache.parrot.model import Carry, ParrotModel

SEGMENTS = 64
"""parts of a chunk computed side by side"""
TOLERANCE = 2.0**-20
"""difference of two states that counts as none: about what rounding makes of the order of a sum"""
_CHECK = 32
"""steps from one comparison to the next"""
_ROUNDS = 4
"""rounds after which a chunk's states are computed as a chain"""
_SHORTEST = 8
"""steps of a segment below which segments are not worth their while, in units of `_CHECK`"""


@njit(
    [
        "void(float32[:, ::1], float32[:, ::1], int64[::1], float32[:, ::1], int64[::1], float32[:, ::1],"
        " float32[:, ::1], float32[:, ::1], int64, int64, boolean)"
    ],
    cache=True,
    nogil=True,
    fastmath=True,
    error_model="numpy",
)
def _gates(gates, pc_part, pc, address_part, address, hidden, cell, out, step, length, cells):
    """One step of all segments: `gates` (B, 4 D) holds W h and is spoilt, `hidden` and `cell` (B, D) advance.

    Access `step` of segment b is row b * length + step of `pc`, `address` (rows of the products of the embeddings
    with the input weights, the biases included) and `out`, which gets the state.
    """
    batch, width = hidden.shape
    for b in range(batch):
        row = b * length + step
        if row >= pc.size:
            continue
        first, second, z = pc_part[pc[row]], address_part[address[row]], gates[b]
        h, c, state = hidden[b], cell[b], out[row]
        for j in range(4 * width):
            z[j] += first[j] + second[j]
        for j in range(2 * width):  # input and forget gate
            z[j] = logistic(z[j])
        for j in range(2 * width, 3 * width):
            z[j] = tangent(z[j])
        for j in range(3 * width, 4 * width):
            z[j] = logistic(z[j])
        for j in range(width):
            c[j] = z[width + j] * c[j] + z[j] * z[2 * width + j]
            h[j] = z[3 * width + j] * tangent(c[j])
        if cells:
            state[:] = c
        else:
            state[:] = h


class Recurrence:
    """A model's LSTM on the CPU, without gradients, over consecutive chunks of accesses.

    Args:
        model: the network; its weights must stay as they are.
    """

    def __init__(self, model: ParrotModel) -> None:
        self.model = model
        self.chained = False
        """whether segments did not come together, so that the rest is computed as a chain"""
        weight_ih, weight_hh, bias_ih, bias_hh = model.lstm.all_weights[0]
        width = model.config.embedding
        self._weight = weight_hh.T.contiguous()
        self._pc_weight, self._address_weight = weight_ih[:, :width].T, weight_ih[:, width:].T
        self._bias = bias_ih + bias_hh

    @torch.inference_mode()
    def states(
        self, pc: NDArray[np.int64], address: NDArray[np.int64], carry: Carry | None = None
    ) -> tuple[Tensor, Carry]:
        """States attended to of the next accesses, (n, D), and the LSTM's state after them, each (1, 1, D).

        Args:
            pc, address: what the embedders read, (n,).
        """
        length = -(-pc.size // SEGMENTS)
        if self.chained or length < _SHORTEST * _CHECK:
            return self._chain(pc, address, carry)
        pc_part, pc_row = _products(self.model.pc, pc, self._pc_weight)
        address_part, address_row = _products(self.model.address, address, self._address_weight)
        inputs = ((pc_part + self._bias).numpy(), pc_row, address_part.numpy(), address_row)
        zeros = torch.zeros(2, SEGMENTS, self.model.config.hidden)
        first = zeros[:, :1] if carry is None else torch.stack(carry)[:, 0]
        out = np.empty((pc.size, self.model.config.hidden), np.float32)
        begins = torch.cat((first, zeros[:, 1:]), 1)
        met: list[Tensor] = []
        ends = zeros
        for number in range(_ROUNDS):
            ends = self._round(inputs, begins, ends, out, length, met, number > 0)
            again = torch.cat((first, ends[:, :-1]), 1)
            if (again - begins).abs().max() <= TOLERANCE:
                last = ends[:, (pc.size - 1) // length].unsqueeze(1).unsqueeze(1)
                return torch.from_numpy(out), (last[0], last[1])
            begins = again
        self.chained = True
        return self._chain(pc, address, carry)

    def _round(
        self,
        inputs: tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]],
        begins: Tensor,
        ends: Tensor,
        out: NDArray[np.float32],
        length: int,
        met: list[Tensor],
        compare: bool,
    ) -> Tensor:
        """All segments from their `begins` (2, B, D) on; their ends. With `compare` stop where all meet the last round.

        `met` holds the states every `_CHECK` steps, and `ends` the ends, of the last round.
        """
        state = begins.clone()
        hidden, cell = state[0], state[1]
        gates = torch.empty(hidden.shape[0], self._weight.shape[1])
        arrays = hidden.numpy(), cell.numpy()
        for step in range(length):
            torch.mm(hidden, self._weight, out=gates)
            _gates(gates.numpy(), *inputs, *arrays, out, step, length, self.model.config.attend_to == "cell")
            if step % _CHECK == _CHECK - 1:
                place = step // _CHECK
                if place == len(met):
                    met.append(state.clone())
                    continue
                gap = (state - met[place]).abs().max()
                met[place] = state.clone()
                if compare and gap <= TOLERANCE:
                    return ends
        return state

    def _chain(self, pc: NDArray[np.int64], address: NDArray[np.int64], carry: Carry | None) -> tuple[Tensor, Carry]:
        found = []
        for low in range(0, pc.size, 2**13):
            part = slice(low, low + 2**13)
            states, carry = self.model.states(
                torch.from_numpy(pc[part]).unsqueeze(0), torch.from_numpy(address[part]).unsqueeze(0), carry
            )
            found.append(states[0])
        assert carry is not None
        return torch.cat(found), carry


def _products(
    embedder: VocabularyEmbedder | ByteEmbedder, keys: NDArray[np.int64], weight: Tensor
) -> tuple[Tensor, NDArray[np.int64]]:
    """The embeddings of the distinct `keys` (n,) times `weight`, and for each key its row there, (n,)."""
    values, rows = np.unique(keys, return_inverse=True)
    return embedder(torch.from_numpy(values)) @ weight, rows.astype(np.int64, copy=False)
