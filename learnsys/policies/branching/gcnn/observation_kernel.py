"""Kernels that turn an observation into what the network's kernels read."""

from __future__ import annotations

import numpy as np
from numba import njit, types

_DOUBLES = types.Array(types.float64, 2, "C", readonly=True)
_EDGES = (types.Array(types.int64, 2, "C", readonly=True), types.Array(types.float64, 1, "C", readonly=True))


@njit([types.float32[:, ::1](_DOUBLES)], cache=True, nogil=True)
def clean(features):
    """float64 (n, f) as float32, NaN as 0."""
    out = np.empty(features.shape, np.float32)
    for i in range(features.shape[0]):
        for j in range(features.shape[1]):
            value = features[i, j]
            out[i, j] = 0.0 if np.isnan(value) else value
    return out


@njit(
    [types.Tuple((types.int32[::1], types.int32[::1], types.float32[::1]))(types.int64, *_EDGES)],
    cache=True,
    nogil=True,
)
def compress(rows, edge_indices, edge_values):
    """Edges (2, e) with ascending rows as pointers int32 (rows + 1,), columns int32 (e,) and values float32 (e,)."""
    count = edge_values.size
    pointers, columns = np.zeros(rows + 1, np.int32), np.empty(count, np.int32)
    values = np.empty(count, np.float32)
    for e in range(count):
        pointers[edge_indices[0, e] + 1] += 1
        columns[e] = edge_indices[1, e]
        values[e] = edge_values[e]
    for i in range(rows):
        pointers[i + 1] += pointers[i]
    return pointers, columns, values
