"""Victims of the object policies on traces of ten requests, worked out by hand, and plain models of the simple ones."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learnsys.envs.cache.accesses import DenseIds, next_uses
from learnsys.policies.cache.object_simulation import ObjectSimulation, simulate_objects
from learnsys.policies.cache.registry import OBJECT_POLICIES, make_object_policy

# name -> capacity, requests, and what each request does: "." inserts into free room, "+" hits, else the victim.
VICTIMS = {
    "lru": (3, "abcadefabg", "...+bcadef"),
    "fifo": (3, "abcadabeac", "...+ab c d+a".replace(" ", "")),
    # d: a was hit, so it goes to the back, and b is the victim; a is hit again, which saves it once more at e.
    "clock": (3, "abcadabeac", "...+b+cd+b"),
    # d: the hand passes a, takes b and stands at c; e: c, then at d; f: d, then at e; a, the oldest, is still there.
    "sieve": (3, "abcadefabg", "...+bcd+ef"),
    # At d all have two accesses, a for the longest; from then on the newest object is the least frequent.
    "lfu": (3, "ababccdaeb", "..++.+ada+"),
    # Small queue of 1, main of 3, ghosts 3. b, c, d spill into main. e: a leaves small. a is remembered: it goes to
    # main, e leaves small. f: main is too full, b was hit and goes round, c leaves it. e is remembered: f leaves
    # small. c, which left main, is not: main is too full, d leaves it.
    "s3fifo": (4, "abcdeabfec", "....ae+cfd"),
    # T1/T2/B1/B2, p: a,b//, 0; a hit: b/a; c: c/a/b; b: c/b//a p=1; a: /b,a/c p=0; d: d/a/c/b; e: e/a/d/b; a hit;
    # d: e/d//b,a p=1.
    "arc": (2, "abacbadead", "..+bacbd+a"),
    # Room for two LIR objects, a and b. d: c leaves the queue, but not the stack. c: d leaves, c becomes LIR and a
    # HIR, out of the stack. a is hit and is HIR still; b is hit at the stack's bottom, so d falls out of it. d: new
    # again, a leaves. a is in the stack: it becomes LIR, c HIR, d leaves. d likewise: c leaves, b becomes HIR.
    "lirs": (3, "abcdcabdad", "...cd++adc"),
    # Window of 1, main of 3, two of them protected. e: d comes out of the window, used as often as b: rejected. d: e
    # likewise. e: d was used twice by now, and b leaves.
    "w_tinylfu": (4, "abcdaededc", "....+deb++"),
    # Until it has learnt from thousands of samples it is LRU. d: b is the oldest, a was hit. b: c. e: d. c: b.
    "learnsys_cache": (3, "abcadabeac", "...+b+cd+b"),
}


@pytest.mark.parametrize("name", VICTIMS)
def test_victims(name):
    capacity, requests, expected = VICTIMS[name]
    assert len(requests) == len(expected) == 10
    letters = "".join(dict.fromkeys(requests))
    run = ObjectSimulation(make_object_policy(name), capacity)
    cached: set[str] = set()
    for step, letter in enumerate(requests):
        hit = run.run(np.array([letters.index(letter)], np.int32), len(letters))[0]
        now = {letters[i] for i in run.policy.contents(run.state)}
        victims = (cached | {letter}) - now
        found = "+" if hit else "".join(victims) or "."
        assert found == expected[step], f"request {step} ({letter})"
        cached = now


def test_every_policy_has_a_table():
    assert VICTIMS.keys() | {"belady"} == OBJECT_POLICIES.keys()


def test_victims_of_belady():
    """What is cached is known by its next uses: at 2 c, b (used at 4) is furthest; at 4 c (9); at 5 b (8)."""
    ids = np.array(["abcd".index(letter) for letter in "abcabdadbc"], np.int32)
    next_use = next_uses(ids, 4)
    assert next_use[:6].tolist() == [3, 4, 9, 6, 8, 7]
    run = ObjectSimulation(make_object_policy("belady"), 2)
    expected = [{3}, {3, 4}, {3, 9}, {6, 9}, {6, 8}, {6, 7}, {7}, set(), set(), set()]
    hits = []
    for t in range(10):
        hits += run.run(ids[t : t + 1], 4, next_use=next_use[t : t + 1]).tolist()
        assert set(run.policy.contents(run.state).tolist()) == expected[t]
    assert hits == [0, 0, 0, 1, 0, 0, 1, 1, 0, 0]


def most_hits(ids: tuple[int, ...], capacity: int) -> int:
    """The most hits that any choice of victims gives: exhaustive search."""
    best: dict[frozenset[int], int] = {frozenset(): 0}
    for i in ids:
        following: dict[frozenset[int], int] = {}
        for held, hits in best.items():
            if i in held:
                choices = [(held, hits + 1)]
            elif len(held) < capacity:
                choices = [(held | {i}, hits)]
            else:
                choices = [((held - {victim}) | {i}, hits) for victim in held]
            for cache, total in choices:
                following[cache] = max(following.get(cache, 0), total)
        best = following
    return max(best.values())


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=18), st.integers(1, 4))
def test_belady_is_optimal(numbers, capacity):
    ids = DenseIds().map(np.array(numbers, np.uint64))
    hits = simulate_objects("belady", ids, int(ids.max()) + 1, capacity)
    assert hits.sum() == most_hits(tuple(numbers), capacity)


class Model:
    """Plain models with object sizes: an ordered dictionary from object to size, evicted from its front."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.cached: OrderedDict[int, int] = OrderedDict()

    def request(self, t: int, i: int, size: int) -> bool:
        if i in self.cached:
            self.hit(t, i)
            return True
        if size <= self.capacity:
            while sum(self.cached.values()) + size > self.capacity:
                self.evict()
            self.cached[i] = size
            self.inserted(t, i)
        return False

    def hit(self, t: int, i: int) -> None: ...

    def inserted(self, t: int, i: int) -> None: ...

    def evict(self) -> None:
        self.cached.popitem(last=False)


class LRUModel(Model):
    def hit(self, t, i):
        self.cached.move_to_end(i)


class ClockModel(Model):
    def __init__(self, capacity):
        super().__init__(capacity)
        self.referenced: set[int] = set()

    def hit(self, t, i):
        self.referenced.add(i)

    def evict(self):
        while (i := next(iter(self.cached))) in self.referenced:
            self.referenced.remove(i)
            self.cached.move_to_end(i)
        super().evict()


class SieveModel(ClockModel):
    hand: int | None = None

    def evict(self):
        order = list(self.cached)
        place = order.index(self.hand) if self.hand is not None else 0
        while order[place] in self.referenced:
            self.referenced.remove(order[place])
            place = (place + 1) % len(order)
        self.hand = order[place + 1] if place + 1 < len(order) else None
        del self.cached[order[place]]


class LFUModel(Model):
    def __init__(self, capacity):
        super().__init__(capacity)
        self.rank: dict[int, tuple[int, int]] = {}

    def inserted(self, t, i):
        self.rank[i] = (1, t)

    def hit(self, t, i):
        self.rank[i] = (self.rank[i][0] + 1, t)

    def evict(self):
        victim = min(self.cached, key=self.rank.__getitem__)
        del self.cached[victim]


MODELS = {"lru": LRUModel, "fifo": Model, "clock": ClockModel, "sieve": SieveModel, "lfu": LFUModel}
SIZED = st.lists(st.tuples(st.integers(0, 12), st.integers(1, 9)), min_size=1, max_size=150)


@settings(max_examples=100, deadline=None)
@given(SIZED, st.integers(1, 40))
def test_plain_models_agree(requests, capacity):
    """With sizes that change from request to request, too; and without sizes."""
    ids = DenseIds().map(np.array([i for i, _ in requests], np.uint64))
    sizes = np.array([size for _, size in requests])
    for name, model in MODELS.items():
        for weight in (sizes, np.ones_like(sizes)):
            plain = model(capacity)
            rows = enumerate(zip(ids.tolist(), weight.tolist(), strict=True))
            expected = [plain.request(t, i, size) for t, (i, size) in rows]
            got = simulate_objects(name, ids, int(ids.max()) + 1, capacity, sizes=weight)
            assert got.tolist() == expected, name
        assert simulate_objects(name, ids, int(ids.max()) + 1, capacity).tolist() == expected, name


@settings(max_examples=100, deadline=None)
@given(SIZED, st.integers(1, 40))
def test_belady_with_sizes_evicts_the_furthest(requests, capacity):
    numbers = [i for i, _ in requests]
    weight = np.array([1 + i % 5 for i in numbers])
    ids = DenseIds().map(np.array(numbers, np.uint64))
    next_use = next_uses(ids, int(ids.max()) + 1)
    cached: dict[int, int] = {}
    expected = []
    for t, i in enumerate(numbers):
        expected.append(i in cached)
        if i not in cached and weight[t] <= capacity:
            while sum(1 + j % 5 for j in cached) + weight[t] > capacity:
                del cached[max(cached, key=cached.__getitem__)]
        if expected[-1] or weight[t] <= capacity:
            cached[i] = int(next_use[t])
    got = simulate_objects("belady", ids, int(ids.max()) + 1, capacity, sizes=weight)
    assert got.tolist() == expected
