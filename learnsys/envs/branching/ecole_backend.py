"""`learnsys/Branching-v0` on Ecole 0.8.1, for comparisons with published results: `BranchingEnv(backend="ecole")`.

Every decision is asked for by Ecole's own environment `Branching`; what it returns is brought into the form of
`BranchingEnv`: spaces, masks, a `reset` that skips solved instances, `info`. Observations and rewards are Ecole's own,
chosen by the same names (also in dicts and tuples), or objects of Ecole; those of learnsys read models of PySCIPOpt and
are refused. Instances that are no files are written to one. Differences from the other backend:

- masks have `max_variables` entries in the direct form, too;
- Ecole sets SCIP's random seeds after `scip_params`, so these cannot fix them, and groups such as
  `heuristics/emphasis` are no parameters of Ecole;
- Ecole does not tell SCIP's status: `info["status"]` is "optimal", "infeasible" (solved without a solution),
  "lpiterlimit" or "limit"; there is no `n_solutions`.
"""

from __future__ import annotations

import operator
import tempfile
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from learnsys.envs.branching.control import Episode, SolverError
from learnsys.envs.branching.environment import BranchingEnv
from learnsys.envs.branching.models import INFINITY, read_model
from learnsys.envs.branching.observations import OBSERVATIONS, BipartiteObservation
from learnsys.envs.branching.rewards import REWARDS
from learnsys.envs.branching.sources import Files
from learnsys.errors import InputError


def import_ecole() -> Any:
    """The module `ecole`.

    Raises:
        InputError: it is not installed, or its libscip is missing.
    """
    try:
        return import_module("ecole")
    except ImportError as error:
        raise InputError(
            f"backend='ecole' needs Ecole, which cannot be imported here ({error})",
            remedy="install it (conda install -c conda-forge ecole) or leave backend='scip'",
        ) from None


class EcoleBranchingEnv(BranchingEnv):
    __doc__ = BranchingEnv.__doc__

    _transient: ClassVar[tuple[str, ...]] = (*BranchingEnv._transient, "_ecole", "_folder", "_result")

    def __init__(self, instances: Any = "knapsack:tiny", *, backend: str = "ecole", **arguments: Any) -> None:
        ecole = import_ecole()
        self._ecole: Any = None  # made at the first reset, and again in a copy
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._readable: set[Path] = set()
        self._result: Any = None  # of Ecole's last reset or step
        self._wanted = {
            "observation_function": arguments.get("observation", "node_bipartite"),
            "reward_function": arguments.get("reward", "-n_nodes"),
            "information": arguments.pop("information", None),
        }
        self._parts(ecole)  # raises what is wrong with them
        if not isinstance(self._wanted["reward_function"], (str, int, float)):
            arguments["reward"] = "is_done"  # ours is not used
        super().__init__(instances, backend=backend, **arguments)
        for name in self.scip_params:
            if name.endswith("/emphasis"):
                raise InputError(f"Ecole has no parameter {name!r}", remedy="give the parameters of SCIP one by one")

    def _parts(self, ecole: Any) -> dict[str, Any]:
        """Ecole's observation, reward and information functions."""
        own = self._wanted["information"]
        information = {
            "n_nodes": ecole.reward.NNodes().cumsum(),
            "n_lp_iterations": ecole.reward.LpIterations().cumsum(),
        }
        if own is not None and own != "statistics":
            information["information"] = _observation(ecole, own)
        return {
            "observation_function": _observation(ecole, self._wanted["observation_function"]),
            "reward_function": _reward(ecole, self._wanted["reward_function"]),
            "information_function": information,
        }

    def _example(self) -> tuple[Any, int]:
        if self.form == "direct" or self.observation_function is None:
            return None, 0
        return BranchingEnv(observation=self._wanted["observation_function"], form=self.form)._example()

    # ---- the episode ---------------------------------------------------------------------------------------------

    def _draw(self, instance: Any) -> tuple[str, Any]:
        if instance is None and isinstance(self.source, Files):
            instance = self.source.choose(self.np_random)
        if isinstance(instance, (str, Path)):
            path = Path(instance)
            if path not in self._readable:
                read_model(path).free()  # raises what is wrong with the file
                self._readable.add(path)
            return str(path), str(path)
        name, model = super()._draw(instance)
        self._folder = self._folder or tempfile.TemporaryDirectory(prefix="learnsys")
        path = Path(self._folder.name) / "instance.mps"
        model.writeProblem(str(path), verbose=False)
        model.free()
        return name, str(path)

    def _begin(self, name: str, model: Any, parameters: Mapping[str, Any]) -> bool:
        if self._ecole is None:
            ecole = import_ecole()
            limits = {"pseudo_candidates": self.pseudo_candidates, "scip_params": self.scip_params}
            self._ecole = ecole.environment.Branching(**self._parts(ecole), **limits)
        self._ecole.seed(parameters["randomization/randomseedshift"])
        self._take(self._ecole.reset, model)
        self._episode = self._ecole
        return self._within_limit()

    def _proceed(self, episode: Episode, answer: Any) -> bool:
        self._take(self._ecole.step, answer)
        return self._within_limit()

    def _take(self, transition: Any, argument: Any) -> None:
        try:
            self._result = transition(argument)
        except Exception as error:
            raise SolverError(f"Ecole failed: {error}") from error
        self._model = self._ecole.model

    def _within_limit(self) -> bool:
        *_, done, information = self._result
        limit = self.lp_iteration_limit
        return not done and (limit is None or information["n_lp_iterations"] < limit)

    def _observe(self, waiting: bool) -> tuple[Any, float, dict[str, Any]]:
        observation, _, reward, _, information = self._result
        self._waiting = waiting
        info = self._look() if waiting else self._nothing()
        if self.render_mode == "rgb_array":
            self._trail.append(self._summary())
        found = information.get("information", {})
        info.update(found if isinstance(found, dict) else {"information": found})
        if not waiting:
            info.update(self._final())
        elif self._wanted["information"] == "statistics":
            info.update(self._summary())
        observation = _plain(observation) if waiting else None
        return observation if self.form == "direct" else self._shape(observation, self._mask), float(reward), info

    def _look(self) -> dict[str, Any]:
        self._candidates = np.array(self._result[1], np.int64)
        self._check_size(int(self._candidates.max(initial=-1)) + 1)
        self._mask = np.zeros(self._mask_shape(), np.int8)
        self._mask[self._candidates] = 1
        info = {"action_mask": self._mask.copy()}
        return {**info, "action_set": self._candidates} if self.form == "direct" else info

    def _answer(self, action: Any) -> tuple[Any, int | None, bool]:
        try:
            index = None if action is None else operator.index(action)
        except TypeError:
            index = -1
        valid = index is None or index in self._candidates
        if not valid and self.strict:
            raise InputError(
                f"variable {action!r} is no candidate", remedy="choose one that info['action_mask'] allows"
            )
        return (import_ecole().Default if index is None or not valid else index), index, valid

    def _summary(self) -> dict[str, Any]:
        model, (*_, information) = self._model, self._result
        primal, dual = float(model.primal_bound), float(model.dual_bound)
        status = "limit"
        if model.is_solved:
            status = "optimal" if abs(primal) < INFINITY else "infeasible"
        elif self.lp_iteration_limit is not None and information["n_lp_iterations"] >= self.lp_iteration_limit:
            status = "lpiterlimit"
        gap = INFINITY
        if primal == dual:
            gap = 0.0
        elif primal * dual > 0 and max(abs(primal), abs(dual)) < INFINITY:
            gap = abs(primal - dual) / min(abs(primal), abs(dual))
        return {
            "status": status if self._result[3] or status == "lpiterlimit" else "unknown",
            "n_nodes": int(information["n_nodes"]),
            "n_lp_iterations": int(information["n_lp_iterations"]),
            "primal_bound": primal,
            "dual_bound": dual,
            "gap": gap,
        }

    def _close_episode(self) -> None:
        self._episode = self._model = None
        self._over, self._recording = True, None

    def close(self) -> None:
        super().close()
        self._ecole = self._result = None
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None


def _observation(ecole: Any, wanted: Any) -> Any:
    if wanted is None:
        return ecole.observation.Nothing()
    if isinstance(wanted, dict):
        return {name: _observation(ecole, each) for name, each in wanted.items()}
    if isinstance(wanted, (tuple, list)):
        return type(wanted)(_observation(ecole, each) for each in wanted)
    if isinstance(wanted, str):
        if wanted not in OBSERVATIONS:
            raise InputError(f"no observation is called {wanted!r}", remedy=f"take one of {', '.join(OBSERVATIONS)}")
        return getattr(ecole.observation, OBSERVATIONS[wanted].__name__)()
    return _refuse_ours(wanted)


def _reward(ecole: Any, wanted: Any) -> Any:
    if isinstance(wanted, (int, float)):
        return ecole.reward.Constant(float(wanted))
    if not isinstance(wanted, str):
        return _refuse_ours(wanted)
    name = wanted.removeprefix("-")
    known = {each: made.__name__ for each, made in REWARDS.items() if hasattr(ecole.reward, made.__name__)}
    if name not in known:
        raise InputError(f"Ecole has no reward called {name!r}", remedy=f"choose from {', '.join(known)}")
    function = getattr(ecole.reward, known[name])()
    return -function if wanted.startswith("-") else function


def _refuse_ours(wanted: Any) -> Any:
    if type(wanted).__module__.startswith("learnsys."):
        raise InputError(
            f"{type(wanted).__name__} of learnsys cannot look into Ecole", remedy="give its name, or an object of Ecole"
        )
    return wanted


def _plain(observation: Any) -> Any:
    """An observation of Ecole as arrays."""
    if isinstance(observation, dict):
        return {name: _plain(each) for name, each in observation.items()}
    if isinstance(observation, (tuple, list)):
        return type(observation)(_plain(each) for each in observation)
    if hasattr(observation, "edge_features"):
        rows = getattr(observation, "row_features", None)
        edges = observation.edge_features
        return BipartiteObservation(
            np.array(observation.variable_features, np.float64),
            np.array(observation.constraint_features if rows is None else rows, np.float64),
            np.array(edges.indices, np.int64),
            np.array(edges.values, np.float64),
        )
    return np.array(observation.features) if hasattr(observation, "features") else observation
