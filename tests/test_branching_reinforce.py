"""REINFORCE on subtree sizes, and the example that shows both ways of reinforcement learning."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from learnsys.envs.branching.instances import parse_family
from learnsys.policies.branching.gcnn.config import ModelConfig
from learnsys.policies.branching.gcnn.model import GcnnModel
from learnsys.policies.branching.gcnn.policy import GcnnPolicy
from learnsys.policies.branching.reinforce import (
    DEPTH_FIRST,
    Reinforce,
    ReinforceConfig,
    Sampling,
    advantages,
    subtree_sizes,
)
from learnsys.policies.branching.solve import solve

FAMILY = "auction:items=30,bids=100"
QUICK = {**DEPTH_FIRST, "heuristics/emphasis": "off", "separating/emphasis": "off"}


@pytest.fixture(scope="module")
def policy():
    torch.manual_seed(0)
    config = ModelConfig(width=16)
    weights = {name: tensor.numpy().copy() for name, tensor in GcnnModel(config).state_dict().items()}
    return GcnnPolicy(config, weights)


class TestByHand:
    def test_subtree_sizes(self):
        #        1
        #      2   3      node 6 descends from 3, 4 and 5 from 2; the parent of the root is none of ours
        nodes, parents = np.array([1, 2, 4, 5, 3, 6]), np.array([0, 1, 2, 2, 1, 3])
        assert subtree_sizes(nodes, parents).tolist() == [6, 3, 1, 1, 2, 1]

    def test_advantages(self):
        returns, depths = np.array([-3.0, -1.0, -2.0, 0.0]), np.array([0, 0, 1, 1])
        assert advantages(returns, depths).tolist() == pytest.approx([-1.0, 1.0, -1.0, 1.0])
        assert advantages(np.array([-3.0]), np.array([0])).tolist() == [0.0]


class TestSampling:
    def test_it_remembers_the_tree(self, policy):
        sampling = Sampling(policy)
        model = parse_family("auction:tiny").instance(5).to_model()
        done = solve(model, sampling, seed=1, scip_params=QUICK)
        own = sampling.decisions
        assert len(own) == done.n_decisions > 5
        numbers = [each.node for each in own]
        assert own[0].depth == 0
        assert all(each.parent in numbers[:i] for i, each in enumerate(own) if i)
        sizes = subtree_sizes(np.array(numbers), np.array([each.parent for each in own]))
        assert sizes[0] == len(own)
        model.free()

    def test_it_draws_with_the_network_s_chances(self, policy):
        rng = np.random.default_rng(0)
        from learnsys.envs.branching.observations.base import BipartiteObservation

        edges = np.array([[0, 0, 1, 1], [0, 1, 1, 2]])
        graph = BipartiteObservation(rng.random((3, 19)), rng.random((2, 5)), edges, np.ones(4))
        candidates = np.array([0, 2])
        logits = policy.logits(graph, candidates).astype(float)
        chance = np.exp(logits[0]) / np.exp(logits).sum()
        sampling = Sampling(policy)
        sampling.start(3)
        drawn = [sampling.act({"graph": graph, "place": (1, 0, 0)}, candidates) for _ in range(2000)]
        assert np.mean(np.array(drawn) == 0) == pytest.approx(chance, abs=0.05)


class TestUpdate:
    def test_a_good_choice_becomes_likelier(self, policy):
        """The gradient's step on one decision, rewarded and punished."""
        tuner = Reinforce(policy, ReinforceConfig(episodes=1, learning_rate=1e-3), 0)
        sampling = Sampling(policy)
        model = parse_family("auction:tiny").instance(5).to_model()
        solve(model, sampling, seed=1, scip_params=QUICK)
        model.free()
        decision = next(each for each in sampling.decisions if len(each.example.candidates) > 5)

        def chance(which):
            from learnsys.policies.branching.gcnn.data import collate

            with torch.no_grad():
                return float(torch.softmax(which.network(collate([decision.example])), 0)[decision.chosen])

        before = chance(tuner)
        for _ in range(3):
            tuner._step([decision], np.array([1.0]))
        assert chance(tuner) > before
        other = Reinforce(policy, ReinforceConfig(episodes=1, learning_rate=1e-3), 0)
        for _ in range(3):
            other._step([decision], np.array([-1.0]))
        assert chance(other) < before

    def test_updates_are_a_function_of_the_seed(self, policy):
        found = []
        for _ in range(2):
            tuner = Reinforce(policy, ReinforceConfig(episodes=1, most_decisions=20), 4)
            measured = tuner.update(parse_family(FAMILY).generate)
            found.append((measured, tuner.policy().weights["output_module.2.weight"]))
        assert found[0][0] == found[1][0]
        assert np.array_equal(found[0][1], found[1][1])


@pytest.mark.parametrize("method", ["reinforce", "ppo"])
def test_the_example(policy, tmp_path, capsys, method):
    pytest.importorskip("sb3_contrib")
    path = Path(__file__).parents[1] / "scripts" / "examples" / "train_rl_branching.py"
    spec = importlib.util.spec_from_file_location("train_rl_branching", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    policy.save(tmp_path / "gcnn")
    code = module.main(tmp_path / "gcnn", FAMILY, method, updates=1, steps=128, count=1, out=tmp_path / "out")
    assert code == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" nodes")[0].split("  ")[0] for line in lines[-4:]] == [
        "imitation",
        f"after {method}",
        "pscost",
        "random",
    ]
    assert any(
        not np.array_equal(policy.weights[name], weights)
        for name, weights in GcnnPolicy.load(tmp_path / "out").weights.items()
    )
