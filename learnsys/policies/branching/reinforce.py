"""REINFORCE on the size of subtrees, for a GCNN that has learnt by imitation: the ragged loop, no padding.

With depth-first search a branching decision answers for the subtree below it (Etheve et al., "Reinforcement learning
for variable selection in a branch and bound algorithm", CPAIOR 2020; Scavuzzo et al., "Learning to branch with tree
MDPs", NeurIPS 2022). Each decision's return is therefore -log(size of its subtree), and the baseline is the mean of
the returns at the same depth.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pyscipopt import Model

from learnsys.envs.branching.models import SOLVED
from learnsys.envs.branching.observations.node_bipartite import NodeBipartite
from learnsys.graphs.bipartite import BipartiteGraph
from learnsys.policies.branching.base import BranchingPolicy
from learnsys.policies.branching.gcnn.data import Example, chunks, collate
from learnsys.policies.branching.gcnn.model import GcnnModel, log_probabilities
from learnsys.policies.branching.gcnn.policy import GcnnPolicy
from learnsys.policies.branching.protocol import FIELD_PARAMETERS
from learnsys.policies.branching.samples import graph_arrays
from learnsys.policies.branching.solve import solve
from learnsys.policies.torch_arrays import load_parameters

DEPTH_FIRST: dict[str, Any] = {**FIELD_PARAMETERS, "nodeselection/dfs/stdpriority": 536_870_911}
"""SCIP's parameters: a node's subtree is finished before anything else"""


@dataclass(frozen=True)
class ReinforceConfig:
    """How a policy is fine-tuned."""

    learning_rate: float = 1e-4
    """Adam's"""
    episodes: int = 4
    """solving processes in an update"""
    most_decisions: int = 400
    """decisions of an update that the gradient is taken of, drawn from all"""
    node_limit: int = 500
    """nodes of a solving process; unfinished ones do not count"""
    entropy: float = 0.0
    """weight of the entropy bonus"""


class Decision(NamedTuple):
    """One decision of an episode."""

    node: int
    parent: int
    """node that it descends from; 0 for the root"""
    depth: int
    example: Example
    chosen: int
    """place among the candidates"""


class Place:
    """Observation: number of the node, of its parent (0 for none), and depth."""

    def before_reset(self, model: Model) -> None:
        """Nothing is kept between episodes."""

    def extract(self, model: Model, done: bool = False) -> tuple[int, int, int] | None:
        """The three numbers, None when `done`."""
        if done:
            return None
        node: Any = model.getCurrentNode()
        parent = node.getParent()
        return node.getNumber(), 0 if parent is None else parent.getNumber(), node.getDepth()


class Sampling(BranchingPolicy):
    """Draws candidates with the network's probabilities, and remembers what it has drawn."""

    def __init__(self, policy: GcnnPolicy) -> None:
        self.policy = policy
        self.observation = {"graph": NodeBipartite(incumbent=policy.config.incumbent), "place": Place()}
        self.decisions: list[Decision] = []
        self.rng = np.random.default_rng(0)

    def start(self, seed: int) -> None:
        self.policy.start(seed)
        self.rng, self.decisions = np.random.default_rng(seed), []

    def act(self, observation: Any, candidates: NDArray[np.int64]) -> int:
        graph = observation["graph"]
        logits = self.policy.logits(graph, candidates).astype(np.float64)
        chance = np.exp(logits - logits.max())
        chosen = int(self.rng.choice(len(candidates), p=chance / chance.sum()))
        arrays = graph_arrays(graph)
        example = Example(
            arrays["variable_features"],
            arrays["row_features"],
            BipartiteGraph(arrays["row_pointers"], arrays["columns"], arrays["values"], len(graph[0])),
            candidates.astype(np.int32),
            np.zeros(len(candidates)),
        )
        node, parent, depth = observation["place"]
        self.decisions.append(Decision(node, parent, depth, example.near(), chosen))
        return int(candidates[chosen])


def subtree_sizes(nodes: NDArray[np.int64], parents: NDArray[np.int64]) -> NDArray[np.int64]:
    """(decisions,): how many decisions are in the subtree of each, itself included.

    Args:
        nodes: (decisions,), numbers of the nodes in the order of time, so that parents come first.
        parents: (decisions,), numbers of their parents.
    """
    place = {node: i for i, node in enumerate(nodes.tolist())}
    sizes = np.ones(len(nodes), np.int64)
    for i in range(len(nodes) - 1, -1, -1):
        above = place.get(int(parents[i]))
        if above is not None:
            sizes[above] += sizes[i]
    return sizes


def advantages(returns: NDArray[np.float64], depths: NDArray[np.int64]) -> NDArray[np.float64]:
    """(decisions,): returns minus their mean at the same depth, over the standard deviation of all that is left."""
    left = returns.copy()
    for depth in np.unique(depths):
        left[depths == depth] -= returns[depths == depth].mean()
    return left / max(float(left.std()), 1e-6)


class Reinforce:
    """Fine-tunes a GCNN, update by update.

    Args:
        policy: where to start; it is left as it is.
        config: how.
        seed: of everything random.
    """

    def __init__(self, policy: GcnnPolicy, config: ReinforceConfig, seed: int = 0) -> None:
        self.config, self.model_config = config, policy.config
        self.network = GcnnModel(policy.config)
        load_parameters(self.network, policy.weights)
        self.optimiser = torch.optim.Adam(self.network.parameters(), config.learning_rate)
        self.rng = np.random.default_rng(seed)

    def policy(self) -> GcnnPolicy:
        """The network of this moment as a policy."""
        weights = {name: tensor.numpy().copy() for name, tensor in self.network.state_dict().items()}
        return GcnnPolicy(self.model_config, weights)

    def update(self, instance: Callable[[np.random.Generator], Model]) -> dict[str, float]:
        """Solve some instances, take one step of the gradient; what to log.

        Args:
            instance: draws a model in stage PROBLEM, which is freed here.
        """
        sampling = Sampling(self.policy())
        decisions: list[Decision] = []
        returns, nodes = [], []
        for _ in range(self.config.episodes):
            model = instance(self.rng)
            try:
                parameters = {**DEPTH_FIRST, "limits/totalnodes": self.config.node_limit}
                done = solve(model, sampling, seed=int(self.rng.integers(2**31)), scip_params=parameters)
            finally:
                model.free()
            nodes.append(done.n_nodes)
            if done.status in SOLVED and sampling.decisions:
                own = sampling.decisions
                sizes = subtree_sizes(np.array([each.node for each in own]), np.array([each.parent for each in own]))
                returns.append(-np.log(sizes))
                decisions += own
        measured = {"nodes": float(np.mean(nodes)), "decisions": len(decisions), "loss": 0.0}
        if decisions:
            gain = advantages(np.concatenate(returns), np.array([each.depth for each in decisions]))
            measured["loss"] = self._step(decisions, gain)
        return measured

    def _step(self, decisions: list[Decision], gain: NDArray[np.float64]) -> float:
        kept = np.sort(self.rng.permutation(len(decisions))[: self.config.most_decisions])
        self.optimiser.zero_grad()
        total, done = 0.0, 0
        for part in chunks([decisions[i].example for i in kept]):
            which = kept[done : done + len(part)]
            done += len(part)
            batch = collate(part)
            table = log_probabilities(self.network(batch), batch)
            chosen = torch.tensor([decisions[i].chosen for i in which])
            weight = torch.tensor(gain[which], dtype=torch.float32)
            loss = -(weight * table[torch.arange(len(part)), chosen]).sum()
            if self.config.entropy:
                loss = loss + self.config.entropy * (table.exp() * table.clamp_min(-1e4)).sum()
            (loss / len(kept)).backward()
            total += float(loss.detach())
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        return total / len(kept)
