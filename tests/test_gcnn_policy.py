"""The GCNN inside SCIP: the same scores as the network at every node, and the optimum whatever the weights."""

import numpy as np
import pytest
import torch

from learnsys.envs.branching.environment import BranchingEnv
from learnsys.envs.branching.instances import parse_family
from learnsys.envs.branching.observations.node_bipartite import NodeBipartite
from learnsys.graphs.bipartite import BipartiteGraph
from learnsys.policies.branching.gcnn.config import ModelConfig
from learnsys.policies.branching.gcnn.data import Example, collate
from learnsys.policies.branching.gcnn.model import GcnnModel
from learnsys.policies.branching.gcnn.policy import GcnnPolicy
from learnsys.policies.branching.registry import TRAINED, make_branching_policy
from learnsys.policies.branching.samples import graph_arrays
from learnsys.policies.branching.solve import solve

NO_HELP = {"separating/maxrounds": 0, "presolving/maxrestarts": 0, "heuristics/emphasis": "off"}


def network(incumbent=True, width=16):
    torch.manual_seed(1)
    return GcnnModel(ModelConfig(width=width, incumbent=incumbent)).eval()


def policy_of(model, **arguments):
    return GcnnPolicy(model.config, {name: each.numpy() for name, each in model.state_dict().items()}, **arguments)


@pytest.mark.parametrize("incumbent", [True, False])
def test_scores_are_the_networks_at_every_node(incumbent):
    """From node to node the policy keeps the edges where they are shared; the network reads everything anew."""
    model = network(incumbent)
    policy = policy_of(model)
    fresh = NodeBipartite(incumbent=incumbent)
    instances = "setcover:rows=60,cols=60,density=0.1"
    env = BranchingEnv(instances, observation=policy.observation, form="direct", scip_params=NO_HELP)
    observation, info = env.reset(seed=5)
    policy.start(0)
    kept, nodes = set(), 0
    while len(info["action_set"]) and nodes < 8:
        allowed, nodes = info["action_set"], nodes + 1
        arrays = graph_arrays(fresh.extract(env.unwrapped.model))
        n = len(arrays["variable_features"])
        graph = BipartiteGraph(arrays["row_pointers"], arrays["columns"], arrays["values"], n)
        features = arrays["variable_features"], arrays["row_features"]
        example = Example(*features, graph, allowed.astype(np.int32), np.zeros(len(allowed)))
        with torch.no_grad():
            expected = model(collate([example])).numpy()
        found = policy.logits(observation, allowed)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
        action = policy.act(observation, allowed)
        assert action == allowed[np.argmax(found)]
        kept.add(id(observation.edge_indices))
        observation, *_, info = env.step(action)
    env.close()
    assert nodes > 2 and len(kept) < nodes


def test_any_weights_end_at_the_optimum(tmp_path):
    family = parse_family("auction:tiny")
    bounds = []
    policy_of(network(), pseudo_candidates=True).save(tmp_path)
    for name in ("relpscost", str(tmp_path)):
        model = family.instance(3, 1).to_model()
        done = solve(model, make_branching_policy(name), seed=0, scip_params=NO_HELP)
        model.free()
        assert done.status == "optimal"
        bounds.append(done.primal_bound)
    assert bounds[0] == pytest.approx(bounds[1])


@pytest.mark.parametrize("folder", sorted((TRAINED / "gcnn").glob("*/")), ids=lambda folder: folder.name)
def test_shipped_networks_are_small_described_and_work(folder):
    assert sum(file.stat().st_size for file in folder.iterdir()) <= 1_000_000
    card = (folder / "README.md").read_text()
    assert "learnsys branch train" in card or "learnsys branch kida" in card
    policy = make_branching_policy(f"gcnn:{folder.name}")
    observation = NodeBipartite(incumbent=policy.config.incumbent)
    env = BranchingEnv("setcover:tiny", observation=observation, form="direct", scip_params=NO_HELP)
    seen, info = env.reset(seed=0)
    logits = policy.logits(seen, info["action_set"])
    env.close()
    assert np.isfinite(logits).all() and logits.std() > 0


def test_without_an_lp_the_first_candidate():
    assert policy_of(network()).act(None, np.array([7, 2])) == 7
