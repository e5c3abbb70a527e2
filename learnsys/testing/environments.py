"""The contract of an environment: `check_environment("learnsys/CacheReplacement-v0", ways=8)`."""

from __future__ import annotations

import copy
import inspect
import pickle
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

from learnsys.errors import LearnsysError
from learnsys.testing.rollouts import Subject, allowed_action, assert_same, forbidden_action, play, play_vector

HEADINGS = (
    *("Description", "Action Space", "Observation Space", "Rewards", "Starting State", "Episode End", "Arguments"),
    "Version History",
)
"""What the docstring of an environment's class explains, each as a Markdown heading."""

_SB3_SPACES = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)


class Skipped(Exception):
    """Raised by a check that does not apply; the message says why."""


@dataclass(frozen=True)
class CheckResult:
    """How one check went."""

    name: str
    outcome: str
    """passed, failed or skipped"""
    detail: str
    """why it failed or was skipped"""
    seconds: float


def gymnasium_checker(subject: Subject) -> None:
    """Gymnasium's own checker finds nothing to warn about, render modes included."""
    env = subject.make()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        check_env(env.unwrapped)
    env.close()


def stable_baselines3_checker(subject: Subject) -> None:
    """Stable-Baselines3's checker has nothing to warn about, where it supports the observation space."""
    env = subject.make()
    space = env.observation_space
    members = list(space.spaces.values()) if isinstance(space, spaces.Dict) else [space]
    if not all(isinstance(each, _SB3_SPACES) and len(each.shape or ()) <= 1 for each in members):
        raise Skipped("the observation space is not flat")
    try:
        from stable_baselines3.common import env_checker
    except ImportError:
        raise Skipped("stable-baselines3 is not installed") from None
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        env_checker.check_env(env.unwrapped, warn=True)
    env.close()


def docstring_headings(subject: Subject) -> None:
    """The docstring of the class is the environment's manual."""
    env = subject.make()
    lines = [line.strip() for line in (inspect.getdoc(type(env.unwrapped)) or "").splitlines()]
    missing = [heading for heading in HEADINGS if f"## {heading}" not in lines]
    assert not missing, f"no heading {missing[0]!r} in the docstring of {type(env.unwrapped).__name__}"
    env.close()


def masks_agree(subject: Subject) -> None:
    """`info["action_mask"]` (int8) and `action_masks()` (bool) agree, and allow something until the episode ends."""
    env, rng = subject.make(), np.random.default_rng(0)
    _, info = env.reset(seed=0)
    over = False
    for _ in range(subject.steps):
        mask, masks = info["action_mask"], env.get_wrapper_attr("action_masks")()
        assert mask.dtype == np.int8 and masks.dtype == np.bool_, f"dtypes {mask.dtype} and {masks.dtype}"
        assert mask.shape == masks.shape and np.array_equal(mask.astype(bool), masks), "the masks differ"
        if over:
            break
        _, _, terminated, truncated, info = env.step(allowed_action(mask, env.action_space, rng))
        over = terminated or truncated
        assert over or info["action_mask"].any(), "nothing is allowed although the episode goes on"
        assert not info.get("invalid_action", False), "an allowed action was called invalid"
    env.close()


def masked_out_actions(subject: Subject) -> None:
    """A masked-out action is replaced and reported; with `strict` it raises."""
    env, rng = subject.make(), np.random.default_rng(0)
    _, info = env.reset(seed=0)
    actions: list[Any] = []
    for _ in range(subject.steps):
        mask = info["action_mask"]
        if mask.any() and not mask.all():
            break
        actions.append(allowed_action(mask, env.action_space, rng))
        _, _, terminated, truncated, info = env.step(actions[-1])
        if terminated or truncated:
            raise Skipped("no action was masked out in an episode")
    else:
        raise Skipped(f"no action was masked out in {subject.steps} steps")
    masked = forbidden_action(mask, env.action_space)
    assert env.step(masked)[4].get("invalid_action"), "info['invalid_action'] is not set"
    strict = subject.make(strict=True)
    strict.reset(seed=0)
    for action in actions:
        strict.step(action)
    try:
        strict.step(masked)
    except LearnsysError:
        pass
    else:
        raise AssertionError("strict=True does not raise on a masked-out action")
    env.close()
    strict.close()


def determinism(subject: Subject) -> None:
    """Two copies with the same seed and actions return the same; a reset with the seed starts again."""
    one, other = subject.make(), subject.make()
    for seed in (3, 4, 3):
        both = zip(play(one, subject.steps, seed), play(other, subject.steps, seed), strict=True)
        for step, (first, second) in enumerate(both):
            assert_same(first, second, f"step {step}")
    one.close()
    other.close()


def pickling(subject: Subject) -> None:
    """A pickled environment goes on, in the middle of an episode, like the original."""
    env = subject.make()
    transitions = play(env, subject.steps, 5)
    info = next(transitions)[1]
    restored = pickle.loads(pickle.dumps(env))
    rng, again = np.random.default_rng(6), np.random.default_rng(6)
    restored_info = copy.deepcopy(info)
    for step in range(subject.steps):
        first = env.step(allowed_action(info.get("action_mask"), env.action_space, rng))
        second = restored.step(allowed_action(restored_info.get("action_mask"), restored.action_space, again))
        assert_same(first, second, f"step {step}")
        info, restored_info = first[4], second[4]
        if first[2] or first[3]:
            break
    env.close()
    restored.close()


def _agree(subject: Subject, mode: str | None, **options: Any) -> None:
    sync, other = subject.make_vec("sync"), subject.make_vec(mode, **options)
    try:
        assert isinstance(other.metadata.get("autoreset_mode"), AutoresetMode), "metadata lacks the autoreset mode"
        both = zip(play_vector(sync, subject.steps, 7), play_vector(other, subject.steps, 7), strict=True)
        for step, (first, second) in enumerate(both):
            assert_same(first, second, f"step {step}")
    finally:
        sync.close()
        other.close()


def sync_vector(subject: Subject) -> None:
    """A synchronous vector environment returns what its single environments return."""
    vector, singles = subject.make_vec("sync"), [subject.make() for _ in range(2)]
    rng = np.random.default_rng(7)
    batch, _ = vector.reset(seed=7)
    starts = [env.reset(seed=7 + lane) for lane, env in enumerate(singles)]
    infos = [info for _, info in starts]
    for lane, (observation, _) in enumerate(starts):
        _assert_lane(batch, observation, lane)
    for _ in range(subject.steps):
        space = singles[0].action_space
        actions = [allowed_action(info.get("action_mask"), space, rng) for info in infos]
        batch, rewards, terminated, truncated, _ = vector.step(np.array(actions))
        transitions = [env.step(action) for env, action in zip(singles, actions, strict=True)]
        for lane, (observation, *rest) in enumerate(transitions):
            _assert_lane(batch, observation, lane)
            assert_same(rest[:3], [float(rewards[lane]), bool(terminated[lane]), bool(truncated[lane])], "transition")
        infos = [transition[4] for transition in transitions]
        if terminated.any() or truncated.any():
            break
    vector.close()
    for env in singles:
        env.close()


def _assert_lane(batch: Any, observation: Any, lane: int) -> None:
    if isinstance(batch, dict):
        for key in batch:
            _assert_lane(batch[key], observation[key], lane)
    else:
        np.testing.assert_equal(batch[lane], observation, err_msg=f"environment {lane}")


def async_vector(subject: Subject) -> None:
    """An asynchronous vector environment (one process each) agrees with the synchronous one."""
    env = subject.make()
    shared = not _has_graph(env.observation_space)
    env.close()
    _agree(subject, "async", vector_kwargs={"shared_memory": shared})


def _has_graph(space: spaces.Space[Any]) -> bool:
    members: Any = getattr(space, "spaces", [])
    members = members.values() if isinstance(members, dict) else members
    return isinstance(space, spaces.Graph | spaces.Sequence) or any(_has_graph(each) for each in members)


def own_vector(subject: Subject) -> None:
    """The environment's own vector form, where it has one, agrees with the synchronous vector environment."""
    env = subject.make()
    env.close()
    if env.spec is None or env.spec.vector_entry_point is None:
        raise Skipped("it has no vector form of its own")
    _agree(subject, None)


def close_twice(subject: Subject) -> None:
    """Closing is allowed before the first reset, and again."""
    env = subject.make()
    env.close()
    env.close()
    env = subject.make()
    env.reset(seed=0)
    env.close()
    env.close()


CHECKS: tuple[Callable[[Subject], None], ...] = (
    docstring_headings,
    gymnasium_checker,
    stable_baselines3_checker,
    masks_agree,
    masked_out_actions,
    determinism,
    pickling,
    sync_vector,
    async_vector,
    own_vector,
    close_twice,
)


def run_checks(id: str, *, steps: int = 25, **arguments: Any) -> Iterator[CheckResult]:
    """Run all `CHECKS` on a registered environment, made with `arguments`, and yield each result as it comes.

    Args:
        id: the registered id.
        steps: length of the roll-outs.
    """
    subject = Subject(id, arguments, steps)
    for check in CHECKS:
        start, outcome, detail = time.perf_counter(), "passed", ""
        try:
            check(subject)
        except Skipped as reason:
            outcome, detail = "skipped", str(reason)
        except Exception as error:
            outcome, detail = "failed", f"{type(error).__name__}: {error}".strip()
        yield CheckResult(check.__name__, outcome, detail, time.perf_counter() - start)


def check_environment(id: str, *, steps: int = 25, **arguments: Any) -> list[CheckResult]:
    """Check a registered environment against the contract of learnsys.

    Args:
        id: the registered id.
        steps: length of the roll-outs.
        arguments: passed to the environment.

    Raises:
        AssertionError: a check failed; the message names each that did, and why.
    """
    results = list(run_checks(id, steps=steps, **arguments))
    failed = [f"{each.name}: {each.detail}" for each in results if each.outcome == "failed"]
    if failed:
        raise AssertionError(f"{id} breaks its contract\n" + "\n".join(failed))
    return results
