"""The forms of observations of the branching environment: direct, graph, padded."""

import numpy as np
import pytest
from pyscipopt import Model, quicksum

from learnsys.envs.branching.base import BARE
from learnsys.envs.branching.environment import BranchingEnv
from learnsys.envs.branching.forms import Sizes, measure
from learnsys.envs.branching.observations import OBSERVATIONS, NodeBipartite
from learnsys.errors import InputError
from learnsys.testing.environments import check_environment


def test_padded_form_keeps_the_contract():
    check_environment("learnsys/Branching-v0", form="padded", steps=8, scip_params=BARE)


@pytest.mark.parametrize(
    "observation",
    [*OBSERVATIONS, None, {"graph": "node_bipartite", "costs": "pseudocosts"}, ("khalil2016", NodeBipartite(False))],
    ids=lambda value: str(value).partition(" object at")[0],
)
@pytest.mark.parametrize("form", ["graph", "padded"])
def test_every_observation_fits_its_space(observation, form):
    env = BranchingEnv("knapsack:tiny", observation=observation, form=form, scip_params=BARE, node_limit=5)
    space = env.observation_space
    seen, info = env.reset(seed=0)
    over = False
    while not over:
        assert space.contains(seen)
        seen, _, terminated, truncated, info = env.step(int(np.flatnonzero(info["action_mask"])[0]))
        over = terminated or truncated
    assert space.contains(seen) and not info["action_mask"].any()
    env.close()


def test_graph_and_padded_hold_the_numbers_of_the_direct_form():
    envs = {form: BranchingEnv("knapsack:tiny", form=form, scip_params=BARE) for form in ("direct", "graph", "padded")}
    seen = {form: env.reset(seed=1)[0] for form, env in envs.items()}
    direct, graph, padded = seen["direct"], seen["graph"], seen["padded"]
    n, m, edges = len(direct.variable_features), len(direct.row_features), len(direct.edge_values)
    plain = np.nan_to_num(direct.variable_features).astype(np.float32)
    np.testing.assert_array_equal(graph.nodes[:n, 1:20], plain)
    np.testing.assert_array_equal(graph.nodes[n:, 20:], direct.row_features.astype(np.float32))
    assert graph.nodes[:n, 0].sum() == 0 and graph.nodes[n:, 0].sum() == m
    np.testing.assert_array_equal(graph.edge_links[:, 0] - n, direct.edge_indices[0])
    np.testing.assert_array_equal(graph.edge_links[:, 1], direct.edge_indices[1])
    np.testing.assert_array_equal(padded["variable_features"][:n], plain)
    assert [int(padded[f"{part}_mask"].sum()) for part in ("variable", "row", "edge")] == [n, m, edges]
    np.testing.assert_array_equal(padded["edge_indices"][:, :edges], direct.edge_indices)
    np.testing.assert_array_equal(padded["edge_values"][:edges], direct.edge_values.astype(np.float32))
    for env in envs.values():
        env.close()


def test_rows_without_room_are_left_out_with_their_edges():
    env = BranchingEnv("knapsack:tiny", form="padded", max_rows=2, max_edges=20, scip_params=BARE)
    seen, _ = env.reset(seed=0)
    assert env.observation_space.contains(seen)
    assert seen["row_mask"].sum() == 2 and seen["edge_mask"].sum() == 20
    assert seen["edge_indices"][0].max() <= 1
    env.close()


def test_sizes_count_split_rows():
    model = Model()
    x = [model.addVar(vtype="B") for _ in range(3)]
    model.addCons(quicksum(x) <= 2)
    model.addCons(x[0] + x[1] == 1)
    assert measure(model, slack=1.0) == Sizes(3, 3 + 50, 3 + 4 + 500)


def test_more_variables_than_room_is_an_error_except_in_the_direct_form():
    for form in ("graph", "padded"):
        env = BranchingEnv("knapsack:tiny", form=form, max_variables=4, scip_params=BARE)
        with pytest.raises(InputError, match="max_variables=18"):
            env.reset(seed=0)
        env.close()
    env = BranchingEnv("knapsack:tiny", form="direct", max_variables=4, scip_params=BARE)
    assert len(env.reset(seed=0)[1]["action_mask"]) == 18
    env.close()
