"""The GCNN without torch: folded weights, and one kernel that goes from features to the candidates' scores.

What training keeps apart is multiplied out once: normalisations go into the layers beside them, a message's last layer
into the target's next one (they meet behind the sum), a convolution's last layer into what reads it. The second
convolution and the head are computed for the candidates only, since no other score is used, and what comes before for
the rows that candidates are in and the variables of these rows. All this is exact but for rounding.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learnsys.policies.branching.gcnn import inference_kernel
from learnsys.policies.branching.gcnn.config import ModelConfig

Weights = Mapping[str, NDArray[np.float32]]


class Scorer:
    """A GCNN's forward pass on one graph, one thread, float32.

    Args:
        config: of the network.
        weights: by the parameters' names in `GcnnModel`.

    Raises:
        KeyError, ValueError: the weights are not those of such a network.
    """

    def __init__(self, config: ModelConfig, weights: Weights) -> None:
        self.config = config
        self._weights = pack(config, weights)
        self._edge_norm = (
            float(weights["edge_embedding.0.shift"][0]),
            float(weights["edge_embedding.0.scale"][0]),
        )

    def __call__(
        self,
        variable_features: NDArray[np.float32],
        row_features: NDArray[np.float32],
        row_pointers: NDArray[np.int32],
        columns: NDArray[np.int32],
        values: NDArray[np.float32],
        candidates: NDArray[np.int64],
    ) -> NDArray[np.float32]:
        """Logits of the candidates, float32 (k,).

        Args:
            variable_features: (n, 19 or 17), without NaN.
            row_features: (m, 5).
            row_pointers, columns, values: the edges in CSR by row.
            candidates: int64 (k,), distinct variables.
        """
        return inference_kernel.scores(
            self._weights,
            self.config.messages == "concatenate",
            *self._edge_norm,
            variable_features,
            row_features,
            row_pointers,
            columns,
            values,
            candidates,
        )


def pack(config: ModelConfig, weights: Weights) -> NDArray[np.float32]:
    """All folded matrices under each other, float32 (rows, width), in the order in which the kernel reads them.

    A layer is its transposed matrix and then its bias, one row.
    """
    width = config.width
    w = {name: np.asarray(array, np.float64) for name, array in weights.items()}
    expected = {"var_embedding.1.weight": (width, config.variable_features), "output_module.2.weight": (1, width)}
    for name, shape in expected.items():
        if w[name].shape != shape:
            raise ValueError(f"{name} is {w[name].shape}, not {shape}")
    parts: list[Any] = []

    def layer(matrix: Any, bias: Any) -> None:
        parts.extend((matrix.T, np.broadcast_to(bias, (1, width))))

    def embedding(side: str) -> None:
        shift, scale = w[f"{side}.0.shift"], w[f"{side}.0.scale"]
        matrix = w[f"{side}.1.weight"] * scale
        layer(matrix, w[f"{side}.1.bias"] + matrix @ shift)
        layer(w[f"{side}.3.weight"], w[f"{side}.3.bias"])

    embedding("var_embedding")
    embedding("cons_embedding")
    followers: Any = (  # what reads the result of each convolution
        (w["conv_c_to_v.feature_module_right.0.weight"] * w["conv_c_to_v.feature_module_final.0.scale"], 0.0),
        (w["output_module.0.weight"], w["output_module.0.bias"]),
    )
    right = w["conv_v_to_c.feature_module_right.0.weight"] * w["conv_v_to_c.feature_module_final.0.scale"]
    layer(right, 0.0)
    for name, (matrix, bias) in zip(("conv_v_to_c", "conv_c_to_v"), followers, strict=True):
        scale = w[f"{name}.feature_module_final.0.scale"]
        slope = w[f"{name}.feature_module_edge.0.weight"][:, 0] * scale
        left_bias = w[f"{name}.feature_module_left.0.bias"] * scale
        if config.messages == "sum":
            slope = slope * w["edge_embedding.0.scale"]
            left_bias = left_bias + slope * w["edge_embedding.0.shift"]
        layer(w[f"{name}.feature_module_left.0.weight"] * scale, left_bias)
        last, last_bias = w[f"{name}.feature_module_final.2.weight"], w[f"{name}.feature_module_final.2.bias"]
        first = w[f"{name}.output_module.0.weight"]
        received, own = first[:, :width] * w[f"{name}.post_conv_module.0.scale"], first[:, width:]
        of_sums = received @ last
        if config.messages == "concatenate":
            of_targets, of_edges, of_sums = of_sums[:, :width], of_sums[:, width : 2 * width], of_sums[:, 2 * width :]
            parts.extend(
                (of_targets.T, (of_edges @ np.maximum(slope, 0))[None], (of_edges @ np.maximum(-slope, 0))[None])
            )
            slope = np.zeros(width)
        parts.extend((slope[None], of_sums.T, (received @ last_bias)[None]))
        layer(own, w[f"{name}.output_module.0.bias"])
        layer(matrix @ w[f"{name}.output_module.2.weight"], bias + matrix @ w[f"{name}.output_module.2.bias"])
    parts.append(w["output_module.2.weight"])
    return np.ascontiguousarray(np.concatenate(parts), np.float32)
