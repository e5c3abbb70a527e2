"""The network of the learned cache policies: hashed features, hazards of return, and what a place is worth.

When will a line be accessed again? The network answers with hazards: of a line that has not come back by the edge of
an interval, the probability that it does within the next one. Products of them make the distribution of the time of
return, without a choice of its shape, and a line that is still away tells as much as one that came back: each interval
that it outlived is a sample. What a place in the cache is worth is then the Gittins index of the line in it,

    max over horizons T of P(back within T) / E[time until back, T at most],

the most hits for each unit of time in which the place is taken. (Beckmann and Sanchez call its mean over a class of
lines hit density; LHD, NSDI 2018.) It ranks a sure late return above an improbable early one, which an expected
distance does not, and it grows as a line of a long loop nears its return, so that loops keep what they have.

Shapes: D numbers in an embedding, H hidden units, K intervals.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

EDGES = np.array([0.5, 1, 2, 4, 6, 8, 12, 16], np.float32)
"""ends of the intervals of return, in units of the cache's size; they begin at 0"""
FIRST_SQUARE = np.float32(0.1)
"""what Adagrad's sums begin at"""


class Network(NamedTuple):
    """Embeddings, summed; a hidden layer of leaky rectifiers; a logit for each interval."""

    table: NDArray[np.float32]
    """(features * 2^bits, D) embeddings; the last number is Adagrad's sum of squared slopes, and not summed"""
    hidden: NDArray[np.float32]
    """(H, D + 1) weights, and biases in the last column"""
    output: NDArray[np.float32]
    """(K, H + 1) the same for the logits"""


def untrained(features: int, bits: int, embedding: int, hidden: int, rng: np.random.Generator) -> Network:
    """A network that expects about one line in eight to return in each interval. Embeddings begin at 0."""
    table = np.zeros((features << bits, embedding), np.float32)
    table[:, -1] = FIRST_SQUARE
    weights = np.zeros((hidden, embedding + 1), np.float32)
    weights[:, :-1] = rng.normal(scale=embedding**-0.5, size=(hidden, embedding))
    output = np.zeros((EDGES.size, hidden + 1), np.float32)
    output[:, :-1] = rng.normal(scale=0.3 * hidden**-0.5, size=(EDGES.size, hidden))
    output[:, -1] = -2
    return Network(table, weights, output)


@njit(inline="always")
def mix(a, b, salt):
    """A hash of two numbers, uint64."""
    h = np.uint64(a) * np.uint64(0x9E3779B97F4A7C15)
    h ^= (np.uint64(b) + np.uint64(0x7F4A7C15)) * np.uint64(0xC2B2AE3D27D4EB4F)
    h ^= np.uint64(salt) * np.uint64(0x165667B19E3779F9)
    h ^= h >> np.uint64(29)
    h *= np.uint64(0xBF58476D1CE4E5B9)
    return h ^ (h >> np.uint64(32))


@njit(inline="always")
def log(x):
    """Binary digits of x: 0 for 0, 1 for 1, 2 for 2 and 3, ..."""
    n = 0
    while x > 0:
        n += 1
        x >>= 1
    return n


@njit(inline="always")
def half_log(x):
    """As `log`, with two steps for each power of two."""
    n = log(x)
    return 2 * n + ((x >> (n - 2)) & 1) if n > 1 else 2 * n


@njit(inline="always")
def shuffled(random):
    """The next state of random numbers (Marsaglia's xorshift), uint64."""
    random ^= random << np.uint64(13)
    random ^= random >> np.uint64(7)
    return random ^ (random << np.uint64(17))


@njit(cache=True, nogil=True, fastmath=True)
def embed(net, features, first, bits, x):
    """Add the embeddings of `features`, which are the network's from number `first` on, to `x` (D,)."""
    for k in range(features.size):
        embedding = net.table[((first + k) << bits) + features[k]]
        for d in range(x.size):
            x[d] += embedding[d]
    x[x.size - 1] = 0


@njit(inline="always")
def _activate(net, x, hidden):
    width = x.size
    for j in range(hidden.size):
        h = net.hidden[j, width]
        for d in range(width):
            h += net.hidden[j, d] * x[d]
        hidden[j] = h if h > 0 else np.float32(0.1) * h


@njit(inline="always")
def _hazard(net, hidden, k):
    s = net.output[k, hidden.size]
    for j in range(hidden.size):
        s += net.output[k, j] * hidden[j]
    return np.float32(1) / (np.float32(1) + np.exp(-s))


@njit(cache=True, nogil=True, fastmath=True)
def index(net, x, hidden, edges):
    """What a line is worth: the Gittins index for summed embeddings `x` (D,) and `edges` (K,) in units of time.

    Within an interval lines are taken to return in its middle. `hidden` (H,) is room to compute in.
    """
    _activate(net, x, hidden)
    away, held, low, best = np.float32(1), np.float32(0), np.float32(0), np.float32(0)
    for k in range(edges.size):
        hazard = _hazard(net, hidden, k)
        held += away * (edges[k] - low) * (np.float32(1) - np.float32(0.5) * hazard)
        low = edges[k]
        away -= away * hazard
        best = max(best, (np.float32(1) - away) / held)
    return best


@njit(inline="always")
def interval(time, edges):
    """The interval in which `time` lies, the number of `edges` (K,) below it."""
    k = 0
    while k < edges.size and time > edges[k]:
        k += 1
    return k


@njit(cache=True, nogil=True, fastmath=True)
def train(net, features, first, last, back, rate, bits, x, hidden, slope, down):
    """One step down the cross-entropy of the hazards of a line that was still away at the end of interval first - 1.

    It outlived the intervals up to last - 1, and if `back`, returned in `last`. Adagrad for embeddings, a fifth of the
    rate for the layers. `x`, `slope` (D,) and `hidden`, `down` (H,) are room to compute in.
    """
    width, units = x.size, hidden.size
    x[:] = 0
    embed(net, features, 0, bits, x)
    _activate(net, x, hidden)
    step = rate * np.float32(0.2)
    down[:] = 0
    for k in range(first, last + back):
        error = _hazard(net, hidden, k) - np.float32(k == last)
        for j in range(units):
            down[j] += error * net.output[k, j]
            net.output[k, j] -= step * error * hidden[j]
        net.output[k, units] -= step * error
    slope[:] = 0
    for j in range(units):
        if hidden[j] <= 0:
            down[j] *= np.float32(0.1)
        for d in range(width):
            slope[d] += down[j] * net.hidden[j, d]
            net.hidden[j, d] -= step * down[j] * x[d]
        net.hidden[j, width] -= step * down[j]
    slope[width - 1] = 0
    square = np.float32(0)
    for d in range(width):
        square += slope[d] * slope[d]
    square /= np.float32(width - 1)
    for k in range(features.size):
        embedding = net.table[(k << bits) + features[k]]
        embedding[width - 1] += square
        step = rate / np.sqrt(embedding[width - 1])
        for d in range(width):
            embedding[d] -= step * slope[d]
