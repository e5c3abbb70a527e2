"""The systems and their Gymnasium faces. Registration is by string entry points, so importing stays light."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import get_env_id, parse_env_id

from learnsys.errors import InputError

ENVIRONMENTS: dict[str, dict[str, Any]] = {
    "learnsys/CacheReplacement-v0": {
        "entry_point": "learnsys.envs.cache.environment:CacheReplacementEnv",
        "vector_entry_point": "learnsys.envs.cache.vector:CacheReplacementVectorEnv",
    },
    "learnsys/Branching-v0": {"entry_point": "learnsys.envs.branching.environment:BranchingEnv"},
    "learnsys/NodeSelection-v0": {"entry_point": "learnsys.envs.branching.node_selection:NodeSelectionEnv"},
    "learnsys/Configuring-v0": {"entry_point": "learnsys.envs.branching.configuring:ConfiguringEnv"},
    "learnsys/MaximumIndependentSet-v0": {
        "entry_point": "learnsys.envs.independent_set.environment:MaximumIndependentSetEnv",
    },
    "learnsys/PrimalSearch-v0": {"entry_point": "learnsys.envs.branching.primal_search:PrimalSearchEnv"},
}
"""Environment id -> keyword arguments of `gymnasium.register`."""


def register_envs() -> None:
    """Register all learnsys environments with Gymnasium.

    Idempotent: Gymnasium only warns about a second registration of an id, and a module may be imported again
    in a worker process or a notebook.
    """
    for name, arguments in ENVIRONMENTS.items():
        if name not in gym.registry:
            gym.register(id=name, **arguments)


def register(name: str, base: str, *, max_episode_steps: int | None = None, **arguments: Any) -> None:
    """Register a user's own environment: an existing one with other default arguments.

        learnsys.envs.register("my/Service-v0", base="learnsys/CacheReplacement-v0", trace="my.parquet", ways=8)
        env = gymnasium.make("my/Service-v0")

    Relative files among the arguments are made absolute, so that the environment works from any directory.
    Registering the same again is allowed, as modules are imported again in workers and notebooks. A worker process
    that does not import the module that calls this knows the environment by its specification only: give it
    `gymnasium.spec(name)` in place of the name (`gymnasium.make_vec` does so by itself).

    Args:
        name: the new id, such as `my/Service-v0`.
        base: the id of a registered environment.
        max_episode_steps: truncate episodes there; None keeps what the base has.
        arguments: arguments of the base's constructor; its own others stay as they are.

    Raises:
        InputError: a bad or taken name, an unknown base, or an argument that the base does not have.
    """
    try:
        spec = gym.spec(base)
    except gym.error.Error as error:
        known = ", ".join(ENVIRONMENTS)
        raise InputError(f"no environment {base!r} to build on: {error}", remedy=f"learnsys has {known}") from None
    if spec.entry_point is None:
        raise InputError(f"{base} has no single environment to build on")
    creator = _load(spec.entry_point) if isinstance(spec.entry_point, str) else spec.entry_point
    _check_arguments(creator, base, arguments)
    for argument in getattr(creator, "path_arguments", ()):
        if argument in arguments:
            arguments[argument] = _absolute(arguments[argument])
    limit = spec.max_episode_steps if max_episode_steps is None else max_episode_steps
    changed: dict[str, Any] = {"kwargs": {**spec.kwargs, **arguments}, "max_episode_steps": limit}
    try:
        name = get_env_id(*parse_env_id(name))
        new = replace(spec, id=name, **changed)
        if name not in gym.registry:
            gym.register(id=name, **changed, **{field: getattr(spec, field) for field in _SHARED})
    except (gym.error.Error, TypeError) as error:
        remedy = "use the form namespace/Name-v0"
        raise InputError(f"{name!r} cannot be the name of an environment: {error}", remedy=remedy) from None
    if not _equal(gym.registry[name], new):
        raise InputError(f"{name} is registered already, with other arguments", remedy="choose another name or version")


_SHARED = (
    *("entry_point", "vector_entry_point", "reward_threshold", "nondeterministic", "order_enforce"),
    *("disable_env_checker", "additional_wrappers"),
)


def _load(entry: str) -> Callable[..., Any]:
    module, attribute = entry.split(":")
    creator: Callable[..., Any] = getattr(import_module(module), attribute)
    return creator


def _check_arguments(creator: Callable[..., Any], base: str, arguments: dict[str, Any]) -> None:
    parameters = inspect.signature(creator).parameters
    if any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
        return
    for argument in arguments:
        if argument not in parameters:
            raise InputError(f"{base} has no argument {argument!r}", remedy=f"choose from {', '.join(parameters)}")


def _absolute(value: Any) -> Any:
    """`value` with the files in it made absolute; names (`sample:perl`, or a word that is no file) stay."""
    if isinstance(value, str | os.PathLike):
        path = os.fspath(value)
        plain = isinstance(path, str) and re.fullmatch(r"\w{2,}(:.*)?", path) and not os.path.exists(path)
        return path if plain else os.path.abspath(path)
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return [_absolute(each) for each in value]
    return value


def _equal(first: Any, second: Any) -> bool:
    """Whether two specifications say the same (arguments that cannot be compared, such as arrays, must be the same)."""
    one, other = first.kwargs, second.kwargs
    if replace(first, kwargs={}) != replace(second, kwargs={}) or one.keys() != other.keys():
        return False
    return all(one[key] is other[key] or _plainly_equal(one[key], other[key]) for key in one)


def _plainly_equal(one: Any, other: Any) -> bool:
    try:
        return bool(one == other)
    except (TypeError, ValueError):
        return False
