"""The kernel of `LearnsysCache`: features, network, labels and replacement, one access at a time.

The state comes in four named tuples of arrays. Sizes: S sets of W ways, F features of an access (`ACCESS`), G of a
candidate at an eviction (`CANDIDATE`), D numbers in an embedding, H hidden units, B buckets, Q places for samples.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

ACCESS = 16
"""features of an access; what they are stands in features.py"""
CANDIDATE = 8
"""features of a resident line at an eviction"""
BUCKETS = 9
"""remaining distances, in sixteenths of the ways: up to 1, 2, 4, ..., 128, and beyond"""
RULES = 5
"""ways to turn a distribution over the buckets into a score: see `_score`"""
DECADES = 32
"""sets in a row among which each rule leads one"""

U8, U16, I32, U32, I64, U64, F32, F64 = (
    types.uint8,
    types.uint16,
    types.int32,
    types.uint32,
    types.int64,
    types.uint64,
    types.float32,
    types.float64,
)


class Cache(NamedTuple):
    """What is cached, and what is known of it."""

    tags: NDArray[np.int32]
    """(S, W) line ids, -1 where free; ways fill from the lowest"""
    at: NDArray[np.int32]
    """(S, W) index of the access that touched the line last"""
    when: NDArray[np.int32]
    """(S, W) the set's clock at that access"""
    reused: NDArray[np.uint8]
    """(S, W) hits since the line was inserted, at most 7"""
    caller: NDArray[np.uint32]
    """(S, W) hash of the PC of that access"""
    past: NDArray[np.uint32]
    """(S, W) hash of the line's last gaps and touches at that access"""
    page: NDArray[np.int32]
    """(S, W) the line's place among the pages"""
    access: NDArray[np.uint16]
    """(S, W, F) features of that access"""
    base: NDArray[np.float32]
    """(S, W, D) sum of their embeddings, as they were then"""
    clock: NDArray[np.int32]
    """(S,) accesses to the set"""
    rule: NDArray[np.uint8]
    """(S,) the rule that the set leads for, or RULES: it follows the best"""
    leaders: NDArray[np.float64]
    """(RULES, 2) recent misses and accesses of the sets that lead for each rule"""


class History(NamedTuple):
    """What is remembered of lines, pages and PCs: tables of fixed sizes, in which newer entries replace older ones."""

    line_key: NDArray[np.uint64]
    line_time: NDArray[np.int32]
    """set clock of the line's last access"""
    line_gaps: NDArray[np.uint8]
    """(places, 2) logarithms of the line's last two gaps"""
    line_touches: NDArray[np.uint8]
    line_caller: NDArray[np.uint32]
    page_time: NDArray[np.int32]
    """index of the last access to the page plus one, 0: none"""
    page_touches: NDArray[np.int32]
    page_caller: NDArray[np.uint32]
    pc_number: NDArray[np.int64]
    """last line number that the PC accessed"""
    pc_delta: NDArray[np.int64]
    set_caller: NDArray[np.uint32]
    """(S,) PC of the set's last access"""
    recent: NDArray[np.uint32]
    """(2,) the last two different PCs"""


class Network(NamedTuple):
    """Embeddings summed, one hidden layer, a softmax over the buckets."""

    table: NDArray[np.float32]
    """((F + G) * 2^bits, D) embeddings"""
    steps: NDArray[np.float32]
    """((F + G) * 2^bits,) Adagrad's sums of squares, one for each embedding"""
    hidden: NDArray[np.float32]
    """(H, D + 1) weights and biases"""
    output: NDArray[np.float32]
    """(B, H + 1)"""


class Samples(NamedTuple):
    """Candidates of past evictions that wait for their labels: a ring, and lists by line."""

    line: NDArray[np.int32]
    """(Q,) -1 where the sample has its label"""
    when: NDArray[np.int32]
    """(Q,) the set's clock at the eviction"""
    at: NDArray[np.int32]
    """(Q,) index of the eviction's access"""
    features: NDArray[np.uint16]
    """(Q, F + G)"""
    links: NDArray[np.int32]
    """(Q, 2) previous and next sample of the same bucket; a bucket b before its first sample is -2 - b, -1 ends it"""
    heads: NDArray[np.int32]
    """(power of two,) first sample of each bucket of lines, -1: none"""
    ends: NDArray[np.int64]
    """(4,) oldest, one past the newest, samples trained, state of the random numbers"""


def _signature(kind, *fields):
    return types.NamedTuple([types.Array(scalar, dims, "C") for scalar, dims in fields], kind)


CACHE = _signature(
    Cache, (I32, 2), (I32, 2), (I32, 2), (U8, 2), (U32, 2), (U32, 2), (I32, 2), (U16, 3), (F32, 3), (I32, 1), (U8, 1), (F64, 2)
)
HISTORY = _signature(
    History, (U64, 1), (I32, 1), (U8, 2), (U8, 1), (U32, 1), (I32, 1), (I32, 1), (U32, 1), (I64, 1), (I64, 1), (U32, 1), (U32, 1)
)
NETWORK = _signature(Network, (F32, 2), (F32, 1), (F32, 2), (F32, 2))
SAMPLES = _signature(Samples, (I32, 1), (I32, 1), (I32, 1), (U16, 2), (I32, 2), (I32, 1), (I64, 1))


@njit(inline="always")
def _mix(a, b, salt):
    h = np.uint64(a) * np.uint64(0x9E3779B97F4A7C15)
    h ^= (np.uint64(b) + np.uint64(0x7F4A7C15)) * np.uint64(0xC2B2AE3D27D4EB4F)
    h ^= np.uint64(salt) * np.uint64(0x165667B19E3779F9)
    h ^= h >> np.uint64(29)
    h *= np.uint64(0xBF58476D1CE4E5B9)
    return h ^ (h >> np.uint64(32))


@njit(inline="always")
def _log(x):
    """Binary digits of x: 0 for 0, 1 for 1, 2 for 2 and 3, ..."""
    n = 0
    while x > 0:
        n += 1
        x >>= 1
    return n


@njit(inline="always")
def _half_log(x):
    """As `_log`, with two steps for each power of two."""
    n = _log(x)
    return 2 * n + ((x >> (n - 2)) & 1) if n > 1 else 2 * n


@njit(inline="always")
def _bucket(distance, ways):
    return min(_log((max(distance, 1) * 16 + ways - 1) // ways - 1), BUCKETS - 1)


@njit(inline="always")
def _forward(net, x, hidden, p):
    """Hidden units and probabilities from the summed embeddings `x`."""
    width = x.size
    for j in range(hidden.size):
        s = net.hidden[j, width]
        for d in range(width):
            s += net.hidden[j, d] * x[d]
        hidden[j] = s if s > 0 else np.float32(0.1) * s
    top = np.float32(-1e30)
    for b in range(p.size):
        s = net.output[b, hidden.size]
        for j in range(hidden.size):
            s += net.output[b, j] * hidden[j]
        p[b] = s
        top = max(top, s)
    total = np.float32(0)
    for b in range(p.size):
        p[b] = np.exp(p[b] - top)
        total += p[b]
    for b in range(p.size):
        p[b] /= total


@njit(inline="always")
def _train(net, features, label, rate, bits, x, hidden, p, slope, down):
    """One step of gradient descent on the cross-entropy of one sample; Adagrad for embeddings, a fifth of the rate
    for the layers. `slope` (D,) and `down` (H,) are room to compute in."""
    width = x.size
    for d in range(width):
        x[d] = 0
    for f in range(features.size):
        row = net.table[(f << bits) + features[f]]
        for d in range(width):
            x[d] += row[d]
    _forward(net, x, hidden, p)
    p[label] -= np.float32(1)
    step = rate * np.float32(0.2)
    for j in range(hidden.size):
        down[j] = 0
    for b in range(p.size):
        g = p[b]
        for j in range(hidden.size):
            down[j] += g * net.output[b, j]
            net.output[b, j] -= step * g * hidden[j]
        net.output[b, hidden.size] -= step * g
    for d in range(width):
        slope[d] = 0
    for j in range(hidden.size):
        g = down[j] if hidden[j] > 0 else np.float32(0.1) * down[j]
        for d in range(width):
            slope[d] += g * net.hidden[j, d]
            net.hidden[j, d] -= step * g * x[d]
        net.hidden[j, width] -= step * g
    square = np.float32(0)
    for d in range(width):
        square += slope[d] * slope[d]
    square /= np.float32(width)
    for f in range(features.size):
        place = (f << bits) + features[f]
        net.steps[place] += square
        step = rate / np.sqrt(net.steps[place])
        row = net.table[place]
        for d in range(width):
            row[d] -= step * slope[d]


@njit(inline="always")
def _score(p, rule):
    """How soon a line comes back: the higher, the sooner. Rules: minus the mean bucket; the probabilities of buckets
    up to 8, 16 and 32 sixteenths; the best hit density, hits for the time that the line stays."""
    score = np.float32(0)
    if rule == 0:
        for b in range(p.size):
            score -= p[b] * np.float32(b)
    elif rule < 4:
        for b in range(rule + 3):
            score += p[b]
    else:
        time, left, hit = np.float32(0), np.float32(1), np.float32(0)
        edge = np.float32(0)
        for b in range(p.size - 1):
            following = np.float32(1 << b)
            time += (left - np.float32(0.5) * p[b]) * (following - edge)
            edge = following
            hit += p[b]
            left -= p[b]
            score = max(score, hit / time)
    return score


@njit(inline="always")
def _unlink(samples, q):
    """Take a sample out of its bucket's list."""
    before, after = samples.links[q, 0], samples.links[q, 1]
    if before < -1:
        samples.heads[-2 - before] = after
    else:
        samples.links[before, 1] = after
    if after >= 0:
        samples.links[after, 0] = before
    samples.line[q] = -1


@njit(inline="always")
def _describe(f, mask, number, caller, r, now, t, history):
    """Write the features of an access into `f` (F,), enter it into the history; the hash of its past, its page."""
    place = np.int64(_mix(number, 0, 1) & np.uint64(history.line_key.size - 1))
    known = history.line_key[place] == number + np.uint64(1)
    gap = now - history.line_time[place] if known else 0
    first = np.int64(_log(gap))
    second = np.int64(history.line_gaps[place, 0]) if known else 0
    third = np.int64(history.line_gaps[place, 1]) if known else 0
    touches = np.int64(history.line_touches[place]) if known else 0
    earlier = history.line_caller[place] if known else np.uint32(0)
    page = number >> np.uint64(6)
    leaf = np.int64(_mix(page, 0, 2) & np.uint64(history.page_time.size - 1))
    page_gap = np.int64(_log(t + 1 - history.page_time[leaf])) if history.page_time[leaf] > 0 else 40
    page_touches = np.int64(_log(history.page_touches[leaf]))
    own = np.int64(_mix(caller, 0, 3) & np.uint64(history.pc_number.size - 1))
    delta = np.int64(number) - history.pc_number[own]
    steady = 1000 if delta == history.pc_delta[own] else 0
    past = _mix(first * 64 + second, touches, 4)
    one, two = history.recent[0], history.recent[1]

    f[0] = _mix(caller, 0, 10) & mask
    f[1] = _mix(caller, first, 11) & mask
    f[2] = _mix(np.uint64(caller) * np.uint64(64) + np.uint64(first), second * 64 + third, 12) & mask
    f[3] = _mix(caller, earlier, 13) & mask
    f[4] = _mix(caller, one, 14) & mask
    f[5] = _mix(one, two, 15) & mask
    f[6] = _mix(page, 0, 16) & mask
    f[7] = _mix(page >> np.uint64(4), caller, 17) & mask
    f[8] = past & mask
    f[9] = _mix(caller, number & np.uint64(63), 19) & mask
    f[10] = _mix(np.uint64(caller) * np.uint64(64) + np.uint64(page_gap), page_touches, 20) & mask
    f[11] = _mix(caller, max(-64, min(64, delta)) + 100 + steady, 21) & mask
    f[12] = _mix(number, 0, 22) & mask
    f[13] = _mix(history.page_caller[leaf], caller, 23) & mask
    f[14] = _mix(caller, touches, 24) & mask
    f[15] = _mix(history.set_caller[r], caller, 25) & mask

    history.line_key[place] = number + np.uint64(1)
    history.line_time[place] = now
    history.line_gaps[place, 1] = second
    history.line_gaps[place, 0] = first
    history.line_touches[place] = min(touches + 1, 15)
    history.line_caller[place] = caller
    history.page_time[leaf] = t + 1
    history.page_touches[leaf] += 1
    history.page_caller[leaf] = caller
    history.pc_delta[own] = delta
    history.pc_number[own] = np.int64(number)
    history.set_caller[r] = caller
    if caller != one:
        history.recent[1] = one
        history.recent[0] = caller
    return np.uint32(past), leaf


@njit(
    types.void(
        types.Array(I32, 1, "C"), types.Array(I32, 1, "C"), types.Array(I32, 1, "C"), types.Array(U64, 1, "C"),
        types.Array(U64, 1, "C"), I64, types.Array(U8, 1, "C"), CACHE, HISTORY, NETWORK, SAMPLES,
        F32, I64, I64, I64, I64,
    ),
    cache=True,
    nogil=True,
    fastmath=True,
)
def run(
    line, row, pc, line_number, pc_value, start, hits, cache, history, net, samples,
    rate, draws, window, duel, only,
):
    """Advance everything over a chunk.

    Args:
        rate: step size; 0 learns nothing.
        draws: candidates of each eviction that become samples.
        window: accesses after which a sample counts as one that does not come back.
        duel: accesses of leading sets that the choice of the rule remembers.
        only: the rule of all sets, or -1: the best.
    """
    ways, width, units = cache.tags.shape[1], cache.base.shape[2], net.hidden.shape[0]
    bits = _log(net.steps.size // (ACCESS + CANDIDATE)) - 1
    mask = np.uint64((1 << bits) - 1)
    room = samples.line.size
    f = np.zeros(ACCESS, np.uint16)
    g = np.zeros((ways, CANDIDATE), np.uint16)
    x, slope = np.zeros(width, np.float32), np.zeros(width, np.float32)
    hidden, down = np.zeros(units, np.float32), np.zeros(units, np.float32)
    p = np.zeros(BUCKETS, np.float32)
    oldest, newest, trained = samples.ends[0], samples.ends[1], samples.ends[2]
    random = np.uint64(samples.ends[3])
    for i in range(line.size):
        t = start + i
        wanted, r = line[i], row[i]
        number = line_number[wanted]
        caller = np.uint32(_mix(pc_value[pc[i]], 0, 5))
        now = cache.clock[r] + 1
        cache.clock[r] = now

        # Labels: samples of this line come back now; samples older than the window do not.
        q = samples.heads[np.int64(_mix(wanted, 0, 6) & np.uint64(samples.heads.size - 1))]
        while q >= 0:
            following = samples.links[q, 1]
            if samples.line[q] == wanted:
                label = _bucket(now - samples.when[q], ways)
                _train(net, samples.features[q], label, rate, bits, x, hidden, p, slope, down)
                trained += 1
                _unlink(samples, q)
            q = following
        while oldest < newest and samples.at[oldest % room] < t - window:
            q = np.int32(oldest % room)
            if samples.line[q] >= 0:
                _train(net, samples.features[q], BUCKETS - 1, rate, bits, x, hidden, p, slope, down)
                trained += 1
                _unlink(samples, q)
            oldest += 1

        past, leaf = _describe(f, mask, number, caller, r, now, t, history)
        target = -1
        for way in range(ways):
            if cache.tags[r, way] == wanted or cache.tags[r, way] < 0:
                target = way
                break
        hit = target >= 0 and cache.tags[r, target] == wanted
        hits[i] = hit
        lead = cache.rule[r]
        if lead < RULES:
            keep = 1 - 1 / duel
            cache.leaders[lead, 0] = cache.leaders[lead, 0] * keep + (0 if hit else 1)
            cache.leaders[lead, 1] = cache.leaders[lead, 1] * keep + 1
        if target < 0:
            rule = only
            if only < 0:
                rule = np.int64(lead)
                if lead == RULES:
                    rule = 0
                    for other in range(1, RULES):
                        if (
                            cache.leaders[other, 0] * cache.leaders[rule, 1]
                            < cache.leaders[rule, 0] * cache.leaders[other, 1]
                        ):
                            rule = other
            lowest = np.float32(np.inf)
            for way in range(ways):
                rank = 0
                for other in range(ways):
                    rank += cache.at[r, other] > cache.at[r, way]
                age = np.int64(_half_log(now - cache.when[r, way]))
                page_age = np.int64(_half_log((t + 1 - history.page_time[cache.page[r, way]]) >> 4))
                reused, by = np.int64(cache.reused[r, way]), cache.caller[r, way]
                g[way, 0] = _mix(age, rank, 31) & mask
                g[way, 1] = _mix(by, age, 32) & mask
                g[way, 2] = _mix(page_age, age, 33) & mask
                g[way, 3] = _mix(reused, age, 34) & mask
                g[way, 4] = _mix(cache.past[r, way], age, 35) & mask
                g[way, 5] = _mix(caller, by, 36) & mask
                g[way, 6] = _mix(by, page_age, 37) & mask
                g[way, 7] = _mix(by, reused * 256 + rank, 38) & mask
                for d in range(width):
                    x[d] = cache.base[r, way, d]
                for k in range(CANDIDATE):
                    embedding = net.table[((ACCESS + k) << bits) + g[way, k]]
                    for d in range(width):
                        x[d] += embedding[d]
                _forward(net, x, hidden, p)
                score = _score(p, rule)
                if score < lowest:
                    lowest = score
                    target = way
            for _ in range(draws if rate > 0 else 0):
                if newest - oldest >= room:
                    break
                random ^= random << np.uint64(13)
                random ^= random >> np.uint64(7)
                random ^= random << np.uint64(17)
                way = np.int64((random >> np.uint64(33)) % np.uint64(ways))
                q = np.int32(newest % room)
                kept = cache.tags[r, way]
                samples.line[q], samples.when[q], samples.at[q] = kept, now, t
                for k in range(ACCESS):
                    samples.features[q, k] = cache.access[r, way, k]
                for k in range(CANDIDATE):
                    samples.features[q, ACCESS + k] = g[way, k]
                bucket = np.int32(_mix(kept, 0, 6) & np.uint64(samples.heads.size - 1))
                after = samples.heads[bucket]
                samples.links[q, 0], samples.links[q, 1] = -2 - bucket, after
                if after >= 0:
                    samples.links[after, 0] = q
                samples.heads[bucket] = q
                newest += 1

        cache.tags[r, target] = wanted
        cache.at[r, target] = t
        cache.when[r, target] = now
        cache.reused[r, target] = min(cache.reused[r, target] + 1, 7) if hit else 0
        cache.caller[r, target] = caller
        cache.past[r, target] = past
        cache.page[r, target] = leaf
        for d in range(width):
            cache.base[r, target, d] = 0
        for k in range(ACCESS):
            cache.access[r, target, k] = f[k]
            embedding = net.table[(k << bits) + f[k]]
            for d in range(width):
                cache.base[r, target, d] += embedding[d]
    samples.ends[0], samples.ends[1], samples.ends[2] = oldest, newest, trained
    samples.ends[3] = np.int64(random)
