"""Self-training of the comparator as a task of the imitation loop."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from learnsys.errors import InputError, LearnsysError
from learnsys.graphs import Batch, Graph, batch_graphs
from learnsys.imitation import Arrays, Report
from learnsys.policies.independent_set.comparator.config import ComparatorConfig
from learnsys.policies.independent_set.comparator.gradient import Arena, Stack, logits, make_stack
from learnsys.policies.independent_set.comparator.policy import ComparatorPolicy, stream_seeds
from learnsys.policies.independent_set.comparator.rollout import RollOuts, run_recursions
from learnsys.policies.independent_set.comparator.weights import Weights
from learnsys.policies.independent_set.greedy import Greedy
from learnsys.policies.torch_arrays import adam_moments, load_adam_moments

CHUNK = 8
"""graphs in one stack while fitting"""


class ComparatorTask:
    """The comparator as a `learnsys.imitation.Task`.

    A round takes the next block of training graphs (the roots), rolls the recursion out once on each and keeps the
    first graphs that it compares; the best of some roll-outs from a kept graph is its value. The network is then
    fitted to compare the values of pairs of graphs with the same root.

    Args:
        train: the roots.
        valid: the graphs by which the best network is chosen.
    """

    def __init__(self, train: Sequence[Graph], valid: Sequence[Graph], config: ComparatorConfig, seed: int) -> None:
        if not train or not valid:
            raise InputError("there are no graphs to train on", remedy="give two at least")
        self.config, self.seed = config, seed
        self.train, self.valid = batch_graphs(train), batch_graphs(valid)
        torch.manual_seed(seed)
        self.policy = ComparatorPolicy(config.model, config.training.problem)
        self._optimise()
        self._arena = Arena()
        self.greedy_sizes = np.array([Greedy().solve(graph, seed=seed).size for graph in valid])

    def _optimise(self) -> None:
        self._optimiser = torch.optim.Adam(
            self.policy.model.parameters(), lr=self.config.training.learning_rate, fused=True
        )

    def restart(self, number: int) -> None:
        torch.manual_seed(self.seed + number)
        self.policy = ComparatorPolicy(self.config.model, self.config.training.problem)
        self._optimise()

    def roots_of(self, number: int) -> NDArray[np.int64]:
        """The roots of a round: the training graphs in blocks, again and again."""
        blocks = -(-len(self.train) // self.config.training.roots)
        first = number % blocks * self.config.training.roots
        return np.arange(first, min(first + self.config.training.roots, len(self.train)))

    def collect(self, number: int, expert_share: float, report: Report) -> Arrays:
        training = self.config.training
        roots, weights = self.roots_of(number), Weights.of(self.policy.model)
        steps = 0 if training.spread else -(-training.kept // 2)
        begun = run_recursions(
            self.train, weights, roots, self._seeds(number, 0, roots.size),
            cover=self.policy.cover, steps=steps, record=steps or int(self.train.sizes.max()),
        )  # fmt: skip
        root, kept = [], []
        for lane, graph in enumerate(roots):
            masks = compared(self.train[graph], begun, lane)
            if training.spread and len(masks) > training.kept:
                decisions = np.linspace(0, len(masks) // 2 - 1, -(-training.kept // 2)).astype(int)
                masks = [masks[k] for decision in decisions for k in (2 * decision, 2 * decision + 1)]
            masks = masks[: training.kept]
            root += [graph] * len(masks)
            kept += masks
        values = self._values(np.array(root, np.int64), kept, weights, number, report)
        return {
            "root": np.array(root, np.int64),
            "kept": np.concatenate(kept) if kept else np.empty(0, np.uint8),
            "value": values,
        }

    def _values(
        self, root: NDArray[np.int64], kept: list[NDArray[np.uint8]], weights: Weights, number: int, report: Report
    ) -> NDArray[np.int64]:
        """The value of each kept graph: the best size of some roll-outs, and of greedy if they are mixed."""
        training, cover = self.config.training, self.policy.cover
        values = np.empty(root.size, np.int64)
        block = 64
        for low in range(0, root.size, block):
            own, masks = root[low : low + block], kept[low : low + block]
            times = training.roll_outs
            seeds = self._seeds(number, 1 + low, own.size * times)
            alive = [mask for mask in masks for _ in range(times)]
            ends = run_recursions(self.train, weights, np.repeat(own, times), seeds, alive=alive, cover=cover)
            sizes = ends.sizes.reshape(-1, times)
            values[low : low + block] = sizes.min(1) if cover else sizes.max(1)
            if training.mixed:
                left = [self.train[graph].induced(mask > 0) for graph, mask in zip(own, masks, strict=True)]
                greedy = [max(Greedy().solve(graph, seed=k).size for k in range(times)) for graph in left]
                np.maximum(values[low : low + block], greedy, out=values[low : low + block])
            report("label", min(low + block, root.size), root.size)
        return values

    def _seeds(self, number: int, use: int, count: int) -> NDArray[np.uint64]:
        return np.random.SeedSequence([self.seed, number, use]).generate_state(count, np.uint64).astype(np.uint64)

    def fit(self, parts: Sequence[Arrays], number: int, report: Report) -> Mapping[str, float]:
        training, model = self.config.training, self.policy.model
        graphs = [each for part in parts for each in unpack(self.train, part)]
        pairs, labels = self._pairs(parts)
        if not len(pairs):
            raise InputError("no two graphs of a roll-out can be compared", remedy="give graphs with more edges")
        generator = np.random.default_rng([self.seed, number])
        batches = -(-min(training.sample, len(pairs)) // training.batch)
        steps, done = training.epochs * batches, 0
        total, right, decided = 0.0, 0, 0
        model.train()
        for _ in range(training.epochs):
            drawn = generator.permutation(len(pairs))[: training.sample]
            for low in range(0, drawn.size, training.batch):
                chosen = drawn[low : low + training.batch]
                stacks = stacks_of(self.train, graphs, pairs[chosen].ravel(), self.policy.cover)
                scores = logits(model, stacks, self._arena).view(-1, 2)
                loss = comparison_loss(scores, labels[chosen], training.double_softmax)
                self._optimiser.zero_grad(set_to_none=True)
                loss.backward()
                self._optimiser.step()
                if not math.isfinite(loss.item()):
                    raise LearnsysError(f"training diverged in step {done} of round {number}; lower the learning rate")
                first = (scores[:, 0] > scores[:, 1]).numpy()
                told = labels[chosen] != 0.5
                right += int((first == (labels[chosen] == 1))[told].sum())
                decided += int(told.sum())
                total += loss.item()
                done += 1
                report("fit", done, steps)
        model.eval()
        return {"loss": total / done, "accuracy": right / max(1, decided), "pairs": len(pairs)}

    def _pairs(self, parts: Sequence[Arrays]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Pairs (i, j) of graphs of one root, numbered over all parts, (P, 2); the first's part of the label, (P,)."""
        pairs: list[NDArray[np.int64]] = []
        offset = 0
        for part in parts:
            for graph in np.unique(part["root"]):
                members = np.flatnonzero(part["root"] == graph) + offset
                upper = np.stack(np.triu_indices(members.size, 1), 1)
                if self.config.training.siblings:
                    upper = upper[(upper[:, 0] % 2 == 0) & (upper[:, 1] == upper[:, 0] + 1)]
                upper = upper[: self.config.training.pairs]
                pairs.append(members[upper])
            offset += part["root"].size
        if not pairs:
            return np.empty((0, 2), np.int64), np.empty(0, np.float32)
        both = np.concatenate(pairs)
        values = np.concatenate([part["value"] for part in parts])[both]
        better = values[:, 0] < values[:, 1] if self.policy.cover else values[:, 0] > values[:, 1]
        return both, np.where(values[:, 0] == values[:, 1], 0.5, better).astype(np.float32)

    def evaluate(self, number: int, report: Report) -> Mapping[str, Any]:
        count = len(self.valid)
        seeds = stream_seeds(self.seed, range(count))
        ends = run_recursions(
            self.valid, Weights.of(self.policy.model), np.arange(count), seeds, cover=self.policy.cover
        )
        report("evaluate", count, count)
        sizes = self.valid.sizes - ends.sizes if self.policy.cover else ends.sizes
        return {"reward": float(sizes.mean()), "greedy": float(self.greedy_sizes.mean())}

    def weights(self) -> Arrays:
        return self.policy.weights()

    def load_weights(self, weights: Arrays) -> None:
        self.policy.load_weights(weights)

    def state(self) -> Arrays:
        return adam_moments(self._optimiser)

    def load_state(self, state: Arrays) -> None:
        load_adam_moments(self._optimiser, state)


def compared(graph: Graph, ends: RollOuts, lane: int) -> list[NDArray[np.uint8]]:
    """The graphs that a lane's recorded decisions compare, in pairs, each as the vertices that are left, uint8 (n,)."""
    masks: list[NDArray[np.uint8]] = []
    kept = np.ones(graph.n, np.uint8)
    for v, side in zip(ends.picks[lane], ends.choices[lane], strict=True):
        if v < 0:
            break
        pair = kept.copy(), kept.copy()
        pair[0][v] = 0
        pair[1][graph.neighbours(v)] = 0
        masks += pair
        kept = pair[side]
    return masks


def unpack(batch: Batch, part: Arrays) -> list[tuple[int, NDArray[np.uint8]]]:
    """The (root, vertices left) of each kept graph."""
    ends = np.cumsum(batch.sizes[part["root"]])
    return list(zip(part["root"].tolist(), np.split(part["kept"], ends[:-1]), strict=True)) if ends.size else []


def stacks_of(
    batch: Batch, graphs: Sequence[tuple[int, NDArray[np.uint8]]], numbers: NDArray[np.int64], cover: bool
) -> list[Stack]:
    """Stacks of the graphs `numbers`, in their order."""
    stacks = []
    for low in range(0, numbers.size, CHUNK):
        own = [graphs[number] for number in numbers[low : low + CHUNK]]
        root = np.array([graph for graph, _ in own], np.int64)
        stacks.append(make_stack(batch, root, [kept for _, kept in own], cover))
    return stacks


def comparison_loss(scores: Tensor, label: NDArray[np.float32], double_softmax: bool) -> Tensor:
    """Cross-entropy of pairs of logits (B, 2) with soft labels: the first graph's share (B,), the rest is the other's.

    The published code hands probabilities to a loss that expects logits, which applies the softmax twice
    (`double_softmax`): the loss then never falls below 0.31.
    """
    first = torch.from_numpy(label)
    target = torch.stack([first, 1 - first], 1)
    return torch.nn.functional.cross_entropy(torch.softmax(scores, 1) if double_softmax else scores, target)
