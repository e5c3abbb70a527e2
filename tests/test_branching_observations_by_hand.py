"""Observations of nodes of small problems whose LPs are solved by hand."""

import numpy as np
import pytest
from pyscipopt import SCIP_RESULT, Model, Sepa, quicksum

from learnsys.envs.branching import libscip
from learnsys.envs.branching.observations import Hutter2011, Khalil2016, MilpBipartite, NodeBipartite
from learnsys.envs.branching.observations.khalil import FEATURES as KHALIL
from learnsys.errors import InputError
from learnsys.testing.observations import bare, visit_nodes

KERNELS = pytest.mark.parametrize(
    "kernels",
    [pytest.param(True, marks=pytest.mark.skipif(not libscip.available(), reason="needs libscip")), False],
)
NORM = np.sqrt(16 + 4 + 1 + 0.25)
"""of the objective of `small`"""


def small(start=True):
    """min -4x - 2y - z + w/2; 1 <= 2x + 2y <= 5 (ranged); z <= y; w + y >= 1.8.

    x binary, y integer in 0..4, z implied integer in 0..10, w in [0, 8]. The LP's optimum is x = 1, y = 1.5, z = 1.5,
    w = 0.3, unique and not degenerate; row duals -1.75, -1, 0.5; reduced cost of x -0.5. With y >= 2 it is x = 0.5,
    y = z = 2, w = 0; duals -2, -1, 0; reduced costs of y and w 1 and 0.5.
    """
    model = bare(Model())
    x = model.addVar("x", vtype="B", obj=-4)
    y = model.addVar("y", vtype="I", ub=4, obj=-2)
    z = model.addVar("z", vtype="M", ub=10, obj=-1)
    w = model.addVar("w", vtype="C", ub=8, obj=0.5)
    model.chgLhs(model.addCons(2 * x + 2 * y <= 5), 1)
    model.addCons(z - y <= 0)
    model.addCons(w + y >= 1.8)
    if start:
        solution = model.createSol()
        for variable in (x, y, z, w):
            model.setSolVal(solution, variable, 1.0)
        assert model.addSol(solution)
    return model


def observed(model, function, nodes=1):
    """What `function` sees at the first nodes: [(observation, depth, LPs solved, lower bounds)]."""
    seen = []

    def visit(model):
        lower = [variable.getLbLocal() for variable in model.getVars(transformed=True)]
        seen.append((function.extract(model, False), model.getDepth(), model.getNLPs(), lower))

    visit_nodes(model, visit, nodes)
    return seen


@KERNELS
@pytest.mark.parametrize("incremental", [False, True])
def test_root_with_a_ranged_row_an_implied_integer_and_an_incumbent(kernels, incremental):
    function = NodeBipartite(incremental=incremental, kernels=kernels)
    graph, depth, lps, _ = observed(small(), function)[0]
    assert (depth, lps) == (0, 1)
    c = NORM
    expected = [
        # objective, type, bounds, reduced cost, value, fraction, at bounds, age, incumbent, average, basis
        [-4 / c, 1, 0, 0, 0, 1, 1, -0.5 / c, 1, 0, 0, 1, 0, 1, 1, 0, 0, 1, 0],
        [-2 / c, 0, 1, 0, 0, 1, 1, 0, 1.5, 0.5, 0, 0, 0, 1, 1, 0, 1, 0, 0],
        [-1 / c, 0, 0, 1, 0, 1, 1, 0, 1.5, 0.5, 0, 0, 0, 1, 1, 0, 1, 0, 0],
        [0.5 / c, 0, 0, 0, 1, 1, 1, 0, 0.3, 0, 0, 0, 0, 1, 1, 0, 1, 0, 0],
    ]
    np.testing.assert_allclose(graph.variable_features, expected, atol=1e-12)
    b = np.sqrt(8)
    rows = [
        # bias, cosine, tight, dual, age
        [-1 / b, 12 / (b * c), 0, 1.75 / (b * c), 0],
        [5 / b, -12 / (b * c), 1, -1.75 / (b * c), 0],
        [0, 1 / (np.sqrt(2) * c), 1, -1 / (np.sqrt(2) * c), 0],
        [-1.8 / np.sqrt(2), 1.5 / (np.sqrt(2) * c), 1, -0.5 / (np.sqrt(2) * c), 0],
    ]
    np.testing.assert_allclose(graph.row_features, rows, atol=1e-12)
    edges = {(int(i), int(j)): value for (i, j), value in zip(graph.edge_indices.T, graph.edge_values, strict=True)}
    s = np.sqrt(0.5)
    assert edges == pytest.approx(
        {(0, 0): -s, (0, 1): -s, (1, 0): s, (1, 1): s, (2, 1): -s, (2, 2): s, (3, 1): -s, (3, 3): -s}
    )
    without = observed(small(start=False), function)[0][0].variable_features
    np.testing.assert_allclose(without, np.where(np.isin(np.arange(19), (13, 14)), np.nan, expected), atol=1e-12)


@KERNELS
@pytest.mark.parametrize("incremental", [False, True])
def test_below_the_root_and_after_more_lps(kernels, incremental):
    function = NodeBipartite(incremental=incremental, kernels=kernels)
    seen = observed(small(), function, nodes=2)
    graph, depth, lps, lower = seen[1]
    assert depth == 1
    assert lps >= 2
    assert lower == [0, 2, 0, 0]
    c = NORM
    assert graph.variable_features.shape == (4, 19)
    features = graph.variable_features
    np.testing.assert_allclose(features[:, 8], [0.5, 2, 2, 0], atol=1e-12)
    np.testing.assert_allclose(features[:, 9], [0.5, 0, 0, 0], atol=1e-12)
    np.testing.assert_allclose(features[:, 7], [0, 1 / c, 0, 0.5 / c], atol=1e-12)
    assert features[:, 10].tolist() == [0, 1, 0, 1], "y is at its local lower bound, w at its own"
    assert features[:, 11].tolist() == [0, 0, 0, 0]
    assert features[:, 15:].tolist() == [[0, 1, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0]]
    # w left 0 in the root's LP only: its column has aged since, the others have not
    assert features[3, 12] >= 1 / (lps + 5)
    assert np.count_nonzero(features[:, 12]) == 1
    b = np.sqrt(8)
    np.testing.assert_allclose(graph.row_features[:, 3], np.array([2 / b, -2 / b, -1 / np.sqrt(2), 0]) / c, atol=1e-12)
    assert graph.row_features[:, 2].tolist() == [0, 1, 1, 0]
    assert graph.row_features[3, 4] >= 1 / (lps + 5), "the slack row has aged"
    assert graph.row_features[:3, 4].tolist() == [0, 0, 0]
    np.testing.assert_allclose(graph.row_features[:, :2], seen[0][0].row_features[:, :2], atol=1e-15)


class _Cut(Sepa):
    """x + y <= 2.25 as a cut: valid, and it moves the LP's optimum to x = 1, y = z = 1.25, w = 0.55."""

    def sepaexeclp(self):
        if self.model.getNLPRows() > 3:
            return {"result": SCIP_RESULT.DIDNOTFIND}
        cut = self.model.createEmptyRowSepa(self, "cut", lhs=None, rhs=2.25, local=False, modifiable=False)
        self.model.cacheRowExtensions(cut)
        for variable in self.model.getVars(transformed=True)[:2]:
            self.model.addVarToRow(cut, variable, 1.0)
        self.model.flushRowExtensions(cut)
        self.model.addCut(cut, forcecut=True)
        self.model.releaseRow(cut)
        return {"result": SCIP_RESULT.SEPARATED}


@KERNELS
def test_a_cut_is_a_row(kernels):
    model = small()
    model.setParams({"separating/maxroundsroot": 1})
    model.includeSepa(_Cut(), "one_cut", "", priority=1, freq=0)
    graph, _, lps, _ = observed(model, NodeBipartite(kernels=kernels))[0]
    assert lps == 2
    np.testing.assert_allclose(graph.variable_features[:, 8], [1, 1.25, 1.25, 0.55], atol=1e-12)
    assert graph.row_features.shape == (5, 5)
    # dual of the cut: y prices to 0 with duals 0, -1, 0.5 of the other rows, so -2 - 1 - 0.5 = -3.5
    c, s = NORM, np.sqrt(2)
    np.testing.assert_allclose(graph.row_features[4], [2.25 / s, -6 / (s * c), 1, -3.5 / (s * c), 0], atol=1e-12)
    assert graph.row_features[:, 2].tolist() == [0, 0, 1, 1, 1]
    assert graph.row_features[0, 4] == graph.row_features[1, 4], "both sides of a row are of one age"
    last = graph.edge_indices[0] == 4
    assert sorted(graph.edge_indices[1, last]) == [0, 1]
    np.testing.assert_allclose(graph.edge_values[last], [1 / s, 1 / s])


@KERNELS
def test_knapsack_at_every_depth(kernels):
    """max p x, w x <= W: at each node the LP takes the best ratios first, and its dual is that of the split item."""
    rng = np.random.default_rng(3)
    n = 20
    weight = rng.permutation(np.arange(11, 11 + 3 * n, 3)).astype(float)
    profit = weight + 30.0  # correlated, so that there is much to branch on; no two ratios are equal
    capacity = np.floor(weight.sum() / 2)
    model = bare(Model())
    x = [model.addVar(f"x{j}", vtype="B", obj=profit[j]) for j in range(n)]
    model.addCons(quicksum(weight[j] * x[j] for j in range(n)) <= capacity)
    model.setMaximize()
    depths = []
    function, short = NodeBipartite(kernels=kernels), NodeBipartite(incumbent=False, incremental=True, kernels=kernels)
    c, b = np.linalg.norm(profit), np.linalg.norm(weight)

    def visit(model):
        depths.append(model.getDepth())
        variables = model.getVars(transformed=True)
        lower = np.array([variable.getLbLocal() for variable in variables])
        upper = np.array([variable.getUbLocal() for variable in variables])
        value, left, split = lower.copy(), capacity - weight @ lower, None
        for j in np.argsort(-profit / weight):
            if upper[j] > lower[j] and left > 0:
                value[j] = min(1.0, left / weight[j])
                left = max(left - weight[j], 0.0)
                split = j
        ratio = profit[split] / weight[split]
        graph = function.extract(model, False)
        features = graph.variable_features
        np.testing.assert_allclose(features[:, 0], -profit / c)
        np.testing.assert_allclose(features[:, 7], (ratio * weight - profit) / c, atol=1e-12)
        np.testing.assert_allclose(features[:, 8], value, atol=1e-9)
        np.testing.assert_allclose(features[:, 9], np.where(np.arange(n) == split, value, 0), atol=1e-9)
        np.testing.assert_array_equal(features[:, 10], np.isclose(value, lower))
        np.testing.assert_array_equal(features[:, 11], np.isclose(value, upper))
        np.testing.assert_array_equal(features[:, -3], np.arange(n) == split)
        assert (features[:, -4:].sum(axis=1) == 1).all()
        np.testing.assert_allclose(
            graph.row_features[0, :4], [capacity / b, -profit @ weight / (b * c), 1, -ratio / b / c]
        )
        np.testing.assert_array_equal(short.extract(model).variable_features, np.delete(features, (13, 14), axis=1))

    assert visit_nodes(model, visit, 60) == 60
    assert max(depths) >= 5


@KERNELS
def test_khalil_of_the_branching_candidate(kernels):
    features = observed(small(), Khalil2016(kernels=kernels))[0][0]
    assert np.isnan(features[[0, 2, 3]]).all(), "only y is a candidate: z is implied integer"
    expected = {
        **dict(obj_coef=-2, obj_coef_pos_part=0, obj_coef_neg_part=-2, n_rows=3),
        **dict(rows_deg_mean=2, rows_deg_std=0, rows_deg_min=2, rows_deg_max=2),
        # y has the coefficients 2, -1, 1
        **dict(rows_pos_coefs_count=2, rows_pos_coefs_mean=1.5, rows_pos_coefs_std=0.5),
        **dict(rows_pos_coefs_min=1, rows_pos_coefs_max=2),
        **dict(rows_neg_coefs_count=1, rows_neg_coefs_mean=-1, rows_neg_coefs_std=0),
        **dict(rows_neg_coefs_min=-1, rows_neg_coefs_max=-1),
        **dict(slack=0.5, ceil_dist=0.5),
        # SCIP's pseudocost is 1 before anything has been branched on
        **dict(pseudocost_up=0.5, pseudocost_down=0.5, pseudocost_ratio=1, pseudocost_sum=1, pseudocost_product=0.25),
        **dict(n_cutoff_up=0, n_cutoff_down=0, n_cutoff_up_ratio=0, n_cutoff_down_ratio=0),
        **dict(rows_dynamic_deg_mean=2, rows_dynamic_deg_std=0, rows_dynamic_deg_min=2, rows_dynamic_deg_max=2),
        **dict(rows_dynamic_deg_mean_ratio=0.5, rows_dynamic_deg_min_ratio=0.5, rows_dynamic_deg_max_ratio=0.5),
        # 2y <= 5, -y <= 0; -2y <= -1, -y <= -1.8
        **dict(coef_pos_rhs_ratio_min=-1, coef_pos_rhs_ratio_max=2 / 7),
        **dict(coef_neg_rhs_ratio_min=-2 / 3, coef_neg_rhs_ratio_max=-1 / 2.8),
        # 2 of 4 and 1 of 2; no negative coefficient beside them; -1 / (-1 - 1) and -1 / -1
        **dict(pos_coef_pos_coef_ratio_min=0.5, pos_coef_pos_coef_ratio_max=0.5),
        **dict(pos_coef_neg_coef_ratio_min=1, pos_coef_neg_coef_ratio_max=1),
        **dict(neg_coef_pos_coef_ratio_min=0.5, neg_coef_pos_coef_ratio_max=0.5),
        **dict(neg_coef_neg_coef_ratio_min=1, neg_coef_neg_coef_ratio_max=1),
        # all rows are active: |a| = 2, 1, 1
        **_weighted(1, [1, 1, 1], [2, 1, 1]),
        **_weighted(2, [1 / 4, 1 / 2, 1 / 2], [2, 1, 1]),
        # w is continuous, so the last row has y alone
        **_weighted(3, [1 / 4, 1 / 2, 1], [2, 1, 1]),
        **_weighted(4, [1.75, 1, 0.5], [2, 1, 1]),
    }
    assert set(expected) == set(KHALIL)
    if not kernels:
        expected |= dict(n_cutoff_up=np.nan, n_cutoff_down=np.nan)
    np.testing.assert_allclose(features[1], [expected[name] for name in KHALIL], atol=1e-12)


def _weighted(number, weights, sizes):
    values = np.array(weights) * sizes
    statistics = dict(
        count=sum(weights), sum=values.sum(), mean=values.mean(), std=values.std(), min=values.min(), max=values.max()
    )
    return {f"active_coef_weight{number}_{name}": value for name, value in statistics.items()}


def test_khalil_counts_branchings_below_the_root():
    """After branching up on y at the root, x's degrees are compared with the root's, and the tree is remembered."""
    seen = observed(small(), Khalil2016(), nodes=2)
    below = seen[1][0]
    assert not np.isnan(below[0]).any()
    assert np.isnan(below[1:]).all()
    named = dict(zip(KHALIL, below[0], strict=True))
    assert named["slack"] == pytest.approx(0.5)
    assert (named["n_rows"], named["rows_deg_mean"], named["rows_dynamic_deg_mean_ratio"]) == (1, 2, 0.5)
    # x sits in the first row alone, which is active with dual -2
    assert (named["active_coef_weight1_count"], named["active_coef_weight1_std"]) == (1, 0)
    assert named["active_coef_weight4_max"] == pytest.approx(4)


@KERNELS
def test_empty_problems(kernels):
    model = Model()
    model.hideOutput()
    graph = MilpBipartite(kernels=kernels).extract(model)
    assert [array.shape for array in graph] == [(0, 9), (0, 1), (2, 0), (0,)]
    assert np.nan_to_num(Hutter2011(kernels=kernels).extract(model)).tolist() == [0.0] * 33


@KERNELS
def test_a_nonlinear_constraint_is_named(kernels):
    model = Model()
    model.hideOutput()
    x = model.addVar("x", ub=3)
    model.addCons(x <= 2)
    model.addCons(x * x <= 1, name="square")
    for function in (MilpBipartite(kernels=kernels), Hutter2011(kernels=kernels)):
        with pytest.raises(InputError, match="'square' of type 'nonlinear' is not linear"):
            function.extract(model)
