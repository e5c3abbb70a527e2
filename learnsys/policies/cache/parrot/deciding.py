"""Decisions of a Parrot on the CPU: one kernel walks each set through a chunk of accesses and evicts as it goes.

Sets do not interact once the LSTM's states are known, so that each can be followed on its own while its lines are at
hand. What is computed is `ParrotModel.attend`, for the head that chooses alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray

from learnsys.envs.cache.stepper import Stepper
from learnsys.policies.cache.parrot.arithmetic import exponential
from learnsys.policies.cache.parrot.features import OWN, fill_own
from learnsys.policies.cache.parrot.model import ParrotModel

_BLOCK = 16
"""windows are read in multiples of this many accesses, so that loops over them need no remainder"""
_MASKED = -1e30


@njit(inline="always", fastmath=True, error_model="numpy")
def _attend(logits, length, values, scores):
    """scores[w] = sum of values[k] weighted by the softmax of logits[w, k] over k < length; (W, K), (K,), (W,)."""
    ways, wide = logits.shape
    for w in range(ways):
        row = logits[w]
        for k in range(length, wide):
            row[k] = np.float32(_MASKED)
        largest = row[0]
        for k in range(wide):
            largest = max(largest, row[k])
        total, weighted = np.float32(0), np.float32(0)
        for k in range(wide):
            p = exponential(row[k] - largest)
            total += p
            weighted += p * values[k]
        scores[w] = weighted / total


@njit(inline="always", fastmath=True, error_model="numpy")
def _slot(vector, pc_vector, past, of_features, bias, slot):
    """What of a line changes only when it is touched: its vector, and behind it the direct part's first layer."""
    width = vector.size
    for j in range(slot.size):
        slot[j] = bias[j]
    for f in range(past.size):
        x, row = past[f], of_features[OWN + f]
        for j in range(slot.size):
            slot[j] += x * row[j]
    for e in range(width):
        slot[e] += vector[e]
    if pc_vector.size > 0:
        for e in range(width):
            slot[e] += pc_vector[e]


@njit(
    [
        "void(int64[::1], int64[::1], int64[::1], int64, int32[::1], int32[::1], int32[::1], int32[::1],"
        " int32[:, ::1], int32[:, ::1], int32[::1], uint8[::1], int64, boolean[::1], int16[::1], int64[::1],"
        " float32[:, ::1], int64[::1], float32[:, ::1], float32[:, ::1], float32[:, ::1], float32[::1],"
        " float32[:, ::1], float32[::1], float32[::1], int64, int64, float32[:, ::1], float32[::1], float32[::1])"
    ],
    cache=True,
    nogil=True,
    fastmath=True,
    error_model="numpy",
)
def roll(
    position,
    end,
    order,
    until,
    line,
    row,
    pc,
    next_use,
    tags,
    touched,
    filled,
    hits,
    start,
    expert,
    victims,
    line_row,
    line_vector,
    pc_row,
    pc_vector,
    past,
    of_features,
    bias,
    keys,
    value,
    place,
    first,
    history,
    second,
    second_bias,
    third,
):
    """Advance every lane to access `until`, evicting where a line must go; the cache's arrays are a `Stepper`'s.

    `expert` (n,) tells for accesses from `start` on whether Belady decides (empty: nowhere), `victims` (n,) gets the
    way. Access t has row t - `first` of `keys` (rows, E) and `value` (rows,): W s_t, and the share of s_t in the head
    that chooses; `place` (H,) is the share of each place in the history. Behind the last access `keys` and `value`
    have `_BLOCK` rows more. A line's vector is row `line_row` of `line_vector`, and with features (of an access:
    `past` (accesses, PAST), else empty) row `pc_row` of `pc_vector` and the first E columns of the features times
    `of_features` (FEATURES, E + D) plus `bias`; the rest is the first layer of the head's direct part, `second`
    (D, D) with `second_bias` and `third` (D,) the others.
    """
    ways, width = tags.shape[1], line_vector.shape[1]
    featured = past.size > 0
    nothing = np.zeros(0, np.float32)
    wide = (history + _BLOCK - 1) // _BLOCK * _BLOCK
    slots = np.empty((ways, bias.size), np.float32)
    vectors = np.empty((ways, width), np.float32)
    logits = np.empty((ways, wide), np.float32)
    values = np.zeros(wide, np.float32)
    scores = np.empty(ways, np.float32)
    one = np.empty((ways, second.shape[0]), np.float32)
    two = np.empty((ways, second.shape[0]), np.float32)
    own = np.empty(OWN, np.float32)
    for lane in range(position.size):
        p = position[lane]
        if p < end[lane] and order[p] < until:
            r = row[order[p]]
            for w in range(filled[r]):
                touch, vector = touched[r, w], line_vector[line_row[tags[r, w]]]
                if featured:
                    _slot(vector, pc_vector[pc_row[pc[touch]]], past[touch], of_features, bias, slots[w])
                else:
                    _slot(vector, nothing, nothing, of_features, bias, slots[w])
        while p < end[lane]:
            t = order[p]
            if t >= until:
                break
            r, wanted = row[t], line[t]
            way = 0
            while way < filled[r] and tags[r, way] != wanted:
                way += 1
            hits[t] = way < filled[r]
            if way == ways and expert.size > 0 and expert[t - start]:
                way = 0
                for w in range(1, ways):
                    if next_use[touched[r, w]] > next_use[touched[r, way]]:
                        way = w
                victims[t - start] = way
            elif way == ways:
                here = t - first
                length = min(history, here + 1)
                oldest = here - length + 1
                for k in range(length):
                    values[k] = value[oldest + k] + place[k]
                if featured:
                    for w in range(ways):
                        fill_own(t, touched[r], w, own)
                        for e in range(width):
                            vectors[w, e] = slots[w, e] + own[0] * of_features[0, e] + own[1] * of_features[1, e]
                        for j in range(width, bias.size):
                            x = slots[w, j] + own[0] * of_features[0, j] + own[1] * of_features[1, j]
                            one[w, j - width] = max(x, np.float32(0))
                    np.dot(vectors, keys[oldest : oldest + wide].T, logits)
                else:
                    np.dot(slots, keys[oldest : oldest + wide].T, logits)
                _attend(logits, length, values, scores)
                if featured:
                    np.dot(one, second, two)
                    for w in range(ways):
                        direct = np.float32(0)
                        for j in range(third.size):
                            direct += max(two[w, j] + second_bias[j], np.float32(0)) * third[j]
                        scores[w] += direct
                way = 0
                for w in range(1, ways):
                    if scores[w] > scores[way]:
                        way = w
                victims[t - start] = way
            elif way == filled[r]:
                filled[r] += 1
            tags[r, way] = wanted
            touched[r, way] = t
            if featured:
                _slot(line_vector[line_row[wanted]], pc_vector[pc_row[pc[t]]], past[t], of_features, bias, slots[way])
            else:
                _slot(line_vector[line_row[wanted]], nothing, nothing, of_features, bias, slots[way])
            p += 1
        position[lane] = p


@dataclass(frozen=True)
class Decider:
    """The part of a model's decisions that no access changes, as arrays for `roll`."""

    line_row: NDArray[np.int64]
    line_vector: NDArray[np.float32]
    pc_row: NDArray[np.int64]
    pc_vector: NDArray[np.float32]
    past: NDArray[np.float32]
    of_features: NDArray[np.float32]
    bias: NDArray[np.float32]
    place: NDArray[np.float32]
    second: NDArray[np.float32]
    second_bias: NDArray[np.float32]
    third: NDArray[np.float32]
    column: int
    """of the memory: the share of states in the head that chooses"""

    @classmethod
    @torch.inference_mode()
    def of(
        cls, model: ParrotModel, pc: NDArray[np.int64], line: NDArray[np.int64], past: NDArray[np.float32] | None
    ) -> Decider:
        """For a model on the CPU and a trace as the model reads it (see `View`)."""
        config = model.config
        width, head = config.embedding, int(config.evict_by == "reuse")
        lines, line_row = np.unique(line, return_inverse=True)
        line_vector = model.address(torch.from_numpy(lines))
        chooses = (model.evict, model.reuse)[head]
        place = model.positions @ chooses.weight[0, config.hidden :]
        nothing = torch.zeros(0, width)
        pc_row, pc_vector, parts = np.zeros(0, np.int64), nothing, [nothing, torch.zeros(width), torch.zeros(0, 0)]
        parts += [torch.zeros(0), torch.zeros(0)]
        if past is not None:
            pcs, pc_row = np.unique(pc, return_inverse=True)
            pc_vector = model.line_pc(torch.from_numpy(pcs))
            one, two, three = (layer for layer in model.direct if isinstance(layer, torch.nn.Linear))
            parts = [
                torch.cat((model.line_features.weight, one.weight)).T,
                torch.cat((model.line_features.bias, one.bias)),
                two.weight.T,
                two.bias,
                three.weight[head],
            ]
        of_features, bias, second, second_bias, third = (part.contiguous().numpy() for part in parts)
        return cls(
            line_row.astype(np.int64, copy=False),
            line_vector.contiguous().numpy(),
            pc_row.astype(np.int64, copy=False),
            pc_vector.contiguous().numpy(),
            np.zeros((0, 0), np.float32) if past is None else past,
            of_features,
            bias,
            place.numpy(),
            second,
            second_bias,
            third,
            width + head,
        )

    def advance(
        self,
        stepper: Stepper,
        until: int,
        memory: torch.Tensor,
        first: int,
        history: int,
        start: int,
        expert: NDArray[np.bool_],
        victims: NDArray[np.int16],
    ) -> None:
        """Run a stepper by set to access `until`; `memory` (rows, M) is that of accesses from `first` on."""
        a, state = stepper.accesses, stepper.state()
        rows, width = memory.shape[0], self.line_vector.shape[1]
        keys, value = np.zeros((rows + _BLOCK, width), np.float32), np.zeros(rows + _BLOCK, np.float32)
        keys[:rows], value[:rows] = memory[:, :width].numpy(), memory[:, self.column].numpy()
        roll(
            *(state["position"], stepper.ends, stepper.order, until),
            *(a.line, a.row, a.pc, a.next_use),
            *(state["tags"], state["touched"], state["filled"], stepper.hits),
            start,
            expert,
            victims,
            self.line_row,
            self.line_vector,
            self.pc_row,
            self.pc_vector,
            self.past,
            self.of_features,
            self.bias,
            keys,
            value,
            self.place,
            first,
            history,
            self.second,
            self.second_bias,
            self.third,
        )
