"""The kernels that write observations, one row for each lane. `observations.py` says what the columns mean."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

_BLOCK_LINES = 64
"""lines in a 4 KiB page of 64-byte lines"""


@njit(inline="always")
def _rank(touched, way):
    """How many ways were touched after `way`: 0 for the most recently used."""
    later = 0
    for other in range(touched.size):
        later += touched[other] > touched[way]
    return later


@njit(
    [
        "void(int64[:], int64[:], int64[:], int32[:], int32[:], int32[:], uint64[:], uint64[:], int64, int64, "
        "int32[:, :], int32[:, :], uint64[:, :], uint64[:, :], int32[:, :], uint64[:, :], uint64[:, :], int32[:, :], "
        "int32[:, :], int8[:, :], uint64[:, :], uint64[:, :], int8[:, :])"
    ],
    cache=True,
    nogil=True,
)
def raw_kernel(
    time,
    begin,
    cache_row,
    line,
    pc,
    previous,
    line_number,
    pc_value,
    line_bits,
    sets,
    tags,
    touched,
    out_pc,
    out_address,
    out_set,
    line_pc,
    line_address,
    line_age,
    line_recency,
    line_held,
    history_pc,
    history_address,
    history_held,
):
    shift = np.uint64(line_bits)
    for lane in range(time.size):
        t = time[lane]
        if t < 0:
            continue
        number = line_number[line[t]]
        out_pc[lane, 0] = pc_value[pc[t]]
        out_address[lane, 0] = number << shift
        out_set[lane, 0] = number & np.uint64(sets - 1)
        r = cache_row[lane]
        for way in range(tags.shape[1]):
            last = touched[r, way]
            if last < 0:
                continue
            line_pc[lane, way] = pc_value[pc[last]]
            line_address[lane, way] = line_number[tags[r, way]] << shift
            line_age[lane, way] = t - last
            line_recency[lane, way] = _rank(touched[r], way)
            line_held[lane, way] = 1
        at = t
        for place in range(history_held.shape[1] - 1, -1, -1):
            if at < begin[lane]:
                break
            history_pc[lane, place] = pc_value[pc[at]]
            history_address[lane, place] = line_number[line[at]] << shift
            history_held[lane, place] = 1
            at = previous[at] if previous.size else at - 1


@njit(inline="always")
def _code(value, out):
    """Pseudo-random signs that stand for a 64-bit number (the finaliser of splitmix64, Steele et al. 2014)."""
    mixed = value + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    for bit in range(out.size):
        out[bit] = 1.0 if (mixed >> np.uint64(bit)) & np.uint64(1) else -1.0


@njit(inline="always")
def _delta(number, other):
    """Signed logarithm of the distance between two lines, in [-1, 1]."""
    distance = np.float64(number) - np.float64(other)
    size = math.log2(1.0 + abs(distance)) / 64.0
    return size if distance >= 0 else -size


@njit(inline="always")
def _gap(previous_use, t, begin):
    """Logarithm of the time between access t and the previous one to its line, in [0, 1]; 1 if there was none."""
    return math.log2(1.0 + t - previous_use[t]) / 31.0 if previous_use[t] >= begin else 1.0


@njit(
    [
        "void(int64[:], int64[:], int64[:], int32[:], int32[:], int32[:], int32[:], uint64[:], uint64[:], int32[:, :], "
        "int32[:, :], int64, float32[:, :], float32[:, :, :], float32[:, :, :])"
    ],
    cache=True,
    nogil=True,
)
def feature_kernel(
    time,
    begin,
    cache_row,
    line,
    pc,
    previous_use,
    previous,
    line_number,
    pc_value,
    tags,
    touched,
    bits,
    access,
    lines,
    history,
):
    ways = tags.shape[1]
    for lane in range(time.size):
        t = time[lane]
        if t < 0:
            continue
        first = begin[lane]
        number = line_number[line[t]]
        access[lane, 0] = _gap(previous_use, t, first)
        access[lane, 1] = np.float64(number % np.uint64(_BLOCK_LINES)) / (_BLOCK_LINES - 1)
        _code(pc_value[pc[t]], access[lane, 2 : 2 + bits])
        _code(number, access[lane, 2 + bits :])
        r = cache_row[lane]
        for way in range(ways):
            last = touched[r, way]
            if last < 0:
                continue
            features = lines[lane, way]
            features[0] = 1.0
            features[1] = _rank(touched[r], way) / max(1, ways - 1)
            features[2] = math.log2(1.0 + t - last) / 31.0
            features[3] = _gap(previous_use, last, first)
            features[4] = _delta(line_number[tags[r, way]], number)
            _code(pc_value[pc[last]], features[5 : 5 + bits])
            _code(line_number[tags[r, way]], features[5 + bits :])
        at = t
        for place in range(history.shape[1] - 1, -1, -1):
            if at < first:
                break
            features = history[lane, place]
            features[0] = 1.0
            features[1] = _delta(line_number[line[at]], number)
            _code(pc_value[pc[at]], features[2 : 2 + bits])
            _code(line_number[line[at]], features[2 + bits :])
            at = previous[at] if previous.size else at - 1
