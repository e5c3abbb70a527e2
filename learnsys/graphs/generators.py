"""Random graphs by family, each a frozen dataclass of parameters. Named presets are the sets of the literature."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learnsys.errors import InputError
from learnsys.graphs.graph import MAX_NODES, Graph

Range = tuple[int, int]


@dataclass(frozen=True)
class GraphFamily(ABC):
    """Base of the families. The constructor raises `InputError` for parameters with which no graph exists."""

    @abstractmethod
    def build(self, rng: np.random.Generator) -> Graph:
        """Draw a graph; everything random in it comes from `rng`."""

    def graph(self, seed: int, index: int = 0) -> Graph:
        """Graph number `index` of the sequence that belongs to `seed`; seeds separate data sets."""
        if seed < 0 or index < 0:
            raise InputError(f"seed={seed}, index={index}: both count from 0")
        return self.build(np.random.default_rng([seed, index]))

    def optimum(self, graph: Graph) -> int | None:
        """Size of a maximum independent set of a drawn graph, where the family plants one; else None."""
        return None

    def parameters(self) -> dict[str, Any]:
        """The parameters by name."""
        return asdict(self)

    def _require(self, possible: bool, problem: str, remedy: str) -> None:
        if not possible:
            raise InputError(f"{type(self).__name__}: {problem}", remedy=remedy)

    def _range(self, name: str, least: int, most: int = MAX_NODES) -> None:
        low, high = getattr(self, name)
        remedy = f"give two whole numbers from {least} to {most}, the first not above the second"
        self._require(least <= low <= high <= most, f"{name}={low},{high} is no range", remedy)


@dataclass(frozen=True)
class ErdosRenyi(GraphFamily):
    """Each pair of vertices is an edge with the same probability; or a given number of edges, all sets equally likely.

    ER-700-800 of the literature has probability 0.15.
    """

    nodes: Range = (700, 800)
    """least and greatest number of vertices"""
    probability: float = 0.15
    """of an edge"""
    edges: int = 0
    """number of edges; 0: as the probability has it"""

    def __post_init__(self) -> None:
        self._range("nodes", 1)
        p = self.probability
        self._require(0 <= p <= 1, f"probability={p} is none", "give a number from 0 to 1")
        most = math.comb(self.nodes[0], 2)
        self._require(0 <= self.edges <= most, f"edges={self.edges} do not fit", f"give at most {most}")

    def build(self, rng: np.random.Generator) -> Graph:
        n = int(rng.integers(self.nodes[0], self.nodes[1] + 1))
        pairs = math.comb(n, 2)
        if self.edges:
            place = _distinct(rng, pairs, self.edges)
        else:
            place = _bernoulli(rng, pairs, self.probability)
        return Graph.from_edges(_pairs(place, n), n)


@dataclass(frozen=True)
class BarabasiAlbert(GraphFamily):
    """Preferential attachment: from a star, each new vertex joins old ones, likelier those of high degree."""

    nodes: Range = (200, 300)
    """least and greatest number of vertices"""
    affinity: int = 4
    """edges that each new vertex brings"""

    def __post_init__(self) -> None:
        self._range("nodes", 2)
        possible = 1 <= self.affinity < self.nodes[0]
        self._require(possible, f"affinity={self.affinity} does not fit", f"give 1 to {self.nodes[0] - 1}")

    def build(self, rng: np.random.Generator) -> Graph:
        from learnsys.graphs.growth_kernel import barabasi_albert

        n = int(rng.integers(self.nodes[0], self.nodes[1] + 1))
        return Graph.from_edges(barabasi_albert(rng, n, self.affinity), n)


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
        edges = [_cliques(n, k)]
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
        edges = [_cliques(n, d)]
        for _ in range(round(self.density * n * math.log(n))):
            first, second = rng.choice(n, 2, replace=False)
            chosen = rng.choice(d * d - 1, int(self.tightness * d * d), replace=False, shuffle=False)
            chosen += chosen >= hidden[first] * d + hidden[second]
            edges.append(np.stack([first * d + chosen // d, second * d + chosen % d], axis=1))
        return Graph.from_edges(np.concatenate(edges), n * d)

    def optimum(self, graph: Graph) -> int:
        return self.groups


@dataclass(frozen=True)
class PlantedSat(GraphFamily):
    """Conflict graphs of random satisfiable 3-SAT formulas, like the SATLIB set of the literature.

    Three vertices for each clause, one for each literal, form a triangle; opposite literals are joined. The formula is
    drawn uniformly among those that a hidden assignment satisfies, so the optimum is the number of clauses.
    """

    variables: int = 100
    """of the formula"""
    clauses: Range = (403, 449)
    """least and greatest number of clauses"""

    def __post_init__(self) -> None:
        self._require(3 <= self.variables <= MAX_NODES, f"variables={self.variables}", "give at least 3")
        self._range("clauses", 1)

    def build(self, rng: np.random.Generator) -> Graph:
        m = int(rng.integers(self.clauses[0], self.clauses[1] + 1))
        hidden = rng.integers(2, size=self.variables)
        variable = np.stack([rng.choice(self.variables, 3, replace=False) for _ in range(m)])
        right = 1 + rng.integers(7, size=m)  # which of its literals the hidden assignment makes true: one at least
        sign = hidden[variable] ^ (right[:, None] >> np.arange(3) & 1 ^ 1)
        variable, sign = variable.ravel(), sign.ravel()
        edges = [_cliques(m, 3)]
        for each in range(self.variables):
            yes, no = (np.flatnonzero((variable == each) & (sign == value)) for value in (1, 0))
            edges.append(np.stack(np.meshgrid(yes, no), axis=-1).reshape(-1, 2))
        return Graph.from_edges(np.concatenate(edges), 3 * m)

    def optimum(self, graph: Graph) -> int:
        return graph.n // 3


FAMILIES: dict[str, GraphFamily] = {
    "er": ErdosRenyi(nodes=(200, 300)),
    "er-700-800": ErdosRenyi(),
    "sparse-250k": ErdosRenyi(nodes=(250_000, 250_000), edges=1_000_000),
    "ba": BarabasiAlbert(),
    "rb-small": RB(),
    "rb-large": RB(groups=(40, 54), group=(20, 24), nodes=(800, 1200)),
    "rb-giant": RB(groups=(60, 74), group=(30, 42), nodes=(2000, 3000)),
    "sat": PlantedSat(),
    "frb30-15": ForcedRB(30, 15),
    "frb40-19": ForcedRB(40, 19),
    "frb50-23": ForcedRB(50, 23),
    "frb59-26": ForcedRB(59, 26),
}
"""name -> family. Of rb-giant the literature gives the number of vertices only; its groups are chosen here."""


def make_family(name: str, **parameters: Any) -> GraphFamily:
    """The family of that name, with some parameters changed.

    Raises:
        InputError: there is none, or no such parameters.
    """
    if name not in FAMILIES:
        raise InputError(f"no family of graphs is called {name!r}", remedy=f"choose from {', '.join(FAMILIES)}")
    known = FAMILIES[name].parameters()
    wrong = next((each for each in parameters if each not in known), None)
    if wrong is not None:
        raise InputError(f"{name} has no parameter {wrong!r}", remedy=f"choose from {', '.join(known)}")
    return replace(FAMILIES[name], **parameters)


def _cliques(groups: int, size: int) -> NDArray[np.int64]:
    """Edges (e, 2) of disjoint cliques of consecutive vertices."""
    within = np.stack(np.triu_indices(size, 1), axis=1)
    return (np.arange(groups)[:, None, None] * size + within).reshape(-1, 2)


def _bernoulli(rng: np.random.Generator, total: int, p: float) -> NDArray[np.int64]:
    """Ascending places below `total`, each in with probability p: by the geometric gaps between them."""
    if p == 0 or total == 0:
        return np.zeros(0, np.int64)
    parts, last = [], -1
    while last < total:
        expected = (total - last) * p
        gaps = rng.geometric(p, int(expected + 4 * math.sqrt(expected) + 10))
        parts.append(last + np.cumsum(gaps))
        last = int(parts[-1][-1])
    places = np.concatenate(parts)
    return places[places < total]


def _distinct(rng: np.random.Generator, total: int, count: int) -> NDArray[np.int64]:
    """`count` different places below `total`, all sets equally likely."""
    if 4 * count > total:
        return rng.choice(total, count, replace=False, shuffle=False)
    found = np.unique(rng.integers(total, size=count + count // 3 + 10))
    while found.size < count:
        found = np.unique(np.concatenate([found, rng.integers(total, size=count)]))
    return rng.choice(found, count, replace=False, shuffle=False)


def _pairs(place: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Pairs (k, 2), smaller first, of the places in the list (0, 1), (0, 2), ..., (1, 2), ... of all pairs below n."""
    starts = np.arange(n) * (2 * n - 1 - np.arange(n)) // 2  # of the pairs whose smaller one is each vertex
    first = np.searchsorted(starts, place, side="right") - 1
    return np.stack([first, place - starts[first] + first + 1], axis=1)
