"""Fine-tune an imitated branching policy by reinforcement learning, and report it beside imitation, whatever it shows.

    python scripts/examples/train_rl_branching.py --policy runs/gcnn --instances auction:tiny --method reinforce
    python scripts/examples/train_rl_branching.py --policy runs/gcnn --instances knapsack:tiny --method ppo

REINFORCE runs in learnsys's own loop on ragged graphs; its return is the size of a decision's subtree. MaskablePPO of
sb3-contrib runs on the padded environment, for tiny instances only: its reward is minus the number of nodes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import tyro
from gymnasium import spaces
from sb3_contrib import MaskablePPO
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import DummyVecEnv
from torch import nn

from learnsys.envs.branching.environment import BranchingEnv
from learnsys.envs.branching.instances import parse_family
from learnsys.envs.branching.observations.node_bipartite import NodeBipartite
from learnsys.graphs.bipartite import BipartiteGraph
from learnsys.policies.branching.gcnn.data import Example, collate
from learnsys.policies.branching.gcnn.model import GcnnModel
from learnsys.policies.branching.gcnn.policy import GcnnPolicy
from learnsys.policies.branching.protocol import FIELD_PARAMETERS
from learnsys.policies.branching.reinforce import DEPTH_FIRST, Reinforce, ReinforceConfig
from learnsys.policies.branching.solve import solve
from learnsys.policies.torch_arrays import load_parameters
from learnsys.statistics import shifted_geometric_mean


def evaluate(policy: Any, instances: str, count: int, parameters: dict[str, Any]) -> float:
    """1-shifted geometric mean of the nodes on instances that no training saw."""
    nodes = []
    for index in range(count):
        model = parse_family(instances).instance(1, index).to_model()
        nodes.append(solve(model, policy, seed=index, scip_params=parameters).n_nodes)
        model.free()
    return shifted_geometric_mean(nodes)


def reinforce(policy: GcnnPolicy, instances: str, updates: int, seed: int) -> GcnnPolicy:
    """Fine-tune in learnsys's own loop."""
    tuner = Reinforce(policy, ReinforceConfig(), seed)
    for number in range(updates):
        measured = tuner.update(parse_family(instances).generate)
        print(f"update {number + 1}: " + ", ".join(f"{name} {value:.3g}" for name, value in measured.items()))
    return tuner.policy()


class GcnnExtractor(BaseFeaturesExtractor):
    """The GCNN on padded observations: a logit for each variable, and a value from the features' means.

    Shapes: a padded Dict observation of B graphs -> float32 (B, max_variables + 1).
    """

    def __init__(self, observation_space: spaces.Dict, policy: GcnnPolicy) -> None:
        n = int(np.prod(observation_space["variable_mask"].shape or (0,)))
        super().__init__(observation_space, n + 1)
        self.n = n
        self.network = GcnnModel(policy.config)
        load_parameters(self.network, policy.weights)
        self.value = nn.Sequential(nn.Linear(policy.config.variable_features, 32), nn.ReLU(), nn.Linear(32, 1))

    def forward(self, observations: dict[str, torch.Tensor]) -> torch.Tensor:
        arrays = {name: tensor.numpy() for name, tensor in observations.items()}
        examples = [
            self._example({name: array[i] for name, array in arrays.items()}) for i in range(len(arrays["row_mask"]))
        ]
        sizes = [len(each.variable_features) for each in examples]
        logits = torch.zeros(len(examples), self.n)
        busy = [i for i, size in enumerate(sizes) if size]
        if busy:
            batch = collate([examples[i] for i in busy], every_variable=True)
            owner = torch.tensor(busy)[batch.owner]
            logits = logits.index_put((owner, batch.place), self.network(batch))
        means = [torch.tensor(each.variable_features).mean(0).nan_to_num() for each in examples]
        return torch.cat((logits, self.value(torch.stack(means))), 1)

    @staticmethod
    def _example(padded: dict[str, np.ndarray]) -> Example:
        n, m, edges = (int(padded[f"{part}_mask"].sum()) for part in ("variable", "row", "edge"))
        row, column = padded["edge_indices"][:, :edges].astype(np.int64)
        pointers = np.zeros(m + 1, np.int32)
        np.cumsum(np.bincount(row, minlength=m), out=pointers[1:])
        graph = BipartiteGraph(pointers, column.astype(np.int32), padded["edge_values"][:edges].copy(), n)
        candidates = np.arange(n, dtype=np.int32)
        return Example(
            padded["variable_features"][:n].copy(), padded["row_features"][:m].copy(), graph, candidates, np.zeros(n)
        )


class Columns(nn.Module):
    """Some columns of its input."""

    def __init__(self, begin: int, end: int) -> None:
        super().__init__()
        self.begin, self.end = begin, end

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, self.begin : self.end]


def ppo(policy: GcnnPolicy, instances: str, steps: int, seed: int) -> GcnnPolicy:
    """Fine-tune with MaskablePPO of sb3-contrib, on the padded environment."""

    def make() -> BranchingEnv:
        return BranchingEnv(
            instances,
            observation=NodeBipartite(incumbent=policy.config.incumbent),
            reward="-n_nodes",
            form="padded",
            node_limit=500,
            scip_params=FIELD_PARAMETERS,
        )

    agent = MaskablePPO(
        "MultiInputPolicy",
        DummyVecEnv([make]),
        n_steps=128,
        batch_size=64,
        n_epochs=4,
        gamma=1.0,
        learning_rate=1e-4,
        seed=seed,
        device="cpu",
        policy_kwargs={
            "net_arch": [],
            "ortho_init": False,
            "features_extractor_class": GcnnExtractor,
            "features_extractor_kwargs": {"policy": policy},
        },
    )
    # the extractor's last column is the value, the others are the logits already
    extractor: Any = agent.policy.features_extractor
    agent.policy.action_net, agent.policy.value_net = Columns(0, extractor.n), Columns(extractor.n, extractor.n + 1)
    agent.policy.optimizer = torch.optim.Adam(agent.policy.parameters(), 1e-4)
    agent.learn(steps)
    weights = {name: tensor.detach().numpy().copy() for name, tensor in extractor.network.state_dict().items()}
    return GcnnPolicy(policy.config, weights)


def main(
    policy: Path,
    instances: str = "auction:tiny",
    method: Literal["reinforce", "ppo"] = "reinforce",
    updates: int = 20,
    steps: int = 2_000,
    count: int = 20,
    seed: int = 0,
    out: Path | None = None,
) -> int:
    """Fine-tune, and print the nodes of the policy before and after, of SCIP's pscost and of random branching.

    Args:
        policy: the folder of an imitated GCNN.
        instances: a family; those of the evaluation are not those of the training.
        method: REINFORCE on subtree sizes, or MaskablePPO.
        updates: of REINFORCE.
        steps: of PPO, decisions.
        count: instances of the evaluation.
        seed: of everything random.
        out: a folder for the tuned policy.
    """
    from learnsys.policies.branching.registry import make_branching_policy

    torch.set_num_threads(1)
    before = GcnnPolicy.load(policy)
    after = (
        reinforce(before, instances, updates, seed) if method == "reinforce" else ppo(before, instances, steps, seed)
    )
    parameters = DEPTH_FIRST if method == "reinforce" else FIELD_PARAMETERS
    for label, each in (
        ("imitation", before),
        (f"after {method}", after),
        ("pscost", make_branching_policy("pscost")),
        ("random", make_branching_policy("random")),
    ):
        print(f"{label:<16} {evaluate(each, instances, count, parameters):8.1f} nodes")
    if out is not None:
        after.save(out)
    return 0


if __name__ == "__main__":
    raise SystemExit(tyro.cli(main))
