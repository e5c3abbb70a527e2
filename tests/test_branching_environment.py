"""The branching environment: masks, seeds, instances, limits, vector forms, trained agents."""

import subprocess
import sys
import textwrap
import warnings

import gymnasium as gym
import numpy as np
import pytest
from pyscipopt import SCIP_RESULT, Conshdlr, Model

import learnsys.envs
from learnsys.envs.branching import libscip
from learnsys.envs.branching.base import BARE
from learnsys.envs.branching.environment import BranchingEnv
from learnsys.envs.branching.instances.knapsack import Knapsack
from learnsys.envs.branching.models import read_model
from learnsys.envs.branching.primal_search import PrimalSearchEnv
from learnsys.errors import InputError


def knapsack(rng, rows=3, items=18):
    return Knapsack(rows, items).generate(rng)


def play(env, seed, steps=1000, choose=lambda info: info["action_set"][len(info["action_set"]) // 2]):
    """Actions, rewards and the last info of an episode in the direct form."""
    _, info = env.reset(seed=seed)
    actions, rewards = [], [info["reward_offset"]]
    for _ in range(steps):
        action = int(choose(info))
        _, reward, terminated, truncated, info = env.step(action)
        actions.append(action)
        rewards.append(reward)
        if terminated or truncated:
            return actions, rewards, {**info, "terminated": terminated, "truncated": truncated}
    return actions, rewards, info


@pytest.fixture
def instance(tmp_path):
    model = knapsack(np.random.default_rng(0))
    path = tmp_path / "knapsack.cip"
    model.writeProblem(str(path), verbose=False)
    model.free()
    return path


# ---- actions ---------------------------------------------------------------------------------------------------------


def test_actions_outside_the_mask():
    env = BranchingEnv("knapsack:tiny", form="direct")
    strict = BranchingEnv("knapsack:tiny", form="direct", strict=True)
    for wrong in (-1, 10**9, 0.5, "x", np.array([1, 2]), np.nan):
        env.reset(seed=0)
        assert env.step(wrong)[4]["invalid_action"]
        _, info = strict.reset(seed=0)
        with pytest.raises(InputError, match="no candidate"):
            strict.step(wrong)
        strict.step(np.array(info["action_set"][0]))  # the decision still waits
    env.close()
    strict.close()


def test_none_lets_scip_branch():
    env = BranchingEnv("knapsack:tiny", form="direct", scip_params={"branching/mostinf/priority": 9_999_999})
    _, info = env.reset(seed=0)
    nodes = 0
    while info["action_mask"].any():
        info = env.step(None)[4]
        assert "invalid_action" not in info
        nodes += 1
    assert info["status"] == "optimal" and nodes > 3
    env.close()


def test_pseudo_candidates_are_all_unfixed_discrete_variables():
    env = BranchingEnv("knapsack:tiny", form="direct", pseudo_candidates=True, scip_params=BARE)
    _, info = env.reset(seed=0)
    assert len(info["action_set"]) == 18
    integral = [i for i, x in enumerate(env.model.getVars(transformed=True)) if env.model.isFeasIntegral(x.getLPSol())]
    info = env.step(integral[0])[4]
    assert "invalid_action" not in info
    actions, _, info = play(env, 0)
    assert info["status"] == "optimal" and len(actions) > 3
    env.close()


# ---- seeds -----------------------------------------------------------------------------------------------------------

EPISODE = """
    import numpy as np
    from learnsys.envs.branching.environment import BranchingEnv
    env = BranchingEnv("knapsack:tiny", observation=None, form="direct", node_limit=60)
    info = env.reset(seed=11)[1]
    trace = []
    while info["action_mask"].any():
        trace.append(int(info["action_set"][-1]))
        info = env.step(trace[-1])[4]
    print(trace, info["n_nodes"], info["n_lp_iterations"], info["dual_bound"].hex())
"""


def test_same_seed_same_tree_here_and_in_another_process():
    env = BranchingEnv("knapsack:tiny", form="direct")
    first, second, other = (play(env, seed) for seed in (2, 2, 3))
    assert first[:2] == second[:2]
    assert first[0] != other[0]
    env.close()
    runs = {
        subprocess.run(
            [sys.executable, "-c", textwrap.dedent(EPISODE)], capture_output=True, text=True, check=True
        ).stdout
        for _ in range(2)
    }
    assert len(runs) == 1 and len(runs.pop()) > 50


def test_episodes_differ_and_the_sequence_repeats():
    env = BranchingEnv(knapsack(np.random.default_rng(0)), form="direct", scip_params=BARE)

    def sequence():
        env.reset(seed=5)
        found = []
        for _ in range(4):
            _, info = env.reset()
            found.append(info["action_set"].tolist())
        return found

    first = sequence()
    assert first == sequence()
    assert len({str(one) for one in first}) > 1  # SCIP's permutations are drawn anew
    env.close()


def test_episodes_do_not_warm_start_each_other(instance):
    env = BranchingEnv(instance, form="direct")
    first = play(env, 0)
    for seed in range(3):
        play(env, seed)
    assert play(env, 0)[:2] == first[:2]
    fresh = BranchingEnv(instance, form="direct")
    assert play(fresh, 0)[:2] == first[:2]
    env.close()
    fresh.close()


def test_without_libscip_the_tree_is_the_same(monkeypatch):
    env = BranchingEnv("knapsack:tiny", observation=None, form="direct", node_limit=40)
    expected = play(env, 6)
    monkeypatch.setattr(libscip, "kernels", lambda module: None)
    monkeypatch.setattr(libscip, "available", lambda: False)
    assert play(env, 6)[:2] == expected[:2]
    search = PrimalSearchEnv("knapsack:tiny", observation=None, form="direct", node_limit=3, trials_per_node=2)
    _, info = search.reset(seed=0)
    assert search.step((info["action_set"][:2], [0.0, 0.0]))[4]["action_mask"].any()
    env.close()
    search.close()


# ---- instances -------------------------------------------------------------------------------------------------------


def test_instances_from_everywhere(instance, tmp_path):
    model = read_model(instance)
    sources = ["knapsack", instance, str(tmp_path), [instance, instance], model, knapsack, lambda: read_model(instance)]
    for source in sources:
        env = BranchingEnv(source, form="direct")
        _, info = env.reset(seed=0)
        assert info["action_mask"].any(), source
        env.close()
    env = BranchingEnv("knapsack:tiny", form="direct")
    for chosen in (instance, str(instance), model):
        _, info = env.reset(seed=0, options={"instance": chosen})
        assert info["instance"] in (str(instance), "knapsack")
    env.close()
    model.free()


def test_a_file_that_changes_is_read_again(instance):
    env = BranchingEnv("knapsack:tiny", form="direct", scip_params=BARE)
    assert len(env.reset(seed=0, options={"instance": instance})[1]["action_mask"]) > 10
    other = knapsack(np.random.default_rng(0), 2, 9)
    other.writeProblem(str(instance), verbose=False)
    other.free()
    assert len(env.reset(seed=0, options={"instance": instance})[1]["action_mask"]) < 10
    env.close()


def test_constraints_that_cannot_be_copied_are_told():
    class Handler(Conshdlr):
        def conscheck(self, *_, **__):
            return {"result": SCIP_RESULT.FEASIBLE}

        def consenfolp(self, *_, **__):
            return {"result": SCIP_RESULT.FEASIBLE}

        def consenfops(self, *_, **__):
            return {"result": SCIP_RESULT.FEASIBLE}

        def conslock(self, *_, **__):
            pass

    model = knapsack(np.random.default_rng(0))
    handler = Handler()
    model.includeConshdlr(handler, "own", "", enfopriority=-1, chckpriority=-1, needscons=True)
    model.addPyCons(model.createCons(handler, "own"))
    env = BranchingEnv(model, max_variables=18)
    with pytest.raises(InputError, match="cannot copy"):
        env.reset(seed=0)
    model.free()


def easy():
    """Solved without a decision."""
    model = Model("easy")
    model.setObjective(model.addVar(vtype="I", ub=3), "maximize")
    return model


def test_instances_without_a_decision_are_skipped_unless_asked_for():
    calls = []

    def sometimes(rng):
        calls.append(0)
        return easy() if len(calls) % 3 else knapsack(np.random.default_rng(0))

    env = BranchingEnv(sometimes, form="graph", max_variables=18)
    calls.clear()
    _, info = env.reset(seed=0)
    assert len(info["skipped"]) == 2 and info["action_mask"].any()

    model = easy()
    for _ in range(2):
        seen, info = env.reset(seed=0, options={"instance": model})
        assert not info["action_mask"].any() and not env.action_masks().any() and info["skipped"] == []
        assert env.observation_space.contains(seen)
        seen, reward, terminated, truncated, info = env.step(5)
        assert (reward, terminated, truncated, info["status"]) == (0.0, True, False, "optimal")
        assert env.observation_space.contains(seen)
        with pytest.raises(gym.error.ResetNeeded):
            env.step(5)
    env.close()
    env = BranchingEnv(easy, form="direct")
    with pytest.raises(InputError, match="solved without a decision"):
        env.reset(seed=0)
    env.close()
    env = BranchingEnv(model, form="direct", reward="is_done")
    assert env.reset(seed=0)[1]["reward_offset"] == 1.0
    assert env.step(None)[2]
    env.close()


# ---- limits and ends -------------------------------------------------------------------------------------------------


def test_limits_truncate():
    for arguments, status in (({"node_limit": 10}, "totalnodelimit"), ({"lp_iteration_limit": 30}, "lpiterlimit")):
        env = BranchingEnv("knapsack:tiny", form="direct", scip_params=BARE, **arguments)
        _, _, info = play(env, 0)
        assert info["truncated"] and not info["terminated"] and info["status"] == status
        assert info["n_nodes"] <= 12 or status == "lpiterlimit"
        env.close()
    env = BranchingEnv("knapsack:tiny", form="direct", lp_iteration_limit=1)
    assert not env.reset(seed=0)[1]["action_mask"].any()
    assert env.step(0)[4]["status"] == "lpiterlimit"
    env.close()


@pytest.mark.parametrize("limit", [{"time_limit": 0.0}, {"memory_limit": 0.0}, {"node_limit": 0}])
def test_a_limit_of_zero_is_an_episode_without_decisions(limit):
    for form in ("direct", "graph"):
        env = BranchingEnv("knapsack:tiny", form=form, **limit)
        _, info = env.reset(seed=0)
        assert not info["action_mask"].any()
        _, _, terminated, truncated, info = env.step(0)
        assert truncated and not terminated and info["status"].endswith("limit")
        env.close()


# ---- Gymnasium and others --------------------------------------------------------------------------------------------


def test_made_by_name_with_the_arguments_of_the_constructor(instance):
    env = gym.make(
        "learnsys/Branching-v0", instances=str(instance), reward="dual_integral", observation="node_bipartite"
    )
    _, info = env.reset(seed=0)
    assert info["action_mask"].dtype == np.int8 and env.unwrapped.action_masks().dtype == np.bool_
    sampled = env.action_space.sample(mask=info["action_mask"])
    assert info["action_mask"][sampled]
    env.close()
    learnsys.envs.register("my/Branching-v0", base="learnsys/Branching-v0", instances="knapsack", node_limit=3)
    try:
        assert gym.spec("my/Branching-v0").kwargs["instances"] == "knapsack"
        with pytest.raises(InputError, match="no argument 'nodes'"):
            learnsys.envs.register("my/Branching-v1", base="learnsys/Branching-v0", nodes=3)
    finally:
        gym.registry.pop("my/Branching-v0")


def test_render_tells_where_it_stands():
    env = gym.make("learnsys/Branching-v0", render_mode="ansi", scip_params=BARE)
    env.reset(seed=0)
    assert "1 nodes" in env.render() and "actions" in env.render()
    env.close()
    env = gym.make("learnsys/Branching-v0", render_mode="rgb_array", scip_params=BARE)
    _, info = env.reset(seed=0)
    before = env.render()
    env.step(int(np.flatnonzero(info["action_mask"])[0]))
    after = env.render()
    assert before.dtype == np.uint8 and before.shape == after.shape == (300, 500, 3) and (before != after).any()
    env.close()


def test_information_is_merged():
    env = BranchingEnv("knapsack:tiny", form="direct", information="statistics", observation=None)
    _, info = env.reset(seed=0)
    assert info["n_nodes"] == env.model.getNTotalNodes() and info["status"] == "unknown"
    env.close()
    env = BranchingEnv("knapsack:tiny", form="direct", information={"costs": "pseudocosts"}, observation=None)
    _, info = env.reset(seed=0)
    assert np.isfinite(info["costs"][info["action_set"]]).all()
    env.close()


def test_masked_agents_of_stable_baselines3_train_on_the_padded_form_in_processes():
    contrib = pytest.importorskip("sb3_contrib")
    from stable_baselines3.common.env_checker import check_env
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.vec_env import SubprocVecEnv

    arguments = {"form": "padded", "scip_params": BARE, "max_rows": 8, "max_edges": 80}
    env = gym.make("learnsys/Branching-v0", **arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped, warn=False)
    env.close()
    arguments["strict"] = True  # so that an action outside the mask fails
    vector = make_vec_env("learnsys:learnsys/Branching-v0", 2, env_kwargs=arguments, vec_env_cls=SubprocVecEnv, seed=0)
    agent = contrib.MaskablePPO("MultiInputPolicy", vector, n_steps=16, batch_size=16, n_epochs=1, seed=0, device="cpu")
    agent.learn(32)
    vector.close()
