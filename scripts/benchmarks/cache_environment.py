"""Decisions per CPU second of learnsys/CacheReplacement-v0: alone, in Gymnasium's vector environment, in its own.

LRU's own accesses between decisions are included: the trace hits about every third time.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np

from learnsys.envs.cache.environment import CacheReplacementEnv

ID = "learnsys/CacheReplacement-v0"
CACHE: dict[str, Any] = {
    "trace": {"kind": "stream-hot", "n": 1_000_000, "hot": 16384, "share": 0.6},
    "capacity": "1MiB",
    "history": 30,
}


def single(env: gym.Env[Any, Any], decisions: int, seed: int) -> float:
    """Steps per CPU second of one environment under random victims."""
    actions = np.random.default_rng(seed).integers(0, 16, decisions).tolist()
    env.reset(seed=seed)
    start = time.process_time()
    for action in actions:
        if env.step(action)[2]:
            env.reset()
    return decisions / (time.process_time() - start)


def vector(env: gym.vector.VectorEnv[Any, Any, Any], decisions: int, seed: int) -> float:
    """Decisions per CPU second of a vector environment under random victims."""
    rounds = max(1, decisions // env.num_envs)
    actions = np.random.default_rng(seed).integers(0, 16, (rounds, env.num_envs))
    env.reset(seed=seed)
    start = time.process_time()
    for row in actions:
        env.step(row)
    return rounds * env.num_envs / (time.process_time() - start)


def decisions(seed: int, quick: bool) -> Iterator[dict[str, Any]]:
    """One table: ways of stepping by observation."""
    n = 2_000 if quick else 100_000
    names = ("raw", "features", "both")
    found: dict[str, list[str]] = {}
    for observation in names:
        arguments = {**CACHE, "observation": observation}
        for name, speed in {
            "single, bare": single(CacheReplacementEnv(**arguments), n, seed),
            "single, gymnasium.make": single(gym.make(ID, **arguments), n, seed),
            "sync vector, 16": vector(gym.make_vec(ID, 16, "sync", **arguments), n, seed),
            "own vector, 16 copies": vector(gym.make_vec(ID, 16, **arguments), n * 10, seed),
            "own vector, 256 copies": vector(gym.make_vec(ID, 256, **arguments), n * 10, seed),
            "own vector, 1024 set lanes": vector(gym.make_vec(ID, 1024, lanes="sets", **arguments), n * 4, seed),
        }.items():
            found.setdefault(name, []).append(f"{speed:,.0f}")
    yield {
        "title": "Decisions per CPU second, by observation",
        "columns": ["environment", *names],
        "rows": [[name, *speeds] for name, speeds in found.items()],
    }
