"""The kernel of `LearnsysCache`: features, network, labels and replacement, one access at a time."""

from __future__ import annotations

import numpy as np
from numba import njit, types

from learnsys.policies.cache.learned.network import EDGES, embed, half_log, index, log, mix, shuffled
from learnsys.policies.cache.learned.samples import STAGES, link, outlived, returned
from learnsys.policies.cache.learned.state import ACCESS, CANDIDATE, QUANTA, signatures

_GROUPS = signatures()
_ARRIVING = 255
"""in place of a recency rank: the line that is missed"""
_CLOSE = np.float32(1.05)
"""candidates worth up to so many times the least are as good as equal"""
_WORTHLESS = np.float32(0.0003)
"""hits for each access to the set: those below are as good as equal, too"""


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
    return np.int64(mix(number, 0, 1) & np.uint64(history.line_key.size - 1))


@njit(inline="always")
def _outcome(occupancy, history, place, number, now, ways):
    """A line is accessed at clock `now`: whether MIN kept it since its last access trains the priors of that."""
    occupancy[now % QUANTA] = 0
    if history.line_key[place] != number + np.uint64(1):
        return
    before, prior = history.line_time[place], history.line_prior[place]
    kept = np.int64(_optimal(occupancy, before, now, ways))
    history.counter[prior] = max(0, min(31, history.counter[prior] + 2 * kept - 1))
    history.distance[prior] += (_sixteenths(now - before, ways) - history.distance[prior]) / np.float32(16)


@njit(inline="always")
def _evicted_in_vain(history, prior, age, ways):
    """A line is evicted unused: what the priors expected of it did not come."""
    if history.counter[prior] >= 16:
        history.counter[prior] -= 1
    if _sixteenths(age, ways) > history.distance[prior]:
        history.distance[prior] += (np.float32(8) - history.distance[prior]) / np.float32(16)


@njit(cache=True, nogil=True, fastmath=True)
def _describe(f, mask, number, caller, r, now, t, history, place):
    """Write the features of an access into `f` (F,) and the access into the history.

    Returns the hash of the line's past, and the page's place.
    """
    known = history.line_key[place] == number + np.uint64(1)
    gap = now - history.line_time[place] if known else 0
    first = np.int64(log(gap))
    second = np.int64(history.line_gaps[place, 0]) if known else 0
    third = np.int64(history.line_gaps[place, 1]) if known else 0
    touches = np.int64(history.line_touches[place]) if known else 0
    earlier = history.line_caller[place] if known else np.uint32(0)
    page = number >> np.uint64(6)
    leaf = np.int64(mix(page, 0, 2) & np.uint64(history.page_time.size - 1))
    page_gap = np.int64(log(t + 1 - history.page_time[leaf])) if history.page_time[leaf] > 0 else 40
    page_touches = np.int64(log(history.page_touches[leaf]))
    own = np.int64(mix(caller, 0, 3) & np.uint64(history.pc_number.size - 1))
    delta = np.int64(number) - history.pc_number[own]
    steady = 1000 if delta == history.pc_delta[own] else 0
    past = mix(first * 64 + second, touches, 4)
    one, two = history.recent[0], history.recent[1]

    f[0] = mix(caller, 0, 10) & mask
    f[1] = mix(caller, first, 11) & mask
    f[2] = mix(np.uint64(caller) * np.uint64(64) + np.uint64(first), second * 64 + third, 12) & mask
    f[3] = mix(caller, earlier, 13) & mask
    f[4] = mix(caller, one, 14) & mask
    f[5] = mix(one, two, 15) & mask
    f[6] = mix(page, 0, 16) & mask
    f[7] = mix(page >> np.uint64(4), caller, 17) & mask
    f[8] = past & mask
    f[9] = mix(caller, number & np.uint64(63), 19) & mask
    f[10] = mix(np.uint64(caller) * np.uint64(64) + np.uint64(page_gap), page_touches, 20) & mask
    f[11] = mix(caller, max(-64, min(64, delta)) + 100 + steady, 21) & mask
    f[12] = mix(number, 0, 22) & mask
    f[13] = mix(history.page_caller[leaf], caller, 23) & mask
    f[14] = mix(caller, touches, 24) & mask
    f[15] = mix(history.set_caller[r], caller, 25) & mask

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


@njit(cache=True, nogil=True, fastmath=True)
def _describe_candidate(g, mask, history, caller, t, by, past, prior, page, reused, waited, rank, ways):
    """Write the features of a candidate into `g` (G,), as `caller` misses.

    Args:
        by, past, prior, page, reused: of the line, as in `Cache`.
        waited: accesses to the set since its last one.
        rank: its recency rank, `_ARRIVING` for the line that is missed.
    """
    age = np.int64(half_log(waited))
    page_age = np.int64(half_log((t + 1 - history.page_time[page]) >> 4))
    counter, expected = np.int64(history.counter[prior]), history.distance[prior]
    left = np.float32(2) ** expected - np.float32(waited * 16 / ways)
    remaining = np.int64(half_log(np.int64(abs(left)))) * 2 + (left < 0)
    g[0] = mix(age, rank, 31) & mask
    g[1] = mix(by, age, 32) & mask
    g[2] = mix(page_age, age, 33) & mask
    g[3] = mix(reused, age, 34) & mask
    g[4] = mix(past, age, 35) & mask
    g[5] = mix(caller, by, 36) & mask
    g[6] = mix(by, page_age, 37) & mask
    g[7] = mix(by, np.int64(reused) * 256 + rank, 38) & mask
    g[8] = mix(counter, age, 39) & mask
    g[9] = mix(remaining, counter >> 2, 40) & mask
    g[10] = mix(np.int64(expected * np.float32(4)), age, 41) & mask
    g[11] = mix(counter, rank, 42) & mask


@njit(cache=True, nogil=True, fastmath=True)
def _describe_resident(g, mask, cache, history, caller, t, r, way, now):
    """As `_describe_candidate`, for the line in `way` of set `r` at clock `now`."""
    ways = cache.at.shape[1]
    rank = 0
    for other in range(ways):
        rank += cache.at[r, other] > cache.at[r, way]
    _describe_candidate(
        g,
        mask,
        history,
        caller,
        t,
        cache.caller[r, way],
        cache.past[r, way],
        cache.prior[r, way],
        cache.page[r, way],
        cache.reused[r, way],
        now - cache.when[r, way],
        rank,
        ways,
    )


@njit(inline="always")
def _least(worth, lowest, at, t, random):
    """Of the candidates that are worth about as little as the least, the newest one; at times the oldest.

    The one that is missed comes last, and is the newest. Among equals it is the best rule of a loop that does not fit
    to let the newest go, so that the others stay until they return; what is never let in cannot return, though, so
    the oldest has to make room now and then.
    """
    limit = max(_WORTHLESS, lowest * _CLOSE)
    newest_goes = (random >> np.uint64(33)) & np.uint64(0xFFFF) >= np.uint64(2**12)
    chosen, when = -1, np.int64(-1)
    for way in range(worth.size):
        if worth[way] <= limit:
            last = np.int64(at[way]) if way < at.size else np.int64(t)
            if chosen < 0 or (last > when) == newest_goes:
                chosen, when = way, last
    return chosen


@njit(
    types.void(
        *[types.Array(types.int32, 1, "C")] * 3,
        *[types.Array(types.uint64, 1, "C", readonly=True)] * 2,
        types.int64,
        types.Array(types.uint8, 1, "C"),
        *_GROUPS,
        types.float32,
        types.int64,
    ),
    cache=True,
    nogil=True,
    fastmath=True,
)
def run(line, row, pc, line_number, pc_value, start, hits, cache, history, net, samples, rate, draws):
    """Advance everything over a chunk.

    Args:
        rate: step size; 0 learns nothing.
        draws: candidates of each eviction that become samples.
    """
    ways, width, units = cache.tags.shape[1], net.table.shape[1], net.hidden.shape[0]
    bits = log(net.table.shape[0] // (ACCESS + CANDIDATE)) - 1
    mask = np.uint64((1 << bits) - 1)
    room = samples.line.size
    edges = EDGES * np.float32(ways)
    f = np.zeros(ACCESS, np.uint16)
    g = np.zeros((ways + 1, CANDIDATE), np.uint16)
    x, slope = np.zeros(width, np.float32), np.zeros(width, np.float32)
    hidden, down = np.zeros(units, np.float32), np.zeros(units, np.float32)
    worth = np.zeros(ways + 1, np.float32)
    newest, over = samples.counts[0], samples.counts[1]
    random = np.uint64(samples.counts[2])
    for i in range(line.size):
        t = start + i
        wanted, r = line[i], row[i]
        number = line_number[wanted]
        caller = np.uint32(mix(pc_value[pc[i]], 0, 5))
        now = cache.clock[r] + 1
        cache.clock[r] = now
        place = _line_place(history, number)
        _outcome(cache.occupancy[r], history, place, number, now, ways)
        over += returned(samples, net, wanted, now, edges, rate, bits, x, hidden, slope, down)
        for stage in range(STAGES.size):
            over += outlived(
                samples, net, cache.clock, cache.tags.size, t, newest, stage, edges, rate, bits, x, hidden, slope, down
            )

        past, page = _describe(f, mask, number, caller, r, now, t, history, place)
        target = -1
        for way in range(ways):
            if cache.tags[r, way] == wanted or cache.tags[r, way] < 0:
                target = way
                break
        hit = target >= 0 and cache.tags[r, target] == wanted
        hits[i] = hit
        prior = np.int32(2 * (mix(caller, 0, 7) & np.uint64(history.counter.size // 2 - 1)) + hit)
        history.line_prior[place] = prior
        if target < 0:
            lowest = np.float32(np.inf)
            for way in range(ways + 1):
                x[:] = 0
                if way < ways:
                    _describe_resident(g[way], mask, cache, history, caller, t, r, way, now)
                    for d in range(width):
                        x[d] = cache.base[r, way, d]
                else:
                    _describe_candidate(
                        g[way], mask, history, caller, t, caller, past, prior, page, 0, 0, _ARRIVING, ways
                    )
                    embed(net, f, 0, bits, x)
                embed(net, g[way], ACCESS, bits, x)
                worth[way] = index(net, x, hidden, edges)
                lowest = min(lowest, worth[way])
            random = shuffled(random)
            target = _least(worth, lowest, cache.at[r], t, random)
            for _ in range(draws if rate > 0 else 0):
                if newest - samples.reached[STAGES.size - 1] >= room:
                    break
                random = shuffled(random)
                drawn = np.int64((random >> np.uint64(33)) % np.uint64(ways + 1))
                q = np.int32(newest % room)
                samples.at[q], samples.row[q], samples.when[q], samples.outlived[q] = t, r, now, 0
                samples.features[q, :ACCESS] = cache.access[r, drawn] if drawn < ways else f
                samples.features[q, ACCESS:] = g[drawn]
                link(samples, q, cache.tags[r, drawn] if drawn < ways else wanted)
                newest += 1
            if target == ways:
                _evicted_in_vain(history, prior, 0, ways)
                continue
            _evicted_in_vain(history, cache.prior[r, target], now - cache.when[r, target], ways)

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
        embed(net, f, 0, bits, cache.base[r, target])
    samples.counts[0], samples.counts[1], samples.counts[2] = newest, over, np.int64(random)
