"""Many cache replacement environments stepped by one kernel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from learnsys.envs.cache.decisions import Decisions
from learnsys.envs.cache.environment import CacheReplacementEnv, check_options, final_numbers, lane_info
from learnsys.errors import InputError

LANES = ("copies", "sets", "traces")


class CacheReplacementVectorEnv(gym.vector.VectorEnv[Any, Any, NDArray[Any]]):
    """Vector form of `CacheReplacementEnv`: observations, rewards and infos equal those of the single environments.

    Args:
        num_envs: lanes, each with a cache of its own.
        lanes: what each lane plays. "copies": all play alike, each with its own random numbers. "sets": lane i plays
            the sets i, i + num_envs, ... of the (kept) sets, so that together they play the trace once. "traces":
            lane i plays trace i modulo their number.
        autoreset_mode: `NEXT_STEP` (as Gymnasium's own vector environments: the step after the end of an episode
            ignores its action, has reward 0 and returns the first observation of the next), `SAME_STEP` (the last
            step returns that observation, the last one stands in `info["final_obs"]` and `info["final_info"]`), or
            `DISABLED` (`reset(options={"reset_mask": ...})` resets lanes).
        max_episode_steps: truncate episodes after so many decisions.
        arguments: those of `CacheReplacementEnv`.

    `reset(options=...)` takes `trace` and `start` for all lanes, and `reset_mask` (bool, (num_envs,)). A trace given
    there plays in all lanes until the next reset of all lanes.

    Raises:
        InputError: bad arguments or an unreadable trace.
    """

    def __init__(
        self,
        num_envs: int = 1,
        *,
        lanes: str = "copies",
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
        max_episode_steps: int | None = None,
        **arguments: Any,
    ) -> None:
        if num_envs < 1:
            raise InputError(f"{num_envs} environments are not possible", remedy="give at least 1")
        if lanes not in LANES:
            raise InputError(f"lanes={lanes!r} is not possible", remedy=f"choose from {', '.join(LANES)}")
        self._single = CacheReplacementEnv(**arguments)
        self._lanes = lanes
        self.num_envs = num_envs
        self.max_episode_steps = max_episode_steps
        self.render_mode = self._single.render_mode
        self.metadata = {**self._single.metadata, "autoreset_mode": AutoresetMode(autoreset_mode)}
        self.single_action_space, self.single_observation_space = (
            self._single.action_space,
            self._single.observation_space,
        )
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.observation_space = batch_space(self.single_observation_space, num_envs)

        single = self._single.decisions
        instances = self._single.instances.split(num_envs) if lanes == "sets" else self._single.instances
        self._instances = instances
        self.decisions = Decisions(instances, num_envs, every_access=single.every_access, bypass=single.bypass)
        self._generators: list[np.random.Generator | None] = [None] * num_envs
        self._steps = np.zeros(num_envs, np.int64)
        self._ended = np.ones(num_envs, np.bool_)
        self._started = False

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        options = dict(options or {})
        which = np.asarray(options.pop("reset_mask", np.ones(self.num_envs, np.bool_)))
        if which.shape != (self.num_envs,) or which.dtype != np.bool_ or not which.any():
            raise InputError("reset_mask is no choice of environments", remedy="give a bool array with one True")
        options = check_options(options)
        seeds: Sequence[int | None] = [None] * self.num_envs
        if isinstance(seed, int):
            super().reset(seed=seed)
            seeds = [seed + lane for lane in range(self.num_envs)]
        elif seed is not None:
            seeds = seed
        if len(seeds) != self.num_envs:
            raise InputError(f"{len(seeds)} seeds for {self.num_envs} environments", remedy="give one for each")
        number = self._choose(options.get("trace"), bool(which.all()))
        for lane in np.flatnonzero(which).tolist():
            if seeds[lane] is not None:
                self._generators[lane] = seeding.np_random(seeds[lane])[0]
            self._start(lane, number, options.get("start"))
        self._ended[which] = False
        self._started = True
        return self._observe(), self._infos(which)

    def step(self, actions: Any) -> tuple[Any, NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        d, mode = self.decisions, self.metadata["autoreset_mode"]
        if not self._started or (mode != AutoresetMode.NEXT_STEP and self._ended.any()):
            raise gym.error.ResetNeeded("an episode is over, or none has begun; call reset()")
        chosen = self._checked(actions)
        stepped = ~self._ended
        lanes = np.flatnonzero(stepped)
        outcome = d.step(lanes, chosen[lanes])
        self._steps[lanes] += 1
        rewards = np.where(stepped, self._single.reward_function(outcome), 0.0).astype(np.float64)
        terminated = stepped & (d.time < 0)
        truncated = np.zeros(self.num_envs, np.bool_)
        if self.max_episode_steps is not None:
            truncated = stepped & (self._steps >= self.max_episode_steps)
        done = terminated | truncated

        infos: dict[str, Any] = {}
        if mode == AutoresetMode.SAME_STEP and done.any():
            last = self._observe()
            for lane in np.flatnonzero(done).tolist():
                final = {"final_obs": _row(last, lane), "final_info": self._final_info(lane, terminated[lane])}
                infos = self._add_info(infos, final, lane)
            restart, stepped = done, ~done
        else:
            restart = self._ended
            for lane in np.flatnonzero(terminated).tolist():
                infos = self._add_info(infos, final_numbers(d, lane), lane)
        for lane in np.flatnonzero(restart).tolist():
            self._start(lane, None, None)
        self._ended = done if mode != AutoresetMode.SAME_STEP else np.zeros(self.num_envs, np.bool_)
        infos |= self._infos(np.ones(self.num_envs, np.bool_))
        if stepped.any():
            infos |= {"invalid_action": d.invalid & stepped, "_invalid_action": stepped}
        return self._observe(), rewards, terminated, truncated, infos

    def action_masks(self) -> NDArray[np.bool_]:
        """Allowed actions, bool (num_envs, actions)."""
        return self.decisions.mask.astype(np.bool_)

    def render(self) -> tuple[Any, ...] | None:
        if self.render_mode is None:
            return None
        from learnsys.envs.cache import rendering

        draw = rendering.text if self.render_mode == "ansi" else rendering.picture
        return tuple(draw(self.decisions, lane) for lane in range(self.num_envs))

    def _choose(self, trace: Any, everywhere: bool) -> int | None:
        """Take the trace that the options of `reset` name, or go back to the given ones; its number among them."""
        instances, number = self._single.instances_for(trace)
        if instances is not self._single.instances and not everywhere:
            raise InputError("another trace cannot play in some lanes only", remedy="reset all of them")
        if everywhere:
            if instances is self._single.instances:
                instances = self._instances
            elif self._lanes == "sets":
                instances = instances.split(self.num_envs)
            self.decisions.instances = instances
        return number

    def _start(self, lane: int, number: int | None, start: int | None) -> None:
        generator = self._generators[lane]
        if generator is None:
            generator = self._generators[lane] = seeding.np_random()[0]
        instances, single = self.decisions.instances, self._single
        given = len(instances.spans)
        if self._lanes == "sets":
            traces = given // self.num_envs
            if number is None:
                number = int(generator.integers(traces)) if traces > 1 else 0
            number = number * self.num_envs + lane
        elif self._lanes == "traces" and number is None:
            number = lane % given
        begin, end = instances.window(generator, number, single.episode_accesses, single.random_start, start)
        self.decisions.start(lane, begin, end)
        self._steps[lane] = 0

    def _checked(self, actions: Any) -> NDArray[np.int64]:
        chosen = np.asarray(actions)
        if chosen.shape != (self.num_envs,) or chosen.dtype.kind not in "iu":
            raise InputError(f"actions are no {self.num_envs} integers", remedy=f"give shape ({self.num_envs},)")
        if chosen.min() < 0 or chosen.max() >= self.decisions.actions:
            raise InputError(
                "an action is out of range", remedy=f"give integers from 0 to {self.decisions.actions - 1}"
            )
        if self._single.strict:
            every = np.arange(self.num_envs)
            masked = ~self._ended & (self.decisions.time >= 0) & (self.decisions.mask[every, chosen] == 0)
            if masked.any():
                lane = int(np.argmax(masked))
                raise InputError(f"action {chosen[lane]} of environment {lane} is masked out")
        return chosen.astype(np.int64)

    def _observe(self) -> Any:
        return self._single.observation_function.observe(self.decisions)

    def _infos(self, which: NDArray[np.bool_]) -> dict[str, Any]:
        d = self.decisions
        infos: dict[str, Any] = {}
        columns: dict[str, NDArray[Any]] = {
            "action_mask": d.mask,
            "belady_action": d.belady,
            "hits": d.hits,
            "accesses": d.seen,
        }
        for name, column in columns.items():
            infos[name] = column.copy()
            infos[name][~which] = 0
            infos[f"_{name}"] = which.copy()
        return infos

    def _final_info(self, lane: int, terminated: bool) -> dict[str, Any]:
        info = {**lane_info(self.decisions, lane), "invalid_action": bool(self.decisions.invalid[lane])}
        return info | (final_numbers(self.decisions, lane) if terminated else {})


def _row(observation: Any, lane: int) -> Any:
    if isinstance(observation, dict):
        return {name: array[lane].copy() for name, array in observation.items()}
    return observation[lane].copy()
