"""Nearest-neighbour Belady: do what MIN did when the training part looked most like now."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from learnsys.envs.cache.geometry import CacheGeometry
from learnsys.policies.cache.base import Chunk, SetPolicy, State


@njit(["void(int32[::1], int32[::1], int32[::1], int32[:, ::1], int32[:, ::1], int32[::1])"], cache=True, nogil=True)
def _advise(line, row, next_use, tags, upcoming, advice):
    """Run MIN; `advice[t]` is the line that it would evict at access t (hit or miss), -1 in an empty set."""
    ways = tags.shape[1]
    for t in range(line.size):
        r = row[t]
        target = -1
        for way in range(ways):
            if tags[r, way] == line[t]:
                upcoming[r, way] = next_use[t]
                target = way
        furthest = 0
        for way in range(ways):
            if tags[r, way] >= 0 and upcoming[r, way] > upcoming[r, furthest]:
                furthest = way
        advice[t] = tags[r, furthest]
        if target >= 0:
            continue
        target = 0
        while target < ways and tags[r, target] >= 0:
            target += 1
        if target == ways:
            target = furthest
        tags[r, target] = line[t]
        upcoming[r, target] = next_use[t]


@njit(inline="always")
def _bucket(state, symbol, buckets):
    mixed = (np.uint64(symbol) ^ (np.uint64(state) << np.uint64(17))) * np.uint64(0x9E3779B97F4A7C15)
    return np.int64((mixed ^ (mixed >> np.uint64(29))) >> np.uint64(8)) & (buckets - 1)


@njit(inline="always")
def _find(state, symbol, head, edge_state, edge_symbol, edge_next):
    """The edge that leaves `state` under `symbol`, or -1."""
    edge = head[_bucket(state, symbol, head.size)]
    while edge >= 0 and (edge_state[edge] != state or edge_symbol[edge] != symbol):
        edge = edge_next[edge]
    return edge


@njit(
    [
        "void(int64[::1], int32[::1], int32[::1], int32[::1], int32[::1], int32[::1], int32[::1], int32[::1],"
        " int64[::1], int32[::1], int32[::1], int64[::1])"
    ],
    cache=True,
    nogil=True,
)
def _build(symbol, row, advice, link, length, advised, head, edge_state, edge_symbol, edge_to, edge_next, count):
    """One suffix automaton for each set, in shared arrays; states 0 to sets - 1 are their roots.

    Blumer et al., "The smallest automaton recognizing the subwords of a text", 1985. Edges are chained in hash buckets
    (`head`, `edge_next`) and, while building, by the state that they leave. `advised` of a state is the advice where
    its strings first end. `count` returns the numbers of states and edges.
    """
    sets = np.int32(count[0])
    states, edges = count[0], count[1]
    last = np.arange(sets, dtype=np.int32)
    first_edge = np.full(link.size, -1, np.int32)
    sibling = np.empty(edge_to.size, np.int32)
    for t in range(symbol.size):
        c = symbol[t]
        current = states
        states += 1
        length[current] = length[last[row[t]]] + 1
        advised[current] = advice[t]
        at = last[row[t]]
        edge = np.int32(-1)
        while at >= 0:
            edge = _find(at, c, head, edge_state, edge_symbol, edge_next)
            if edge >= 0:
                break
            bucket = _bucket(at, c, head.size)
            edge_state[edges], edge_symbol[edges], edge_to[edges] = at, c, current
            edge_next[edges], head[bucket] = head[bucket], edges
            sibling[edges], first_edge[at] = first_edge[at], edges
            edges += 1
            at = link[at]
        last[row[t]] = current
        if at < 0:
            link[current] = row[t]
            continue
        target = edge_to[edge]
        if length[at] + 1 == length[target]:
            link[current] = target
            continue
        # `target` also stands for longer strings, which do not all end here: split the shorter ones off.
        clone = states
        states += 1
        length[clone] = length[at] + 1
        advised[clone] = advised[target]
        link[clone] = link[target]
        out = first_edge[target]
        while out >= 0:
            bucket = _bucket(clone, edge_symbol[out], head.size)
            edge_state[edges], edge_symbol[edges], edge_to[edges] = clone, edge_symbol[out], edge_to[out]
            edge_next[edges], head[bucket] = head[bucket], edges
            sibling[edges], first_edge[clone] = first_edge[clone], edges
            edges += 1
            out = sibling[out]
        while at >= 0:
            edge = _find(at, c, head, edge_state, edge_symbol, edge_next)
            if edge < 0 or edge_to[edge] != target:
                break
            edge_to[edge] = clone
            at = link[at]
        link[target] = clone
        link[current] = clone
    count[0], count[1] = states, edges


@njit(
    [
        "void(int32[::1], int32[::1], int64[::1], int64, uint8[::1], int32[:, ::1], int64[:, ::1], int32[::1],"
        " int32[::1], int32[::1], int32[::1], int32[::1], int64[::1], int32[::1], int32[::1])"
    ],
    cache=True,
    nogil=True,
)
def _follow(
    line,
    row,
    symbol,
    start,
    hits,
    tags,
    touched,
    matched,
    link,
    advised,
    head,
    edge_state,
    edge_symbol,
    edge_to,
    edge_next,
):
    """`matched[r]` is the automaton's state for the longest suffix of set r's accesses that the training part holds."""
    sets, ways = tags.shape
    for t in range(line.size):
        wanted, r = line[t], row[t]
        at = matched[r]
        edge = _find(at, symbol[t], head, edge_state, edge_symbol, edge_next)
        while edge < 0 and link[at] >= 0:
            at = link[at]
            edge = _find(at, symbol[t], head, edge_state, edge_symbol, edge_next)
        matched[r] = edge_to[edge] if edge >= 0 else r
        advice = advised[matched[r]] if matched[r] >= sets else np.int32(-1)

        target, stalest, advised_way = -1, 0, -1
        for way in range(ways):
            if tags[r, way] == wanted or tags[r, way] < 0:  # ways fill lowest first
                target = way
                break
            if tags[r, way] == advice:
                advised_way = way
            if touched[r, way] < touched[r, stalest]:
                stalest = way
        if target < 0:
            target = advised_way if advised_way >= 0 else stalest
        hits[t] = tags[r, target] == wanted
        tags[r, target] = wanted
        touched[r, target] = start + t


@dataclass(frozen=True)
class NearestNeighbour(SetPolicy):
    """Evict what Belady's MIN would have evicted at the training part's most similar moment, else the LRU line.

    The baseline of Liu, Hashemi, Swersky, Ranganathan and Ahn, "An imitation learning approach for cache replacement",
    ICML 2020: per set, the longest suffix of (address, PC) accesses that the training part also holds (its earliest
    place, if there are several); if the line that MIN ranked furthest there is resident, it is evicted.
    """

    name = "nearest_neighbour"
    needs_fit = True

    def start(self, geometry: CacheGeometry, seed: int = 0) -> State:
        shape = (geometry.sets, geometry.ways)
        none = np.zeros(0, np.int32)
        return {
            "tags": np.full(shape, -1, np.int32),
            "touched": np.zeros(shape, np.int64),
            "matched": np.arange(geometry.sets, dtype=np.int32),
            "link": np.full(geometry.sets, -1, np.int32),
            "advised": np.full(geometry.sets, -1, np.int32),
            "head": np.full(1, -1, np.int32),
            "edge_state": none,
            "edge_symbol": np.zeros(0, np.int64),
            "edge_to": none,
            "edge_next": none,
        }

    def fit(self, chunk: Chunk, geometry: CacheGeometry) -> State:
        n = chunk.line.size
        advice = np.empty(n, np.int32)
        tags, upcoming = np.full((2, geometry.sets, geometry.ways), -1, np.int32)
        _advise(chunk.line, chunk.row, chunk.next_use, tags, upcoming, advice)
        # A suffix automaton of n symbols has fewer than 2 n states and 3 n edges.
        states, edges = geometry.sets + 2 * n, 3 * n
        link, length, advised = np.full((3, states), -1, np.int32)
        length[: geometry.sets] = 0
        head = np.full(1 << max(edges - 1, 1).bit_length(), -1, np.int32)
        edge_state, edge_to, edge_next = np.empty((3, edges), np.int32)
        edge_symbol = np.empty(edges, np.int64)
        count = np.array([geometry.sets, 0])
        _build(
            _symbols(chunk),
            chunk.row,
            advice,
            link,
            length,
            advised,
            head,
            edge_state,
            edge_symbol,
            edge_to,
            edge_next,
            count,
        )
        states, edges = count
        return {
            "link": link[:states].copy(),
            "advised": advised[:states].copy(),
            "head": head,
            "edge_state": edge_state[:edges].copy(),
            "edge_symbol": edge_symbol[:edges].copy(),
            "edge_to": edge_to[:edges].copy(),
            "edge_next": edge_next[:edges].copy(),
        }

    def run(self, state: State, chunk: Chunk, hits: NDArray[np.uint8]) -> None:
        cache = ("tags", "touched", "matched")
        automaton = ("link", "advised", "head", "edge_state", "edge_symbol", "edge_to", "edge_next")
        arrays = (state[name] for name in cache + automaton)
        _follow(chunk.line, chunk.row, _symbols(chunk), chunk.start, hits, *arrays)


def _symbols(chunk: Chunk) -> NDArray[np.int64]:
    """One number for each (address, PC), int64 (n,)."""
    return chunk.line.astype(np.int64) << 32 | chunk.pc
