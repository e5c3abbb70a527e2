"""Branching as a Gymnasium environment."""

from __future__ import annotations

import operator
from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from pyscipopt import Model

from learnsys.envs.branching import libscip
from learnsys.envs.branching.base import SolverEnv
from learnsys.envs.branching.candidates import KERNELS, branch, candidates
from learnsys.envs.branching.control import SolverError
from learnsys.envs.branching.dynamics import BRANCHED, DECLINED, AskingRule
from learnsys.errors import InputError


class BranchingEnv(SolverEnv):
    """doc"""

    path_arguments: ClassVar[tuple[str, ...]] = ("instances",)

    def __init__(
        self,
        instances: Any,
        *,
        observation: Any = "node_bipartite",
        reward: Any = "-n_nodes",
        pseudo_candidates: bool = False,
        **arguments: Any,
    ) -> None:
        self.pseudo_candidates = pseudo_candidates
        self._candidates: NDArray[np.int64] = np.zeros(0, np.int64)
        super().__init__(instances, observation=observation, reward=reward, **arguments)
        self.action_space = spaces.Discrete(self.sizes.variables)

    @property
    def action_set(self) -> NDArray[np.int64]:
        """Problem indices of the candidates, int64 (k,)."""
        return self._candidates

    def _plug(self, model: Model) -> AskingRule:
        self._kernel, self._scip = libscip.kernels(KERNELS), libscip.pointer(model)
        rule = AskingRule()
        model.includeBranchrule(rule, "learnsys", "asks the environment's user", 10_000_000, -1, 1.0)
        return rule

    def _look(self) -> None:
        model = self._episode.model  # type: ignore[union-attr]
        if self._kernel is None:
            found = candidates(model, self.pseudo_candidates)
        else:
            found = self._kernel.candidates(self._scip, self.pseudo_candidates)
        self._candidates = found
        n = model.getNVars()
        if self.form != "direct":
            self._check_size(n)
            n = self.sizes.variables
        self._mask = mask = np.zeros(n, np.int8)
        mask[found] = 1

    def _decided(self, waiting: bool) -> dict[str, Any]:
        if self.form != "direct":
            return {"action_mask": self._mask.copy()}
        if not waiting:
            self._candidates = np.zeros(0, np.int64)
        return {"action_mask": self._mask, "action_set": self._candidates}

    def _answer(self, action: Any) -> tuple[dict[str, Any], bool]:
        episode = self._episode
        assert episode is not None
        if action is None:
            episode.claim()
            return DECLINED, True
        try:
            index = operator.index(action)
            valid = 0 <= index < len(self._mask) and self._mask[index] == 1
        except TypeError:
            valid = False
        if not valid and self.strict:
            raise InputError(
                f"variable {action!r} is no candidate", remedy="choose one that info['action_mask'] allows"
            )
        episode.claim()
        if not valid:
            return DECLINED, False
        if self._kernel is None:
            branch(episode.model, index)
        elif self._kernel.branch(self._scip, index) != 1:
            raise SolverError(f"SCIP refuses to branch on variable {index}")
        return BRANCHED, True
