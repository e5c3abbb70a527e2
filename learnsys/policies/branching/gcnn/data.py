"""Samples of strong branching as the batches that the network reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from learnsys.graphs.bipartite import BipartiteGraph
from learnsys.policies.branching.accuracy import best, rank
from learnsys.policies.branching.gcnn.config import ModelConfig
from learnsys.policies.branching.gcnn.model import Batch
from learnsys.policies.branching.samples import Sample

INCUMBENT = slice(13, 15)
"""the columns of the incumbent among the features of variables"""
CHUNK_EDGES = 200_000
"""edges in one pass of the network at most: more leave the processor's cache"""


@dataclass(frozen=True)
class Example:
    """What is kept of a sample for training."""

    variable_features: NDArray[np.float32]
    row_features: NDArray[np.float32]
    graph: BipartiteGraph
    candidates: NDArray[np.int32]
    scores: NDArray[np.float64]

    @classmethod
    def of(cls, sample: Sample, config: ModelConfig) -> Example:
        """Of a sample with 19 features of variables, or with as many as the network reads."""
        features = sample.variable_features
        if not config.incumbent and features.shape[1] == 19:
            features = np.delete(features, INCUMBENT, 1)
        graph = BipartiteGraph(sample.row_pointers, sample.columns, sample.values, len(features))
        return cls(features, sample.row_features, graph, sample.candidates, sample.scores)

    def near(self) -> Example:
        """The rows with a candidate and the variables of these rows: all that the candidates' scores depend on."""
        rows, variables = self.graph.around(self.candidates)
        if len(rows) == self.graph.n_targets and len(variables) == self.graph.n_sources:
            return self
        return Example(
            self.variable_features[variables],
            self.row_features[rows],
            self.graph.cut_out(rows, variables),
            np.searchsorted(variables, self.candidates).astype(np.int32),
            self.scores,
        )

    @cached_property
    def back(self) -> BipartiteGraph:
        """From rows to the candidates."""
        return self.graph.of_sources(self.candidates)

    @property
    def n_bytes(self) -> int:
        graph, back = self.graph, self.back
        arrays = (self.variable_features, self.row_features, graph.pointers, graph.sources, graph.values)
        return sum(array.nbytes for array in (*arrays, back.pointers, back.sources, back.values))


def collate(examples: Sequence[Example], every_variable: bool = False) -> Batch:
    """Examples as one batch.

    Args:
        every_variable: take all variables as candidates.
    """
    if every_variable:
        chosen = [np.arange(each.graph.n_sources, dtype=np.int32) for each in examples]
        back = [each.graph.transpose for each in examples]
    else:
        chosen, back = [each.candidates for each in examples], [each.back for each in examples]
    counts = [len(each) for each in chosen]
    first = np.cumsum([0, *(each.graph.n_sources for each in examples)])[:-1]
    return Batch(
        torch.from_numpy(np.concatenate([each.variable_features for each in examples])),
        torch.from_numpy(np.concatenate([each.row_features for each in examples])),
        BipartiteGraph.batch([each.graph for each in examples]),
        BipartiteGraph.batch(back),
        torch.from_numpy(np.concatenate(chosen) + np.repeat(first, counts)),
        torch.from_numpy(np.repeat(np.arange(len(examples)), counts)),
        torch.from_numpy(np.concatenate([np.arange(count) for count in counts])),
    )


def chunks(examples: Sequence[Example], edges: int = CHUNK_EDGES) -> Iterator[list[Example]]:
    """The examples in order, in lists of at most `edges` edges (or of one)."""
    chunk: list[Example] = []
    size = 0
    for each in examples:
        if chunk and size + each.graph.n_edges > edges:
            yield chunk
            chunk, size = [], 0
        chunk.append(each)
        size += each.graph.n_edges
    if chunk:
        yield chunk


def targets(examples: Sequence[Example], kind: str, temperature: float) -> Tensor:
    """The distribution over the candidates that the network is fitted to, float32 (K,); see `TrainingConfig.target`."""
    return torch.from_numpy(np.concatenate([_target(each.scores, kind, temperature) for each in examples]))


def _target(scores: NDArray[np.float64], kind: str, temperature: float) -> NDArray[np.float32]:
    if kind == "first":
        share = np.zeros(len(scores))
        share[scores.argmax()] = 1.0
    elif kind == "ties" or scores.max() <= 0:
        share = best(scores).astype(np.float64)
    else:
        share = (np.maximum(scores, 0) / scores.max()) ** (1 / temperature)
    return (share / share.sum()).astype(np.float32)


def hits(logits: NDArray[np.float32], examples: Sequence[Example], tops: tuple[int, ...]) -> NDArray[Any]:
    """For each example and each k of `tops`: is one of the best candidates among the network's first k? bool."""
    found = np.empty((len(examples), len(tops)), np.bool_)
    begin = 0
    for row, each in zip(found, examples, strict=True):
        count = len(each.scores)
        place = rank(logits[begin : begin + count], best(each.scores))
        row[:] = [place < k for k in tops]
        begin += count
    return found
