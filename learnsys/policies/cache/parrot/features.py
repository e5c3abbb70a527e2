"""What a line's own past tells of its next use: causal numbers for each access, none of which an eviction can change.

The features of a cached line are those of the access that last touched it, and its age. They are what the paper's
model lacks: they tell apart lines and code that training never saw, and they follow the program from phase to phase.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from learnsys.envs.cache.accesses import Accesses

HORIZONS = (1 / 8, 1 / 2, 2, 8)
"""spans, in multiples of the cache's lines, within which a line may or may not be used again"""
PAGE_BITS = 6
"""log2 of the lines in a page"""
PAST = 3 + 2 * len(HORIZONS)
"""features of an access"""
OWN = 2
"""features of a cached line that change as time goes by: its age and its rank by recency"""
FEATURES = OWN + PAST
"""features of a cached line: those, and its last access's"""
_FIRST = 24.0
"""log2 of the gap given to a line without one"""
_PC_RATE, _PAGE_RATE = 1 / 64, 1 / 16
"""weights of the newest observation in the running averages"""


@njit(
    [
        "void(int32[:], int32[:], int32[:], int32[:], int64[:], float32[:], int32[:], float32[:, :], float32[:, :], "
        "float32[:, :])"
    ],
    cache=True,
    nogil=True,
)
def _past(line, pc, page, next_use, horizons, last_gap, last, of_pc, of_page, out):
    """Fill `out` (n, PAST); the other arrays are the state: per line, PC and page.

    Looking at `next_use` of the access `horizon` accesses ago only tells whether it was used again by now.
    """
    count = np.zeros(last.size, np.float32)
    j_end = horizons.size
    for t in range(line.size):
        for j in range(j_end):
            s = t - horizons[j]
            if s >= 0:
                again = np.float32(1 if next_use[s] <= t else 0)
                of_pc[pc[s], j] += np.float32(_PC_RATE) * (again - of_pc[pc[s], j])
                of_page[page[s], j] += np.float32(_PAGE_RATE) * (again - of_page[page[s], j])
        wanted = line[t]
        gap = np.float32(_FIRST)
        if last[wanted] >= 0:
            gap = np.log2(np.float32(t - last[wanted]))
        count[wanted] += 1
        out[t, 0] = gap / 8
        out[t, 1] = last_gap[wanted] / 8
        out[t, 2] = np.log2(count[wanted]) / 4
        for j in range(j_end):
            out[t, 3 + j] = of_pc[pc[t], j]
            out[t, 3 + j_end + j] = of_page[page[t], j]
        last_gap[wanted] = gap
        last[wanted] = t


@njit(inline="always")
def fill_own(time, touched, way, out):
    """The first `OWN` features of the line in `way` of a set `touched` (ways,)."""
    touch = touched[way]
    younger = 0
    for other in range(touched.size):
        younger += touched[other] > touch
    out[0] = np.log2(np.float32(max(time - touch, 1))) / np.float32(8)
    out[1] = np.float32(younger) / np.float32(touched.size)


@njit(["void(int64[:], int32[:, :], float32[:, :], float32[:, :, :])"], cache=True, nogil=True)
def _of_lines(times, touched, past, out):
    for i in range(times.size):
        for way in range(touched.shape[1]):
            touch = touched[i, way]
            if touch < 0:
                out[i, way] = 0
                continue
            fill_own(times[i], touched[i], way, out[i, way])
            for f in range(past.shape[1]):
                out[i, way, OWN + f] = past[touch, f]


def unknown_past() -> NDArray[np.float32]:
    """The features of an access of which nothing before is known, float32 (PAST,)."""
    return np.array([_FIRST / 8, _FIRST / 8, 0, *[0.5] * (PAST - 3)], np.float32)


def past_of(accesses: Accesses, cache_lines: int) -> NDArray[np.float32]:
    """The features of each access, float32 (n, PAST), for a cache of `cache_lines` lines.

    In columns: log2 of the gap to the line's last access (eighths), of the gap before that, log2 of the accesses to
    the line so far (quarters); then for each horizon the share of the accesses by the same instruction whose line
    was used again within it, and the same for the accesses to the same page.
    """
    number, page = np.unique(accesses.line_number >> np.uint64(PAGE_BITS), return_inverse=True)
    out = np.empty((len(accesses), PAST), np.float32)
    lines = accesses.line_number.size
    _past(
        accesses.line,
        accesses.pc,
        page.astype(np.int32)[accesses.line],
        accesses.next_use,
        np.array([max(1, round(cache_lines * share)) for share in HORIZONS]),
        np.full(lines, _FIRST, np.float32),
        np.full(lines, -1, np.int32),
        np.full((accesses.pc_value.size, len(HORIZONS)), 0.5, np.float32),
        np.full((number.size, len(HORIZONS)), 0.5, np.float32),
        out,
    )
    return out


def line_features(
    times: NDArray[np.int64], touched: NDArray[np.int32], past: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Features of the lines of sets `touched` (n, ways) at `times` (n,), float32 (n, ways, FEATURES).

    Before those of the last touch: log2 of the accesses since it (eighths), and the share of ways touched later.
    Free ways have zeros.
    """
    out = np.empty((*touched.shape, OWN + past.shape[1]), np.float32)
    _of_lines(times, touched, past, out)
    return out
