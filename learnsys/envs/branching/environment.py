"""Branching as a Gymnasium environment."""

from __future__ import annotations

import operator
from typing import Any

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
    """Choose the variable that SCIP branches on, while it solves a mixed-integer program by branch and bound.

    ## Description
    SCIP solves the LP relaxation of each node of its tree. Where the solution is fractional, it stops and asks for the
    variable to branch on; everything else (presolving, cuts, heuristics, the order of nodes) it does by itself. An
    episode is one solving process. The decision problem is that of Gasse et al., "Exact Combinatorial Optimization with
    Graph Convolutional Neural Networks", NeurIPS 2019, and of Ecole's environment of this name.

    ## Action Space
    `Discrete(max_variables)`: action i branches on variable i of `env.unwrapped.model.getVars(transformed=True)`, at
    its LP value. Only the candidates are allowed: variables with a fractional LP value, or, with `pseudo_candidates`,
    all unfixed discrete ones. `info["action_mask"]` (int8) and `action_masks()` (bool) tell which. A masked-out action
    lets SCIP's own rule branch and sets `info["invalid_action"]`; with `strict` it raises `InputError`. None lets
    SCIP's own rule branch, too. In the direct form the masks have one entry for each variable of the transformed
    problem, and `info["action_set"]` lists the candidates, int64.

    ## Observation Space
    By the argument `observation`: a name of `learnsys.envs.branching.observations.OBSERVATIONS`, an object with
    `before_reset(model)` and `extract(model, done)`, None, or a dict or tuple of these. By the argument `form`:

    - `"graph"` (default): bipartite observations as a `GraphInstance`. The first nodes are the variables (node i is
      variable i), the others the rows; a node's features are whether it is a row, then those of variables (0 for rows),
      then those of rows (0 for variables); edges lead from rows to variables. Arrays with a row for each variable are
      graphs without edges. float32; NaN (no incumbent, no candidate) is 0.
    - `"padded"`: a flat Dict of arrays of fixed shape, for ready-made agents: `variable_features`, `variable_mask`,
      `row_features`, `row_mask`, `edge_indices` (2, max_edges; row, variable), `edge_values`, `edge_mask` and
      `action_mask`; for a dict of observations each name is put in front. Rows and edges that find no room (the
      latest cuts) are left out. float32, NaN is 0.
    - `"direct"`: what the observation function returns, float64, with NaN; the fastest, for one's own training loop.

    After the last decision the observation is empty (no nodes, zeros, or None).

    ## Rewards
    By the argument `reward`: a name of `learnsys.envs.branching.rewards.REWARDS` (with `-` in front for its negative),
    a number, or an expression of reward functions, such as `-NNodes() - 0.01 * LpIterations()`. Each is the change
    since the last decision; what falls before the first one is in `info["reward_offset"]` of `reset`. Integrals over
    seconds differ from run to run; `DualIntegral(clock="nodes")` does not.

    At the end `info` holds `status` (SCIP's), `n_nodes`, `n_lp_iterations`, `primal_bound`, `dual_bound`, `gap` and
    `n_solutions`.

    ## Starting State
    An instance is drawn (`info["instance"]`), SCIP's permutations and random numbers are drawn, and SCIP runs to the
    first decision. Instances that are solved without one are skipped and listed in `info["skipped"]`.
    `reset(options={"instance": ...})` takes a file or a `pyscipopt.Model` (which is copied, with its parameters). It is
    never skipped, nor is the only one that there is: if it needs no decision, the mask is empty and the first step,
    with whatever action, ends the episode. The same seed gives the same tree, in any process.

    ## Episode End
    Terminated when SCIP has solved the instance (or shown it infeasible or unbounded), truncated when it comes to a
    limit. `env.unwrapped.model` can be looked at until the next `reset`.

    ## Arguments
    - `instances`: a family of instances ("setcover", "item_placement:tiny", see
      `learnsys.envs.branching.instances`), a model file (.mps, .lp, .cip, also .gz), a directory of them, a list of
      files, a `pyscipopt.Model`, or a function that makes one (from a `numpy.random.Generator`, or from nothing). Each
      episode solves a fresh copy.
    - `observation`, `reward`: see above.
    - `pseudo_candidates`: see above.
    - `information`: as `observation`, or "statistics" (those of the episode's end, at each step); what it extracts is
      put into `info` (a dict is merged, all else is `info["information"]`).
    - `scip_params`: SCIP's parameters; set last, so they may fix random seeds, too. `presolving/emphasis`,
      `heuristics/emphasis` and `separating/emphasis` set whole groups ("off", "fast", "default", "aggressive").
    - `node_limit`, `lp_iteration_limit` (looked at when a decision is due), `time_limit` (seconds), `memory_limit` (MB
      of SCIP's own memory).
    - `form`; `max_variables`, `max_rows`, `max_edges`: room in spaces; None measures a large instance and adds half for
      cuts. More variables than that raise `InputError` at `reset`, except in the direct form.
    - `strict`: raise on masked-out actions.
    - `backend`: "scip", or "ecole" to run on Ecole 0.8.1 where it is installed (see
      `learnsys.envs.branching.ecole_backend`).
    - `render_mode`: "ansi" (a line of text) or "rgb_array" (a picture of both bounds over the nodes).

    Bad arguments and unreadable files raise `learnsys.errors.InputError`; if SCIP fails, `step` and `reset` raise
    `learnsys.envs.branching.control.SolverError`. What a function of the user raises comes out of `step` as it is. An
    environment belongs to the thread that reset it. A copy (`copy.deepcopy`, `pickle`) in the middle of an episode
    plays the episode again, action by action.

    ## Version History
    - v0: first version.
    """

    def __new__(cls, *arguments: Any, **named: Any) -> BranchingEnv:
        """Of the subclass that `backend` asks for."""
        if cls is BranchingEnv and named.get("backend") == "ecole":
            from learnsys.envs.branching.ecole_backend import EcoleBranchingEnv

            return super().__new__(EcoleBranchingEnv)
        return super().__new__(cls)

    def __init__(
        self,
        instances: Any = "knapsack:tiny",
        *,
        observation: Any = "node_bipartite",
        reward: Any = "-n_nodes",
        pseudo_candidates: bool = False,
        backend: str = "scip",
        **arguments: Any,
    ) -> None:
        if backend not in ("scip", "ecole"):
            raise InputError(f"backend={backend!r} is not possible", remedy="choose 'scip' or 'ecole'")
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

    def _look(self) -> dict[str, Any]:
        n, direct = self._model.getNVars(), self.form == "direct"
        if not direct:
            self._check_size(n)
            n = self.sizes.variables
        self._mask = mask = np.zeros(n, np.int8)
        if self._kernel is None:
            self._candidates = candidates(self._model, self.pseudo_candidates)
            mask[self._candidates] = 1
        else:
            self._candidates = self._kernel.candidates_and_mask(self._scip, self.pseudo_candidates, mask)
        return {"action_mask": mask.copy(), "action_set": self._candidates} if direct else {"action_mask": mask.copy()}

    def _nothing(self) -> dict[str, Any]:
        self._candidates = np.zeros(0, np.int64)
        info = super()._nothing()
        return {**info, "action_set": self._candidates} if self.form == "direct" else info

    def _answer(self, action: Any) -> tuple[dict[str, Any], int | None, bool]:
        episode = self._episode
        assert episode is not None
        if action is None:
            episode.claim()
            return DECLINED, None, True
        try:
            index = operator.index(action)
            valid = 0 <= index < self._mask.size and self._mask.item(index)
        except TypeError:
            index, valid = -1, False
        if not valid and self.strict:
            raise InputError(
                f"variable {action!r} is no candidate", remedy="choose one that info['action_mask'] allows"
            )
        episode.claim()
        if not valid:
            return DECLINED, index, False
        if self._kernel is None:
            branch(episode.model, index)
        elif self._kernel.branch(self._scip, index) != 1:
            raise SolverError(f"SCIP refuses to branch on variable {index}")
        return BRANCHED, index, True
