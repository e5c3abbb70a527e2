"""Observations of whole problems, by hand: MilpBipartite and Hutter2011."""

import numpy as np
import pytest
from pyscipopt import Model

from learnsys.envs.branching import libscip
from learnsys.envs.branching.observations import Hutter2011, MilpBipartite
from learnsys.envs.branching.observations.hutter import FEATURES as HUTTER
from learnsys.testing.observations import bare

KERNELS = pytest.mark.parametrize(
    "kernels",
    [pytest.param(True, marks=pytest.mark.skipif(not libscip.available(), reason="needs libscip")), False],
)


def instance():
    """max 3a + b - 2d + 10; a + 2b - 4d <= 6 (rows 0), 2 <= a + d <= 4 (rows 1, 2), b - d == 0 (rows 3, 4).

    a integer in 0..3, b continuous in [-1, inf), d implied integer in [0, 1.5], which SCIP rounds to [0, 1], and e
    binary, in no row.
    LP: a = 3, and 1 more of b costs 2 of d: b = d = 0 gives 9 + 10 = 19. (b - 2d falls with b = d.)
    """
    model = Model()
    model.hideOutput()
    a = model.addVar("a", vtype="I", lb=0, ub=3, obj=3)
    b = model.addVar("b", vtype="C", lb=-1, ub=None, obj=1)
    d = model.addVar("d", vtype="M", lb=0, ub=1.5, obj=-2)
    model.addVar("e", vtype="B", obj=0)
    model.addCons(a + 2 * b - 4 * d <= 6)
    model.chgLhs(model.addCons(a + d <= 4), 2)
    model.addCons(b - d == 0)
    model.setMaximize()
    model.addObjoffset(10)
    return model


@KERNELS
@pytest.mark.parametrize("normalize", [False, True])
def test_milp_bipartite(kernels, normalize):
    model = instance()
    assert [variable.name for variable in model.getVars(transformed=True)] == ["e", "a", "d", "b"], "SCIP sorts by type"
    graph = MilpBipartite(normalize, kernels=kernels).extract(model)
    c = np.sqrt(14) if normalize else 1.0
    np.testing.assert_allclose(
        graph.variable_features,
        [
            # objective, binary, integer, implied, continuous, bounded below, above, bounds
            [0, 1, 0, 0, 0, 1, 1, 0, 1],
            [-3 / c, 0, 1, 0, 0, 1, 1, 0, 3],
            [2 / c, 0, 0, 1, 0, 1, 1, 0, 1],
            [-1 / c, 0, 0, 0, 1, 1, 0, -1, 0],
        ],
    )
    n = np.sqrt([21, 2, 2, 2, 2]) if normalize else np.ones(5)
    np.testing.assert_allclose(graph.row_features[:, 0], np.array([6, -2, 4, 0, 0]) / n)
    dense = np.zeros((5, 4))
    dense[tuple(graph.edge_indices)] = graph.edge_values
    raw = [[0, 1, -4, 2], [0, -1, -1, 0], [0, 1, 1, 0], [0, 0, 1, -1], [0, 0, -1, 1]]
    np.testing.assert_allclose(dense, np.array(raw) / n[:, None])
    assert np.all(np.diff(graph.edge_indices[0]) >= 0)


@KERNELS
def test_milp_bipartite_after_presolving(kernels):
    """max x + y, 2x + 3y <= 4: presolving turns it round for SCIP to minimise, and may tighten it."""
    model = bare(Model())
    x, y = model.addVar("x", vtype="B", obj=1), model.addVar("y", vtype="B", obj=1)
    z = model.addVar("z", vtype="C", ub=1, obj=1)
    model.addCons(2 * x + 3 * y + z <= 4.5)
    model.setMaximize()
    before = MilpBipartite(kernels=kernels).extract(model)
    model.presolve()
    after = MilpBipartite(kernels=kernels).extract(model)
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)
    assert before.variable_features[:, 0].tolist() == [-1, -1, -1]
    assert MilpBipartite(kernels=kernels).extract(model, True) is None


@KERNELS
def test_hutter(kernels):
    found = dict(zip(HUTTER, Hutter2011(kernels=kernels).extract(instance()), strict=True))
    # rows: a + 2b - 4d <= 6; -a - d <= -2; a + d <= 4; -b + d <= 0; b - d <= 0
    per_variable, per_row, others = np.array([3, 3, 5, 0]), np.array([3, 2, 2, 2, 2]), np.array([2, 2, 2, 0])
    scaled = np.array([1 / 6, 2 / 6, -4 / 6, 1 / 2, 1 / 2, 1 / 4, 1 / 4])
    first = np.array([1, 2, 4])
    variation = np.array([first.std() / first.mean(), 0, 0, 0, 0])
    used, objective = per_variable[:3], np.array([-3, -1, 2])
    expected = {
        **dict(nb_variables=4, nb_constraints=5, nb_nonzero_coefs=11),
        **_statistics("variable_node_degree", per_variable),
        **_statistics("constraint_node_degree", per_row),
        **_statistics("node_degree", others),
        # sorted 0 2 2 2; positions 0.75 and 2.25
        **dict(node_degree_25q=1.5, node_degree_75q=2.0, edge_density=3 / 6),
        **dict(lp_slack_mean=0, lp_slack_max=0, lp_slack_l2=0, lp_objective_value=19),
        "objective_coef_m_std": (np.array([-3, -1, 2, 0]) / 3).std(),
        "objective_coef_n_std": (objective / used).std(),
        "objective_coef_sqrtn_std": (objective / np.sqrt(used)).std(),
        **dict(constraint_coef_mean=scaled.mean(), constraint_coef_std=scaled.std()),
        **dict(constraint_var_coef_mean=variation.mean(), constraint_var_coef_std=variation.std()),
        # a takes 4 values, d 2, e 2
        "discrete_vars_support_size_mean": 8 / 3,
        "discrete_vars_support_size_std": np.std([4, 2, 2]),
        **dict(percent_unbounded_discrete_vars=0, percent_continuous_vars=1 / 4),
    }
    assert set(expected) == set(HUTTER)
    for name in HUTTER:
        assert found[name] == pytest.approx(expected[name], abs=1e-9), name


def _statistics(name, values):
    statistics = dict(mean=values.mean(), max=values.max(), min=values.min(), std=values.std())
    return {f"{name}_{statistic}": value for statistic, value in statistics.items()}


def test_hutter_slack_of_the_relaxation():
    """max x + y, x + y <= 1.5, x <= 0.75 (as rows): x and y are integer, and 0.75 is the LP's only optimum for both."""
    model = Model()
    model.hideOutput()
    x, y = model.addVar(vtype="I", ub=None, obj=2), model.addVar(vtype="B", obj=1)
    model.addCons(x + y <= 1.5)
    model.addCons(x <= 0.75)
    model.setMaximize()
    found = dict(zip(HUTTER, Hutter2011().extract(model), strict=True))
    assert found["lp_slack_mean"] == pytest.approx(0.25)
    assert found["lp_slack_l2"] == pytest.approx(np.sqrt(2) / 4)
    assert found["lp_objective_value"] == pytest.approx(2.25)
    assert found["percent_unbounded_discrete_vars"] == 0.5
    assert found["discrete_vars_support_size_mean"] == 2


@pytest.mark.parametrize(("bound", "value"), [("infeasible", -np.inf), ("unbounded", np.inf)])
def test_hutter_without_an_optimum(bound, value):
    model = Model()
    model.hideOutput()
    x = model.addVar(vtype="I", ub=None, obj=1)
    model.addCons(x >= 2)
    if bound == "infeasible":
        model.addCons(x <= 1)
    model.setMaximize()
    found = dict(zip(HUTTER, Hutter2011().extract(model), strict=True))
    assert found["lp_objective_value"] == value
    assert np.isnan(found["lp_slack_mean"])
