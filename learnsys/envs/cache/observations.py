"""What an agent sees at a replacement decision. An observation function is an argument of the environment."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from learnsys.envs.cache.decisions import Decisions
from learnsys.envs.cache.geometry import CacheGeometry
from learnsys.envs.cache.observation_kernels import feature_kernel, raw_kernel
from learnsys.errors import InputError

_NONE = np.zeros(0, np.int32)
_WORD, _AGE = 2**64 - 1, 2**31 - 1


class ObservationFunction(ABC):
    """Turns decisions into observations, for all lanes at once."""

    @abstractmethod
    def space(self, geometry: CacheGeometry, actions: int) -> spaces.Space[Any]:
        """The space of one lane's observation, for a cache and a number of actions."""

    @abstractmethod
    def observe(self, decisions: Decisions) -> Any:
        """One observation for each lane: the arrays of `space` with a leading axis (lanes,).

        They must be fresh arrays. Where `decisions.time` is -1 the episode is over and nothing is decided.
        """


@dataclass(frozen=True)
class RawObservation(ObservationFunction):
    """Addresses and program counters as they are: 64-bit numbers, for agents that embed them.

    Shapes, with W ways and H accesses of history: `pc`, `address`, `set` (1,); `line_pc`, `line_address`,
    `line_age` (accesses since the last touch), `line_recency` (0 is the most recently used), `line_held` (W,);
    `history_pc`, `history_address`, `history_held` (H,), the oldest first, the access decided on last;
    `action_mask` (actions,). Addresses are byte addresses of lines. Free ways and missing history are 0.
    """

    history: int = 30
    """accesses of history, the one decided on included"""
    per_set: bool = False
    """history of the set only, instead of all accesses of the episode"""

    def __post_init__(self) -> None:
        _check_history(self.history)

    def space(self, geometry: CacheGeometry, actions: int) -> spaces.Dict:
        one, ways, back = (1,), (geometry.ways,), (self.history,)
        members: dict[str, spaces.Space[Any]] = {
            "pc": spaces.Box(0, _WORD, one, np.uint64),
            "address": spaces.Box(0, _WORD, one, np.uint64),
            "set": spaces.Box(0, geometry.sets - 1, one, np.int32),
            "line_pc": spaces.Box(0, _WORD, ways, np.uint64),
            "line_address": spaces.Box(0, _WORD, ways, np.uint64),
            "line_age": spaces.Box(0, _AGE, ways, np.int32),
            "line_recency": spaces.Box(0, geometry.ways - 1, ways, np.int32),
            "line_held": spaces.MultiBinary(geometry.ways),
            "action_mask": spaces.MultiBinary(actions),
        }
        if self.history:
            members["history_pc"] = spaces.Box(0, _WORD, back, np.uint64)
            members["history_address"] = spaces.Box(0, _WORD, back, np.uint64)
            members["history_held"] = spaces.MultiBinary(self.history)
        return spaces.Dict(members)

    def observe(self, decisions: Decisions) -> dict[str, NDArray[Any]]:
        d, instances = decisions, decisions.instances
        a, one, ways, back = instances.accesses, (d.lanes, 1), (d.lanes, d.ways), (d.lanes, self.history)
        observation: dict[str, NDArray[Any]] = {
            "pc": np.zeros(one, np.uint64),
            "address": np.zeros(one, np.uint64),
            "set": np.zeros(one, np.int32),
            "line_pc": np.zeros(ways, np.uint64),
            "line_address": np.zeros(ways, np.uint64),
            "line_age": np.zeros(ways, np.int32),
            "line_recency": np.zeros(ways, np.int32),
            "line_held": np.zeros(ways, np.int8),
            "history_pc": np.zeros(back, np.uint64),
            "history_address": np.zeros(back, np.uint64),
            "history_held": np.zeros(back, np.int8),
        }
        raw_kernel(
            d.time,
            d.begin,
            d.cache_row,
            a.line,
            a.pc,
            instances.previous_in_set if self.per_set else _NONE,
            a.line_number,
            a.pc_value,
            instances.line_bits,
            instances.all_sets,
            d.tags,
            d.touched,
            *observation.values(),
        )
        if not self.history:
            del observation["history_pc"], observation["history_address"], observation["history_held"]
        observation["action_mask"] = d.mask.copy()
        return observation


@dataclass(frozen=True)
class FeatureObservation(ObservationFunction):
    """Numbers in [-1, 1] for networks that cannot embed 64-bit numbers; every member of the Dict is flat.

    A *code* is a number's `code_bits` pseudo-random signs; W ways, H accesses of history, B code bits. Logarithms
    are scaled to at most 1.

    - `access`, float32 (2 + 2 B,): log of the time since the line's previous access (1 if there was none), place
      of the line in its 64-line block, code of the program counter, code of the line.
    - `lines`, float32 (W (5 + 2 B),), for each way: 1 if it holds a line, recency rank (0 most, 1 least recently
      used), log age, log of the gap between its last two accesses, signed log distance from the line accessed,
      code of its last program counter, code of the line.
    - `history`, float32 (H (2 + 2 B),), oldest access first, the one decided on last: 1 if there was one, signed
      log distance from the line accessed, code of the program counter, code of the line.
    - `action_mask`, int8 (actions,).
    """

    history: int = 30
    """accesses of history, the one decided on included"""
    per_set: bool = False
    """history of the set only, instead of all accesses of the episode"""
    code_bits: int = 8
    """signs that stand for a program counter or a line"""

    def __post_init__(self) -> None:
        _check_history(self.history)
        if not 0 <= self.code_bits <= 64:
            raise InputError(f"{self.code_bits} code bits are not possible", remedy="give 0 to 64")

    def space(self, geometry: CacheGeometry, actions: int) -> spaces.Dict:
        codes = 2 * self.code_bits
        sizes = {"access": 2 + codes, "lines": geometry.ways * (5 + codes), "history": self.history * (2 + codes)}
        members: dict[str, spaces.Space[Any]] = {
            name: spaces.Box(-1.0, 1.0, (size,), np.float32) for name, size in sizes.items() if size
        }
        return spaces.Dict({**members, "action_mask": spaces.MultiBinary(actions)})

    def observe(self, decisions: Decisions) -> dict[str, NDArray[Any]]:
        d, instances, codes = decisions, decisions.instances, 2 * self.code_bits
        a = instances.accesses
        access = np.zeros((d.lanes, 2 + codes), np.float32)
        lines = np.zeros((d.lanes, d.ways, 5 + codes), np.float32)
        history = np.zeros((d.lanes, self.history, 2 + codes), np.float32)
        feature_kernel(
            d.time,
            d.begin,
            d.cache_row,
            a.line,
            a.pc,
            instances.previous_use,
            instances.previous_in_set if self.per_set else _NONE,
            a.line_number,
            a.pc_value,
            d.tags,
            d.touched,
            self.code_bits,
            access,
            lines,
            history,
        )
        observation: dict[str, NDArray[Any]] = {
            "access": access,
            "lines": lines.reshape(d.lanes, -1),
            "action_mask": d.mask.copy(),
        }
        if self.history:
            observation["history"] = history.reshape(d.lanes, -1)
        return observation


@dataclass(frozen=True)
class CombinedObservation(ObservationFunction):
    """The members of several Dict observations in one (a name that two of them use is taken from the last)."""

    parts: Sequence[ObservationFunction]

    def space(self, geometry: CacheGeometry, actions: int) -> spaces.Dict:
        members: dict[str, spaces.Space[Any]] = {}
        for part in self.parts:
            space = part.space(geometry, actions)
            if not isinstance(space, spaces.Dict):
                raise InputError(f"{type(part).__name__} does not observe a Dict", remedy="combine Dict observations")
            members |= space.spaces
        return spaces.Dict(members)

    def observe(self, decisions: Decisions) -> dict[str, NDArray[Any]]:
        return {name: array for part in self.parts for name, array in part.observe(decisions).items()}


def make_observation(observation: str | ObservationFunction, history: int = 30) -> ObservationFunction:
    """An observation function from its name: "features", "raw", or "both" of them in one Dict.

    Raises:
        InputError: there is no such name.
    """
    if isinstance(observation, ObservationFunction):
        return observation
    if observation == "features":
        return FeatureObservation(history)
    if observation == "raw":
        return RawObservation(history)
    if observation == "both":
        return CombinedObservation((RawObservation(history), FeatureObservation(history)))
    raise InputError(
        f"no observation is called {observation!r}",
        remedy="choose features, raw or both, or give an ObservationFunction",
    )


def _check_history(history: int) -> None:
    if history < 0:
        raise InputError(f"a history of {history} accesses is not possible", remedy="give 0 or more")
