"""Algorithm configuration as a Gymnasium environment: one decision, SCIP's parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from pyscipopt import Model

from learnsys.envs.branching.base import SolverEnv
from learnsys.envs.branching.control import Episode
from learnsys.envs.branching.models import check_parameters, set_parameters
from learnsys.errors import InputError

EMPHASES = ("default", "fast", "aggressive", "off")
DEFAULT_PARAMETERS: dict[str, Sequence[Any]] = {
    f"{group}/emphasis": EMPHASES for group in ("presolving", "separating", "heuristics")
}


class _Silent:
    """Asks nothing while SCIP solves."""

    hook = "ask"

    def decline(self) -> dict[str, Any]:
        return {}


class ConfiguringEnv(SolverEnv):
    """Choose SCIP's parameters for an instance; then SCIP solves it to the end.

    ## Description
    A contextual bandit: the observation describes the instance, the only action sets parameters, and the reward says
    how well SCIP did with them. The decision problem is that of the configuration task of the ML4CO competition
    (NeurIPS 2021) and of Ecole's environment of this name.

    ## Action Space
    `MultiDiscrete`: for each of `parameters`, in their order, the number of the chosen value. Or a dict from names of
    SCIP parameters to values, any of SCIP's; a value that SCIP refuses raises `InputError`. Every number
    is allowed: `info["action_mask"]` and `action_masks()` are ones.

    ## Observation Space
    By the argument `observation`: "milp_bipartite" (the instance as a graph), functions as in
    `learnsys/Branching-v0` that can look at a model that is not solved yet, or None. `form` as there.

    ## Rewards
    As in `learnsys/Branching-v0`, over the whole solving process: "-n_nodes" is the default, "-lp_iterations" and the
    integrals are the other usual ones.

    ## Starting State
    An instance, read and not yet transformed. None is skipped.

    ## Episode End
    After the first step: terminated if SCIP solved the instance, truncated if it came to a limit.

    ## Arguments
    - `instances`, `reward`, `information`, `scip_params`, limits, `form`, `render_mode`: as in
      `learnsys/Branching-v0`. `scip_params` are set before the action's.
    - `observation`: see above.
    - `parameters`: SCIP parameter -> values to choose from; the emphases of presolving, cuts and heuristics by default.

    ## Version History
    - v0: first version.
    """

    def __init__(
        self,
        instances: Any = "knapsack:tiny",
        *,
        parameters: Mapping[str, Sequence[Any]] | None = None,
        observation: Any = "milp_bipartite",
        reward: Any = "-n_nodes",
        **arguments: Any,
    ) -> None:
        self.parameters = {name: list(values) for name, values in (parameters or DEFAULT_PARAMETERS).items()}
        for name, values in self.parameters.items():
            if not values:
                raise InputError(f"no values to choose from for {name}", remedy="give at least one")
            for value in values:
                check_parameters({name: value})
        super().__init__(instances, observation=observation, reward=reward, **arguments)
        self.action_space = spaces.MultiDiscrete([len(values) for values in self.parameters.values()])

    def _answer(self, action: Any) -> tuple[dict[str, Any], Any, bool]:
        chosen = self._chosen(action)
        set_parameters(self.model, chosen)
        return {}, chosen, True

    def _chosen(self, action: Any) -> Mapping[str, Any]:
        if isinstance(action, Mapping):
            return action
        numbers = np.asarray(action).reshape(-1).tolist()
        fits = len(numbers) == len(self.parameters) and all(isinstance(number, int) for number in numbers)
        if not fits or not self.action_space.contains(np.array(numbers)):
            raise InputError(f"{action!r} is no configuration", remedy=f"give {len(self.parameters)} numbers or a dict")
        return {name: values[number] for (name, values), number in zip(self.parameters.items(), numbers, strict=True)}

    def _plug(self, model: Model) -> _Silent:
        return _Silent()

    def _proceed(self, episode: Episode, answer: dict[str, Any] | None) -> bool:
        return answer is None or episode.resume(None)  # the decision comes before SCIP starts

    def _mask_shape(self) -> tuple[int, ...]:
        return (sum(len(values) for values in self.parameters.values()),)

    def _look(self) -> dict[str, Any]:
        self._mask = np.ones(self._mask_shape(), np.int8)
        return {"action_mask": self._mask.copy()}
