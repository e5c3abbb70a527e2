"""What an agent sees: flat arrays of fixed shape, or a ragged graph."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from learnsys.envs.independent_set.kernel import IN, OPEN
from learnsys.envs.independent_set.sources import Room
from learnsys.envs.independent_set.state import State
from learnsys.errors import InputError

FEATURES = ("open", "in the set", "degree over the greatest", "degree over the vertices", "proposed")
"""columns of a vertex's features, each between 0 and 1"""


@runtime_checkable
class ObservationFunction(Protocol):
    """Makes observations."""

    def space(self, room: Room, actions: int) -> spaces.Space[Any]:
        """The space of observations of graphs up to that size."""

    def observe(self, state: State, mask: NDArray[np.int8]) -> Any:
        """The observation of a state, in arrays that nobody else writes to."""


def features(state: State) -> NDArray[np.float32]:
    """`FEATURES` of each vertex, float32 (n, 5)."""
    degree = state.degree.astype(np.float32)
    columns = np.zeros((state.graph.n, len(FEATURES)), np.float32)
    columns[:, 0] = state.status == OPEN
    columns[:, 1] = state.status == IN
    columns[:, 2] = degree / max(1.0, float(degree.max(initial=0)))
    columns[:, 3] = degree / state.graph.n if state.graph.n else 0.0
    if state.proposed >= 0:
        columns[state.proposed, 4] = 1
    return columns


class PaddedObservation:
    """A Dict of flat arrays: `vertices` float32 (N * 5), the `FEATURES` of vertex after vertex; `edges` int32 (2 * M),
    pairs of open joined vertices; and how much of them is used: `vertex_count`, `edge_count` int32 (1,); `action_mask`.
    """

    def space(self, room: Room, actions: int) -> spaces.Space[Any]:
        self._room = room
        return spaces.Dict(
            {
                "vertices": spaces.Box(0, 1, (room.vertices * len(FEATURES),), np.float32),
                "edges": spaces.Box(0, room.vertices, (2 * room.edges,), np.int32),
                "vertex_count": spaces.Box(0, room.vertices, (1,), np.int32),
                "edge_count": spaces.Box(0, room.edges, (1,), np.int32),
                "action_mask": spaces.Box(0, 1, (actions,), np.int8),
            }
        )

    def observe(self, state: State, mask: NDArray[np.int8]) -> Any:
        vertices = np.zeros(self._room.vertices * len(FEATURES), np.float32)
        own = features(state).ravel()
        vertices[: own.size] = own
        edges = np.zeros(2 * self._room.edges, np.int32)
        links = state.open_edges().ravel()
        edges[: links.size] = links
        return {
            "vertices": vertices,
            "edges": edges,
            "vertex_count": np.array([state.graph.n], np.int32),
            "edge_count": np.array([links.size // 2], np.int32),
            "action_mask": mask.copy(),
        }


class GraphObservation:
    """A `GraphInstance`: nodes float32 (n, 5) are the `FEATURES` of all vertices, edge links the pairs of open joined
    vertices, once each; an edge's one feature is 1.
    """

    def space(self, room: Room, actions: int) -> spaces.Space[Any]:
        node = spaces.Box(0, 1, (len(FEATURES),), np.float32)
        return spaces.Graph(node, spaces.Box(0, 1, (1,), np.float32))

    def observe(self, state: State, mask: NDArray[np.int8]) -> Any:
        links = state.open_edges()
        return spaces.GraphInstance(features(state), np.ones((len(links), 1), np.float32), links)


def make_observation(observation: str | ObservationFunction) -> ObservationFunction:
    """An observation function from its name, "padded" or "graph".

    Raises:
        InputError: there is no such name.
    """
    if observation == "padded":
        return PaddedObservation()
    if observation == "graph":
        return GraphObservation()
    if isinstance(observation, str) or not isinstance(observation, ObservationFunction):
        raise InputError(f"{observation!r} makes no observations", remedy="choose padded or graph, or give a function")
    return observation
