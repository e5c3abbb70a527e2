"""Belady's MIN as a bit tree over time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from learnsys.envs.cache.accesses import NEVER
from learnsys.envs.cache.intrinsics import leading_zeros
from learnsys.policies.cache.base import Chunk, ObjectPolicy, State, extended

_LEVELS = ("bits", "words", "pages", "books")
"""Bit k of each level says that word k of the level before is not zero; `bits` has one bit for each access."""
_ONE = np.uint64(1)


@njit(["int32(int32[::1])"], cache=True, nogil=True)
def _latest(next_use):
    """The last next use, NEVER left out; -1 if there is none."""
    latest = np.int32(0)
    for t in range(next_use.size):
        following = np.int32(next_use[t] + np.int32(1))  # NEVER becomes negative
        latest = max(latest, following)
    return np.int32(latest - 1)


@njit(["int64(uint64)"], cache=True, nogil=True)
def _highest(word):
    return np.int64(63) - np.int64(leading_zeros(word))


@njit(["int64(uint64[::1], uint64[::1], int64)"], cache=True, nogil=True)
def _drop_word(pages, books, top):
    """Mark word `top` of the level below as empty; return the highest that is not (0 if all are)."""
    page = top >> 6
    pages[page] &= ~(_ONE << np.uint64(top & 63))
    if pages[page] == 0:
        books[page >> 6] &= ~(_ONE << np.uint64(page & 63))
        book = books.size - 1
        while book > 0 and books[book] == 0:
            book -= 1
        if books[book] == 0:
            return np.int64(0)
        page = 64 * book + _highest(books[book])
    return 64 * page + _highest(pages[page])


@njit(
    [
        f"void(int32[::1], int64, {sizes}, {4 * 'uint64[::1], '} {sizes}, int64[::1], uint8[::1])"
        for sizes in ("none", "int64[::1]")
    ],
    cache=True,
    nogil=True,
)
def belady_kernel(next_use, start, size, bits, words, pages, books, held, place, hits):
    """Bit k of `bits` is set iff the object that is accessed next at time k is cached.

    So access t hits iff bit t is set, and the victim is the highest set bit. Bits before t are left as they are:
    they are below all that count. Objects that are never accessed again are not counted as used, which is the
    same as evicting them first. `held[k]` is the size of the object behind bit k. `place`: capacity, used, and
    the highest word of `words` that is not zero.
    """
    capacity, used, top = place[0], place[1], place[2]
    for j in range(next_use.size):
        t = np.uint64(start + j)
        following = next_use[j]
        need = np.int64(1)
        if (bits[t >> np.uint64(6)] >> (t & np.uint64(63))) & _ONE:
            hits[j] = 1
            if held is not None:
                need = held[t]
            if following == NEVER:
                used -= need
                continue
        else:
            hits[j] = 0
            if held is not None:
                need = size[j]
                if need > capacity:
                    continue
            while used + need > capacity:
                page = words[np.uint64(top)]
                word = np.uint64(64 * top + _highest(page))
                content = bits[word]
                bit = np.uint64(_highest(content))
                used -= held[np.uint64(64) * word + bit] if held is not None else np.int64(1)
                content ^= _ONE << bit
                bits[word] = content
                if content == 0:
                    page ^= _ONE << (word & np.uint64(63))
                    words[np.uint64(top)] = page
                    if page == 0:
                        top = _drop_word(pages, books, top)
            if following == NEVER:
                continue
            used += need
        k = np.uint64(following)
        bits[k >> np.uint64(6)] |= _ONE << (k & np.uint64(63))
        above = np.int64(k >> np.uint64(12))
        if words[above] == 0:
            pages[above >> 6] |= _ONE << np.uint64(above & 63)
            books[above >> 12] |= _ONE << np.uint64((above >> 6) & 63)
        words[above] |= _ONE << ((k >> np.uint64(6)) & np.uint64(63))
        top = max(top, above)
        if held is not None:
            held[k] = need
    place[1], place[2] = used, top


@dataclass(frozen=True)
class Belady(ObjectPolicy):
    """Evict the object whose next access is furthest.

    Belady, "A study of replacement algorithms for virtual storage computers", 1966: optimal if all objects have
    one size and a missed one must be inserted. Memory is n (1 + 1/63) bits for n accesses, and 8 n bytes if sizes
    count.
    """

    name = "belady"
    needs_future = True
    sized_note = "with object sizes a heuristic; evicting the furthest next use is optimal for equal sizes only"
    counters = 1

    def start(self, capacity: int, *, sized: bool = False, seed: int = 0) -> State:
        levels = {name: np.zeros(1, np.uint64) for name in _LEVELS}
        return {**super().start(capacity, sized=sized), **levels, "now": np.zeros(1, np.int64)}

    def grow(self, state: State, n_objects: int) -> None:
        pass  # the state grows with time, not with the objects

    def run(self, state: State, chunk: Chunk, hits: NDArray[np.uint8]) -> None:
        s = state
        end = max(int(_latest(chunk.next_use)) + 1, chunk.start + chunk.next_use.size)
        for level, name in enumerate(_LEVELS):
            s[name] = extended(s[name], (end >> (6 * level + 6)) + 1)
        if "held" in s:
            s["held"] = extended(s["held"], end)
        arrays = [s.get(name) for name in (*_LEVELS, "held", "place")]
        belady_kernel(*[chunk.next_use, chunk.start, chunk.size, *arrays, hits])
        s["now"][0] = chunk.start + chunk.next_use.size

    def contents(self, state: State) -> NDArray[np.int64]:
        bits = np.unpackbits(state["bits"].view(np.uint8), bitorder="little")
        return np.flatnonzero(bits[state["now"][0] :]) + state["now"][0]
