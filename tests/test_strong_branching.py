"""Strong-branching scores against SCIP's own rule; scripts/check_strong_branching does this on hundreds of nodes."""

from pathlib import Path

import numpy as np
import pytest
from pyscipopt import SCIP_PARAMSETTING, Model, quicksum

from learnsys.envs.branching import libscip
from learnsys.envs.branching.candidates import candidates
from learnsys.envs.branching.observations import StrongBranchingScores
from learnsys.testing.observations import bare, random_problem, visit_nodes
from learnsys.testing.strong_branching import compare_with_vanilla

GOLDEN = Path(__file__).parent / "golden" / "ecole"


def read(name):
    model = Model() if isinstance(name, str) else random_problem(name)
    model.hideOutput()
    model.setHeuristics(SCIP_PARAMSETTING.OFF)
    model.setParams({"separating/maxroundsroot": 1, "separating/maxrounds": 1})
    if isinstance(name, str):
        model.readProblem(str(GOLDEN / f"{name}.mps"))
    return model


@pytest.mark.skipif(not libscip.available(), reason="needs libscip")
@pytest.mark.parametrize("kernels", [True, False])
@pytest.mark.parametrize("pseudo", [False, True])
@pytest.mark.parametrize("name", ["cauction", "indset", 0, 4, 10])
def test_equal_to_vanillafullstrong(name, pseudo, kernels):
    found = compare_with_vanilla(read(name), 12, pseudo_candidates=pseudo, kernels=kernels)
    assert len(found) >= 5
    assert max(node.error for node in found) <= 1e-9
    assert all(node.same_best for node in found)
    assert max(node.candidates for node in found) > 5


@pytest.mark.parametrize("kernels", [True, False])
def test_scores_by_hand(kernels):
    """max 8a + 5b, a + b <= 1.5 in binaries: the LP takes a = 1, b = 0.5 (10.5).

    b down: a = 1 gives 8, a gain of 2.5; b up: a = 0.5 gives 9, a gain of 1.5. SCIP multiplies the gains.
    """
    model = bare(Model())
    a, b = model.addVar(vtype="B", obj=8), model.addVar(vtype="B", obj=5)
    model.addCons(a + b <= 1.5)
    model.setMaximize()
    seen = []
    visit_nodes(model, lambda model: seen.append(StrongBranchingScores(kernels=kernels).extract(model)), 1)
    assert np.isnan(seen[0][0])
    assert seen[0][1] == pytest.approx(2.5 * 1.5)


@pytest.mark.parametrize("kernels", [True, False])
def test_nothing_is_left_in_scip(kernels):
    """The tree, the LP iterations and the pseudocosts are those of a run without strong branching."""
    runs = []
    for function in (None, StrongBranchingScores(kernels=kernels), StrongBranchingScores(True, kernels=kernels)):
        log: list = []

        def visit(model, function=function, log=log):
            if function is not None:
                function.extract(model)
            index = candidates(model)
            costs = [model.getVarPseudocost(model.getVars(transformed=True)[i], 1) for i in index]
            log.append((model.getNLPIterations(), index.tolist(), [model.getLPObjVal(), *costs]))

        visit_nodes(read(4), visit, 25)
        runs.append(log)
    assert len(runs[0]) == 25
    for run in runs[1:]:
        for mine, other in zip(run, runs[0], strict=True):
            assert mine[:2] == other[:2]
            assert mine[2] == pytest.approx(other[2], rel=1e-9)  # SoPlex's last digits vary


def test_strong_branching_mode_is_left_after_an_error():
    """A failure in the middle must not leave SCIP in its strong-branching mode, in which it cannot branch."""
    model = bare(Model())
    x = [model.addVar(vtype="B", obj=-9 - j) for j in range(9)]
    model.addCons(quicksum((5 + j) * x[j] for j in range(9)) <= 31)
    calls = []

    def visit(model):
        with pytest.raises(ZeroDivisionError):
            StrongBranchingScores(kernels=False).extract(_Broken(model, calls))

    assert visit_nodes(model, visit, 5) == 5, "SCIP could branch after every failure"
    assert calls == ["start", "end"] * 5


class _Broken:
    """A model whose score function fails."""

    def __init__(self, model, calls):
        self._model, self._calls = model, calls

    def __getattr__(self, name):
        return getattr(self._model, name)

    def startStrongbranch(self):
        self._calls.append("start")
        self._model.startStrongbranch()

    def endStrongbranch(self):
        self._calls.append("end")
        self._model.endStrongbranch()

    def getBranchScoreMultiple(self, variable, gains):
        return 1 / 0
