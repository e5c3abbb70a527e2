"""The systems and their Gymnasium faces. Registration is by string entry points, so importing stays light."""

from __future__ import annotations

from typing import Any

import gymnasium as gym

ENVIRONMENTS: dict[str, dict[str, Any]] = {
    "learnsys/CacheReplacement-v0": {
        "entry_point": "learnsys.envs.cache.environment:CacheReplacementEnv",
        "vector_entry_point": "learnsys.envs.cache.vector:CacheReplacementVectorEnv",
    },
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


def register(name: str, base: str, **arguments: Any) -> None:
    """Register a user's own environment: an existing one (`base`) with other default arguments."""
    spec = gym.spec(base)
    gym.register(
        id=name,
        entry_point=spec.entry_point,
        vector_entry_point=spec.vector_entry_point,
        kwargs={**spec.kwargs, **arguments},
    )
