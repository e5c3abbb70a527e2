"""The network's parameters as the kernels read them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from learnsys.policies.independent_set.comparator.model import ComparatorModel

Floats = NDArray[np.float32]


class Weights(NamedTuple):
    """Arguments of the kernels, in their order; K layers of width D, Q dense layers. All float32."""

    matrix: Floats
    """the layers' after the first, transposed, (K - 1, 3 D, 3 D)"""
    bias: Floats
    """(K, 3 D)"""
    gain: Floats
    """of the LayerNorms, (K, 3 D)"""
    shift: Floats
    """(K, 3 D)"""
    first: Floats
    """the first dense layer's, transposed, (3 D, D)"""
    dense: Floats
    """the middle ones', transposed, (Q - 2, D, D)"""
    read_bias: Floats
    """(Q - 1, D)"""
    read_gain: Floats
    """(Q - 1, D)"""
    read_shift: Floats
    """(Q - 1, D)"""
    last: Floats
    """(2 D,)"""
    last_bias: np.float32

    @classmethod
    def of(cls, model: ComparatorModel) -> Weights:
        """A copy of a network's parameters."""
        hidden: list[Any] = list(model.dense_layers)
        last = hidden.pop()
        norms: Any = model.dense_layer_norms
        width = model.config.width
        matrix, bias, gain, shift = (np.ascontiguousarray(each.numpy(force=True)) for each in layer_parameters(model))
        return cls(
            matrix,
            bias,
            gain,
            shift,
            _stack([hidden[0].weight.T])[0],
            _stack([layer.weight.T for layer in hidden[1:]], (width, width)),
            _stack([layer.bias for layer in hidden]),
            _stack([norm.weight for norm in norms]),
            _stack([norm.bias for norm in norms]),
            _stack([last.weight[0]])[0],
            np.float32(last.bias.item()),
        )


def layer_parameters(model: ComparatorModel) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The layers' parameters, with gradients: matrix, bias, gain and shift as in `Weights`."""
    parts: Any = (model.gnn_s_layers, model.gnn_f_layers, model.gnn_a_layers)
    norms: Any = model.gnn_layer_norms
    layers = range(model.config.layers)
    return (
        torch.stack([torch.cat([part[k].weight for part in parts]).T for k in layers[1:]]),
        torch.stack([torch.cat([part[k].bias for part in parts]) for k in layers]),
        torch.stack([norm.weight for norm in norms]),
        torch.stack([norm.bias for norm in norms]),
    )


def _stack(tensors: list[Any], shape: tuple[int, ...] = ()) -> Floats:
    if not tensors:
        return np.empty((0, *shape), np.float32)
    return np.ascontiguousarray(torch.stack(tensors).numpy(force=True), np.float32)
