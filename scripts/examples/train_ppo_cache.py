"""Train PPO and MaskablePPO to replace cache lines, on a trace where LRU does badly.

    python scripts/examples/train_ppo_cache.py --steps 16000

One instruction streams through memory and never comes back, eight others keep returning to a few hot lines: LRU
lets the stream wash the hot lines out. The agents learn on one cache set and are then evaluated on all of them,
which are stepped as the lanes of one vector environment. Every access is a decision, but only a miss in a full set
leaves a choice: PPO has to find out that elsewhere its actions do nothing, MaskablePPO is told by the action masks.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch
import tyro
from sb3_contrib import MaskablePPO
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env

import learnsys  # noqa: F401  (registers the environments)
from learnsys.envs.cache.observations import FeatureObservation

ID = "learnsys/CacheReplacement-v0"
SETS = 16
CACHE: dict[str, Any] = {
    "trace": {"kind": "stream-hot", "n": 8000, "hot": 48, "share": 0.4},
    "capacity": "4KiB",
    "ways": 4,
    "decide": "access",
    "observation": FeatureObservation(history=0, code_bits=4),
}


def evaluate(model: PPO | MaskablePPO) -> dict[str, float]:
    """Hit rates of the model, LRU and Belady over the whole trace, all sets side by side."""
    env: Any = gym.make_vec(ID, num_envs=SETS, lanes="sets", **CACHE)
    observation, info = env.reset(seed=0)
    accesses = np.zeros(SETS)
    rates = dict.fromkeys(("hit_rate", "lru_hit_rate", "belady_hit_rate"), np.zeros(SETS))
    while not accesses.all():
        masks = {"action_masks": env.unwrapped.action_masks()} if isinstance(model, MaskablePPO) else {}
        action, _ = model.predict(observation, deterministic=True, **masks)
        observation, _, terminated, _, info = env.step(action)
        ended = terminated & (accesses == 0)
        accesses[ended] = info["accesses"][ended]
        for name in rates:
            if ended.any():
                rates[name] = np.where(ended, info[name], rates[name])
    env.close()
    return {name: float(np.average(rate, weights=accesses)) for name, rate in rates.items()}


def make_agent(kind: type[PPO] | type[MaskablePPO], seed: int) -> PPO | MaskablePPO:
    """An untrained agent for one set, in short episodes from random starts."""
    arguments: dict[str, Any] = {**CACHE, "sets": 1, "episode_accesses": 128, "random_start": True}
    return kind(
        "MultiInputPolicy",
        make_vec_env(ID, n_envs=8, seed=seed, env_kwargs=arguments),
        n_steps=64,
        batch_size=128,
        n_epochs=6,
        gamma=0.9,
        learning_rate=1e-3,
        seed=seed,
        device="cpu",
        policy_kwargs={"net_arch": [64]},
    )


def main(steps: int = 16_000, seed: int = 0) -> int:
    """Train both agents and print their hit rates beside LRU's and Belady's.

    Args:
        steps: environment steps to train each agent for.
        seed: of networks and episodes.
    """
    torch.set_num_threads(1)  # the networks are tiny: more threads only wait for each other
    print(f"{'hit rate %':<12} untrained   trained")
    for kind in (PPO, MaskablePPO):
        agent = make_agent(kind, seed)
        before = evaluate(agent)
        after = evaluate(agent.learn(steps))
        print(f"{kind.__name__:<12}{100 * before['hit_rate']:10.1f}{100 * after['hit_rate']:10.1f}")
    print(f"{'LRU':<12}{'':10}{100 * after['lru_hit_rate']:10.1f}")
    print(f"{'Belady':<12}{'':10}{100 * after['belady_hit_rate']:10.1f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(tyro.cli(main))
