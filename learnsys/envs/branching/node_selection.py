"""Node selection as a Gymnasium environment."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from pyscipopt import Model, Nodesel

from learnsys.envs.branching.base import SolverEnv
from learnsys.envs.branching.control import Episode
from learnsys.errors import InputError

NODE_FEATURES = ("lower_bound", "estimate", "depth", "is_child", "is_sibling", "is_leaf", "number")
TOP_PRIORITY = 10_000_000


class AskingSelector(Nodesel):
    """A node selector that asks which open node is processed next."""

    hook = "nodeselect"
    nodecomp = staticmethod(operator.is_)  # type: ignore[assignment]  # the queue's order does not matter: the asker sees all open nodes

    def decline(self) -> dict[str, Any]:
        """The node of least lower bound."""
        nodes = open_nodes(self.model)[0]
        return {"selnode": nodes[0] if nodes else None}


def open_nodes(model: Model) -> tuple[list[Any], NDArray[np.float64]]:
    """The open nodes and their `NODE_FEATURES`: the least lower bound first; of equal ones, the older node."""
    groups = model.getOpenNodes()  # leaves, children, siblings
    nodes = [node for group in groups for node in group]
    features = np.zeros((len(nodes), len(NODE_FEATURES)))
    features[:, 0] = [node.getLowerbound() for node in nodes]
    features[:, 1] = [node.getEstimate() for node in nodes]
    features[:, 2] = [node.getDepth() for node in nodes]
    features[:, 6] = [node.getNumber() for node in nodes]
    first, second = len(groups[0]), len(groups[0]) + len(groups[1])
    features[:first, 5] = features[first:second, 3] = features[second:, 4] = 1.0
    order = np.lexsort((features[:, 6], features[:, 0]))
    return [nodes[i] for i in order.tolist()], features[order]


class OpenNodes:
    """Observation of the open nodes, float64 (k, 7), the least lower bound first.

    Columns: 0 lower bound, 1 estimate of the best solution below (both of the transformed problem, which SCIP
    minimises; 1e20 is infinite), 2 depth, 3 to 5 one-hot child or sibling of the node processed last, or leaf,
    6 number in the order of creation.
    """

    def before_reset(self, model: Model) -> None:
        """Nothing is kept between episodes."""

    def extract(self, model: Model, done: bool = False) -> NDArray[np.float64] | None:
        """The features, None when `done`."""
        return None if done else open_nodes(model)[1]


class NodeSelectionEnv(SolverEnv):
    """Choose the open node of SCIP's branch-and-bound tree that is processed next.

    ## Description
    SCIP solves a mixed-integer program by branch and bound and asks each time which of the open nodes (children and
    siblings of the node processed last, and leaves elsewhere in the tree) it shall process. It is not asked while
    there is only one.

    ## Action Space
    `Discrete(max_nodes)`: action i processes the i-th open node; the nodes are sorted by lower bound, the least first,
    and those beyond `max_nodes` cannot be chosen now. `info["action_mask"]` (int8) and `action_masks()` (bool) tell how
    many there are. Any other action is replaced by 0, best bound, and sets `info["invalid_action"]`; with `strict` it
    raises `InputError`. None is best bound, too.

    ## Observation Space
    By the argument `observation`: "open_nodes" (see `OpenNodes`), or observation functions as in
    `learnsys/Branching-v0`. The LP that they may see is that of the node processed last. `form` says how: "graph"
    (nodes of a `GraphInstance`), "padded" (`variable_features` are those of the open nodes), or "direct".

    ## Rewards
    As in `learnsys/Branching-v0`.

    ## Starting State
    The first time that there are two open nodes. Instances solved before are skipped, as in `learnsys/Branching-v0`.

    ## Episode End
    As in `learnsys/Branching-v0`.

    ## Arguments
    - `instances`, `reward`, `information`, `scip_params`, limits, `form`, `strict`, `render_mode`: as in
      `learnsys/Branching-v0`.
    - `observation`: see above.
    - `max_nodes`: how many nodes can be chosen from.

    ## Version History
    - v0: first version.
    """

    def __init__(
        self,
        instances: Any = "knapsack:tiny",
        *,
        observation: Any = "open_nodes",
        reward: Any = "-n_nodes",
        max_nodes: int = 1000,
        **arguments: Any,
    ) -> None:
        if max_nodes < 2:
            raise InputError(f"max_nodes={max_nodes} leaves no choice", remedy="give at least 2")
        self._nodes: list[Any] = []
        if observation == "open_nodes":
            observation = OpenNodes()
        super().__init__(instances, observation=observation, reward=reward, max_variables=max_nodes, **arguments)
        self.action_space = spaces.Discrete(max_nodes)

    def _plug(self, model: Model) -> AskingSelector:
        selector = AskingSelector()
        model.includeNodesel(selector, "learnsys", "asks the environment's user", TOP_PRIORITY, TOP_PRIORITY)
        return selector

    def _proceed(self, episode: Episode, answer: dict[str, Any] | None) -> bool:
        while super()._proceed(episode, answer):
            self._nodes = open_nodes(episode.model)[0]
            if len(self._nodes) > 1:
                return True
            episode.claim()
            answer = {"selnode": self._nodes[0] if self._nodes else None}
        return False

    def _count(self) -> int:
        return len(self._nodes)

    def _look(self) -> dict[str, Any]:
        self._mask = np.zeros(self.sizes.variables, np.int8)
        self._mask[: len(self._nodes)] = 1
        return {"action_mask": self._mask.copy()}

    def _answer(self, action: Any) -> tuple[dict[str, Any], int, bool]:
        episode = self._episode
        assert episode is not None
        try:
            index = 0 if action is None else operator.index(action)
            valid = 0 <= index < min(len(self._nodes), self.sizes.variables)
        except TypeError:
            index, valid = -1, False
        if not valid and self.strict:
            raise InputError(f"action {action!r} is no open node", remedy="choose one that info['action_mask'] allows")
        episode.claim()
        return {"selnode": self._nodes[index if valid else 0]}, index, valid
