"""The environment of maximum independent sets: by hand, by brute force, its contract in every form, bad arguments."""

import gymnasium as gym
import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learnsys.envs.independent_set.environment import MaximumIndependentSetEnv
from learnsys.envs.independent_set.kernel import IN, OPEN
from learnsys.envs.independent_set.observations import FEATURES
from learnsys.envs.independent_set.state import State
from learnsys.errors import InputError
from learnsys.graphs import Graph
from learnsys.graphs.io import write_graph
from learnsys.testing.environments import check_environment

NAME = "learnsys/MaximumIndependentSet-v0"
HOUSE = [(0, 1), (1, 2), (2, 3), (3, 0), (0, 4), (1, 4)]
"""a square 0-1-2-3 with the roof 4 on 0-1"""


def test_taking_vertices_by_hand():
    env = gym.make(NAME, graphs=[HOUSE, [(0, 1)]])
    observation, info = env.reset(seed=0, options={"graph": 0})
    assert observation["vertex_count"] == 5 and observation["edge_count"] == 6
    assert info["action_mask"].tolist() == [1, 1, 1, 1, 1] and info["size"] == 0
    observation, reward, over, truncated, info = env.step(2)  # deletes 1 and 3; left: 0 - 4
    assert (reward, over, truncated, info["size"], info["open"]) == (1, False, False, 1, 2)
    assert info["action_mask"].tolist() == [1, 0, 0, 0, 1] and not info["invalid_action"]
    assert observation["edges"][:2].tolist() == [0, 4] and observation["edge_count"] == 1
    vertices = observation["vertices"].reshape(-1, len(FEATURES))
    assert vertices[:, 0].tolist() == [1, 0, 0, 0, 1] and vertices[:, 1].tolist() == [0, 0, 1, 0, 0]
    _, reward, over, _, info = env.step(4)
    assert (reward, over, info["size"], info["bound"]) == (1, True, 2, 2)
    assert info["independent_set"].tolist() == [2, 4] and not info["action_mask"].any()
    with pytest.raises(gym.error.ResetNeeded):
        env.step(0)


def test_proposals_by_hand():
    env = gym.make(NAME, graphs=[(0, 1), (1, 2)], decide="proposal", reward="thrift")
    _, info = env.reset(seed=0)
    proposed = info["proposed"]
    observation, reward, over, _, info = env.step(1)
    # On the path 0 - 1 - 2 the middle deletes two and enters alone; an end enters, deletes the middle, frees the other.
    assert over and (reward, info["size"]) == ((-1, 1) if proposed == 1 else (1, 2))
    _, info = env.reset(seed=0)
    assert info["proposed"] == proposed
    _, reward, over, _, info = env.step(0)
    assert (over, info["size"], reward) == ((True, 2, 1) if proposed == 1 else (False, 0, -1))
    assert observation["action_mask"].shape == (2,)


def test_isolated_vertices_and_graphs_without_edges():
    graph = Graph.from_edges([(1, 3)], 5)
    state = State(graph)
    assert state.status.tolist() == [IN, OPEN, IN, OPEN, IN] and state.size == 3
    env = gym.make(NAME, graphs=Graph.from_edges(np.empty((0, 2), int), 3))
    _, info = env.reset()
    assert info["size"] == 3 and not info["action_mask"].any()
    _, reward, over, _, info = env.step(0)
    assert (reward, over, info["independent_set"].tolist()) == (0, True, [0, 1, 2])


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 9), st.floats(0, 1), st.integers(0, 999), st.booleans())
def test_episodes_end_with_maximal_sets_and_the_best_play_is_optimal(n, p, seed, proposals):
    source = nx.gnp_random_graph(n, p, seed)
    env = MaximumIndependentSetEnv(source, decide="proposal" if proposals else "vertex")
    rng = np.random.default_rng(seed)
    _, info = env.reset(seed=seed)
    total, start, over = 0.0, info["size"], False
    while not over:
        allowed = np.flatnonzero(info["action_mask"])
        _, reward, over, _, info = env.step(int(rng.choice(allowed)) if allowed.size else 0)
        total += reward
    chosen = info["independent_set"].tolist()
    assert start + total == len(chosen) == info["size"] <= info["bound"]
    assert not any(source.has_edge(u, v) for u in chosen for v in chosen)
    if not proposals:  # what is deleted has a neighbour in the set
        assert all(v in chosen or set(source[v]) & set(chosen) for v in source)
    best = max((len(each) for each in nx.find_cliques(nx.complement(source))), default=0)
    target = next(each for each in nx.find_cliques(nx.complement(source)) if len(each) == best)
    _, info = env.reset(seed=seed)
    over = not info["action_mask"].any()
    while not over:
        wanted = [v for v in target if env.state.status[v] == OPEN]
        action = int(env.state.proposed in target) if proposals else wanted[0]
        _, _, over, _, info = env.step(action)
    assert info["size"] == best


def test_masked_out_actions_become_the_vertex_of_least_degree():
    env = MaximumIndependentSetEnv(HOUSE)
    env.reset(seed=0)
    env.step(2)
    _, _, over, _, info = env.step(3)  # deleted; 0 and 4 are open with a neighbour each, and the first is taken
    assert info["invalid_action"] and over and info["independent_set"].tolist() == [0, 2]


@pytest.mark.parametrize(
    "arguments",
    [
        {"graphs": HOUSE, "observation": "graph"},
        {"graphs": HOUSE, "decide": "proposal", "reward": "final"},
        {"graphs": "er-700-800", "max_vertices": 720, "max_edges": 50_000},
    ],
)
def test_contract_in_every_form(arguments):
    results = {each.name: each.outcome for each in check_environment(NAME, steps=6, **arguments)}
    assert (results["stable_baselines3_checker"] == "skipped") == (arguments.get("observation") == "graph")


def test_graphs_from_files_and_folders(tmp_path):
    write_graph(tmp_path / "house.clq", Graph.from_edges(HOUSE, 5))
    write_graph(tmp_path / "edge.clq", Graph.from_edges([(0, 1)], 2))
    env = MaximumIndependentSetEnv(str(tmp_path))
    sizes = {env.reset(seed=seed)[0]["vertex_count"].item() for seed in range(8)}
    assert sizes == {2, 5} and env.action_space.n == 5
    assert MaximumIndependentSetEnv([tmp_path / "house.clq", nx.path_graph(7)]).room.vertices == 7


def test_own_observation_and_reward():
    class Degrees:
        def space(self, room, actions):
            return gym.spaces.Box(0, np.inf, (room.vertices,), np.float32)

        def observe(self, state, mask):
            return state.degree.astype(np.float32)

    env = MaximumIndependentSetEnv(HOUSE, observation=Degrees(), reward=lambda outcome: 10.0 * outcome.deleted)
    observation, _ = env.reset(seed=0)
    assert observation.tolist() == [3, 3, 2, 2, 2]
    assert env.step(2)[1] == 20


def test_render():
    env = MaximumIndependentSetEnv(HOUSE, render_mode="ansi")
    env.reset(seed=0)
    env.step(2)
    assert env.render() == "5 vertices: 1 in the set, 2 open"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"graphs": "rb-tiny"}, "rb-tiny"),
        ({"graphs": []}, "no graphs"),
        ({"graphs": "missing.clq"}, "missing.clq"),
        ({"graphs": HOUSE, "max_vertices": 4}, "no room"),
        ({"graphs": "rb-small", "max_vertices": 0, "max_edges": 1}, "no graph has room"),
        ({"graphs": object()}, "no list of edges"),
        ({"decide": "edge"}, "decide"),
        ({"reward": "gold"}, "no reward"),
        ({"observation": "smell"}, "makes no observations"),
        ({"render_mode": "human"}, "render_mode"),
    ],
)
def test_bad_arguments_are_told_in_one_line(arguments, message):
    with pytest.raises(InputError, match=message) as caught:
        MaximumIndependentSetEnv(**arguments)
    assert "\n" not in str(caught.value)


def test_bad_actions_and_options():
    env = MaximumIndependentSetEnv(HOUSE, strict=True)
    for options in ({"graph": 3}, {"tree": 1}, {"graph": nx.path_graph(9)}):
        with pytest.raises(InputError):
            env.reset(options=options)
    env.reset(seed=0)
    for action in (5, -1, "a", 1.5):
        with pytest.raises(InputError, match="no action"):
            env.step(action)
    env.step(2)
    with pytest.raises(InputError, match="masked out"):
        env.step(1)
    small = MaximumIndependentSetEnv("rb-small", max_vertices=10, max_edges=10)
    with pytest.raises(InputError, match="of 100 graphs none"):
        small.reset(seed=0)
