"""The vector environment: it returns what single environments return, lane by lane."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import learnsys  # noqa: F401
from learnsys.envs.cache.environment import CacheReplacementEnv
from learnsys.errors import InputError
from learnsys.testing.rollouts import allowed_action, assert_same
from learnsys.traces.trace import Trace

ID = "learnsys/CacheReplacement-v0"
SMALL = {"capacity": "2KiB", "ways": 4}  # 8 sets
MODES = [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP]


def random_trace(n, lines=200, seed=0):
    rng = np.random.default_rng(seed)
    address = 64 * np.minimum(rng.exponential(lines / 4, n).astype(np.uint64), lines - 1)
    return Trace(address=address, pc=rng.integers(1, 9, n).astype(np.uint64))


def singles(arguments, num_envs, mode, limit=None):
    def make():
        return gym.make(ID, max_episode_steps=limit, **arguments)

    return SyncVectorEnv([make] * num_envs, autoreset_mode=mode)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "arguments",
    [
        {"trace": random_trace(250), "observation": "both", "history": 4},
        {"trace": random_trace(900), "episode_accesses": 150, "random_start": True, "observation": "raw"},
        {"trace": [random_trace(90, seed=1), random_trace(120, seed=2)], "decide": "access", "reward": "misses"},
        {"trace": random_trace(700), "sets": 3, "allow_bypass": True, "reward": "belady", "episode_accesses": 99},
        {"trace": random_trace(100, lines=20), "decide": "eviction", "episode_accesses": 30, "random_start": True},
    ],
)
@pytest.mark.parametrize("limit", [None, 17])
def test_lanes_equal_single_environments(arguments, mode, limit):
    """Over many episodes, ends, truncations and episodes without decisions, masked-out actions included."""
    own = gym.make_vec(ID, num_envs=3, autoreset_mode=mode, max_episode_steps=limit, **SMALL, **arguments)
    sync = singles({**SMALL, **arguments}, 3, mode, limit)
    assert own.metadata["autoreset_mode"] == mode
    assert own.observation_space == sync.observation_space and own.action_space == sync.action_space
    rng, ends = np.random.default_rng(0), 0
    one, other = own.reset(seed=5), sync.reset(seed=5)
    assert_same(one, other, "reset")
    for step in range(400):
        wild = rng.random() < 0.1
        masks = [None if wild else mask for mask in one[-1]["action_mask"]]
        actions = np.array([allowed_action(mask, own.single_action_space, rng) for mask in masks])
        one, other = own.step(actions), sync.step(actions)
        assert_same(one, other, f"step {step}")
        ends += int(one[2].sum() + one[3].sum())
    assert ends > 2


def test_seeds():
    arguments = {**SMALL, "trace": random_trace(900), "episode_accesses": 150, "random_start": True}
    own, sync = gym.make_vec(ID, num_envs=3, **arguments), singles(arguments, 3, AutoresetMode.NEXT_STEP)
    for env in (own, sync):
        env.reset(seed=1)
    assert_same(own.reset(seed=[8, None, 3]), sync.reset(seed=[8, None, 3]), "reset")
    starts = [own.reset()[0]["history"].tobytes() for _ in range(2)]
    assert starts[0] != starts[1]
    fresh = gym.make_vec(ID, num_envs=3, **arguments)
    fresh.reset()
    assert len(set(fresh.unwrapped.decisions.begin.tolist())) > 1


def test_disabled_autoreset_and_reset_mask():
    arguments = {**SMALL, "trace": random_trace(300), "episode_accesses": 120, "random_start": True}
    own = gym.make_vec(ID, num_envs=3, autoreset_mode="Disabled", **arguments)
    sync = singles(arguments, 3, AutoresetMode.DISABLED)
    one, other = own.reset(seed=3), sync.reset(seed=3)
    over = np.zeros(3, bool)
    for step in range(100):
        if over.any():
            with pytest.raises(gym.error.ResetNeeded):
                own.step(np.zeros(3, int))
            one, other = (env.reset(options={"reset_mask": over}) for env in (own, sync))
        else:
            actions = one[-1]["belady_action"]
            one, other = own.step(actions), sync.step(actions)
            over = one[2]
            assert_same(one, other, f"step {step}")
            continue
        assert_same(one, other, f"reset before step {step}")
        over = np.zeros(3, bool)


def finals(env, num_envs):
    """Play Belady's actions; final info of the first episode of each lane."""
    _, info = env.reset(seed=0)
    found = {}
    while len(found) < num_envs:
        _, _, terminated, _, info = env.step(info["belady_action"])
        for lane in np.flatnonzero(terminated):
            final = ("hits", "accesses", "hit_rate", "lru_hit_rate", "belady_hit_rate")
            found.setdefault(int(lane), {name: info[name][lane] for name in final})
    return found


def single_final(**arguments):
    env = CacheReplacementEnv(**arguments)
    _, info = env.reset(seed=0)
    over = False
    while not over:
        *_, over, _, info = env.step(info["belady_action"])
    return info


@pytest.mark.parametrize("sets", ["all", [1, 2, 4, 5, 7]])
def test_lanes_by_sets_play_the_trace_once(sets):
    trace = random_trace(2000)
    env = gym.make_vec(ID, num_envs=3, lanes="sets", trace=trace, sets=sets, **SMALL)
    kept = list(range(8)) if sets == "all" else sets
    found = finals(env, 3)
    for lane, final in found.items():
        alone = single_final(trace=trace, sets=kept[lane::3], **SMALL)
        assert final == {name: alone[name] for name in final}
    whole = single_final(trace=trace, sets=sets, **SMALL)
    for name in ("hits", "accesses"):
        assert sum(final[name] for final in found.values()) == whole[name]


def test_a_lane_of_sets_observes_like_a_single_environment():
    trace = random_trace(500)
    env = gym.make_vec(ID, num_envs=2, lanes="sets", trace=trace, observation="both", **SMALL)
    single = CacheReplacementEnv(trace, sets=[1, 3, 5, 7], observation="both", **SMALL)
    batch, info = env.reset(seed=0)
    observation, _ = single.reset(seed=0)
    for _ in range(20):
        for name, array in observation.items():
            assert np.array_equal(batch[name][1], array), name
        observation, *_ = single.step(int(info["belady_action"][1]))
        batch, *_, info = env.step(info["belady_action"])


def test_lanes_by_traces():
    traces = [random_trace(n, seed=n) for n in (300, 400)]
    env = gym.make_vec(ID, num_envs=3, lanes="traces", trace=traces, **SMALL)
    found = finals(env, 3)
    for lane, final in found.items():
        alone = single_final(trace=traces[lane % 2], **SMALL)
        assert final == {name: alone[name] for name in final}


def test_lanes_by_sets_of_several_traces():
    traces = [random_trace(n, seed=n) for n in (300, 400)]
    env = gym.make_vec(ID, num_envs=2, lanes="sets", trace=traces, **SMALL)
    env.reset(seed=0, options={"trace": 1})
    decisions = env.unwrapped.decisions
    assert (decisions.end - decisions.begin).sum() == 400
    env.reset(seed=0, options={"trace": random_trace(77)})
    assert (decisions.end - decisions.begin).sum() == 77
    env.reset(seed=0)
    assert (decisions.end - decisions.begin).max() < 400


def test_masks_and_render():
    env = gym.make_vec(ID, num_envs=2, trace=random_trace(300), decide="access", render_mode="ansi", **SMALL)
    _, info = env.reset(seed=0)
    assert np.array_equal(info["action_mask"].astype(bool), env.unwrapped.action_masks())
    assert env.unwrapped.action_masks().dtype == np.bool_ and len(env.render()) == 2
    env.close()
    env.close()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_envs": 0}, "0 environments"),
        ({"num_envs": 9, "lanes": "sets"}, "cannot be split"),
        ({"num_envs": 2, "lanes": "threads"}, "lanes"),
        ({"num_envs": 2, "decide": "never"}, "decide"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(InputError, match=message):
        gym.make_vec(ID, trace=random_trace(100), **SMALL, **arguments)


def test_bad_calls():
    env = gym.make_vec(ID, num_envs=2, trace=random_trace(300), decide="access", strict=True, **SMALL)
    with pytest.raises(gym.error.ResetNeeded):
        env.step([0, 0])
    with pytest.raises(InputError, match="2 environments"):
        env.reset(seed=[1])
    for mask in (np.zeros(2, bool), np.ones(3, bool), np.ones(2, int)):
        with pytest.raises(InputError, match="reset_mask"):
            env.reset(options={"reset_mask": mask})
    env.reset(seed=0)
    with pytest.raises(InputError, match="all of them"):
        env.reset(options={"reset_mask": np.array([True, False]), "trace": random_trace(50)})
    for actions in ([0], [0.5, 1.0], [0, 5], [-1, 4]):
        with pytest.raises(InputError, match="action"):
            env.step(actions)
    with pytest.raises(InputError, match="masked out"):
        env.step([4, 0])
