"""`LearnsysCache`: a small network that learns, while the program runs, when lines return."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learnsys.envs.cache.geometry import CacheGeometry
from learnsys.errors import InputError
from learnsys.files import write_json
from learnsys.imitation import load_arrays, save_arrays
from learnsys.policies.cache.base import Chunk, SetPolicy, State
from learnsys.policies.cache.learned import kernel
from learnsys.policies.cache.learned.network import FIRST_SQUARE
from learnsys.policies.cache.learned.samples import STAGES
from learnsys.policies.cache.learned.state import allocate, flat, grouped
from learnsys.runs import read_json

_WEIGHTS = ("network.table", "network.hidden", "network.output")


@dataclass(frozen=True)
class LearnsysCache(SetPolicy):
    """Evict the line that is worth least, by a network that learns when lines return.

    At a miss in a full set each line of it, and the one that is missed, is worth what `network.index` says of the
    features of its last access and of its standing now (see `features.py`); the least one leaves, which may be the
    missed one: it is then not inserted. The network is trained on the policy's own evictions: of the candidates a few
    are drawn at each, kept as samples with their features, and tell when they come back, or at certain ages, that they
    have not yet. Relabelling the past by what became of it is the way of Learning Relaxed Belady (Song et al., NSDI
    2020); what became of lines under Belady's MIN (OPTgen, Hawkeye: Jain and Lin, ISCA 2016) and mean reuse distances
    (Mockingjay: Shah, Jain and Lin, HPCA 2022) are among the features.
    Nothing of this needs the future, and nothing has to be learnt beforehand, though it can be: with `passes`, `fit`
    goes over an earlier part of the trace, and `save` and `load` keep what it learnt.

    All tables have fixed sizes: memory depends on the cache and these settings, not on the trace. Lines and PCs are
    known by their values, so that weights learnt on one trace make sense on another of the same program.
    """

    name = "learnsys_cache"

    rate: float = 0.05
    """step size of Adagrad on the embeddings; the layers learn with a fifth of it"""
    draws: int = 2
    """candidates that become samples at each eviction"""
    bits: int = 14
    """of the hash of a feature: each feature has 2^bits embeddings"""
    embedding: int = 16
    """numbers in an embedding, one of them Adagrad's"""
    hidden: int = 16
    """hidden units"""
    learn: bool = True
    """learn while the program runs"""
    passes: int = 0
    """how often `fit` goes over the training part; 0: the policy begins untrained"""
    folder: str | None = None
    """a folder written by `save`, whose weights the policy begins with"""
    needs_fit = property(lambda self: self.passes > 0)

    def __post_init__(self) -> None:
        if not (self.rate > 0 and 1 <= self.bits <= 16 and self.draws >= 1 and self.passes >= 0):
            raise InputError("learnsys_cache needs a rate above 0, 1 to 16 bits, at least 1 draw and no passes below 0")
        if self.embedding < 2 or self.hidden < 1:
            raise InputError("learnsys_cache needs embeddings of at least 2 and a hidden layer of at least 1")

    def start(self, geometry: CacheGeometry, seed: int = 0) -> State:
        state = flat(
            allocate(
                geometry.sets,
                geometry.ways,
                bits=self.bits,
                embedding=self.embedding,
                hidden=self.hidden,
                room=self.draws * (int(STAGES[-1]) * geometry.sets * geometry.ways + 1),
                rng=np.random.default_rng(seed),
            )
        )
        return state if self.folder is None else state | self._saved(state)

    def fit(self, chunk: Chunk, geometry: CacheGeometry) -> State:
        learnt: State = {}
        for _ in range(self.passes):
            state = self.start(geometry) | learnt
            replace(self, learn=True).run(state, chunk, np.zeros(chunk.line.size, np.uint8))
            learnt = {name: state[name] for name in _WEIGHTS}
        return learnt

    def run(self, state: State, chunk: Chunk, hits: NDArray[np.uint8]) -> None:
        cache, *others = grouped(state)
        rate = self.rate if self.learn else 0.0
        accesses = (chunk.line, chunk.row, chunk.pc, chunk.line_number, chunk.pc_value, chunk.start, hits)
        arguments: tuple[Any, ...] = (*accesses, cache, *others, rate, self.draws)
        kernel.run(*arguments)

    def save(self, folder: str | os.PathLike[str], learnt: State) -> None:
        """Write `model.safetensors` and `config.json`, from which `load` makes a policy that begins with `learnt`.

        Args:
            learnt: what `fit` returned, or the state of a simulation. Embeddings are rounded to float16; those that
                were never trained are left out.
        """
        folder = Path(folder)
        table = learnt["network.table"]
        trained = np.flatnonzero(table[:, -1] > FIRST_SQUARE)
        arrays = {name: learnt[name] for name in _WEIGHTS[1:]}
        arrays |= {"trained": trained.astype(np.int32), "squares": table[trained, -1]}
        save_arrays(folder / "model.safetensors", arrays | {_WEIGHTS[0]: table[trained, :-1].astype(np.float16)})
        config = asdict(self) | {"folder": None, "passes": 0}
        write_json(folder / "config.json", {"policy": self.name, "model": config})

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> LearnsysCache:
        """The policy saved in `folder`.

        Raises:
            InputError: a file is missing, damaged or another policy's.
        """
        about: Any = read_json(Path(folder) / "config.json")
        try:
            if about["policy"] != cls.name:
                raise ValueError(f"but {about['policy']}")
            policy = cls(**{**about["model"], "folder": str(folder)})
            policy.start(CacheGeometry(1024, 1, 64))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"holds no {cls.name} ({error})", file=folder, remedy="train one there") from None
        return policy

    def _saved(self, state: State) -> State:
        """The weights in `folder`, in the shapes of `state`."""
        arrays, _ = load_arrays(Path(str(self.folder)) / "model.safetensors")
        found: State = {}
        try:
            for name in _WEIGHTS:
                found[name] = state[name]
                if name == _WEIGHTS[0]:
                    found[name][arrays["trained"], :-1] = arrays[name]
                    found[name][arrays["trained"], -1] = arrays["squares"]
                else:
                    found[name][...] = arrays[name]
        except (KeyError, ValueError, IndexError) as error:
            raise InputError(f"does not fit its config.json ({error})", file=Path(str(self.folder))) from None
        return found
