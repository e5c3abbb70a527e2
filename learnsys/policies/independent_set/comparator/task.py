"""Self-training of the comparator as a task of the imitation loop."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from learnsys.errors import InputError, LearnsysError
from learnsys.graphs import Batch, Graph, batch_graphs
from learnsys.imitation import Arrays, Report
from learnsys.policies.distributed import from_first, gathered, own
from learnsys.policies.independent_set.comparator.config import ComparatorConfig
from learnsys.policies.independent_set.comparator.fitting import KernelFitting, Tally
from learnsys.policies.independent_set.comparator.padded import PaddedFitting
from learnsys.policies.independent_set.comparator.policy import ComparatorPolicy
from learnsys.policies.independent_set.comparator.rollout import RollOuts, run_recursions
from learnsys.policies.independent_set.comparator.weights import Weights
from learnsys.policies.independent_set.greedy import Greedy
from learnsys.policies.independent_set.padded import PaddedGraphs, make_adam
from learnsys.policies.independent_set.randomness import stream_seeds
from learnsys.policies.torch_arrays import adam_moments, load_adam_moments

BLOCK = 64
"""kept graphs valued at a time"""


class ComparatorTask:
    """The comparator as a `learnsys.imitation.Task`.

    A round takes the next block of training graphs (the roots), rolls the recursion out once on each and keeps the
    first graphs that it compares; the best of some roll-outs from a kept graph is its value. The network is then
    fitted to compare the values of pairs of graphs with the same root.

    Args:
        train: the roots.
        valid: the graphs by which the best network is chosen.
        device: where the network is fitted. Roll-outs are made on the processor.
        jobs: roll-outs at a time, in threads; results do not depend on it.
    """

    def __init__(
        self,
        train: Sequence[Graph],
        valid: Sequence[Graph],
        config: ComparatorConfig,
        seed: int,
        device: str = "cpu",
        jobs: int = 1,
    ) -> None:
        if not train or not valid:
            raise InputError("there are no graphs to train on", remedy="give two at least")
        self.config, self.seed, self.device, self.jobs = config, seed, torch.device(device), jobs
        self.train, self.valid = batch_graphs(train), batch_graphs(valid)
        self._padded = None if self.device.type == "cpu" else PaddedGraphs(self.train, self.device)
        self.restart(0)
        self.greedy_sizes = np.array([Greedy().solve(graph, seed=seed).size for graph in valid])

    def restart(self, number: int) -> None:
        torch.manual_seed(self.seed + number)
        self.policy = ComparatorPolicy(self.config.model, self.config.training.problem)
        self.policy.model.to(self.device)
        self._optimiser = make_adam(self.policy.model, self.config.training.learning_rate)

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
            cover=self.policy.cover, steps=steps, record=steps or int(self.train.sizes.max()), jobs=self.jobs,
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
        training, cover, times = self.config.training, self.policy.cover, self.config.training.roll_outs
        blocks = -(-root.size // BLOCK)
        mine, found = own(blocks), []
        for done, block in enumerate(mine):
            part = slice(block * BLOCK, (block + 1) * BLOCK)
            roots, masks = root[part], kept[part]
            seeds = self._seeds(number, 1 + part.start, roots.size * times)
            alive = [mask for mask in masks for _ in range(times)]
            ends = run_recursions(
                self.train, weights, np.repeat(roots, times), seeds, alive=alive, cover=cover, jobs=self.jobs
            )
            sizes = ends.sizes.reshape(-1, times)
            values = sizes.min(1) if cover else sizes.max(1)
            if training.mixed:
                left = [self.train[graph].induced(mask > 0) for graph, mask in zip(roots, masks, strict=True)]
                greedy = [
                    max(Greedy().solve(graph, seed=k).size for k in range(training.greedy_sets)) for graph in left
                ]
                values = np.maximum(values, greedy)
            found.append(values)
            report("label", done + 1, len(mine))
        return np.concatenate([np.empty(0, np.int64), *gathered(found, blocks)])

    def _seeds(self, number: int, use: int, count: int) -> NDArray[np.uint64]:
        return np.random.SeedSequence([self.seed, number, use]).generate_state(count, np.uint64).astype(np.uint64)

    def fit(self, parts: Sequence[Arrays], number: int, report: Report) -> Mapping[str, float]:
        training = self.config.training
        graphs = [each for part in parts for each in unpack(self.train, part)]
        pairs, labels = self._pairs(parts)
        if not len(pairs):
            raise InputError("no two graphs of a roll-out can be compared", remedy="give graphs with more edges")
        generator = np.random.default_rng([self.seed, number])
        drawn = min(training.sample, len(pairs))
        fitting = self._fitting(graphs, -(-drawn // training.batch))
        total = Tally()
        for epoch in range(training.epochs):
            report("fit", epoch, training.epochs)
            chosen = generator.permutation(len(pairs))[:drawn]
            total += fitting.epoch(pairs[chosen], labels[chosen])
            if not math.isfinite(total.loss):
                raise LearnsysError(f"training diverged in epoch {epoch} of round {number}; lower the learning rate")
        return {"loss": total.loss / total.steps, "accuracy": total.right / max(1, total.told), "pairs": len(pairs)}

    def _fitting(self, graphs: list[tuple[int, NDArray[np.uint8]]], steps: int) -> KernelFitting | PaddedFitting:
        model, cover, training = self.policy.model, self.policy.cover, self.config.training
        if self._padded is None:
            return KernelFitting(model, self._optimiser, self.train, graphs, cover, training)
        return PaddedFitting(model, self._optimiser, self._padded, graphs, cover, training, steps)

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
        labels = np.where(values[:, 0] == values[:, 1], 0.5, better).astype(np.float32)
        fitted = slice(None) if self.config.training.ties else labels != 0.5
        return both[fitted], labels[fitted]

    def evaluate(self, number: int, report: Report) -> Mapping[str, Any]:
        count = len(self.valid)

        def reward() -> float:
            seeds, weights = stream_seeds(self.seed, range(count)), Weights.of(self.policy.model)
            how: dict[str, Any] = {"cover": self.policy.cover, "jobs": self.jobs}
            ends = run_recursions(self.valid, weights, np.arange(count), seeds, **how)
            sizes = self.valid.sizes - ends.sizes if self.policy.cover else ends.sizes
            return float(sizes.mean())

        found = from_first(reward)
        report("evaluate", count, count)
        return {"reward": found, "greedy": float(self.greedy_sizes.mean())}

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
