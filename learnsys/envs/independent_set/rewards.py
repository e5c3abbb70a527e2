"""What an action is worth. A reward function is an argument of the environment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from learnsys.envs.independent_set.state import State
from learnsys.lookup import look_up


@dataclass(frozen=True)
class Outcome:
    """What an action led to."""

    entered: int
    """vertices that entered the set, those left without neighbours included"""
    deleted: int
    """vertices that were deleted"""
    state: State
    over: bool


RewardFunction = Callable[[Outcome], float]


def size(outcome: Outcome) -> float:
    """Vertices that entered the set. Summed over an episode: the set, but what was isolated from the beginning."""
    return float(outcome.entered)


def final(outcome: Outcome) -> float:
    """At the end the size of the set, before that 0."""
    return float(outcome.state.size) if outcome.over else 0.0


def thrift(outcome: Outcome) -> float:
    """Minus the vertices deleted for those that entered: greedy's own measure."""
    return float(outcome.entered - outcome.deleted)


REWARDS: dict[str, RewardFunction] = {"size": size, "final": final, "thrift": thrift}


def make_reward(reward: str | RewardFunction) -> RewardFunction:
    """A reward function from its name in `REWARDS`.

    Raises:
        InputError: there is no such name.
    """
    return reward if callable(reward) else look_up(REWARDS, reward, "reward", also=", or give a function")
