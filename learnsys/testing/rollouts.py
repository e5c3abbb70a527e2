"""Roll-outs that the contract of environments compares."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces


@dataclass(frozen=True)
class Subject:
    """The environment under test."""

    id: str
    arguments: dict[str, Any]
    steps: int

    def make(self, **arguments: Any) -> gym.Env[Any, Any]:
        return gym.make(self.id, **{**self.arguments, **arguments})

    def make_vec(self, mode: str | None, **options: Any) -> gym.vector.VectorEnv[Any, Any, Any]:
        arguments = {**self.arguments, **options}
        return gym.make_vec(self.id, num_envs=2, vectorization_mode=mode, **arguments)


def allowed_action(mask: Any, space: spaces.Space[Any], rng: np.random.Generator) -> Any:
    """A random action that `mask` allows (any action of `space` where there is no mask, or an empty one)."""
    if mask is None or not np.any(mask):
        space.seed(int(rng.integers(2**31)))
        return space.sample()
    if isinstance(space, spaces.MultiDiscrete):
        return np.array([rng.choice(np.flatnonzero(part)) for part in _entries(mask, space)])
    return int(rng.choice(np.flatnonzero(mask)))


def forbidden_action(mask: Any, space: spaces.Space[Any]) -> Any:
    """The first action that `mask` rules out; of several entries, the first that has one, the others allowed."""
    if not isinstance(space, spaces.MultiDiscrete):
        return int(np.flatnonzero(mask == 0)[0])
    parts = _entries(mask, space)
    action = np.array([np.flatnonzero(part)[0] for part in parts])
    entry = next(place for place, part in enumerate(parts) if not part.all())
    action[entry] = np.flatnonzero(parts[entry] == 0)[0]
    return action


def _entries(mask: Any, space: spaces.MultiDiscrete) -> list[Any]:
    return np.split(np.asarray(mask), np.cumsum(space.nvec)[:-1])


def assert_same(one: Any, other: Any, where: str) -> None:
    """Fail unless both are equal in structure, types of arrays and values; NaN equals NaN."""
    assert type(one) is type(other), f"{where}: {type(one).__name__} and {type(other).__name__}"
    if isinstance(one, dict):
        assert one.keys() == other.keys(), f"{where}: keys {sorted(one)} and {sorted(other)}"
        for key in one:
            assert_same(one[key], other[key], f"{where}[{key!r}]")
    elif isinstance(one, list | tuple) or (isinstance(one, np.ndarray) and one.dtype == object):
        assert len(one) == len(other), f"{where}: {len(one)} and {len(other)} members"
        for place, (mine, yours) in enumerate(zip(one, other, strict=True)):
            assert_same(mine, yours, f"{where}[{place}]")
    else:
        if isinstance(one, np.ndarray):
            assert one.dtype == other.dtype, f"{where}: {one.dtype} and {other.dtype}"
        np.testing.assert_equal(one, other, err_msg=where)


def play(env: gym.Env[Any, Any], steps: int, seed: int) -> Iterator[tuple[Any, ...]]:
    """Transitions under random allowed actions, over as many episodes as it takes."""
    rng = np.random.default_rng(seed)
    observation, info = env.reset(seed=seed)
    yield observation, info
    for _ in range(steps):
        transition = env.step(allowed_action(info.get("action_mask"), env.action_space, rng))
        yield transition
        info = transition[4]
        if transition[2] or transition[3]:
            observation, info = env.reset()
            yield observation, info


def play_vector(env: gym.vector.VectorEnv[Any, Any, Any], steps: int, seed: int) -> Iterator[tuple[Any, ...]]:
    rng = np.random.default_rng(seed)
    observation, info = env.reset(seed=seed)
    yield observation, info
    space: Any = env.single_action_space
    for _ in range(steps):
        masks = info.get("action_mask", [None] * env.num_envs)
        transition = env.step(np.array([allowed_action(mask, space, rng) for mask in masks]))
        yield transition
        info = transition[4]
