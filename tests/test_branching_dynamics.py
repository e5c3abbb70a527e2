"""Node selection, configuring and primal search."""

import gc
import pickle

import gymnasium as gym
import numpy as np
import pytest
from pyscipopt import Model, quicksum

from learnsys.envs.branching.base import BARE
from learnsys.envs.branching.configuring import ConfiguringEnv
from learnsys.envs.branching.node_selection import NODE_FEATURES, NodeSelectionEnv, open_nodes
from learnsys.envs.branching.primal_search import HIGH, LOW, PrimalSearchEnv
from learnsys.errors import InputError
from learnsys.testing.rollouts import assert_same

NO_HEURISTICS = {"heuristics/emphasis": "off", "presolving/emphasis": "off", "separating/emphasis": "off"}


# ---- node selection --------------------------------------------------------------------------------------------------


def select(choose, seed=0, **arguments):
    env = NodeSelectionEnv(form="direct", scip_params=BARE, **arguments)
    seen, info = env.reset(seed=seed)
    steps = 0
    while info["action_mask"].any():
        seen, _, _, _, info = env.step(choose(env, seen))
        steps += 1
    env.close()
    return info, steps


def test_any_order_of_nodes_ends_at_the_optimum():
    rng = np.random.default_rng(0)
    orders = {
        "best bound": lambda env, seen: 0,
        "depth first": lambda env, seen: int(np.lexsort((seen[:, 0], -seen[:, 2]))[0]),
        "breadth first": lambda env, seen: int(np.lexsort((seen[:, 6], seen[:, 2]))[0]),
        "random": lambda env, seen: int(rng.integers(len(seen))),
        "SCIP is told nothing": lambda env, seen: None,
    }
    infos = {name: select(choose)[0] for name, choose in orders.items()}
    assert {info["status"] for info in infos.values()} == {"optimal"}
    assert len({info["primal_bound"] for info in infos.values()}) == 1
    nodes = {name: info["n_nodes"] for name, info in infos.items()}
    assert nodes["best bound"] == nodes["SCIP is told nothing"] < nodes["depth first"]
    assert len(set(nodes.values())) == 4


def test_features_describe_the_open_nodes():
    def choose(env, seen):
        nodes, features = open_nodes(env.model)
        np.testing.assert_array_equal(features, seen)
        assert seen.shape == (len(nodes), len(NODE_FEATURES))
        assert (np.diff(seen[:, 0]) >= 0).all()
        np.testing.assert_array_equal(seen[:, 3:6].sum(axis=1), 1)
        assert len(set(seen[:, 6])) == len(seen)
        assert [node.getNumber() for node in nodes] == seen[:, 6].tolist()
        groups = env.model.getOpenNodes()
        assert [len(group) for group in groups] == seen[:, [5, 3, 4]].sum(axis=0).tolist()
        return len(seen) - 1

    info, steps = select(choose)
    assert info["status"] == "optimal" and steps > 20


def test_the_chosen_node_is_processed_next():
    env = NodeSelectionEnv(form="direct", scip_params=BARE)
    seen, info = env.reset(seed=0)
    for _ in range(20):
        chosen = len(seen) - 1
        depth = seen[chosen, 2]
        seen, _, _, _, info = env.step(chosen)
        if not info["action_mask"].any():
            break
        children = seen[seen[:, 3] == 1]
        assert (children[:, 2] == depth + 1).all()
    env.close()


def test_nodes_beyond_the_room_cannot_be_chosen():
    env = NodeSelectionEnv(form="graph", scip_params=BARE, max_nodes=2)
    _, info = env.reset(seed=0)
    assert info["action_mask"].tolist() == [1, 1]
    assert env.step(5)[4]["invalid_action"]
    strict = NodeSelectionEnv(scip_params=BARE, strict=True)
    strict.reset(seed=0)
    with pytest.raises(InputError, match="no open node"):
        strict.step("x")
    for one in (env, strict):
        one.close()
    with pytest.raises(InputError, match="leaves no choice"):
        NodeSelectionEnv(max_nodes=1)


def _models() -> int:
    gc.collect()
    return sum(isinstance(each, Model) for each in gc.get_objects())


def test_abandoned_node_selection_frees_the_model():
    before = _models()
    for _ in range(3):
        env = NodeSelectionEnv(scip_params=BARE)
        env.reset(seed=0)
        env.step(0)
        env.reset(seed=1)
        assert _models() == before + 1
        del env
        assert _models() == before


# ---- configuring -----------------------------------------------------------------------------------------------------


def test_configurations_change_what_scip_does():
    env = ConfiguringEnv(form="direct", scip_params={"limits/gap": 0.0})
    ends = {}
    for action in ([0, 0, 0], [3, 3, 3], {"limits/totalnodes": 1, **NO_HEURISTICS}):
        seen, info = env.reset(seed=1)
        assert seen.variable_features.shape[1] == 9 and info["action_mask"].all()
        _, reward, terminated, truncated, info = env.step(action)
        assert terminated != truncated and reward == -info["n_nodes"]
        ends[str(action)] = info
    assert [info["status"] for info in ends.values()] == ["optimal", "optimal", "totalnodelimit"]
    nodes = [info["n_nodes"] for info in ends.values()]
    assert nodes[2] == 1 and nodes[0] != nodes[1]
    env.close()


def test_own_parameters_and_bad_configurations():
    env = ConfiguringEnv(parameters={"limits/totalnodes": (1, 2, 3), "branching/random/priority": (0, 9999999)})
    assert env.action_space.nvec.tolist() == [3, 2]
    env.reset(seed=0)
    for wrong in ([0], [0, 2], [0.5, 0], [-1, 0], "x", {"limits/none": 1}, {"limits/time": -1}, None):
        with pytest.raises(InputError):
            env.step(wrong)
    _, _, _, truncated, info = env.step(np.array([1, 1]))
    assert truncated and info["n_nodes"] == 2
    env.close()
    for parameters in ({"limits/none": [1]}, {"limits/time": []}, {"limits/time": [-3]}):
        with pytest.raises(InputError):
            ConfiguringEnv(parameters=parameters)


def test_a_thousand_configurations_are_a_bandit():
    env = ConfiguringEnv("knapsack:rows=1,items=4", observation="hutter2011", form="graph")
    assert env.observation_space.shape == (33,)
    rng = np.random.default_rng(0)
    for _ in range(20):
        seen, _ = env.reset()
        assert env.observation_space.contains(seen)
        assert env.step(rng.integers(0, 4, 3))[2]
    env.close()


# ---- primal search ---------------------------------------------------------------------------------------------------


def packing():
    """max x0 + 2 x1 + 3 x2 + x3 with x0 + x1 + x2 <= 2, x2 + x3 <= 1: optimum 5 at (0, 1, 1, 0)."""
    model = Model("packing")
    model.hideOutput()
    x = [model.addVar(vtype="B", name=f"x{i}") for i in range(4)]
    model.addCons(2 * x[0] + 2 * x[1] + 2 * x[2] <= 5)
    model.addCons(2 * x[2] + 2 * x[3] <= 3)
    model.setObjective(quicksum(value * one for value, one in zip((1, 2, 3, 1), x, strict=True)), "maximize")
    return model


def index_of(env):
    return {variable.name.removeprefix("t_"): i for i, variable in enumerate(env.model.getVars(transformed=True))}


def test_an_assignment_becomes_a_solution():
    env = PrimalSearchEnv(packing, observation=None, form="direct", scip_params=NO_HEURISTICS, trials_per_node=-1)
    _, info = env.reset(seed=0)
    assert sorted(info["action_set"].tolist()) == [0, 1, 2, 3] and env.model.getNSols() == 0
    where = index_of(env)
    _, reward, _, _, info = env.step(([where["x1"], where["x2"]], [0.0, 0.0]))
    assert reward == 1.0 and env.model.getPrimalbound() == 2.0  # x0 and x3 are completed to 1
    _, reward, _, _, _ = env.step(([where["x2"], where["x3"]], [1.0, 1.0]))
    assert reward == 0.0 and env.model.getPrimalbound() == 2.0  # infeasible
    _, reward, _, _, _ = env.step(([], []))
    assert reward == 0.0
    solution = ([where[f"x{i}"] for i in range(4)], [0.0, 1.0, 1.0, 0.0])
    _, reward, *_ = env.step(solution)
    assert reward == pytest.approx(3 / 5) and env.model.getPrimalbound() == 5.0
    env.close()


def test_levels_fix_binaries_and_round_integers():
    env = PrimalSearchEnv(packing, observation=None, scip_params=NO_HEURISTICS, trials_per_node=-1)
    _, info = env.reset(seed=0)
    assert env.action_space.shape == (4,) and info["action_mask"].tolist() == [1] * 12
    where = index_of(env)
    action = np.zeros(4, int)
    action[[where["x0"], where["x3"]]] = LOW
    action[[where["x1"], where["x2"]]] = HIGH
    assert env.step(action)[1] == 1.0 and env.model.getPrimalbound() == 5.0
    env.close()

    model = Model()
    model.hideOutput()
    y = [model.addVar(vtype="I", ub=9) for _ in range(2)]
    model.addCons(2 * y[0] + 4 * y[1] <= 15)
    model.addCons(4 * y[0] + 2 * y[1] <= 15)
    model.setObjective(y[0] + y[1], "maximize")
    env = PrimalSearchEnv(model, observation=None, scip_params=NO_HEURISTICS, trials_per_node=-1)
    env.reset(seed=0)
    values = [variable.getLPSol() for variable in env.model.getVars(transformed=True)]
    assert values == [2.5, 2.5]
    env.step(np.array([LOW, LOW]))
    assert env.model.getPrimalbound() == 4.0
    env.close()


def test_trials_and_depths():
    def decisions(**arguments):
        env = PrimalSearchEnv(form="direct", observation=None, scip_params=BARE, **arguments)
        _, info = env.reset(seed=0)
        nodes = []
        while info["action_mask"].any():
            nodes.append((env.model.getNTotalNodes(), env.model.getDepth()))
            info = env.step(([], []))[4]
        env.close()
        assert info["status"] == "optimal"
        return nodes

    once, thrice = decisions(), decisions(trials_per_node=3)
    assert [node for node in once for _ in range(3)] == thrice
    assert max(depth for _, depth in decisions(depth_stop=2)) == 2
    assert {depth for _, depth in decisions(depth_freq=0)} == {0}
    assert {depth % 3 for _, depth in decisions(depth_freq=3, depth_start=1)} == {1}
    env = PrimalSearchEnv(packing(), trials_per_node=0, observation=None)
    assert not env.reset(seed=0)[1]["action_mask"].any()
    env.close()


def test_wrong_assignments():
    env = PrimalSearchEnv(packing, observation=None, form="direct", scip_params=NO_HEURISTICS, trials_per_node=-1)
    env.reset(seed=0)
    for wrong in (([0], [1.0, 2.0]), ([0], [np.nan]), [0, 1], [3, 0, 0, 0], "x", None, ([[0]], [[1.0]])):
        with pytest.raises(InputError):
            env.step(wrong)
    assert env.step(([99], [1.0]))[4]["invalid_action"]
    assert "invalid_action" not in env.step(([0], [7.0]))[4]  # outside the bounds: leads to no solution
    env.close()
    strict = PrimalSearchEnv(packing, observation=None, scip_params=NO_HEURISTICS, strict=True)
    strict.reset(seed=0)
    with pytest.raises(InputError, match="cannot be fixed"):
        strict.step(([99], [1.0]))
    strict.close()
    for arguments in ({"trials_per_node": -2}, {"depth_freq": -1}, {"depth_stop": -2}):
        with pytest.raises(InputError):
            PrimalSearchEnv(packing, **arguments)


def test_a_time_limit_ends_unlimited_trials():
    env = PrimalSearchEnv("knapsack:steps", observation=None, form="direct", time_limit=0.5, trials_per_node=-1)
    _, info = env.reset(seed=0)
    truncated = False
    while not truncated:
        _, _, terminated, truncated, info = env.step((info["action_set"], np.zeros(len(info["action_set"]))))
        assert not terminated
    assert info["status"] == "timelimit"
    env.close()


@pytest.mark.parametrize("kind", [NodeSelectionEnv, ConfiguringEnv, PrimalSearchEnv])
def test_copies_go_on_like_the_original(kind):
    env = kind("knapsack:tiny", form="padded")
    env.action_space.seed(0)
    env.reset(seed=0)
    if kind is not ConfiguringEnv:
        for _ in range(3):
            env.step(env.action_space.sample())
    other = pickle.loads(pickle.dumps(env))
    action = env.action_space.sample()
    assert_same(env.step(action), other.step(action), "step")
    env.close()
    other.close()


def test_a_copy_of_an_ended_episode_waits_for_reset():
    env = ConfiguringEnv("knapsack:tiny")
    env.reset(seed=0)
    env.step([3, 3, 3])
    other = pickle.loads(pickle.dumps(env))
    with pytest.raises(gym.error.ResetNeeded):
        other.step([0, 0, 0])
    other.reset(seed=0)
    env.close()
    other.close()
