"""The kernel of `LearnsysCache`: features, network, labels and replacement, one access at a time."""

from __future__ import annotations

import numpy as np
from numba import njit, types

from learnsys.policies.cache.learned.state import ACCESS, CANDIDATE, QUANTA, signatures

_GROUPS = signatures()


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
def _embed(net, features, first, bits, x):
    """Add the embeddings of `features`, which are the network's from number `first` on, to `x` (D,)."""
    for k in range(features.size):
        embedding = net.table[((first + k) << bits) + features[k]]
        for d in range(x.size):
            x[d] += embedding[d]


@njit(inline="always")
def _forward(net, x, hidden):
    """The probability for summed embeddings `x` (D,); fills the hidden units (H,)."""
    width, units = x.size, hidden.size
    s = net.output[units]
    for j in range(units):
        h = net.hidden[j, width]
        for d in range(width):
            h += net.hidden[j, d] * x[d]
        hidden[j] = h if h > 0 else np.float32(0.1) * h
        s += net.output[j] * hidden[j]
    return np.float32(1) / (np.float32(1) + np.exp(-s))


@njit(inline="always")
def _train(net, features, kept, rate, bits, x, hidden, slope):
    """One step down the cross-entropy of a sample: Adagrad for embeddings, a fifth of the rate for the layers.

    `x`, `slope` (D,) and `hidden` (H,) are room to compute in; `slope` is left as the loss's by `x`.
    """
    width, units = x.size, hidden.size
    x[:] = 0
    _embed(net, features, 0, bits, x)
    error = _forward(net, x, hidden) - np.float32(kept)
    step = rate * np.float32(0.2)
    slope[:] = 0
    for j in range(units):
        down = error * net.output[j] * (np.float32(1) if hidden[j] > 0 else np.float32(0.1))
        net.output[j] -= step * error * hidden[j]
        for d in range(width):
            slope[d] += down * net.hidden[j, d]
            net.hidden[j, d] -= step * down * x[d]
        net.hidden[j, width] -= step * down
    net.output[units] -= step * error
    square = np.float32(0)
    for d in range(width):
        square += slope[d] * slope[d]
    square /= np.float32(width)
    for k in range(features.size):
        place = (k << bits) + features[k]
        net.squares[place] += square
        step = rate / np.sqrt(net.squares[place])
        embedding = net.table[place]
        for d in range(width):
            embedding[d] -= step * slope[d]


@njit(inline="always")
def _optimal(occupancy, before, now, capacity):
    """OPTgen: whether MIN keeps a line from clock `before` to `now`; if so, account for it."""
    if now - before >= QUANTA:
        return False
    for clock in range(before, now):
        if occupancy[clock % QUANTA] >= capacity:
            return False
    for clock in range(before, now):
        occupancy[clock % QUANTA] += np.uint8(1)
    return True


@njit(inline="always")
def _sixteenths(distance, ways):
    """log2 of a reuse distance in sixteenths of the ways, at most 8."""
    return min(np.float32(np.log2(np.float32(max(distance, 1) * 16 / ways))), np.float32(8))


@njit(inline="always")
def _line_place(history, number):
    return np.int64(_mix(number, 0, 1) & np.uint64(history.line_key.size - 1))


@njit(inline="always")
def _outcome(occupancy, history, place, number, now, ways):
    """Whether MIN kept the line accessed at clock `now` since its last access; trains the priors of that access."""
    occupancy[now % QUANTA] = 0
    if history.line_key[place] != number + np.uint64(1):
        return 0
    before, prior = history.line_time[place], history.line_prior[place]
    kept = np.int64(_optimal(occupancy, before, now, ways))
    history.counter[prior] = max(0, min(31, history.counter[prior] + 2 * kept - 1))
    history.distance[prior] += (_sixteenths(now - before, ways) - history.distance[prior]) / np.float32(16)
    return kept


@njit(inline="always")
def _evicted_in_vain(history, prior, age, ways):
    """A line is evicted unused: what the priors expected of it did not come."""
    if history.counter[prior] >= 16:
        history.counter[prior] -= 1
    if _sixteenths(age, ways) > history.distance[prior]:
        history.distance[prior] += (np.float32(8) - history.distance[prior]) / np.float32(16)


@njit(inline="always")
def _list_of(samples, line):
    return np.int32(_mix(line, 0, 6) & np.uint64(samples.heads.size - 1))


@njit(inline="always")
def _link(samples, q, line):
    """Put sample `q` of a line in front of its list."""
    head = _list_of(samples, line)
    after = samples.heads[head]
    samples.line[q] = line
    samples.links[q, 0], samples.links[q, 1] = -2 - head, after
    if after >= 0:
        samples.links[after, 0] = q
    samples.heads[head] = q


@njit(inline="always")
def _unlink(samples, q):
    """Take sample `q` out of its list."""
    before, after = samples.links[q, 0], samples.links[q, 1]
    if before < -1:
        samples.heads[-2 - before] = after
    else:
        samples.links[before, 1] = after
    if after >= 0:
        samples.links[after, 0] = before
    samples.line[q] = -1


@njit(inline="always")
def _describe(f, mask, number, caller, r, now, t, history, place):
    """Write the features of an access into `f` (F,) and the access into the history.

    Returns the hash of the line's past, and the page's place.
    """
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


@njit(inline="always")
def _describe_candidate(g, mask, cache, history, r, way, caller, now, t):
    """Write the features of the line in `way` of set `r` into `g` (G,), as `caller` misses there."""
    rank = 0
    for other in range(cache.at.shape[1]):
        rank += cache.at[r, other] > cache.at[r, way]
    waited = now - cache.when[r, way]
    age = np.int64(_half_log(waited))
    page_age = np.int64(_half_log((t + 1 - history.page_time[cache.page[r, way]]) >> 4))
    reused, by, prior = np.int64(cache.reused[r, way]), cache.caller[r, way], cache.prior[r, way]
    counter, expected = np.int64(history.counter[prior]), history.distance[prior]
    left = np.float32(2) ** expected - np.float32(waited * 16 / cache.at.shape[1])
    remaining = np.int64(_half_log(np.int64(abs(left)))) * 2 + (left < 0)
    g[0] = _mix(age, rank, 31) & mask
    g[1] = _mix(by, age, 32) & mask
    g[2] = _mix(page_age, age, 33) & mask
    g[3] = _mix(reused, age, 34) & mask
    g[4] = _mix(cache.past[r, way], age, 35) & mask
    g[5] = _mix(caller, by, 36) & mask
    g[6] = _mix(by, page_age, 37) & mask
    g[7] = _mix(by, reused * 256 + rank, 38) & mask
    g[8] = _mix(counter, age, 39) & mask
    g[9] = _mix(remaining, counter >> 2, 40) & mask
    g[10] = _mix(np.int64(expected * np.float32(4)), age, 41) & mask
    g[11] = _mix(counter, rank, 42) & mask


@njit(
    types.void(
        *[types.Array(types.int32, 1, "C")] * 3,
        *[types.Array(types.uint64, 1, "C", readonly=True)] * 2,
        types.int64,
        types.Array(types.uint8, 1, "C"),
        *_GROUPS,
        types.float32,
        types.int64,
        types.int64,
    ),
    cache=True,
    nogil=True,
    fastmath=True,
)
def run(line, row, pc, line_number, pc_value, start, hits, cache, history, net, samples, rate, draws, window):
    """Advance everything over a chunk.

    Args:
        rate: step size; 0 learns nothing.
        draws: candidates of each eviction that become samples.
        window: accesses after which a sample counts as a line that MIN would not have kept.
    """
    ways, width = cache.tags.shape[1], cache.base.shape[2]
    bits = _log(net.squares.size // (ACCESS + CANDIDATE)) - 1
    mask = np.uint64((1 << bits) - 1)
    room = samples.line.size
    f = np.zeros(ACCESS, np.uint16)
    g = np.zeros((ways, CANDIDATE), np.uint16)
    x, slope, hidden = (
        np.zeros(width, np.float32),
        np.zeros(width, np.float32),
        np.zeros(net.hidden.shape[0], np.float32),
    )
    oldest, newest, learnt = samples.counts[0], samples.counts[1], samples.counts[2]
    random = np.uint64(samples.counts[3])
    for i in range(line.size):
        t = start + i
        wanted, r = line[i], row[i]
        number = line_number[wanted]
        caller = np.uint32(_mix(pc_value[pc[i]], 0, 5))
        now = cache.clock[r] + 1
        cache.clock[r] = now
        place = _line_place(history, number)
        kept = _outcome(cache.occupancy[r], history, place, number, now, ways)

        # Labels: samples of this line get theirs now, samples as old as the window count as not kept.
        q = samples.heads[_list_of(samples, wanted)]
        while q >= 0:
            following = samples.links[q, 1]
            if samples.line[q] == wanted:
                _train(net, samples.features[q], kept, rate, bits, x, hidden, slope)
                learnt += 1
                _unlink(samples, q)
            q = following
        while oldest < newest and samples.at[oldest % room] < t - window:
            q = np.int32(oldest % room)
            if samples.line[q] >= 0:
                _train(net, samples.features[q], 0, rate, bits, x, hidden, slope)
                learnt += 1
                _unlink(samples, q)
            oldest += 1

        past, page = _describe(f, mask, number, caller, r, now, t, history, place)
        target = -1
        for way in range(ways):
            if cache.tags[r, way] == wanted or cache.tags[r, way] < 0:
                target = way
                break
        hit = target >= 0 and cache.tags[r, target] == wanted
        hits[i] = hit
        if target < 0:
            lowest = np.float32(np.inf)
            for way in range(ways):
                _describe_candidate(g[way], mask, cache, history, r, way, caller, now, t)
                for d in range(width):
                    x[d] = cache.base[r, way, d]
                _embed(net, g[way], ACCESS, bits, x)
                score = _forward(net, x, hidden)
                if score < lowest:
                    lowest = score
                    target = way
            for _ in range(draws if rate > 0 else 0):
                if newest - oldest >= room:
                    break
                random ^= random << np.uint64(13)  # Marsaglia's xorshift
                random ^= random >> np.uint64(7)
                random ^= random << np.uint64(17)
                drawn = np.int64((random >> np.uint64(33)) % np.uint64(ways))
                q = np.int32(newest % room)
                samples.at[q] = t
                samples.features[q, :ACCESS] = cache.access[r, drawn]
                samples.features[q, ACCESS:] = g[drawn]
                _link(samples, q, cache.tags[r, drawn])
                newest += 1
            _evicted_in_vain(history, cache.prior[r, target], now - cache.when[r, target], ways)

        prior = np.int32(2 * (_mix(caller, 0, 7) & np.uint64(history.counter.size // 2 - 1)) + hit)
        history.line_prior[place] = prior
        cache.tags[r, target] = wanted
        cache.at[r, target] = t
        cache.when[r, target] = now
        cache.reused[r, target] = min(cache.reused[r, target] + 1, 7) if hit else 0
        cache.caller[r, target] = caller
        cache.past[r, target] = past
        cache.prior[r, target] = prior
        cache.page[r, target] = page
        cache.access[r, target] = f
        cache.base[r, target] = 0
        _embed(net, f, 0, bits, cache.base[r, target])
    samples.counts[0], samples.counts[1], samples.counts[2] = oldest, newest, learnt
    samples.counts[3] = np.int64(random)
