"""Model RB, plain and with a hidden set."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from learnsys.graphs.generators.base import GraphFamily, Range, cliques
from learnsys.graphs.graph import Graph


@dataclass(frozen=True)
class RB(GraphFamily):
    """Model RB: cliques ("groups"), and rounds of random edges between two random groups.

    Xu and Li, "Exact phase transitions in random constraint satisfaction problems", 2000; with the parameters and the
    rounds of the sets that learned solvers are measured on (Karalias and Loukas, "Erdos goes neural", 2020; Zhang et
    al., "Let the flows tell", 2023). With alpha = ln k / ln n and r = -alpha / ln(1 - p), int(r n ln n - 1) rounds draw
    an ordered pair of groups and int(p k^2) pairs of their vertices that this order of the two groups has not drawn yet
    (as published: what the other order drew may be drawn again, and then counts once). At most one vertex of a group
    is independent, so the number of groups is an upper bound. Groups have consecutive numbers.
    """

    groups: Range = (20, 24)
    """least and greatest number n of groups"""
    group: Range = (5, 11)
    """least and greatest number k of vertices in a group"""
    tightness: tuple[float, float] = (0.3, 1.0)
    """least and greatest share p of a pair of groups that a round draws"""
    nodes: Range = (200, 300)
    """least and greatest number of vertices; others are drawn again"""

    def __post_init__(self) -> None:
        self._range("groups", 2)
        self._range("group", 2)
        self._range("nodes", 4)
        low, high = self.tightness
        self._require(0 < low <= high <= 1, f"tightness={low},{high} is no range", "give two numbers from 0 to 1")
        sizes = np.outer(np.arange(self.groups[0], self.groups[1] + 1), np.arange(self.group[0], self.group[1] + 1))
        possible = bool(((sizes >= self.nodes[0]) & (sizes <= self.nodes[1])).any())
        self._require(possible, "no groups make that number of vertices", "widen nodes")

    def build(self, rng: np.random.Generator) -> Graph:
        while True:
            n = int(rng.integers(self.groups[0], self.groups[1] + 1))
            k = int(rng.integers(self.group[0], self.group[1] + 1))
            p = rng.uniform(*self.tightness)
            if self.nodes[0] <= n * k <= self.nodes[1]:
                break
        alpha = math.log(k) / math.log(n)
        rounds = int(-alpha / math.log(1 - p) * n * math.log(n) - 1) if p < 1 else 0
        take = int(p * k * k)
        drawn = np.zeros((n, n, k * k), np.bool_)
        edges = [cliques(n, k)]
        for _ in range(rounds):
            first, second = rng.choice(n, 2, replace=False)
            free = np.flatnonzero(~drawn[first, second])
            chosen = rng.choice(free, min(take, free.size), replace=False, shuffle=False)
            drawn[first, second, chosen] = True
            edges.append(np.stack([first * k + chosen // k, second * k + chosen % k], axis=1))
        return Graph.from_edges(np.concatenate(edges), n * k)


@dataclass(frozen=True)
class ForcedRB(GraphFamily):
    """Model RB with a hidden independent set that has a vertex in each group: the way BHOSLIB's frb graphs were made.

    Xu, Boussemart, Hemery and Lecoutre, "A simple model to generate hard satisfiable instances", 2005: r n ln n pairs
    of groups with repetition, each with p d^2 different conflicts that spare the hidden set; r = 0.8 / ln(4/3), p = 1/4
    at the phase transition. The optimum is the number of groups.
    """

    groups: int = 30
    """number n of groups"""
    group: int = 15
    """vertices d in a group"""
    tightness: float = 0.25
    """share p of a pair of groups that each round draws"""
    density: float = 0.8 / math.log(4 / 3)
    """r: rounds are r n ln n"""

    def __post_init__(self) -> None:
        self._require(self.groups >= 2, f"groups={self.groups}", "give at least 2")
        self._require(self.group >= 2, f"group={self.group}", "give at least 2")
        self._require(0 <= self.density < math.inf, f"density={self.density}", "give a number from 0")
        possible = 0 <= self.tightness and int(self.tightness * self.group**2) < self.group**2
        self._require(possible, f"tightness={self.tightness} spares nothing", "give a number from 0, below 1")

    def build(self, rng: np.random.Generator) -> Graph:
        n, d = self.groups, self.group
        hidden = rng.integers(d, size=n)
        edges = [cliques(n, d)]
        for _ in range(round(self.density * n * math.log(n))):
            first, second = rng.choice(n, 2, replace=False)
            chosen = rng.choice(d * d - 1, int(self.tightness * d * d), replace=False, shuffle=False)
            chosen += chosen >= hidden[first] * d + hidden[second]
            edges.append(np.stack([first * d + chosen // d, second * d + chosen % d], axis=1))
        return Graph.from_edges(np.concatenate(edges), n * d)

    def optimum(self, graph: Graph) -> int:
        return self.groups
