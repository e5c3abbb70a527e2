"""`LearnsysCache`: a small network that learns remaining reuse distances while the program runs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learnsys.envs.cache.geometry import CacheGeometry
from learnsys.errors import InputError
from learnsys.policies.cache.base import Chunk, SetPolicy, State
from learnsys.policies.cache.learned import kernel


@dataclass(frozen=True)
class LearnsysCache(SetPolicy):
    name = "learnsys_cache"

    rate: float = 0.05
    draws: int = 2
    window: int = 9
    bits: int = 14
    embedding: int = 16
    hidden: int = 16
    lines: int = 2**18
    pages: int = 2**16
    pcs: int = 2**14
    samples: int = 2**19
    rule: int = -1
    duel: int = 4096
    passes: int = 0
    learn: bool = True
    needs_fit = property(lambda self: self.passes > 0)

    def start(self, geometry: CacheGeometry, seed: int = 0) -> State:
        rng = np.random.default_rng(seed)
        sets, ways = geometry.sets, geometry.ways
        shape, rows = (sets, ways), (kernel.ACCESS + kernel.CANDIDATE) << self.bits
        leads = (np.arange(sets) ^ rng.integers(sets)) % 32
        if sets < 256:
            leads[:] = kernel.RULES
        cache = kernel.Cache(
            tags=np.full(shape, -1, np.int32),
            at=np.zeros(shape, np.int32),
            when=np.zeros(shape, np.int32),
            reused=np.zeros(shape, np.uint8),
            caller=np.zeros(shape, np.uint32),
            past=np.zeros(shape, np.uint32),
            page=np.zeros(shape, np.int32),
            access=np.zeros((*shape, kernel.ACCESS), np.uint16),
            base=np.zeros((*shape, self.embedding), np.float32),
            clock=np.zeros(sets, np.int32),
            rule=np.minimum(leads, kernel.RULES).astype(np.uint8),
            leaders=np.ones((kernel.RULES, 2)),
        )
        history = kernel.History(
            line_key=np.zeros(self.lines, np.uint64),
            line_time=np.zeros(self.lines, np.int32),
            line_gaps=np.zeros((self.lines, 2), np.uint8),
            line_touches=np.zeros(self.lines, np.uint8),
            line_caller=np.zeros(self.lines, np.uint32),
            page_time=np.zeros(self.pages, np.int32),
            page_touches=np.zeros(self.pages, np.int32),
            page_caller=np.zeros(self.pages, np.uint32),
            pc_number=np.zeros(self.pcs, np.int64),
            pc_delta=np.zeros(self.pcs, np.int64),
            set_caller=np.zeros(sets, np.uint32),
            recent=np.zeros(2, np.uint32),
        )

        def weights(outputs: int, inputs: int, scale: float) -> NDArray[np.float32]:
            layer = np.zeros((outputs, inputs + 1), np.float32)
            layer[:, :inputs] = rng.normal(scale=scale / np.sqrt(inputs), size=(outputs, inputs))
            return layer

        network = kernel.Network(
            table=rng.normal(scale=0.01, size=(rows, self.embedding)).astype(np.float32),
            steps=np.full(rows, 0.1, np.float32),
            hidden=weights(self.hidden, self.embedding, 1.0),
            output=weights(kernel.BUCKETS, self.hidden, 0.3),
        )
        samples = kernel.Samples(
            line=np.full(self.samples, -1, np.int32),
            when=np.zeros(self.samples, np.int32),
            at=np.zeros(self.samples, np.int32),
            features=np.zeros((self.samples, kernel.ACCESS + kernel.CANDIDATE), np.uint16),
            links=np.zeros((self.samples, 2), np.int32),
            heads=np.full(2 ** (self.samples.bit_length() - 1), -1, np.int32),
            ends=np.array([0, 0, 0, rng.integers(1, 2**62)], np.int64),
        )
        parts = {"cache": cache, "history": history, "network": network, "samples": samples}
        return {f"{part}.{name}": array for part, group in parts.items() for name, array in group._asdict().items()}

    def fit(self, chunk: Chunk, geometry: CacheGeometry) -> State:
        state = self.start(geometry)
        for _ in range(self.passes):
            fresh = self.start(geometry)
            state = {name: array if name.startswith("network") else fresh[name] for name, array in state.items()}
            self.run(state, chunk, np.zeros(chunk.line.size, np.uint8))
        return {name: array for name, array in state.items() if name.startswith("network")}

    def run(self, state: State, chunk: Chunk, hits: NDArray[np.uint8]) -> None:
        groups = [
            group(*(state[f"{part}.{name}"] for name in group._fields))
            for part, group in (("cache", kernel.Cache), ("history", kernel.History), ("network", kernel.Network), ("samples", kernel.Samples))
        ]
        sets, ways = groups[0].tags.shape
        kernel.run(
            chunk.line, chunk.row, chunk.pc, chunk.line_number, chunk.pc_value, chunk.start, hits, *groups,
            self.rate if self.learn else 0.0, self.draws, self.window * sets * ways, self.duel, self.rule,
        )

    def resident(self, state: State) -> NDArray[np.int32]:
        return state["cache.tags"]
