"""Random numbers inside kernels whose stream does not depend on how often the kernel is left and entered again.

Numba keeps compiled kernels by the time stamp of their own file: after a change here, touch the files that use it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit
from numpy.typing import NDArray

RNG = "uint64[::1]"


@njit([f"uint64({RNG})"], cache=True, nogil=True)
def bits(state):
    """The next 64 bits of splitmix64 (Steele, Lea and Flood, OOPSLA 2014), whose state is `state[0]`."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    mixed = state[0]
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


@njit([f"int64({RNG}, int64)"], cache=True, nogil=True)
def below(state, n):
    """A number from 0 to n - 1, for n up to 2^31 (Lemire's product; the bias is below 2^-32 n)."""
    return np.int64(((bits(state) >> np.uint64(32)) * np.uint64(n)) >> np.uint64(32))


@njit([f"float64({RNG})"], cache=True, nogil=True)
def unit(state):
    """A number from 0 (included) to 1 (excluded)."""
    return np.float64(bits(state) >> np.uint64(11)) * 2.0**-53


def seeded(seed: int) -> np.ndarray:
    """A state that belongs to a seed, uint64 (1,)."""
    return np.random.SeedSequence(seed).generate_state(1, np.uint64)


def stream_seeds(seed: int, numbers: Sequence[int] | range) -> NDArray[np.uint64]:
    """The seeds of streams `numbers` that belong to `seed`."""
    return np.array([np.random.SeedSequence([seed, n]).generate_state(1, np.uint64)[0] for n in numbers], np.uint64)
