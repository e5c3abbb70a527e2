"""What a step of the environment costs beside the same rule inside SCIP, as a C callback and in Python, and gyozas."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Iterator
from functools import partial
from statistics import median
from typing import Any

import numpy as np
from numba import carray, cfunc, types
from numba.extending import intrinsic
from pyscipopt import SCIP_RESULT, Branchrule, Model

from benchmarks.branching_instances import FULL_SIZE, multiple_knapsack
from learnsys.envs.branching import libscip
from learnsys.envs.branching.base import BARE
from learnsys.envs.branching.environment import BranchingEnv
from learnsys.envs.branching.models import copy_model, seed_parameters, set_parameters
from learnsys.envs.branching.observations import NodeBipartite

TOP_PRIORITY = 10_000_000
ROUNDS, ROUNDS_OF_GYOZAS = 7, 2
FLOOR, PLAIN, OURS = "C callback", "PySCIPOpt rule", "environment, NodeBipartite"
Measured = tuple[float, int]
"""CPU seconds from the first decision to the end, and decisions"""

PUBLISHED = {"separating/maxrounds": 0, "presolving/maxrestarts": 0}
FAMILIES: dict[str, tuple[Callable[[int], Model], dict[str, Any], int, int]] = {
    "multiple knapsack 5x40": (
        multiple_knapsack,
        {**BARE, "conflict/enable": False, "misc/usesymmetry": 0},
        500,
        2000,
    ),
    "auction 100x500": (FULL_SIZE["auction 100x500"], PUBLISHED, 50, 100),
    "set cover 500x1000": (FULL_SIZE["set cover 500x1000"], PUBLISHED, 20, 50),
}
"""Name -> what makes the model from a seed, SCIP's parameters, and the limit of nodes, quick and not; the LP gets
dearer from one to the next."""
GOALS = {
    "multiple knapsack 5x40": "environment, NodeBipartite: at most 55 microseconds (Ecole 0.8.1: 63)",
    "set cover 500x1000": "environment, NodeBipartite: at most 1.05 times the C callback, at least 5 times gyozas",
}


class _MiddleRule(Branchrule):
    """Branches on the middle candidate."""

    def __init__(self) -> None:
        self.decisions, self.began = 0, 0.0

    def branchexeclp(self, allowaddcons: bool) -> dict[str, Any]:
        self.began = self.began or time.process_time()
        variables = self.model.getLPBranchCands()[0]
        self.model.branchVar(variables[len(variables) // 2])
        self.decisions += 1
        return {"result": SCIP_RESULT.BRANCHED}

    def branchexecps(self, allowaddcons: bool) -> dict[str, Any]:
        return {"result": SCIP_RESULT.DIDNOTRUN}

    branchexecext = branchexecps


@intrinsic
def _as_pointer(typing_context: Any, address: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.CPointer(types.int64)(types.intp), codegen


_COUNTS = np.zeros(2, np.int64)
"""of the compiled rule: decisions, and the C library's clock at the first one (microseconds of CPU time)"""


def _compile_rule() -> Any:
    """The same rule as a C callback: the floor for any environment."""
    from learnsys.envs.branching import candidates_kernel

    candidates, branch, address = candidates_kernel.candidates, candidates_kernel.branch, _COUNTS.ctypes.data
    clock = types.ExternalFunction("clock", types.int64())

    @cfunc(types.int32(types.intp, types.intp, types.uint32, types.CPointer(types.uint32)))
    def rule(scip, own, allowaddcons, result):
        counts = carray(_as_pointer(address), 2)  # type: ignore[call-arg] # numba hands over the context
        if counts[0] == 0:
            counts[1] = clock()
        counts[0] += 1
        found = candidates(scip, False)
        result[0] = 13  # SCIP_BRANCHED
        return branch(scip, found[found.size // 2])

    return rule


def _prepared(base: Model, parameters: dict[str, Any]) -> Model:
    model = copy_model(base)
    set_parameters(model, {"misc/catchctrlc": False, **parameters})
    return model


def _in_c(base: Model, parameters: dict[str, Any], compiled: Any) -> Measured:
    model = _prepared(base, parameters)
    scip, rule, lib = ctypes.c_void_p(libscip.pointer(model)), ctypes.c_void_p(), libscip.library()
    words = (b"compiled", b"the middle candidate", TOP_PRIORITY, -1, ctypes.c_double(1.0), None)
    assert lib.SCIPincludeBranchruleBasic(scip, ctypes.byref(rule), *words) == 1
    assert lib.SCIPsetBranchruleExecLp(scip, rule, ctypes.c_void_p(compiled.address)) == 1
    _COUNTS[:] = 0
    model.optimize()
    measured = time.process_time() - _COUNTS[1] / 1e6, int(_COUNTS[0])
    model.free()
    return measured


def _in_python(base: Model, parameters: dict[str, Any]) -> Measured:
    model, rule = _prepared(base, parameters), _MiddleRule()
    model.includeBranchrule(rule, "plain", "the middle candidate", TOP_PRIORITY, -1, 1.0)
    model.optimize()
    measured = time.process_time() - rule.began, rule.decisions
    model.free()
    return measured


def _in_environment(base: Model, parameters: dict[str, Any], observation: Any) -> Measured:
    env = BranchingEnv(base, observation=observation, form="direct", scip_params=parameters)
    _, info = env.reset(seed=0)
    start, decisions, over = time.process_time(), 0, False
    while not over:
        found = info["action_set"]
        _, _, terminated, truncated, info = env.step(found[len(found) // 2])
        decisions, over = decisions + 1, terminated or truncated
    measured = time.process_time() - start, decisions
    env.close()
    return measured


def _in_gyozas(base: Model, parameters: dict[str, Any], observation: bool) -> Measured:
    from gyozas.environment import Environment
    from gyozas.observations.node_bipartite_ecole import NodeBipartiteEcole

    model = _prepared(base, parameters)
    function = NodeBipartiteEcole() if observation else None
    env = Environment(iter([model]), observation_function=function)
    _, found, _, over, _ = env.reset()
    start, decisions = time.process_time(), 0
    while not over:
        _, found, _, over, _ = env.step(found[len(found) // 2])
        decisions += 1
    measured = time.process_time() - start, decisions
    env.close()
    return measured


def steps(seed: int, quick: bool) -> Iterator[dict[str, Any]]:
    """CPU time per decision, in turns, on the same instance with the same random seeds of SCIP."""
    compiled = _compile_rule()
    for name, (make, parameters, few, many) in FAMILIES.items():
        base = make(seed)
        limit = {"limits/totalnodes": few if quick else many}
        settings = {**seed_parameters(np.random.default_rng(seed)), **parameters, **limit}
        contestants: dict[str, Callable[[], Measured]] = {
            FLOOR: partial(_in_c, base, settings, compiled),
            PLAIN: partial(_in_python, base, settings),
            "environment": partial(_in_environment, base, settings, None),
            OURS: partial(_in_environment, base, settings, NodeBipartite()),
            "environment, what changes": partial(_in_environment, base, settings, NodeBipartite(incremental=True)),
            "gyozas": partial(_in_gyozas, base, settings, False),
            "gyozas, NodeBipartite": partial(_in_gyozas, base, settings, True),
        }
        costs: dict[str, list[float]] = {contestant: [] for contestant in contestants}
        decisions = {}
        for turn in range(1 if quick else ROUNDS):
            for contestant in list(contestants)[:: 1 if turn % 2 == 0 else -1]:
                if contestant.startswith("gyozas") and turn >= ROUNDS_OF_GYOZAS:
                    continue
                cpu, decisions[contestant] = contestants[contestant]()
                costs[contestant].append(1e6 * cpu / decisions[contestant])
        rows = [
            [who, decisions[who], median(each), min(each), min(each) / min(costs[FLOOR])]
            + [_paired(each, costs[peer]) for peer in (FLOOR, PLAIN, OURS)]
            for who, each in costs.items()
        ]
        columns = ["who decides", "decisions", "median", "least", "least / least of C"]
        yield {
            "title": f"{name}: CPU microseconds per decision ({len(costs[FLOOR])} rounds), and ratios within rounds",
            "columns": [*columns, "/ C callback", "/ PySCIPOpt rule", f"/ {OURS}"],
            "rows": rows,
            "goals": [GOALS[name]] if name in GOALS else [],
        }
        base.free()


def _paired(costs: list[float], others: list[float]) -> str:
    """The ratio of costs of the same round: its median and quartiles."""
    low, middle, high = np.quantile(
        [cost / other for cost, other in zip(costs, others, strict=False)], (0.25, 0.5, 0.75)
    )
    return f"{middle:.2f} ({low:.2f}-{high:.2f})"
