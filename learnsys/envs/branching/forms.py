"""Observations as members of a Gymnasium space: as they are, as ragged graphs, or padded to fixed shapes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from pyscipopt import Model

from learnsys.envs.branching.observations import BipartiteObservation
from learnsys.errors import InputError

Form = Literal["graph", "padded", "direct"]
LIMIT = 1e20
"""SCIP's infinity; numbers in spaces are clipped to it, and NaN (no incumbent, no candidate) becomes 0."""


@dataclass(frozen=True)
class Sizes:
    """The greatest problem that an observation has room for."""

    variables: int
    """of the transformed problem"""
    rows: int = 0
    """of the LP, each finite side counted (cuts are rows too)"""
    edges: int = 0
    """non-zero coefficients, those of split rows counted for each side"""


def measure(model: Model, slack: float = 1.5) -> Sizes:
    """The sizes of a problem in stage PROBLEM, with `slack` times its rows and edges as room for cuts."""
    rows = edges = 0
    for constraint in model.getConss(transformed=False):
        if constraint.isLinear():
            bounds = (model.getLhs(constraint), model.getRhs(constraint))
            sides = sum(abs(bound) < LIMIT for bound in bounds)
            length = len(model.getValsLinear(constraint))
        else:
            sides = length = 1
        rows += sides
        edges += sides * length
    variables = model.getNVars(transformed=False)
    return Sizes(max(variables, 1), int(slack * rows) + 50, int(slack * edges) + 500)


def find_sizes(
    large: Callable[[], Model], form: Form, variables: int | None, rows: int | None, edges: int | None
) -> Sizes:
    """The sizes given, those that are None measured on the model that `large` makes.

    Raises:
        InputError: a size is negative, or there is no room for a variable.
    """
    measured = Sizes(1)
    if variables is None or (form == "padded" and (rows is None or edges is None)):
        model = large()
        try:
            measured = measure(model) if form == "padded" else Sizes(max(model.getNVars(transformed=False), 1))
        finally:
            model.free()
    sizes = Sizes(
        measured.variables if variables is None else variables,
        measured.rows if rows is None else rows,
        measured.edges if edges is None else edges,
    )
    if sizes.variables < 1 or sizes.rows < 0 or sizes.edges < 0:
        raise InputError(f"{sizes} is no size of an observation", remedy="give positive max_variables and so on")
    return sizes


class Anything(spaces.Space[Any]):
    """What an observation function returns, whatever it is (None after the last decision)."""

    def __init__(self) -> None:
        super().__init__(None, None)

    def contains(self, x: Any) -> bool:
        return True

    def sample(self, mask: Any = None, probability: Any = None) -> None:
        """None, an observation that every function may return."""

    @property
    def is_np_flattenable(self) -> bool:
        return False

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Anything)

    __hash__ = None  # type: ignore[assignment]


class Shaper:
    """Brings observations into a space.

    Args:
        form: "direct" returns them as they are; "graph" makes a `GraphInstance` of a bipartite observation (its first
            nodes are the variables) and of an array with a row for each variable; "padded" makes a flat Dict of arrays.
        example: what the observation function returns on any model with `n` variables; None for no observation.
        n: see `example`.
        sizes: room in padded arrays.
        mask: shape of the action mask, which is a member of the padded form.

    Raises:
        InputError: an observation of this kind has no such form.
    """

    def __init__(self, form: Form, example: Any, n: int, sizes: Sizes, mask: tuple[int, ...]) -> None:
        self.form, self.sizes = form, sizes
        self.kind: Any = None if form == "direct" else _kind(example, n)
        self.space: spaces.Space[Any] = Anything()
        if form == "graph":
            self.space = _graph_space(self.kind)
        elif form == "padded":
            members = dict(_padded_spaces(self.kind, sizes, ""))
            members["action_mask"] = spaces.Box(0, 1, mask, np.int8)
            self.space = spaces.Dict(members)

    def __call__(self, observation: Any, mask: NDArray[np.int8]) -> Any:
        """The member of `space` for an observation and the mask that goes with it."""
        if self.form == "direct":
            return observation
        if self.form == "graph":
            return _graph(self.kind, observation, mask)
        out: dict[str, Any] = {}
        _pad(self.kind, observation, self.sizes, "", out)
        out["action_mask"] = mask.copy()
        return out


def _kind(example: Any, n: int) -> Any:
    """("bipartite", widths), ("variables", width), ("vector", length), None, or a dict of these."""
    if example is None:
        return None
    if isinstance(example, BipartiteObservation):
        return "bipartite", (example.variable_features.shape[1], example.row_features.shape[1])
    if isinstance(example, dict):
        return {str(name): _kind(one, n) for name, one in example.items()}
    if isinstance(example, (tuple, list)):
        return {str(place): _kind(one, n) for place, one in enumerate(example)}
    if isinstance(example, np.ndarray) and example.ndim in (1, 2) and len(example) == n:
        return "variables", example.shape[1] if example.ndim == 2 else 1
    if isinstance(example, np.ndarray) and example.ndim == 1:
        return "vector", len(example)
    if isinstance(example, (int, float, np.number)):
        return "vector", 1
    raise InputError(f"an observation of type {type(example).__name__} fits no space", remedy="choose form='direct'")


def _children(observation: Any) -> dict[str, Any]:
    if observation is None:
        return {}
    items = observation.items() if isinstance(observation, dict) else enumerate(observation)
    return {str(name): one for name, one in items}


def _box(*shape: int) -> spaces.Box:
    return spaces.Box(-LIMIT, LIMIT, shape, np.float32)


def _plain(values: Any) -> NDArray[np.float32]:
    values = np.nan_to_num(np.asarray(values, np.float64), nan=0.0, posinf=LIMIT, neginf=-LIMIT)
    return np.clip(values, -LIMIT, LIMIT).astype(np.float32)


def _graph_space(kind: Any) -> spaces.Space[Any]:
    if isinstance(kind, dict):
        return spaces.Dict({name: _graph_space(one) for name, one in kind.items()})
    if kind is None:
        return spaces.Graph(_box(1), None)
    what, width = kind
    if what == "bipartite":
        return spaces.Graph(_box(1 + sum(width)), _box(1))
    return spaces.Graph(_box(width), None) if what == "variables" else _box(width)


def _graph(kind: Any, observation: Any, mask: NDArray[np.int8]) -> Any:
    if isinstance(kind, dict):
        given = _children(observation)
        return {name: _graph(one, given.get(name), mask) for name, one in kind.items()}
    if kind is None:
        return spaces.GraphInstance(_plain(mask[:, None]), None, None)
    what, width = kind
    if what == "vector":
        return np.zeros(width, np.float32) if observation is None else _plain(np.reshape(observation, -1))
    if what == "variables":
        nodes = np.zeros((0, width)) if observation is None else np.reshape(observation, (-1, width))
        return spaces.GraphInstance(_plain(nodes), None, None)
    if observation is None:
        nodes, edges, links = np.zeros((0, 1 + sum(width))), np.zeros((0, 1)), np.zeros((0, 2), np.int32)
        return spaces.GraphInstance(_plain(nodes), _plain(edges), links)
    n, m = len(observation.variable_features), len(observation.row_features)
    nodes = np.zeros((n + m, 1 + sum(width)))
    nodes[n:, 0] = 1.0
    nodes[:n, 1 : 1 + width[0]] = observation.variable_features
    nodes[n:, 1 + width[0] :] = observation.row_features
    links = observation.edge_indices.T.astype(np.int32)
    links[:, 0] += n
    return spaces.GraphInstance(_plain(nodes), _plain(observation.edge_values[:, None]), links)


def _padded_spaces(kind: Any, sizes: Sizes, prefix: str) -> Any:
    if isinstance(kind, dict):
        for name, one in kind.items():
            yield from _padded_spaces(one, sizes, f"{prefix}{name}_")
    elif kind is not None:
        what, width = kind
        if what == "vector":
            yield f"{prefix}features", _box(width)
            return
        variables, rows = (width[0], width[1]) if what == "bipartite" else (width, 0)
        yield f"{prefix}variable_features", _box(sizes.variables, variables)
        yield f"{prefix}variable_mask", spaces.Box(0, 1, (sizes.variables,), np.int8)
        if what == "bipartite":
            yield f"{prefix}row_features", _box(sizes.rows, rows)
            yield f"{prefix}row_mask", spaces.Box(0, 1, (sizes.rows,), np.int8)
            largest = max(sizes.variables, sizes.rows)
            yield f"{prefix}edge_indices", spaces.Box(0, largest, (2, sizes.edges), np.int32)
            yield f"{prefix}edge_values", _box(sizes.edges)
            yield f"{prefix}edge_mask", spaces.Box(0, 1, (sizes.edges,), np.int8)


def _pad(kind: Any, observation: Any, sizes: Sizes, prefix: str, out: dict[str, Any]) -> None:
    if isinstance(kind, dict):
        given = _children(observation)
        for name, one in kind.items():
            _pad(one, given.get(name), sizes, f"{prefix}{name}_", out)
        return
    if kind is None:
        return
    what, width = kind
    if what == "vector":
        out[f"{prefix}features"] = (
            np.zeros(width, np.float32) if observation is None else _plain(np.reshape(observation, -1))
        )
        return
    if what == "variables":
        _put(out, f"{prefix}variable", observation, (sizes.variables, width))
        return
    graph = BipartiteObservation(None, None, None, None) if observation is None else observation  # type: ignore[arg-type]
    _put(out, f"{prefix}variable", graph.variable_features, (sizes.variables, width[0]))
    _put(out, f"{prefix}row", graph.row_features, (sizes.rows, width[1]))
    indices, values = graph.edge_indices, graph.edge_values
    if indices is not None and (len(graph.row_features) > sizes.rows or len(values) > sizes.edges):
        kept = np.flatnonzero(indices[0] < sizes.rows)[: sizes.edges]  # the latest rows (cuts) find no room
        indices, values = indices[:, kept], values[kept]
    count = 0 if indices is None else len(values)
    padded = np.zeros((2, sizes.edges), np.int32)
    if count:
        padded[:, :count] = indices
    out[f"{prefix}edge_indices"] = padded
    _put(out, f"{prefix}edge", None if indices is None else values, (sizes.edges,), "values")


def _put(out: dict[str, Any], name: str, values: Any, shape: tuple[int, ...], what: str = "features") -> None:
    padded, mask = np.zeros(shape, np.float32), np.zeros(shape[0], np.int8)
    if values is not None:
        values = _plain(values)[: shape[0]]
        padded[: len(values)] = values.reshape(len(values), *shape[1:])
        mask[: len(values)] = 1
    out[f"{name}_{what}"], out[f"{name}_mask"] = padded, mask
