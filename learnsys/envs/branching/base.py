"""What all environments on SCIP share: instances, parts, limits, and an episode that is one solving process."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from pyscipopt import Model

from learnsys.envs.branching.control import Episode
from learnsys.envs.branching.forms import Form, Shaper, find_sizes
from learnsys.envs.branching.instances.knapsack import Knapsack
from learnsys.envs.branching.models import (
    SOLVED,
    check_parameters,
    seed_parameters,
    set_parameters,
    summary,
)
from learnsys.envs.branching.observations import observation_function
from learnsys.envs.branching.rewards import as_reward
from learnsys.envs.branching.sources import Files, draw_explicit, make_source
from learnsys.errors import InputError

BARE: dict[str, Any] = {
    "presolving/emphasis": "off",
    "heuristics/emphasis": "off",
    "separating/emphasis": "off",
    "propagating/maxrounds": 0,
    "propagating/maxroundsroot": 0,
}
"""SCIP parameters that leave little but branching."""
OPTIONS = ("instance",)
MOST_SKIPS = 100


class Statistics:
    """Information: where the solving process stands at each decision (see `models.summary`)."""

    def before_reset(self, model: Model) -> None:
        """Nothing is kept between episodes."""

    def extract(self, model: Model, done: bool = False) -> dict[str, Any]:
        """The summary."""
        return summary(model)


class SolverEnv(gym.Env[Any, Any]):
    """Base of the environments on SCIP; see their docstrings for the arguments."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["ansi", "rgb_array"], "render_fps": 4}  # type: ignore[misc]
    path_arguments: ClassVar[tuple[str, ...]] = ("instances",)
    """arguments that may be files; `learnsys.envs.register` makes them absolute"""

    _transient: ClassVar[tuple[str, ...]] = ("_episode", "_model", "_kernel", "_nodes", "_variables", "_heuristic")
    """what belongs to the running model"""

    def __init_subclass__(cls, **arguments: Any) -> None:
        """Show the arguments that a subclass passes on as its own."""
        super().__init_subclass__(**arguments)
        own = inspect.signature(cls.__init__).parameters
        shared = inspect.signature(SolverEnv.__init__).parameters
        merged = {**{name: own[name] for name in own if own[name].kind is not inspect.Parameter.VAR_KEYWORD}}
        merged.update({name: parameter for name, parameter in shared.items() if name not in merged})
        cls.__signature__ = inspect.Signature([*merged.values()][1:])  # type: ignore[attr-defined]

    def __init__(
        self,
        instances: Any = "knapsack:tiny",
        *,
        observation: Any = None,
        reward: Any = "is_done",
        information: Any = None,
        scip_params: Mapping[str, Any] | None = None,
        node_limit: int | None = None,
        lp_iteration_limit: int | None = None,
        time_limit: float | None = None,
        memory_limit: float | None = None,
        form: Form = "graph",
        max_variables: int | None = None,
        max_rows: int | None = None,
        max_edges: int | None = None,
        strict: bool = False,
        render_mode: str | None = None,
    ) -> None:
        if form not in ("graph", "padded", "direct"):
            raise InputError(f"form={form!r} is not possible", remedy="choose 'graph', 'padded' or 'direct'")
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise InputError(f"render_mode={render_mode!r} is not possible", remedy="choose 'ansi' or 'rgb_array'")
        self._episode: Episode | None = None
        self._model: Any = None  # of the episode
        self._kernel: Any = None
        limits = {"totalnodes": node_limit, "time": time_limit, "memory": memory_limit}
        self.scip_params = {
            "misc/catchctrlc": False,  # SCIP's handler would swallow the interrupt and end the episode silently
            **{f"limits/{name}": value for name, value in limits.items() if value is not None},
            **(scip_params or {}),
        }
        check_parameters(self.scip_params)
        self.lp_iteration_limit = lp_iteration_limit
        self.observation_function = None if observation is None else observation_function(observation)
        self.reward_function = as_reward(reward)
        if information == "statistics":
            information = Statistics()
        self.information_function = None if information is None else observation_function(information)
        self.source = make_source(instances)
        self._files = Files([])
        self.form: Form = form
        self.strict = strict
        self.render_mode = render_mode

        self.sizes = find_sizes(self.source.large, form, max_variables, max_rows, max_edges)
        self._mask = np.zeros(self._mask_shape(), np.int8)
        self._over = True
        self._waiting = False
        self._recording: tuple[Any, Any] | None = None
        """state of the random generator and options of `reset`, to play the episode again with `_actions`"""
        self._actions: list[Any] = []
        self._trail: list[dict[str, Any]] = []
        self._shape = Shaper(form, *self._example(), self.sizes, self._mask_shape())
        self.observation_space = self._shape.space

    # ---- what a kind of decision defines -------------------------------------------------------------------------

    @abstractmethod
    def _plug(self, model: Model) -> Any:
        """Include the plugin that asks for decisions, and return it."""

    @abstractmethod
    def _look(self) -> dict[str, Any]:
        """A decision waits: find what is allowed (`_mask`); the part of `info` that belongs to it."""

    @abstractmethod
    def _answer(self, action: Any) -> tuple[dict[str, Any] | None, Any, bool]:
        """Claim the episode and act on the model.

        Returns:
            What the callback answers, the action as something that its owner cannot change (to be played again), and
            whether it was a valid one.
        """

    def _nothing(self) -> dict[str, Any]:
        """No decision waits: the part of `info` that says so."""
        self._mask = np.zeros(self._mask_shape(), np.int8)
        return {"action_mask": self._mask.copy()}

    def _mask_shape(self) -> tuple[int, ...]:
        return (self.sizes.variables,)

    def _count(self) -> int:
        """How many things the waiting decision chooses among: rows of arrays that describe them."""
        return self.model.getNVars()

    # ---- Gymnasium -----------------------------------------------------------------------------------------------

    @property
    def model(self) -> Model:
        """The model of the running episode, suspended at a decision, or as the last decision left it.

        Look at it, but do not solve or free it. It is valid until the next `reset` or `close`.
        """
        if self._episode is None:
            raise gym.error.ResetNeeded("no episode is running; call reset()")
        return self._episode.model

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        unknown = sorted(set(options or {}) - set(OPTIONS))
        if unknown:
            raise InputError(f"reset has no option {unknown[0]!r}", remedy=f"options are {', '.join(OPTIONS)}")
        instance = (options or {}).get("instance")
        self._close_episode()
        self._recording, self._actions = (self.np_random.bit_generator.state, options), []
        skipped: list[str] = []
        self._trail = []
        while True:
            name, model = self._draw(instance)
            waiting = self._begin(name, model, {**seed_parameters(self.np_random), **self.scip_params})
            if waiting or instance is not None or self.source.single or self._summary()["status"] not in SOLVED:
                break
            skipped.append(name)
            if len(skipped) >= MOST_SKIPS:
                self._close_episode()
                raise InputError(
                    f"{MOST_SKIPS} instances in a row ({name} is the last) were solved without a decision",
                    remedy="give harder ones, or turn off what solves them (scip_params={'presolving/maxrounds': 0})",
                )
        self._over = False
        observation, offset, info = self._observe(waiting)
        info.update(instance=name, skipped=skipped, reward_offset=offset)
        return observation, info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        episode = self._episode
        if self._over or episode is None:
            raise gym.error.ResetNeeded("the episode is over; call reset()")
        if not self._waiting:  # it ended before any decision
            return self._end_without_decision()
        answer, kept, valid = self._answer(action)
        self._actions.append(kept)
        self._over = True  # unless all goes well
        observation, reward, info = self._observe(self._proceed(episode, answer))
        if not valid:
            info["invalid_action"] = True
        if self._waiting:
            self._over = False
            return observation, reward, False, False, info
        terminated = info["status"] in SOLVED
        return observation, reward, terminated, not terminated, info

    def action_masks(self) -> NDArray[np.bool_]:
        """Allowed actions, bool; the form that sb3-contrib asks for."""
        return self._mask.reshape(-1).astype(np.bool_)

    def render(self) -> Any:
        """Where the solving process stands: a line of text ("ansi"), or both bounds over the nodes ("rgb_array")."""
        if self.render_mode is None:
            return None
        from learnsys.envs.branching import rendering

        actions = int(self._mask.sum())
        if self.render_mode == "rgb_array":
            return rendering.picture(self._trail, actions)
        return rendering.line(self._summary(), actions)

    def close(self) -> None:
        """End the episode and free all models."""
        self._close_episode()
        self.source.close()
        self._files.close()

    # ---- the episode ---------------------------------------------------------------------------------------------

    def _draw(self, instance: Any) -> tuple[str, Any]:
        """The name of an instance and a fresh model: the one that `reset` was asked for, or the source's next."""
        return self.source.draw(self.np_random) if instance is None else draw_explicit(instance, self._files)

    def _summary(self) -> dict[str, Any]:
        """Where the solving process stands."""
        return summary(self.model)

    def _begin(self, name: str, model: Any, parameters: Mapping[str, Any]) -> bool:
        """Start solving `model`; True if a decision waits."""
        try:
            set_parameters(model, parameters)
            model.data = {"instance": name}
            for function in (self.reward_function, self.observation_function, self.information_function):
                if function is not None:
                    function.before_reset(model)
            self._episode, self._model = Episode(model, self._plug(model)), model
        except BaseException:
            model.free()
            raise
        try:
            return self._proceed(self._episode, None)
        except BaseException:
            self._close_episode()
            raise

    def _proceed(self, episode: Episode, answer: dict[str, Any] | None) -> bool:
        """Let SCIP go on with `answer` until the next decision; True if there is one within the LP iterations."""
        if not episode.resume(answer):
            return False
        if self.lp_iteration_limit is None or episode.model.getNLPIterations() < self.lp_iteration_limit:
            return True
        episode.interrupt()
        return False

    def _observe(self, waiting: bool) -> tuple[Any, float, dict[str, Any]]:
        model = self._model
        self._waiting, done = waiting, not waiting
        reward = self.reward_function.extract(model, done)
        info = self._look() if waiting else self._nothing()
        observation = None
        if waiting and self.observation_function is not None:
            observation = self.observation_function.extract(model, False)
        if self.render_mode == "rgb_array":
            self._trail.append(self._summary())
        if self.information_function is not None:
            found = self.information_function.extract(model, done)
            info.update(found if isinstance(found, dict) else {"information": found})
        if done:
            info.update(self._final())
            report = getattr(self.reward_function, "report", None)
            if report is not None:
                info.update(report())
        if self.form != "direct":
            observation = self._shape(observation, self._mask)
        return observation, reward, info

    def _final(self) -> dict[str, Any]:
        final = self._summary()
        if final["status"] == "userinterrupt" and self.lp_iteration_limit is not None:
            final["status"] = "lpiterlimit"
        return final

    def _end_without_decision(self) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._over = True
        info = {**self._nothing(), **self._final()}
        terminated = info["status"] in SOLVED
        return self._shape(None, self._mask), 0.0, terminated, not terminated, info

    def _close_episode(self) -> None:
        episode, self._episode, self._model = self._episode, None, None
        self._over, self._recording = True, None
        if episode is not None:
            episode.close()

    # ---- spaces --------------------------------------------------------------------------------------------------

    def _check_size(self, n: int) -> None:
        if n > self.sizes.variables:
            raise InputError(
                f"the instance has {n} variables, the spaces have room for {self.sizes.variables}",
                remedy=f"give max_variables={n} or more, or form='direct'",
            )

    def _example(self) -> tuple[Any, int]:
        """An observation of a small model, and the number of its variables: what observations look like."""
        if self.observation_function is None or self.form == "direct":
            return None, 0
        try:
            if not self._begin(
                "example", Knapsack(2, 11).generate(np.random.default_rng(0)), {"misc/catchctrlc": False, **BARE}
            ):
                raise RuntimeError("the example needs no decision")
            return self.observation_function.extract(self.model, False), self._count()
        finally:
            self._close_episode()

    # ---- copies --------------------------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        """The running episode is carried over as its instance, its seed and its actions, and is played again."""
        return {**self.__dict__, **dict.fromkeys(self._transient)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self._recording is None or self._over:
            self._over, self._recording = True, None
            return
        (drawn, options), actions = self._recording, self._actions
        now = self.np_random.bit_generator.state
        self.np_random.bit_generator.state = drawn
        self.reset(options=options)
        for action in actions:
            self.step(action)
        self.np_random.bit_generator.state = now
