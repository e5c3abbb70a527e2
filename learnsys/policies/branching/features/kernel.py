"""Kernels of the feature policies: the matrix that they see, and the sum of regression trees."""

from __future__ import annotations

import numpy as np
from numba import njit, types

LARGEST = 1e30
"""features are kept within this, so that differences stay finite in float32"""

_FLOATS = types.float32[:, ::1]
_TREES = (
    types.int32[::1],
    types.int32[::1],
    types.float64[::1],
    types.int32[::1],
    types.int32[::1],
    types.float64[::1],
)


@njit(_FLOATS(types.Array(types.float32, 2, "C", readonly=True)), cache=True, nogil=True)
def feature_matrix(raw):
    """(k, 2 f) from (k, f): the features scaled to [0, 1] among the candidates (0 where all are equal), then as they
    are.
    """
    k, f = raw.shape
    out = np.empty((k, 2 * f), np.float32)
    for j in range(f):
        low = high = raw[0, j]
        for i in range(1, k):
            low = min(low, raw[i, j])
            high = max(high, raw[i, j])
        width = high - low
        for i in range(k):
            out[i, j] = (raw[i, j] - low) / width if width > 0 else np.float32(0)
            out[i, f + j] = raw[i, j]
    return out


@njit(types.float64[::1](_FLOATS, *_TREES), cache=True, nogil=True)
def sum_of_trees(matrix, roots, feature, threshold, left, right, value):
    """float64 (k,): for each row the sum of its leaves' values over all trees.

    Args:
        matrix: float32 (k, features).
        roots: int32 (trees,), the root node of each.
        feature: int32 (nodes,), -1 for a leaf.
        threshold: float64 (nodes,): at most that goes left.
        left, right: int32 (nodes,).
        value: float64 (nodes,), of leaves.
    """
    out = np.zeros(len(matrix))
    for i in range(len(matrix)):
        row = matrix[i]
        total = 0.0
        for root in roots:
            node = root
            while feature[node] >= 0:
                node = left[node] if row[feature[node]] <= threshold[node] else right[node]
            total += value[node]
        out[i] = total
    return out
