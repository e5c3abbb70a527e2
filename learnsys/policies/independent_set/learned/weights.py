"""The scorer's parameters as the kernels read them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from learnsys.policies.independent_set.learned.model import VertexScorer

Floats = NDArray[np.float32]


class Weights(NamedTuple):
    """Arguments of the kernels, in their order; matrices are transposed, (in, out). L layers of width D, float32."""

    enter: Floats
    enter_bias: Floats
    send: Floats
    """(L, D, 2 D)"""
    mix: Floats
    """(L, 3 D, D)"""
    mix_bias: Floats
    context: Floats
    """(L, D, D)"""
    gain: Floats
    shift: Floats
    hidden: Floats
    hidden_bias: Floats
    last: Floats
    """(D,)"""
    last_bias: np.float32

    @classmethod
    def of(cls, model: VertexScorer) -> Weights:
        """A copy of a network's parameters."""
        send, mix, context, norm = (list[Any](each) for each in (model.send, model.mix, model.context, model.norm))
        return cls(
            _array(model.enter.weight.T),
            _array(model.enter.bias),
            _stacked([each.weight.T for each in send]),
            _stacked([each.weight.T for each in mix]),
            _stacked([each.bias for each in mix]),
            _stacked([each.weight.T for each in context]),
            _stacked([each.weight for each in norm]),
            _stacked([each.bias for each in norm]),
            _array(model.hidden.weight.T),
            _array(model.hidden.bias),
            _array(model.score.weight[0]),
            np.float32(model.score.bias.item()),
        )


def _array(tensor: Any) -> Floats:
    return np.ascontiguousarray(tensor.numpy(force=True), np.float32).copy()


def _stacked(tensors: list[Any]) -> Floats:
    return np.stack([_array(each) for each in tensors])
