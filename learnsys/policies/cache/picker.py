"""The best policy for a trace, chosen by its hit rate on a validation part: nets, tables and simple rules alike."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learnsys.envs.cache.accesses import Accesses
from learnsys.envs.cache.geometry import CacheGeometry
from learnsys.errors import InputError
from learnsys.imitation import load_arrays, save_arrays
from learnsys.policies.cache.base import SetPolicy, State
from learnsys.policies.cache.registry import (
    GUARD,
    SET_POLICIES,
    guarded,
    load_learned_policy,
    make_set_policy,
)
from learnsys.policies.cache.replay import Replay
from learnsys.policies.cache.simulation import fit, needs_fit, part_of, simulate
from learnsys.runs import read_json

FIT, VALIDATION = (0.0, 0.8), (0.8, 0.9)
"""parts of the trace: to learn from, and to choose by"""
PARROT = "parrot"
"""the candidates that are nets trained beforehand: under this name, and guarded"""


def candidate_names() -> list[str]:
    """All candidates: what runs without the future, the guarded online learner, and Parrot with and without guard."""
    causal = [name for name in SET_POLICIES if not make_set_policy(name).needs_future]
    return [*causal, f"{GUARD}learnsys_cache", PARROT, GUARD + PARROT]


@dataclass(frozen=True)
class Choice:
    """What was chosen, and from what."""

    name: str
    hit_rates: dict[str, float]
    """candidate -> hit rate on the validation part"""
    hits: NDArray[np.uint8]
    """of the chosen one, over the whole trace, uint8 (n,)"""
    learnt: State = field(default_factory=dict)
    """what the chosen one learnt on the first part, where it needs that"""


def choose(
    accesses: Accesses,
    geometry: CacheGeometry,
    candidates: Sequence[str],
    *,
    parrot: Any = None,
    seed: int = 0,
    workers: int = 1,
    finished: Callable[[str], None] = lambda name: None,
) -> Choice:
    """The candidate with the most hits in the validation part, its cache warm; of equals the first.

    Args:
        candidates: some of `candidate_names`.
        parrot: a Parrot trained on the first part alone, if it is among the candidates.
        finished: called with a name as its simulation ends.

    Raises:
        InputError: an unknown candidate, or a trace too short.
    """
    unknown = sorted(set(candidates) - set(candidate_names()))
    if unknown or not candidates:
        raise InputError(
            f"no candidate is called {unknown[0]!r}" if unknown else "there are no candidates to choose from",
            remedy=f"choose from {', '.join(candidate_names())}",
        )
    low, high = part_of(VALIDATION, len(accesses))
    victims: NDArray[np.int16] | None = None
    if {PARROT, GUARD + PARROT} & set(candidates):
        victims = parrot.victims(accesses, geometry, seed)

    def run(name: str) -> tuple[NDArray[np.uint8], State]:
        found = run_candidate(name, accesses, geometry, victims=victims, seed=seed)
        finished(name)
        return found

    best: tuple[NDArray[np.uint8], State] | None = None
    name, rates = "", {}
    with ThreadPoolExecutor(max(1, workers)) as pool:
        for candidate, found in zip(candidates, pool.map(run, candidates), strict=True):
            rates[candidate] = float(found[0][low:high].mean())
            if best is None or rates[candidate] > rates[name]:
                name, best = candidate, found
    assert best is not None
    return Choice(name, rates, *best)


def run_candidate(
    name: str,
    accesses: Accesses,
    geometry: CacheGeometry,
    *,
    victims: NDArray[np.int16] | None = None,
    seed: int = 0,
) -> tuple[NDArray[np.uint8], State]:
    """Whether each access hits under a candidate, uint8 (n,), and what it learnt on the first part.

    Args:
        victims: what Parrot evicts at each access, int16 (n,), for the candidates that are one.
    """
    if name.removeprefix(GUARD) == PARROT:
        assert victims is not None
        policy, prefix = (Replay(), "") if name == PARROT else (guarded(Replay()), "policy/")
        return simulate(policy, accesses, geometry, learnt={f"{prefix}victims": victims}), {}
    policy = make_set_policy(name)
    learnt = fit(policy, accesses, geometry, *part_of(FIT, len(accesses))) if needs_fit(policy) else {}
    return simulate(policy, accesses, geometry, seed=seed, learnt=learnt), learnt


def renumbered(accesses: Accesses, lines: NDArray[np.uint64], pcs: NDArray[np.uint64]) -> Accesses:
    """The same accesses with line and PC ids as in an earlier trace; what that did not have gets the ids behind.

    Args:
        lines, pcs: line number and program counter of each id there.
    """
    line_id, line_number = _ids(accesses.line_number, lines)
    pc_id, pc_value = _ids(accesses.pc_value, pcs)
    return replace(
        accesses, line=line_id[accesses.line], line_number=line_number, pc=pc_id[accesses.pc], pc_value=pc_value
    )


def _ids(values: NDArray[np.uint64], known: NDArray[np.uint64]) -> tuple[NDArray[np.int32], NDArray[np.uint64]]:
    """The id of each of `values` in a numbering that continues `known`; and the values of all ids in it."""
    order = np.argsort(known, kind="stable")
    place = np.minimum(np.searchsorted(known[order], values), max(0, known.size - 1))
    old = known[order][place] == values if known.size else np.zeros(values.size, np.bool_)
    ids = np.empty(values.size, np.int32)
    ids[~old] = known.size + np.arange(values.size - old.sum())
    if known.size:
        ids[old] = order[place[old]]
    return ids, np.concatenate([known, values[~old]])


class Picked:
    """The policy that was chosen for a trace, as it is kept in a run folder.

    Args:
        choice: its name among the candidates.
        policy: the policy; or a Parrot, guarded or not.
        learnt: what it learnt, for ids that stand for `lines` and `pcs`.
    """

    name = "best"

    def __init__(
        self, choice: str, policy: Any, learnt: State, lines: NDArray[np.uint64], pcs: NDArray[np.uint64]
    ) -> None:
        self.choice, self.policy, self.learnt, self.lines, self.pcs = choice, policy, learnt, lines, pcs

    def simulate(self, accesses: Accesses, geometry: CacheGeometry, seed: int = 0) -> NDArray[np.uint8]:
        """Whether each access hits a cache that starts empty; uint8 (n,)."""
        if self.learnt:
            accesses = renumbered(accesses, self.lines, self.pcs)
        return simulate(self.policy, accesses, geometry, seed=seed, learnt=self.learnt)

    @staticmethod
    def save(folder: str | os.PathLike[str], choice: Choice, accesses: Accesses) -> None:
        """Write what the chosen policy learnt; the run's summary names it, and a Parrot stands in the folder `parrot`.

        Args:
            accesses: the trace that the ids in `choice.learnt` are of.
        """
        folder = Path(folder)
        if choice.learnt:
            values = {"ids/lines": accesses.line_number, "ids/pcs": accesses.pc_value}
            learnt = {f"learnt/{name}": array for name, array in choice.learnt.items()}
            save_arrays(folder / "model.safetensors", learnt | values)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Picked:
        """The policy saved in `folder`.

        Raises:
            InputError: a file is missing or damaged.
        """
        folder = Path(folder)
        about: Any = read_json(folder / "summary.json")
        name = about.get("choice") if isinstance(about, dict) else None
        if name not in candidate_names():
            raise InputError("names no choice", file=folder / "summary.json", remedy="run the training again")
        nothing = np.zeros(0, np.uint64)
        if name.removeprefix(GUARD) == PARROT:
            prefix = name.removesuffix(PARROT)
            return cls(name, load_learned_policy(prefix + PARROT, str(folder / "parrot")), {}, nothing, nothing)
        policy: SetPolicy = make_set_policy(name)
        if not needs_fit(policy):
            return cls(name, policy, {}, nothing, nothing)
        arrays, _ = load_arrays(folder / "model.safetensors")
        try:
            lines, pcs = arrays.pop("ids/lines"), arrays.pop("ids/pcs")
        except KeyError as error:
            raise InputError(f"lacks {error}", file=folder / "model.safetensors") from None
        return cls(name, policy, {key.removeprefix("learnt/"): array for key, array in arrays.items()}, lines, pcs)
