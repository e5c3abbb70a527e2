"""Maximum independent set as a Gymnasium environment."""

from __future__ import annotations

import operator
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from learnsys.envs.independent_set.kernel import OPEN, OUT
from learnsys.envs.independent_set.observations import ObservationFunction, make_observation
from learnsys.envs.independent_set.rewards import Outcome, RewardFunction, make_reward
from learnsys.envs.independent_set.sources import GraphSource, check_room
from learnsys.envs.independent_set.state import State
from learnsys.errors import InputError
from learnsys.graphs import Graph
from learnsys.graphs.cliques import clique_bound

_NOTHING = State(Graph.from_edges(np.empty((0, 2), np.int64), 0))


class MaximumIndependentSetEnv(gym.Env[Any, Any]):
    """Build a large set of vertices of a graph, no two of them joined.

    ## Description
    A vertex is in the set, deleted, or open. Taking an open vertex into the set deletes its neighbours; an open vertex
    that is left without open neighbours enters the set by itself. In the end no vertex is open, and the set cannot be
    extended.

    ## Action Space
    With `decide="vertex"` (default) `Discrete(N)`, N being the most vertices that a graph may have: action v takes
    vertex v. With `decide="proposal"`, the recursion of Brusca et al., "Maximum independent set: self-training through
    dynamic programming", NeurIPS 2023, `Discrete(2)`: a random open vertex is proposed, action 0 deletes it and action
    1 takes it. `info["action_mask"]` (int8) and `action_masks()` (bool) tell what is allowed: the open vertices, or
    both. A masked-out action is replaced by the default one (the open vertex of least degree) and sets
    `info["invalid_action"]`; with `strict` it raises `InputError`, as any number outside the space always does.

    ## Observation Space
    By the argument `observation`:

    - `"padded"` (default): a `Dict` of flat arrays of fixed size, see
      `learnsys.envs.independent_set.observations.PaddedObservation`.
    - `"graph"`: a `gymnasium.spaces.Graph` as large as the graph is, see `GraphObservation`.
    - or an `ObservationFunction` of your own.

    ## Rewards
    By the argument `reward`: `"size"` (default) is the number of vertices that entered the set, `"final"` the size of
    the set at the end and 0 before, `"thrift"` the vertices that entered minus those deleted. Or a function from
    `learnsys.envs.independent_set.rewards.Outcome` to a number.

    `info` holds `action_mask`, `size` (of the set so far), `open` (vertices), `proposed` (the vertex, -1 for none) and
    after `step` `invalid_action`; at the end of an episode also `independent_set` (the vertices) and `bound` (a proved
    upper bound from a partition into cliques).

    ## Starting State
    A graph is drawn from `graphs`; its isolated vertices are in the set, all others open.
    `reset(options={"graph": ...})` takes another graph for this episode: a number among those given, or whatever
    `learnsys.graphs.Graph.of` takes.

    ## Episode End
    Terminated when no vertex is open. A graph without edges starts with an empty mask and terminates at the first
    step, whatever the action. Never truncated.

    ## Arguments
    - `graphs`: the name of a family (`learnsys.graphs.FAMILIES`), of which each episode draws a new graph; a graph
      file or a folder of them; a networkx graph, a scipy sparse matrix or an edge array; or a list of these, of which
      each episode draws one.
    - `max_vertices`, `max_edges`: room in the action space and in padded observations. Measured unless given: what the
      given graphs need, or half more than some graphs of the family; graphs of a family without room are drawn again.
    - `decide`: "vertex" or "proposal".
    - `observation`, `reward`: see above.
    - `strict`: raise on masked-out actions.
    - `render_mode`: "ansi" (one line of text).

    Bad arguments and unreadable graphs raise `learnsys.errors.InputError`.

    ## Version History
    - v0: first version.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["ansi"], "render_fps": 4}  # type: ignore[misc]
    path_arguments: ClassVar[tuple[str, ...]] = ("graphs",)
    """arguments that may be files; `learnsys.envs.register` makes them absolute"""

    def __init__(
        self,
        graphs: Any = "rb-small",
        *,
        max_vertices: int | None = None,
        max_edges: int | None = None,
        decide: str = "vertex",
        observation: str | ObservationFunction = "padded",
        reward: str | RewardFunction = "size",
        strict: bool = False,
        render_mode: str | None = None,
    ) -> None:
        if decide not in ("vertex", "proposal"):
            raise InputError(f"decide={decide!r} is not possible", remedy="choose 'vertex' or 'proposal'")
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise InputError(f"render_mode={render_mode!r} is not possible", remedy="choose 'ansi'")
        self.source = GraphSource(graphs)
        self.room = self.source.room(max_vertices, max_edges)
        for graph in self.source.collection:
            check_room(graph, self.room)
        self.decide, self.strict, self.render_mode = decide, strict, render_mode
        self.observation_function = make_observation(observation)
        self.reward_function = make_reward(reward)
        self.actions = self.room.vertices if decide == "vertex" else 2
        self.action_space = gym.spaces.Discrete(self.actions)
        self.observation_space = self.observation_function.space(self.room, self.actions)
        self.state = _NOTHING
        self._ended = True

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        unknown = sorted(set(options or {}) - {"graph"})
        if unknown:
            raise InputError(f"reset has no option {unknown[0]!r}", remedy="the only option is 'graph'")
        self.state = State(self._graph((options or {}).get("graph")))
        self._ended = False
        self._propose()
        return self._observe(), self._info()

    def _graph(self, wanted: Any) -> Graph:
        if wanted is None:
            return self.source.draw(self.np_random, self.room)
        if isinstance(wanted, int | np.integer):
            if not 0 <= wanted < len(self.source.collection):
                raise InputError(f"there is no graph number {wanted}", remedy="number those given, from 0")
            return self.source.collection[wanted]
        return check_room(Graph.of(wanted), self.room)

    def _propose(self) -> None:
        if self.decide == "proposal":
            opened = self.state.open
            self.state.proposed = int(opened[self.np_random.integers(opened.size)]) if opened.size else -1

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if self._ended:
            raise gym.error.ResetNeeded("the episode is over; call reset()")
        chosen, state = self._as_action(action), self.state
        mask = self.action_masks()
        invalid = bool(mask.any() and not mask[chosen])
        if invalid:
            if self.strict:
                raise InputError(f"action {chosen} is masked out", remedy="choose one that info['action_mask'] allows")
            opened = state.open
            chosen = int(opened[np.argmin(state.degree[opened])])
        deleted, entered = int((state.status == OUT).sum()), 0
        if mask.any():
            vertex = chosen if self.decide == "vertex" else state.proposed
            taken = self.decide == "vertex" or chosen == 1
            entered = state.take(vertex) if taken else state.delete(vertex)
        deleted = int((state.status == OUT).sum()) - deleted
        self._propose()
        self._ended = not (state.status == OPEN).any()
        info = self._info()
        info["invalid_action"] = invalid
        if self._ended:
            info["independent_set"], info["bound"] = state.chosen, clique_bound(state.graph)
        reward = float(self.reward_function(Outcome(entered, deleted, state, self._ended)))
        return self._observe(), reward, self._ended, False, info

    def _as_action(self, action: Any) -> int:
        try:
            chosen = operator.index(action)
        except TypeError:
            chosen = -1
        if not 0 <= chosen < self.actions:
            raise InputError(f"{action!r} is no action", remedy=f"give an integer from 0 to {self.actions - 1}")
        return chosen

    def action_masks(self) -> NDArray[np.bool_]:
        """Allowed actions, bool (actions,); the form that sb3-contrib asks for."""
        opened = self.state.status == OPEN
        if self.decide == "proposal":
            return np.full(2, opened.any())
        mask = np.zeros(self.actions, np.bool_)
        mask[: opened.size] = opened
        return mask

    def _observe(self) -> Any:
        return self.observation_function.observe(self.state, self.action_masks().astype(np.int8))

    def _info(self) -> dict[str, Any]:
        return {
            "action_mask": self.action_masks().astype(np.int8),
            "size": self.state.size,
            "open": int((self.state.status == OPEN).sum()),
            "proposed": self.state.proposed,
        }

    def render(self) -> Any:
        """The state of the set in a line of text (mode "ansi")."""
        if self.render_mode is None:
            return None
        state = self.state
        proposed = f", vertex {state.proposed} proposed" if state.proposed >= 0 else ""
        return f"{state.graph.n} vertices: {state.size} in the set, {state.open.size} open{proposed}"
