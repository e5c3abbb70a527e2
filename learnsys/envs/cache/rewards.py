"""What an action is worth. A reward function is an argument of the environment."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from learnsys.envs.cache.decisions import Outcome
from learnsys.lookup import look_up

RewardFunction = Callable[[Outcome], NDArray[np.float64]]
"""From what followed an action, for all lanes at once, to one number for each lane, shape (lanes,)."""


def hits(outcome: Outcome) -> NDArray[np.float64]:
    """Hits up to the next decision. Summed over an episode: all hits, but those before the first decision."""
    return outcome.hits.astype(np.float64)


def misses(outcome: Outcome) -> NDArray[np.float64]:
    """Minus the misses up to the next decision, the one that brings it about included."""
    return -outcome.misses.astype(np.float64)


def belady(outcome: Outcome) -> NDArray[np.float64]:
    """1 if the action agrees with Belady's choice, which knows the future, else 0."""
    return outcome.agreed.astype(np.float64)


REWARDS: dict[str, RewardFunction] = {"hits": hits, "misses": misses, "belady": belady}


def make_reward(reward: str | RewardFunction) -> RewardFunction:
    """A reward function from its name in `REWARDS`.

    Raises:
        InputError: there is no such name.
    """
    return reward if callable(reward) else look_up(REWARDS, reward, "reward", also=", or give a function")
