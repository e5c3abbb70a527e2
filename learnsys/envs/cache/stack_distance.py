"""LRU stack distances and miss-ratio curves: exact in one pass, or from a spatial sample (SHARDS).

An access hits an LRU cache of c objects exactly when fewer than c other objects were accessed since the last
access to its own (Mattson et al., "Evaluation techniques for storage hierarchies", 1970), so one pass over the
trace gives the misses at every capacity.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from learnsys.envs.cache.intrinsics import popcount, prefetch
from learnsys.errors import InputError

_CHUNK = 2**22


@njit(["int64(uint64[::1], int64)"], cache=True, nogil=True)
def _after_in_block(bits, slot):
    """Set bits above `slot` in its block of 512."""
    word = slot >> 6
    count = popcount((bits[word] >> np.uint64(slot & 63)) >> np.uint64(1))
    for following in range(word + 1, (word | 7) + 1):
        count += popcount(bits[following])
    return np.int64(count)


@njit(["int64(uint64[::1], int64)"], cache=True, nogil=True)
def _in_block(bits, block):
    count: np.uint64 = np.uint64(0)
    for word in range(8 * block, 8 * block + 8):
        count += popcount(bits[word])
    return np.int64(count)


@njit(["void(uint64[::1], int32[::1], int64)"], cache=True, nogil=True)
def _build(bits, tree, slot):
    """Fenwick tree over the set bits of each block that is full when `slot` is the next free slot."""
    tree[:] = 0
    for block in range(1, tree.size):
        if block <= slot >> 9:
            tree[block] += _in_block(bits, block - 1)
        above = block + (block & -block)
        if above < tree.size:
            tree[above] += tree[block]


@njit(["int64(int32[::1], uint64[::1], int32[::1], int64)"], cache=True, nogil=True)
def _compact(last, bits, tree, live):
    """Renumber the live slots 0, 1, ... in their order; return the next free slot."""
    for block in range(1, tree.size):
        tree[block] = _in_block(bits, block - 1) + (tree[block - 1] if block > 1 else 0)
    for i in range(last.size):
        if last[i] >= 0:
            last[i] = tree[(last[i] >> 9) + 1] - _after_in_block(bits, last[i]) - 1
    bits[:] = 0
    for word in range(live >> 6):
        bits[word] = ~np.uint64(0)
    if live & 63:
        bits[live >> 6] = (np.uint64(1) << np.uint64(live & 63)) - np.uint64(1)
    _build(bits, tree, live)
    return live


@njit(["void(int32[::1], int32[::1], uint64[::1], int32[::1], int64[::1], int32[::1])"], cache=True, nogil=True)
def _distances(ids, last, bits, tree, position, distances):
    """Bit s is set iff slot s is the last access to its object; the tree leaves out the block being filled."""
    slot, live = position[0], position[1]
    for t in range(ids.size):
        if slot == bits.size * 64:
            slot = _compact(last, bits, tree, live)
        prefetch(last, np.int64(ids[min(t + 24, ids.size - 1)]))
        previous = np.int64(last[ids[t]])
        if previous < 0:
            distance = np.int64(-1)
            live += 1
        else:
            distance = _after_in_block(bits, previous)
            if previous >> 9 != slot >> 9:
                distance += live
                block = (previous >> 9) + 1
                node = block
                while node > 0:
                    distance -= tree[node]
                    node &= node - 1
                node = block
                while node < tree.size:
                    tree[node] -= 1
                    node += node & -node
            bits[previous >> 6] ^= np.uint64(1) << np.uint64(previous & 63)
        distances[t] = distance
        bits[slot >> 6] |= np.uint64(1) << np.uint64(slot & 63)
        last[ids[t]] = slot
        slot += 1
        if slot & 511 == 0:
            node = slot >> 9
            count = _in_block(bits, node - 1)
            while node < tree.size:
                tree[node] += count
                node += node & -node
    position[0], position[1] = slot, live


class StackDistances:
    """The LRU stack distance of each access, resumable over chunks; memory grows with the number of ids only.

    A bit vector over compacted time marks the last access to each object; the distance is the number of bits
    behind it, from popcounts in blocks of 512 bits and a Fenwick tree over the blocks.
    """

    def __init__(self) -> None:
        self._position = np.zeros(2, np.int64)  # next free slot, objects seen
        self._last = np.zeros(0, np.int32)
        self._bits = np.zeros(0, np.uint64)
        self._tree = np.zeros(1, np.int32)

    def run(self, ids: NDArray[np.int32]) -> NDArray[np.int32]:
        """Distances (int32, same shape) of dense `ids` (int32, one-dimensional): the number of other ids
        accessed since the last access to the same one, or -1 at an id's first access.
        """
        ids = np.ascontiguousarray(ids, np.int32)
        distances = np.empty(ids.size, np.int32)
        if ids.size:
            self._reserve(int(ids.max()) + 1)
            _distances(ids, self._last, self._bits, self._tree, self._position, distances)
        return distances

    def _reserve(self, n_ids: int) -> None:
        if n_ids <= self._last.size:
            return
        n_ids = max(n_ids, min(2 * self._last.size, 2**31 - 1))
        self._last = np.concatenate([self._last, np.full(n_ids - self._last.size, -1, np.int32)])
        blocks = 3 * max(n_ids, 2**14) // 512 + 1
        self._bits = np.concatenate([self._bits, np.zeros(8 * blocks - self._bits.size, np.uint64)])
        self._tree = np.empty(blocks + 1, np.int32)
        _build(self._bits, self._tree, self._position[0])


def stack_distances(ids: NDArray[np.int32], n_ids: int) -> NDArray[np.int32]:
    """The LRU stack distance of each access to dense ids below `n_ids`, int32 (n,); -1 at first accesses."""
    whole = StackDistances()
    whole._reserve(n_ids)
    return whole.run(ids)


@njit(["void(int32[::1], int64[::1])"], cache=True, nogil=True)
def _count(distances, histogram):
    for t in range(distances.size):
        if distances[t] >= 0:
            histogram[np.uint64(distances[t])] += 1


@dataclass(frozen=True)
class MissCurve:
    """The misses of LRU at every capacity, from a histogram of stack distances."""

    requests: int
    """accesses in the trace (not in the sample)"""
    histogram: NDArray[np.int64]
    """how many (sampled) accesses have each stack distance, int64 (k,)"""
    rate: float = 1.0
    """the share of objects that was sampled; 1 is exact"""

    def misses(self, capacities: ArrayLike) -> NDArray[np.int64]:
        """Misses of LRU caches of so many objects each, int64 (same shape); exact where `rate` is 1."""
        within = np.concatenate([[0], np.cumsum(self.histogram)])
        bound = np.ceil(np.asarray(capacities, np.float64) * self.rate).astype(np.int64)
        hits = within[np.clip(bound, 0, self.histogram.size)]
        if self.rate == 1:
            return self.requests - hits
        return np.clip(np.rint(self.requests - hits / self.rate), 0, self.requests).astype(np.int64)

    def miss_ratio(self, capacities: ArrayLike) -> NDArray[np.float64]:
        """Misses divided by requests, float64 (same shape); 0 for an empty trace."""
        return self.misses(capacities) / max(self.requests, 1)


def lru_miss_curve(ids: NDArray[np.int32], n_ids: int) -> MissCurve:
    """The exact LRU miss-ratio curve of accesses to dense ids below `n_ids`, in one pass."""
    curve = MissCurve(ids.size, np.zeros(n_ids, np.int64))
    distances = StackDistances()
    distances._reserve(n_ids)
    for start in range(0, ids.size, _CHUNK):
        _count(distances.run(ids[start : start + _CHUNK]), curve.histogram)
    return curve


@njit(["int64(int32[::1], uint64, uint64, int32[::1])"], cache=True, nogil=True)
def _sample(ids, salt, threshold, kept):
    """Write the ids whose hash is below `threshold` to the front of `kept`; return how many."""
    n = 0
    for t in range(ids.size):
        mixed = (np.uint64(ids[t]) ^ salt) * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
        kept[n] = ids[t]
        n += (mixed >> np.uint64(32)) < threshold
    return n


def shards_curve(ids: NDArray[np.int32], n_ids: int, rate: float = 0.01, seed: int = 0) -> MissCurve:
    """An approximate LRU miss-ratio curve from the share `rate` of the objects.

    Waldspurger et al., "Efficient MRC construction with SHARDS", 2015: fixed-rate sampling by a hash of the id,
    with the difference between the expected and the actual number of sampled accesses added to the first bucket
    (SHARDS-adj). Below about 500 sampled objects the curve is a guess.

    Raises:
        InputError: `rate` is not in (0, 1].
    """
    if not 0 < rate <= 1:
        raise InputError(f"a sampling rate of {rate:g} is not in (0, 1]")
    if rate == 1:
        return lru_miss_curve(ids, n_ids)
    salt = np.random.default_rng(seed).integers(2**63, dtype=np.uint64)
    threshold = np.uint64(round(rate * 2**32))
    dense = np.full(n_ids, -1, np.int32)
    sampled = np.empty(n_ids, np.int32)
    n_sampled = _sample(np.arange(n_ids, dtype=np.int32), salt, threshold, sampled)
    dense[sampled[:n_sampled]] = np.arange(n_sampled, dtype=np.int32)
    histogram = np.zeros(max(n_sampled, 1), np.int64)
    distances = StackDistances()
    total = 0
    for start in range(0, ids.size, _CHUNK):
        chunk = np.ascontiguousarray(ids[start : start + _CHUNK])
        kept = np.empty(chunk.size, np.int32)
        kept = kept[: _sample(chunk, salt, threshold, kept)]
        _count(distances.run(dense[kept]), histogram)
        total += kept.size
    histogram[0] += round(ids.size * rate) - total
    return MissCurve(ids.size, histogram, rate)
