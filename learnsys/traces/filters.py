"""The filter that turns a program's loads and stores into the stream that reaches its last-level cache."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from learnsys.envs.cache.geometry import CacheGeometry
from learnsys.traces.hierarchy import PRIVATE_CACHES, Hierarchy


@njit(["boolean(uint64, uint64[:, :], int64[:])"], cache=True, nogil=True, inline="always")
def _touch(line, tags, filled):
    """Move `line` to the front of its LRU stack, inserting it if it misses; return whether it was there."""
    if tags.shape[1] == 0:  # this level is left out
        return False
    row = np.int64(line & np.uint64(tags.shape[0] - 1))
    way = 0
    while way < filled[row] and tags[row, way] != line:
        way += 1
    hit = way < filled[row]
    if not hit:
        if filled[row] < tags.shape[1]:
            filled[row] += 1
        way = filled[row] - 1
    while way > 0:
        tags[row, way] = tags[row, way - 1]
        way -= 1
    tags[row, 0] = line
    return hit


@njit(
    ["void(uint64[:], uint64, uint64[:, :], int64[:], uint64[:, :], int64[:], boolean[:])"],
    cache=True,
    nogil=True,
)
def _filter(address, line_bits, l1_tags, l1_filled, l2_tags, l2_filled, missed):
    for i in range(address.size):
        line = address[i] >> line_bits
        missed[i] = not _touch(line, l1_tags, l1_filled) and not _touch(line, l2_tags, l2_filled)


class CacheFilter:
    """Two levels of private caches; an access that misses both goes on to the last level.

    Each level is set-associative, LRU and write-allocate. The second level sees only what misses the first
    (neither inclusive nor exclusive), and there are no prefetches, no write-backs and no instruction fetches. An
    access is one to the line of its address: who knows its size, as the lackey reader does, must give an access that
    spans lines once for each. State is kept between calls, so a trace may come in chunks. The recorder's Valgrind
    tool holds the same filter.
    """

    def __init__(self, hierarchy: Hierarchy = PRIVATE_CACHES) -> None:
        self.hierarchy = hierarchy
        self._l1 = self._empty(self.hierarchy.l1)
        self._l2 = self._empty(self.hierarchy.l2)

    @staticmethod
    def _empty(cache: CacheGeometry | None) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        if cache is None:
            return np.zeros((1, 0), np.uint64), np.zeros(1, np.int64)
        return np.zeros((cache.sets, cache.ways), np.uint64), np.zeros(cache.sets, np.int64)

    def apply(
        self,
        addresses: NDArray[np.uint64],
        pcs: NDArray[np.uint64] | None = None,
        stores: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.bool_]:
        """Mask, bool (n,), of the accesses that miss both levels.

        Args:
            addresses: byte addresses, uint64 (n,), next in program order.
            pcs, stores: the other columns of the accesses; with write-allocate LRU they change nothing.
        """
        missed = np.empty(addresses.size, np.bool_)
        _filter(
            np.ascontiguousarray(addresses, np.uint64),
            np.uint64(self.hierarchy.line_bits),
            *self._l1,
            *self._l2,
            missed,
        )
        return missed
