"""Observations against Ecole's records, kernels against plain PySCIPOpt, the incremental form against the full one."""

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pyscipopt import SCIP_PARAMSETTING, SCIP_RESULT, Model, Sepa

from learnsys.envs.branching import libscip
from learnsys.envs.branching.candidates import branch, candidates
from learnsys.envs.branching.observations import (
    OBSERVATIONS,
    Khalil2016,
    NodeBipartite,
    Pseudocosts,
    StrongBranchingScores,
    observation_function,
)
from learnsys.envs.branching.observations.khalil import CORRECTED, FEATURES
from learnsys.envs.branching.observations.lp import NO_COLUMN, read_lp
from learnsys.errors import InputError
from learnsys.testing.observations import bare, check_observation_function, random_problem, visit_nodes

GOLDEN = Path(__file__).parent / "golden" / "ecole"
MIPLIB = Path(__file__).resolve().parents[1].parent / "shared" / "data" / "miplib"

needs_libscip = pytest.mark.skipif(not libscip.available(), reason=str(libscip.why_unavailable()))


def read(name, **parameters):
    """An instance without heuristics, so that there is something to branch on."""
    if isinstance(name, int):
        model = random_problem(name)
        model.setHeuristics(SCIP_PARAMSETTING.OFF)
        model.setParams(parameters)
        return model
    path = next((folder / f"{name}.mps" for folder in (GOLDEN, MIPLIB) if (folder / f"{name}.mps").exists()), None)
    if path is None:
        pytest.skip(f"{name}.mps is not here")
    model = Model()
    model.hideOutput()
    model.setHeuristics(SCIP_PARAMSETTING.OFF)
    model.setParams(parameters)
    model.readProblem(str(path))
    return model


FEW_CUTS = {"separating/maxroundsroot": 1, "separating/maxrounds": 1}
NO_CUTS = {"separating/maxroundsroot": 0, "separating/maxrounds": 0}


def assert_close(found, expected, columns=slice(None)):
    """Equal to 1e-9, relatively, with NaN in the same places."""
    assert found.shape == expected.shape
    found, expected = found[..., columns], expected[..., columns]
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-14)


def assert_same_graph(found, expected):
    """Equal observations, whatever the order of a row's edges."""
    assert_close(found.variable_features, expected.variable_features)
    assert_close(found.row_features, expected.row_features)
    for mine, other in zip(sorted_edges(found), sorted_edges(expected), strict=True):
        assert_close(mine, other)


def sorted_edges(graph):
    order = np.lexsort(graph.edge_indices[::-1])
    return graph.edge_indices[:, order], graph.edge_values[order]


@pytest.mark.parametrize("kernels", [pytest.param(True, marks=needs_libscip), False])
@pytest.mark.parametrize("name", ["cauction", "indset", "lseu", "misc03"])
def test_equal_to_ecole_at_the_root(name, kernels):
    record = np.load(GOLDEN / f"{name}.npz")
    seen = []

    def visit(model):
        graph = NodeBipartite(kernels=kernels).extract(model)
        assert_close(graph.variable_features, record["variable_features"])
        assert_close(graph.row_features, record["row_features"])
        np.testing.assert_array_equal(graph.edge_indices, record["edge_indices"])
        assert_close(graph.edge_values, record["edge_values"])
        np.testing.assert_array_equal(candidates(model, kernels=kernels), record["action_set"])
        assert_close(Pseudocosts(kernels=kernels).extract(model), record["pseudocosts"])
        assert_close(StrongBranchingScores(kernels=kernels).extract(model), record["strong_branching"])
        unknown = () if kernels else (25, 26)
        compared = [column for column in range(72) if column not in CORRECTED and column not in unknown]
        khalil = Khalil2016(kernels=kernels).extract(model)
        if not kernels:
            assert np.isnan(khalil[:, 25:27]).all()
        assert_close(khalil, np.where(np.isin(np.arange(72), unknown), np.nan, record["khalil"]), compared)
        seen.append(khalil)

    model = bare(read(name))
    assert visit_nodes(model, visit, 1) == 1
    # what Ecole has in the corrected columns is not what their definition says
    rows = ~np.isnan(record["khalil"][:, 0])
    differs = ~np.isclose(seen[0][rows], record["khalil"][rows], rtol=1e-9, atol=0).all(axis=0)
    assert set(np.flatnonzero(differs)) - {25, 26} <= set(CORRECTED)
    assert {57, 63, 69} <= set(np.flatnonzero(differs))


def test_names_of_columns():
    assert len(FEATURES) == len(set(FEATURES)) == 72
    assert FEATURES[14] == "rows_neg_coefs_mean"
    assert FEATURES[17] == "rows_neg_coefs_max"
    assert FEATURES[51] == "active_coef_weight1_std"
    assert FEATURES[71] == "active_coef_weight4_max"


NODES = [
    (4, {}, 15),
    (10, FEW_CUTS, 15),
    ("indset", FEW_CUTS, 5),
    ("misc03", {}, 8),
    ("bell5", FEW_CUTS, 10),
    # variables that have no column yet, and columns that are dropped when they age
    ("gt2", {"reading/dynamiccols": True, "presolving/maxrounds": 0, **NO_CUTS}, 8),
    ("egout", {"reading/dynamiccols": True, "lp/colagelimit": 1, "presolving/maxrounds": 0, **FEW_CUTS}, 8),
]


@needs_libscip
@pytest.mark.parametrize(("name", "parameters", "nodes"), NODES)
def test_kernels_equal_the_plain_way_at_nodes(name, parameters, nodes):
    functions = [(NodeBipartite, {}), (NodeBipartite, {"incumbent": False}), (Pseudocosts, {})]
    functions += [(Khalil2016, {}), (Khalil2016, {"pseudo_candidates": True})]
    pairs = [(make(**arguments), make(**arguments, kernels=False)) for make, arguments in functions]
    depths, loose = [], []

    def visit(model):
        depths.append(model.getDepth())
        lp = read_lp(model)
        loose.append((lp.basis == NO_COLUMN).any())
        for fast, plain in pairs:
            mine, other = fast.extract(model), plain.extract(model)
            if isinstance(fast, NodeBipartite):
                np.testing.assert_array_equal(mine.edge_indices, other.edge_indices)
                for one, two in zip(mine, other, strict=True):
                    assert one.dtype == two.dtype
                    assert_close(one, two)
            elif isinstance(fast, Khalil2016):
                known = np.r_[0:25, 29:72]
                assert_close(mine, np.where(np.isnan(other), np.nan, other), known)
            else:
                assert_close(mine, other)
        for pseudo in (False, True):
            np.testing.assert_array_equal(candidates(model, pseudo), candidates(model, pseudo, kernels=False))

    assert visit_nodes(read(name, **parameters), visit, nodes) >= 4
    assert max(depths) > 0
    assert any(loose) == ("reading/dynamiccols" in parameters)


def test_without_the_incumbent_two_columns_are_missing():
    def visit(model):
        full, short = NodeBipartite().extract(model), NodeBipartite(incumbent=False).extract(model)
        assert short.variable_features.shape[1] == 17
        assert_close(short.variable_features, np.delete(full.variable_features, (13, 14), axis=1))

    assert visit_nodes(read(4), visit, 3) == 3


@pytest.mark.parametrize("name", [0, 4, "indset", "bell5", "misc03", "lseu"])
def test_edges_and_sides_agree_with_the_solution(name):
    """Cuts, row constants and ranged rows: the LP's solution keeps every split row, and meets the tight ones."""
    constants = []

    def visit(model):
        lp, graph = read_lp(model), NodeBipartite().extract(model)
        constants.append((lp.constant != 0).any())
        row, column = graph.edge_indices
        activity = np.bincount(row, graph.edge_values * graph.variable_features[column, 8], len(graph.row_features))
        slack = graph.row_features[:, 0] - activity
        tight = graph.row_features[:, 2] == 1
        assert slack.min() > -1e-6
        assert np.abs(slack[tight]).max() < 1e-6
        # the reduced costs are what the rows' duals leave of the objective
        entry_row = np.repeat(np.arange(len(lp.left)), np.diff(lp.start))
        priced = np.bincount(lp.column, lp.coefficient * lp.dual[entry_row], len(lp.objective))
        np.testing.assert_allclose(lp.reduced_cost, lp.objective - priced, atol=1e-6 * (1 + np.abs(lp.objective).max()))

    assert visit_nodes(read(name, **FEW_CUTS), visit, 10) > 4
    if name in ("lseu", "misc03"):
        assert any(constants)  # presolving has complemented variables


INCREMENTAL = [
    (10, {"separating/maxrounds": -1, "separating/poolfreq": 1}, 60),
    (7, {"separating/maxrounds": -1, "separating/maxstallrounds": -1}, 60),
    ("bell5", {"separating/maxroundsroot": 2, "separating/maxrounds": -1}, 60),
    ("misc03", {"separating/maxroundsroot": 2, "separating/maxrounds": -1}, 40),
    ("lseu", NO_CUTS, 60),
]


@needs_libscip
@pytest.mark.parametrize(("name", "parameters", "nodes"), INCREMENTAL)
def test_incremental_is_never_stale(name, parameters, nodes):
    incremental = NodeBipartite(incremental=True)
    reused = []
    edges = [None]

    def visit(model):
        mine, full = incremental.extract(model), NodeBipartite().extract(model)
        assert_same_graph(mine, full)
        assert not mine.edge_values.flags.writeable
        reused.append(mine.edge_values is edges[0])
        edges[0] = mine.edge_values

    assert visit_nodes(read(name, **parameters), visit, nodes) > 5
    assert any(reused), "the edges were never shared"
    if parameters is not NO_CUTS:
        assert not all(reused[1:]), "the rows never changed, so nothing was tested"


@needs_libscip
def test_incremental_survives_a_restart():
    incremental, runs = NodeBipartite(incremental=True), set()

    def visit(model):
        assert_same_graph(incremental.extract(model), NodeBipartite().extract(model))
        runs.add(model.getNRuns())
        if model.getDepth() > 1 and model.getNRuns() == 1:
            model.restartSolve()

    visit_nodes(read(4), visit, 20)
    assert runs == {1, 2}


class _ModifiableRow(Sepa):
    def sepaexeclp(self):
        if self.model.getDepth() > 0:
            return {"result": SCIP_RESULT.DIDNOTRUN}
        row = self.model.createEmptyRowSepa(self, "modifiable", lhs=None, rhs=1000.0, local=False, modifiable=True)
        self.model.cacheRowExtensions(row)
        for variable in self.model.getVars(transformed=True):
            self.model.addVarToRow(row, variable, 1.0)
        self.model.flushRowExtensions(row)
        self.model.addCut(row, forcecut=True)
        self.model.releaseRow(row)
        return {"result": SCIP_RESULT.SEPARATED}


@needs_libscip
def test_modifiable_rows_are_not_shared():
    """SCIP may change the coefficients of such a row under the same index, so its edges are read every time."""
    model = bare(read("cauction"))
    model.setParams({"separating/maxroundsroot": 1})
    model.includeSepa(_ModifiableRow(), "modifiable", "", priority=1, freq=0)
    incremental, seen = NodeBipartite(incremental=True), []

    def visit(model):
        seen.append(any(row.isModifiable() for row in model.getLPRowsData()))
        one, other = incremental.extract(model), incremental.extract(model)
        assert (one.edge_values is other.edge_values) == (not seen[-1])
        assert_same_graph(one, other)

    visit_nodes(model, visit, 3)
    assert seen[0]


@pytest.mark.parametrize("name", OBSERVATIONS)
@pytest.mark.parametrize("kernels", [True, False])
def test_contract(name, kernels):
    function = pickle.loads(pickle.dumps(OBSERVATIONS[name](kernels=kernels)))
    seen = check_observation_function(function, read(4), 4)
    assert seen == (0 if name in ("milp_bipartite", "hutter2011") else 4)


@needs_libscip
def test_contract_of_the_other_forms():
    for function in (
        NodeBipartite(incremental=True, incumbent=False),
        Khalil2016(pseudo_candidates=True),
        StrongBranchingScores(pseudo_candidates=True),
        observation_function({"graph": "node_bipartite", "more": ("pseudocosts", Khalil2016())}),
    ):
        assert check_observation_function(function, read(7), 3) == 3


@pytest.mark.parametrize("kernels", [True, False])
def test_nothing_to_see_before_and_after(kernels):
    model = read("cauction")
    for function in (NodeBipartite(kernels=kernels), Khalil2016(kernels=kernels), Pseudocosts(kernels=kernels)):
        assert function.extract(model, False) is None
    model.optimize()
    for function in (NodeBipartite(kernels=kernels), Khalil2016(kernels=kernels), Pseudocosts(kernels=kernels)):
        assert function.extract(model, False) is None
    assert StrongBranchingScores().extract(model, False) is None


@needs_libscip
def test_a_freed_model_is_refused():
    model = read("cauction")
    model.free()
    with pytest.raises(ValueError):
        NodeBipartite().extract(model, False)


def test_composition():
    composed = observation_function({"a": "pseudocosts", "b": [NodeBipartite(), "khalil2016"]})

    def visit(model):
        composed.before_reset(model)
        found = composed.extract(model, False)
        assert_close(found["a"], Pseudocosts().extract(model))
        assert isinstance(found["b"], list)
        assert_same_graph(found["b"][0], NodeBipartite().extract(model))
        assert found["b"][1].shape[1] == 72

    assert visit_nodes(read(4), visit, 1) == 1
    for wrong in ("node_bipartit", 3, NodeBipartite):
        with pytest.raises(InputError):
            observation_function(wrong)


@pytest.mark.parametrize("plain", [False, True])
def test_branch_by_index(monkeypatch, plain):
    if plain:
        monkeypatch.setattr(libscip, "kernels", lambda module: None)

    def visit(model):
        fixed = [i for i, v in enumerate(model.getVars(transformed=True)) if v.getLbLocal() == v.getUbLocal()]
        if fixed:
            with pytest.raises(ValueError):
                branch(model, fixed[0])
        with pytest.raises(IndexError):
            branch(model, model.getNVars())
        chosen = candidates(model)[0]
        branch(model, chosen)
        children = model.getOpenNodes()[1]
        assert {node.getParentBranchings()[0][0].getIndex() for node in children} == {
            model.getVars(transformed=True)[chosen].getIndex()
        }
        raise KeyboardInterrupt  # the visitor would branch a second time

    with pytest.raises(KeyboardInterrupt):
        visit_nodes(read(4), visit, 5)


def test_another_major_version_is_not_used(monkeypatch):
    monkeypatch.setattr(libscip, "SCIP_MAJOR", 99)
    assert "SCIP 99" in libscip.why_unavailable.__wrapped__()
    monkeypatch.setattr(libscip, "why_unavailable", lambda: "no library")
    with pytest.raises(ImportError, match="no library"):
        libscip.function("SCIPgetVars")
    assert not libscip.available()
    assert libscip.kernels.__wrapped__("learnsys.envs.branching.candidates_kernel") is None


def test_a_missing_symbol_is_noticed(monkeypatch):
    monkeypatch.setitem(libscip._SIGNATURES, "SCIPhasNoSuchFunction", "intp(intp)")
    assert "SCIPhasNoSuchFunction" in libscip.why_unavailable.__wrapped__()


@needs_libscip
@pytest.mark.parametrize("place", [-1, 0, 8, 260])
def test_a_wrong_place_of_the_index_is_noticed(monkeypatch, place):
    """Wherever a column is said to keep its variable's index, the kernel looks, and asks SCIP if it is not there."""
    right = libscip.place_of_int("SCIPcolGetVarProbindex")
    assert right > 0
    assert libscip.place_of_int("SCIPvarGetProbindex") != right
    graphs = {}

    def visit(model):
        for there in (right, place):
            monkeypatch.setattr(libscip, "place_of_int", lambda name, there=there: there)
            graphs[there] = NodeBipartite().extract(model)
        for one, other in zip(graphs[right], graphs[place], strict=True):
            np.testing.assert_array_equal(one, other)

    assert visit_nodes(read(4), visit, 5) == 5


@needs_libscip
def test_kernels_are_cached_for_other_processes():
    name = "learnsys.envs.branching.observations.node_bipartite_kernel"
    libscip.kernels(name)  # compiled and written by now
    code = f"""
import importlib
kernel = importlib.import_module({name!r})
print(sum(kernel.extract.stats.cache_hits.values()), len(kernel.extract.signatures))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "1"]
