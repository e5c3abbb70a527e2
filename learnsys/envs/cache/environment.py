"""Cache replacement as a Gymnasium environment."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from learnsys.envs.cache.decisions import Decisions
from learnsys.envs.cache.geometry import CacheGeometry, parse_bytes
from learnsys.envs.cache.instances import Instances, TraceSource, load_instances
from learnsys.envs.cache.observations import ObservationFunction, make_observation
from learnsys.envs.cache.rewards import RewardFunction, make_reward
from learnsys.errors import InputError
from learnsys.statistics import normalised_hit_rate

DEFAULT_TRACE: TraceSource = {"kind": "loops", "n": 300_000}
"""Four loops, one instruction each, over 61,440 lines (3.75 MiB) in turn: LRU never hits in 2 MiB, Belady in 41 %."""

_ONLY_LANE = np.zeros(1, np.int64)


class CacheReplacementEnv(gym.Env[Any, Any]):
    """Choose the line that a set-associative cache evicts, while it plays a trace of memory accesses.

    ## Description
    A trace of byte addresses (and program counters) runs through a cache that starts empty. A miss in a full set
    needs a victim, and that is the decision; between decisions the simulator runs by itself. Belady's MIN, which
    knows the future, is the upper bound, LRU the customary lower one. The decision problem follows Liu et al.,
    "An Imitation Learning Approach for Cache Replacement", ICML 2020.

    ## Action Space
    `Discrete(ways)`: action w evicts way w. With `allow_bypass` or `decide="access"` there is one action more,
    number `ways`: it evicts nothing. At a miss in a full set it is allowed only with `allow_bypass`, and the missed
    line then stays outside; at a hit, or where a way is free (`decide="access"` only), it is the only action allowed.
    `info["action_mask"]` (int8) and `action_masks()` (bool) tell what is allowed. A masked-out action is replaced by
    the default one (the least recently used way, or doing nothing where nothing is to be evicted) and sets
    `info["invalid_action"]`; with `strict` it raises `InputError`, as any number outside the space always does.

    ## Observation Space
    A flat `Dict` of arrays of fixed shape, by the argument `observation`:

    - `"features"` (default): numbers in [-1, 1] about the access, each line of the set and the latest accesses, see
      `learnsys.envs.cache.observations.FeatureObservation`. Made for ready-made agents.
    - `"raw"`: program counters and addresses as uint64, ages and recency as int32, see `RawObservation`. Made for
      agents that embed addresses.
    - `"both"` in one Dict, or an `ObservationFunction` of your own.

    After the last access there is nothing to decide: the observation is all zeros and every action masked out.

    ## Rewards
    By the argument `reward`, over the accesses after the one decided on, up to and including the one at which the
    next decision falls: `"hits"` (default) counts hits, `"misses"` counts misses negatively, `"belady"` gives 1 for
    an eviction that the optimum may make too and 0 otherwise. Or a function from
    `learnsys.envs.cache.decisions.Outcome` to an array. Hits before the first decision are in the `info` of `reset`.

    `info` holds at each step `action_mask`, `belady_action` (an optimal action; 0 at the end), `hits` and
    `accesses` (of the episode so far, the access decided on included), and after `step` `invalid_action`; at the end
    of an episode also `hit_rate`, `lru_hit_rate`, `belady_hit_rate` and `normalised_hit_rate` (0 is LRU, 1 is Belady,
    NaN where both are equal) over all its accesses.

    ## Starting State
    An empty cache at the first access of the trace, or at a random one with `random_start`. Of several traces one is
    drawn. `reset(options={"trace": ..., "start": ...})` chooses: `trace` is a number among the given traces or another
    trace (for this episode only), `start` the number of the first access among those kept.

    ## Episode End
    Terminated after the last access of the trace, or after `episode_accesses` accesses. An episode without any
    decision (every set stays below its ways) starts with an empty mask and terminates at the first step, whatever the
    action. It is never truncated; `gymnasium.make(..., max_episode_steps=...)` does that.

    ## Arguments
    - `trace`: a file in any format that `learnsys.traces.read_trace` knows, `sample:NAME`, a `Trace`, the arguments of
      `learnsys.traces.synthetic.synthesize` as a dictionary, or a list of these.
    - `capacity` (bytes, or text such as "2MiB"), `ways`, `line_size`: the cache.
    - `sets`: "all", "parrot" (the 64 of 2048 sets of the paper), a number of sets to sample, or a list of their
      numbers. Accesses to other sets are left out.
    - `part`: "all", "train", "valid", "test" (80/10/10 % by time), or two fractions of the trace.
    - `episode_accesses`: accesses in an episode, None for all. `random_start`: start anywhere (needs it).
    - `decide`: "eviction" (each miss in a full set) or "access" (each access).
    - `allow_bypass`: a missed line may stay outside.
    - `observation` and `reward`: see above. `history`: accesses of history that a named observation holds, the one
      decided on included.
    - `strict`: raise on masked-out actions.
    - `render_mode`: "ansi" (text) or "rgb_array" (a picture of the set and of the hit rate).

    Bad arguments and unreadable traces raise `learnsys.errors.InputError`.

    ## Version History
    - v0: first version.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["ansi", "rgb_array"], "render_fps": 4}  # type: ignore[misc]
    path_arguments: ClassVar[tuple[str, ...]] = ("trace",)
    """arguments that may be files; `learnsys.envs.register` makes them absolute"""

    def __init__(
        self,
        trace: TraceSource | Sequence[TraceSource] = DEFAULT_TRACE,
        *,
        capacity: str | int = "2MiB",
        ways: int = 16,
        line_size: int = 64,
        sets: str | int | Iterable[int] = "all",
        part: str | Sequence[float] = "all",
        episode_accesses: int | None = None,
        random_start: bool = False,
        decide: str = "eviction",
        allow_bypass: bool = False,
        observation: str | ObservationFunction = "features",
        history: int = 30,
        reward: str | RewardFunction = "hits",
        strict: bool = False,
        render_mode: str | None = None,
    ) -> None:
        if decide not in ("eviction", "access"):
            raise InputError(f"decide={decide!r} is not possible", remedy="choose 'eviction' or 'access'")
        if episode_accesses is not None and episode_accesses < 1:
            raise InputError(f"an episode of {episode_accesses} accesses is not possible", remedy="give at least 1")
        if random_start and episode_accesses is None:
            raise InputError("random_start needs the length of an episode", remedy="give episode_accesses")
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise InputError(f"render_mode={render_mode!r} is not possible", remedy="choose 'ansi' or 'rgb_array'")
        self.geometry = CacheGeometry(parse_bytes(capacity), ways, line_size)
        self._choice: tuple[Any, Any] = (sets if isinstance(sets, str | int | np.integer) else tuple(sets)), part
        self.instances = load_instances(trace, self.geometry, *self._choice)
        self.episode_accesses, self.random_start = episode_accesses, random_start
        self.observation_function = make_observation(observation, history)
        self.reward_function = make_reward(reward)
        self.strict = strict
        self.render_mode = render_mode

        self.decisions = Decisions(self.instances, 1, every_access=decide == "access", bypass=allow_bypass)
        self.action_space = gym.spaces.Discrete(self.decisions.actions)
        self.observation_space = self.observation_function.space(self.geometry, self.decisions.actions)
        self._action = np.zeros(1, np.int64)
        self._ended = True

    def instances_for(self, trace: Any) -> tuple[Instances, int | None]:
        """The instances and the number among them that `reset(options={"trace": trace})` chooses."""
        if trace is None or isinstance(trace, int | np.integer):
            return self.instances, None if trace is None else int(trace)
        return load_instances(trace, self.geometry, *self._choice), None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        options = check_options(options)
        self.decisions.instances, number = self.instances_for(options.get("trace"))
        begin, end = self.decisions.instances.window(
            self.np_random, number, self.episode_accesses, self.random_start, options.get("start")
        )
        self.decisions.start(0, begin, end)
        self._ended = False
        return self._observe(), lane_info(self.decisions, 0)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if self._ended:
            raise gym.error.ResetNeeded("the episode is over; call reset()")
        decisions = self.decisions
        chosen = as_action(action, decisions.actions)
        if self.strict and decisions.time[0] >= 0 and not decisions.mask[0, chosen]:
            raise InputError(f"action {chosen} is masked out", remedy="choose one that info['action_mask'] allows")
        self._action[0] = chosen
        outcome = decisions.step(_ONLY_LANE, self._action)
        self._ended = decisions.time.item(0) < 0
        info = lane_info(decisions, 0)
        info["invalid_action"] = decisions.invalid.item(0)
        if self._ended:
            info.update(final_numbers(decisions, 0))
        reward = float(self.reward_function(outcome)[0])
        return self._observe(), reward, self._ended, False, info

    def action_masks(self) -> NDArray[np.bool_]:
        """Allowed actions, bool (actions,); the form that sb3-contrib asks for."""
        mask: NDArray[np.bool_] = self.decisions.mask[0].astype(np.bool_)
        return mask

    def render(self) -> Any:
        """The pending decision: text in mode "ansi", uint8 (height, width, 3) in mode "rgb_array"."""
        if self.render_mode is None:
            return None
        from learnsys.envs.cache import rendering

        draw = rendering.text if self.render_mode == "ansi" else rendering.picture
        return draw(self.decisions, 0)

    def _observe(self) -> Any:
        observation = self.observation_function.observe(self.decisions)
        if isinstance(observation, dict):
            return {name: array[0] for name, array in observation.items()}
        return observation[0]


def lane_info(decisions: Decisions, lane: int) -> dict[str, Any]:
    """What `info` holds after `reset`."""
    return {
        "action_mask": decisions.mask[lane].copy(),
        "belady_action": decisions.belady.item(lane),
        "hits": decisions.hits.item(lane),
        "accesses": decisions.seen.item(lane),
    }


def as_action(action: Any, actions: int) -> int:
    """`action` as an int below `actions`.

    Raises:
        InputError: it is none.
    """
    try:
        chosen = operator.index(action)
    except TypeError:
        chosen = -1
    if not 0 <= chosen < actions:
        raise InputError(f"{action!r} is no action", remedy=f"give an integer from 0 to {actions - 1}")
    return chosen


def check_options(options: dict[str, Any] | None) -> dict[str, Any]:
    """The options of `reset`.

    Raises:
        InputError: there are others than `trace` and `start`.
    """
    unknown = sorted(set(options or {}) - {"trace", "start"})
    if unknown:
        raise InputError(f"reset has no option {unknown[0]!r}", remedy="options are 'trace' and 'start'")
    return dict(options or {})


def final_numbers(decisions: Decisions, lane: int) -> dict[str, float]:
    """Hit rates of a lane's whole episode, with LRU's and Belady's on the same accesses."""
    lru, optimum = decisions.instances.bounds(int(decisions.begin[lane]), int(decisions.end[lane]), decisions.bypass)
    rate = int(decisions.hits[lane]) / int(decisions.seen[lane])
    return {
        "hit_rate": rate,
        "lru_hit_rate": lru,
        "belady_hit_rate": optimum,
        "normalised_hit_rate": normalised_hit_rate(rate, lru, optimum),
    }
