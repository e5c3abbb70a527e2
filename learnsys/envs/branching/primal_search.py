"""Primal search as a Gymnasium environment: fix variables, let SCIP complete them to a solution."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from pyscipopt import SCIP_HEURTIMING, SCIP_RESULT, Heur, Model

from learnsys.envs.branching import libscip
from learnsys.envs.branching.base import SolverEnv
from learnsys.envs.branching.candidates import candidates
from learnsys.envs.branching.control import Episode
from learnsys.errors import InputError

FREE, LOW, HIGH = range(3)


class AskingHeuristic(Heur):
    """A primal heuristic that asks which variables to fix."""

    hook = "heurexec"

    def decline(self) -> dict[str, Any]:
        """SCIP goes on."""
        return {"result": SCIP_RESULT.DIDNOTRUN}


class PrimalSearchEnv(SolverEnv):
    """Search solutions: give values to some of the discrete variables, SCIP completes them.

    ## Description
    While SCIP solves a mixed-integer program by branch and bound, it asks after nodes for a partial assignment. The
    assignment is tried in probing: the variables are fixed, bounds are propagated, the LP is solved, and if its
    solution is feasible for the whole problem it is a new solution. The decision problem is that of Ecole's environment
    of this name and of the primal task of the ML4CO competition (NeurIPS 2021).

    ## Action Space
    `MultiDiscrete([3] * max_variables)`: entry i leaves variable i free (0), or fixes it to 0 or 1 (1 and 2; general
    integers to the LP value rounded down and up). Or, as in Ecole, a pair of arrays: indices of variables and their
    values. Only unfixed discrete variables can be fixed: `info["action_mask"]` is int8 (3 max_variables,), three
    entries for each variable, and `action_masks()` the same as bool. Fixings that the mask forbids are left out and set
    `info["invalid_action"]`; with `strict` they raise `InputError`. An empty assignment tries nothing.

    ## Observation Space
    By the arguments `observation` ("node_bipartite" by default) and `form`, as in `learnsys/Branching-v0`.

    ## Rewards
    As in `learnsys/Branching-v0`; by default "primal_improvement".

    ## Starting State
    The first node that SCIP asks after. Instances solved before are skipped, as in `learnsys/Branching-v0`.

    ## Episode End
    Terminated when SCIP has solved the instance, truncated at a limit.

    ## Arguments
    - `instances`, `observation`, `reward`, `information`, `scip_params`, limits, `form`, `max_variables` and so on,
      `strict`, `render_mode`: as in `learnsys/Branching-v0`.
    - `trials_per_node`: assignments tried at a node, -1 for as many as the limits allow, 0 for none.
    - `depth_freq`, `depth_start`, `depth_stop`: ask at depths depth_start, depth_start + depth_freq, ... up to
      depth_stop (-1: no limit). A frequency of 0 asks at depth_start only.

    ## Version History
    - v0: first version.
    """

    def __init__(
        self,
        instances: Any = "knapsack:tiny",
        *,
        observation: Any = "node_bipartite",
        reward: Any = "primal_improvement",
        trials_per_node: int = 1,
        depth_freq: int = 1,
        depth_start: int = 0,
        depth_stop: int = -1,
        **arguments: Any,
    ) -> None:
        if trials_per_node < -1 or depth_freq < 0 or depth_start < 0 or depth_stop < -1:
            raise InputError("trials and depths cannot be less than -1 and 0", remedy="see the arguments")
        self.trials_per_node = trials_per_node
        self.depths = depth_freq, depth_start, depth_stop
        self._trials = 0
        self._candidates: NDArray[np.int64] = np.zeros(0, np.int64)
        self._low: NDArray[np.int64] = np.zeros(0, np.int64)
        super().__init__(instances, observation=observation, reward=reward, **arguments)
        self.action_space = spaces.MultiDiscrete(np.full(self.sizes.variables, 3))

    def _plug(self, model: Model) -> AskingHeuristic:
        heuristic = AskingHeuristic()
        freq, start, stop = self.depths
        model.includeHeur(
            heuristic,
            "learnsys",
            "asks the environment's user",
            "!",
            priority=2**29 - 1,
            freq=freq if self.trials_per_node else -1,
            freqofs=start,
            maxdepth=stop,
            timingmask=SCIP_HEURTIMING.AFTERLPNODE | SCIP_HEURTIMING.AFTERPSEUDONODE,
        )
        self._heuristic = heuristic
        self._trials, self._result = 0, SCIP_RESULT.DIDNOTRUN
        return heuristic

    def _look(self) -> dict[str, Any]:
        model = self._model
        n = model.getNVars()
        if self.form != "direct":
            self._check_size(n)
            n = self.sizes.variables
        self._variables = model.getVars(transformed=True)
        self._candidates = candidates(model, pseudo=True)
        mask = np.zeros((n, 3), np.int8)
        mask[:, FREE] = 1
        mask[self._candidates] = 1
        self._mask = mask.reshape(-1)
        return self._with_candidates({"action_mask": self._mask.copy()})

    def _nothing(self) -> dict[str, Any]:
        self._candidates = np.zeros(0, np.int64)
        return self._with_candidates(super()._nothing())

    def _with_candidates(self, info: dict[str, Any]) -> dict[str, Any]:
        return info if self.form != "direct" else {**info, "action_set": self._candidates}

    def _mask_shape(self) -> tuple[int, ...]:
        return (3 * self.sizes.variables,)

    def _answer(self, action: Any) -> tuple[dict[str, Any] | None, Any, bool]:
        indices, values, valid = self._assignment(action)
        tried = np.array(indices, np.int64), np.array(values, np.float64)
        if not valid and self.strict:
            raise InputError("the action fixes variables that cannot be fixed", remedy="see info['action_mask']")
        episode = self._episode
        assert episode is not None
        episode.claim()
        if len(indices) and self._try(episode.model, indices, values):
            self._result = SCIP_RESULT.FOUNDSOL
        elif self._result == SCIP_RESULT.DIDNOTRUN:
            self._result = SCIP_RESULT.DIDNOTFIND
        self._trials += 1
        if self._trials != self.trials_per_node and not _out_of_time(episode.model):
            episode.release()
            return None, tried, valid
        answer = {"result": self._result}
        self._trials, self._result = 0, SCIP_RESULT.DIDNOTRUN
        return answer, tried, valid

    def _proceed(self, episode: Episode, answer: dict[str, Any] | None) -> bool:
        return episode.waiting or super()._proceed(episode, answer)

    def _assignment(self, action: Any) -> tuple[list[int], list[float], bool]:
        """Indices, values, and whether all of them were allowed."""
        if isinstance(action, tuple) and len(action) == 2:
            indices, values = np.asarray(action[0], np.int64), np.asarray(action[1], np.float64)
            if indices.shape != values.shape or indices.ndim != 1 or not np.isfinite(values).all():
                raise InputError(f"{action!r} is no assignment", remedy="give as many finite values as variables")
        else:
            chosen = np.asarray(action)
            if chosen.ndim != 1 or 3 * len(chosen) != len(self._mask) or not np.isin(chosen, (FREE, LOW, HIGH)).all():
                raise InputError(
                    "the action is no assignment", remedy=f"give 0, 1 or 2 for {len(self._mask) // 3} variables"
                )
            indices = np.flatnonzero(chosen)
            indices_allowed = indices[np.isin(indices, self._candidates)]
            values = np.array([self._value(i, chosen[i]) for i in indices_allowed.tolist()])
            return indices_allowed.tolist(), values.tolist(), len(indices_allowed) == len(indices)
        kept = np.isin(indices, self._candidates)
        return indices[kept].tolist(), values[kept].tolist(), bool(kept.all())

    def _value(self, index: int, choice: int) -> float:
        variable = self._variables[index]
        if variable.vtype() == "BINARY":
            return float(choice == HIGH)
        value = variable.getLPSol()
        return float(np.floor(value) if choice == LOW else np.ceil(value))

    def _try(self, model: Model, indices: list[int], values: list[float]) -> bool:
        """Probe the assignment; True if it led to a solution."""
        variables = self._variables
        model.startProbing()
        try:
            for index, value in zip(indices, values, strict=True):
                variable = variables[index]
                if not variable.getLbLocal() <= value <= variable.getUbLocal():
                    return False
                model.fixVarProbing(variable, value)
            cutoff, _ = model.propagateProbing(0)
            if not cutoff:
                cutoff = model.constructLP()  # makes sure that there is one
            if not cutoff:
                error, cutoff = model.solveProbingLP()
                if not error and not cutoff:
                    solution = model.createSol(self._heuristic, initlp=True)
                    return bool(model.trySol(solution, printreason=False, completely=True))
            return False
        finally:
            model.endProbing()


def _out_of_time(model: Model) -> bool:
    """Whether SCIP would stop now."""
    if libscip.available():
        return bool(libscip.library().SCIPisStopped(ctypes.c_void_p(libscip.pointer(model))))
    return model.getSolvingTime() >= float(model.getParam("limits/time"))
