"""The arithmetic of `Khalil2016`, on an LP that has been read already; no call to SCIP."""

from __future__ import annotations

import numpy as np
from numba import njit

ALL_STATIC = 18
ALL = 72
RATIO_FLOOR = 1e-5
"""Pseudocosts below this count as this in their ratio."""


@njit(["void(float64[::1], int64, float64[:, ::1], int64, int64)"], cache=True, nogil=True)
def _spread(values, n, out, i, at):
    """out[i, at:at+4] <- mean, standard deviation, minimum, maximum of the first n values; 0 where there is none."""
    mean = deviation = least = most = 0.0
    if n > 0:
        least = most = values[0]
        for k in range(n):
            mean += values[k]
            least, most = min(least, values[k]), max(most, values[k])
        mean /= n
        for k in range(n):
            deviation += (values[k] - mean) ** 2
        deviation = np.sqrt(deviation / n)
    out[i, at], out[i, at + 1], out[i, at + 2], out[i, at + 3] = mean, deviation, least, most


@njit(["UniTuple(int64[::1], 2)(int64[::1], int64[::1], int64)"], cache=True, nogil=True)
def by_column(start, column, n):
    """Column starts (n + 1,) and, column by column, the places of its entries in the row-wise arrays."""
    begin = np.zeros(n + 1, np.int64)
    for j in column:
        begin[j + 1] += 1
    for j in range(n):
        begin[j + 1] += begin[j]
    place = begin[:-1].copy()
    entries = np.empty(column.size, np.int64)
    for e in range(column.size):
        entries[place[column[e]]] = e
        place[column[e]] += 1
    return begin, entries


@njit(["int64[::1](int64[::1])"], cache=True, nogil=True)
def rows_of_entries(start):
    rows = np.empty(start[-1], np.int64)
    for i in range(start.size - 1):
        rows[start[i] : start[i + 1]] = i
    return rows


@njit(
    ["float64[:, ::1](float64[::1], int64[::1], int64[::1], float64[::1], int64[::1], int64[::1])"],
    cache=True,
    nogil=True,
)
def static_features(objective, nonzeros, row, coefficient, begin, entries):
    """Columns 0 to 17 of every variable, (n, 18)."""
    n = objective.size
    out = np.zeros((n, ALL_STATIC))
    scratch = np.empty(max(1, np.max(begin[1:] - begin[:-1]) if n else 0))
    for j in range(n):
        out[j, 0] = objective[j]
        out[j, 1] = max(objective[j], 0.0)
        out[j, 2] = min(objective[j], 0.0)
        degree = begin[j + 1] - begin[j]
        out[j, 3] = degree
        for k in range(degree):
            scratch[k] = nonzeros[row[entries[begin[j] + k]]]
        _spread(scratch, degree, out, j, 4)
        for sign, at in ((1.0, 8), (-1.0, 13)):
            count = 0
            for k in range(begin[j], begin[j + 1]):
                value = coefficient[entries[k]]
                if sign * value > 0.0:
                    scratch[count] = value
                    count += 1
            out[j, at] = count
            _spread(scratch, count, out, j, at + 1)
    return out


@njit(["float64(float64, float64)"], cache=True, nogil=True)
def _quotient(x, y):
    return x / y if y != 0.0 else 0.0


@njit(["void(float64[:, ::1], int64, float64, float64, float64[:])"], cache=True, nogil=True)
def _history_features(out, i, value, feastol, history):
    """Columns 18 to 28. `history`: pseudocost up and down, cutoffs up and down, branchings up and down."""
    below = value - np.floor(value + feastol)
    above = 1.0 - below
    up, down = above * history[0], below * history[1]
    up_floor, down_floor = max(up, RATIO_FLOOR), max(down, RATIO_FLOOR)
    out[i, 18] = min(below, above)
    out[i, 19] = above
    out[i, 20] = up
    out[i, 21] = down
    out[i, 22] = min(up_floor, down_floor) / max(up_floor, down_floor)
    out[i, 23] = up + down
    out[i, 24] = up * down
    out[i, 25] = history[2]
    out[i, 26] = history[3]
    out[i, 27] = _quotient(history[2], history[4])
    out[i, 28] = _quotient(history[3], history[5])


@njit(
    ["void(float64[:, ::1], int64, int64[::1], int64[::1], float64[::1], float64[:, ::1], float64)"],
    cache=True,
    nogil=True,
)
def _ratio_features(out, i, places, row, coefficient, sums, infinity):
    """Columns 36 to 47. `sums`: per row, left and right side, sums of positive and of negative coefficients."""
    for at in (36, 38):
        out[i, at], out[i, at + 1] = 1.0, -1.0
    for at in (40, 42, 44, 46):
        out[i, at], out[i, at + 1] = 1.0, 0.0
    for e in places:
        a = coefficient[e]
        left, right, positive, negative = sums[row[e], 0], sums[row[e], 1], sums[row[e], 2], sums[row[e], 3]
        for side, value in ((right, a), (-left, -a)):
            if abs(side) < infinity:
                at = 36 if side >= 0.0 else 38
                ratio = value / (abs(value) + abs(side))
                out[i, at], out[i, at + 1] = min(out[i, at], ratio), max(out[i, at + 1], ratio)
        if a > 0.0:
            to_positive, to_negative, at = a / positive, a / (a - negative), 40
        else:
            to_positive, to_negative, at = a / (a - positive), a / negative, 44
        out[i, at], out[i, at + 1] = min(out[i, at], to_positive), max(out[i, at + 1], to_positive)
        out[i, at + 2], out[i, at + 3] = min(out[i, at + 2], to_negative), max(out[i, at + 3], to_negative)


@njit(
    [
        "float64[:, ::1](int64[::1], boolean[::1], float64[:, ::1], float64[::1], float64[:, ::1], int64[::1], "
        "int64[::1], float64[::1], int64[::1], int64[::1], float64[:, ::1], float64[::1], float64[::1], float64, "
        "float64, float64)"
    ],
    cache=True,
    nogil=True,
)
def features(
    wanted,
    is_candidate,
    static,
    value,
    history,
    start,
    row,
    coefficient,
    begin,
    entries,
    sides,
    activity,
    dual,
    infinity,
    epsilon,
    feastol,
):
    """All 72 features of the `wanted` variables, (k, 72).

    Args:
        is_candidate: (n,) whether a variable counts in the third weighting.
        static, history: (k, 18) and (k, 6), of the wanted ones.
        value: (n,) LP solution.
        start, row, coefficient: the LP's entries row by row; begin, entries: their places column by column.
        sides: (m, 2) left and right.
        activity, dual: (m,).
    """
    m = start.size - 1
    sums = np.zeros((m, 4))
    weights = np.ones((m, 4))
    active = np.zeros(m, np.bool_)
    for i in range(m):
        sums[i, 0], sums[i, 1] = sides[i, 0], sides[i, 1]
        active[i] = abs(activity[i] - sides[i, 0]) <= epsilon or abs(activity[i] - sides[i, 1]) <= epsilon
        weights[i, 3] = abs(dual[i])
    of_all, of_candidates = np.zeros(m), np.zeros(m)
    for j in range(value.size):
        for e in entries[begin[j] : begin[j + 1]]:
            i, a = row[e], coefficient[e]
            sums[i, 2 if a > 0.0 else 3] += a
            of_all[i] += abs(a)
            if is_candidate[j]:
                of_candidates[i] += abs(a)
    for i in range(m):
        if of_all[i] != 0.0:
            weights[i, 1] = 1.0 / of_all[i]
        if of_candidates[i] != 0.0:
            weights[i, 2] = 1.0 / of_candidates[i]

    out = np.empty((wanted.size, ALL))
    scratch = np.empty(max(1, np.max(begin[1:] - begin[:-1]) if value.size else 0))
    for i in range(wanted.size):
        j = wanted[i]
        places = entries[begin[j] : begin[j + 1]]
        out[i, :ALL_STATIC] = static[i]
        _history_features(out, i, value[j], feastol, history[i])
        for k in range(places.size):
            scratch[k] = start[row[places[k]] + 1] - start[row[places[k]]]
        _spread(scratch, places.size, out, i, 29)
        for at, dynamic, root in ((33, 29, 4), (34, 31, 6), (35, 32, 7)):
            out[i, at] = _quotient(out[i, dynamic], out[i, root] + out[i, dynamic])
        _ratio_features(out, i, places, row, coefficient, sums, infinity)
        for w in range(4):
            at = 48 + 6 * w
            count = 0
            weight = 0.0
            total = 0.0
            for e in places:
                if active[row[e]]:
                    weight += weights[row[e], w]
                    scratch[count] = weights[row[e], w] * abs(coefficient[e])
                    total += scratch[count]
                    count += 1
            out[i, at], out[i, at + 1] = weight, total
            _spread(scratch, count, out, i, at + 2)
    return out
