"""The cache replacement environment: an episode by hand, agents against the simulators' bounds, every argument."""

import math
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

import learnsys  # noqa: F401
from learnsys.envs.cache.accesses import Accesses
from learnsys.envs.cache.bounds import belady_hits, lru_hits
from learnsys.envs.cache.environment import CacheReplacementEnv
from learnsys.envs.cache.geometry import CacheGeometry
from learnsys.envs.cache.instances import PARROT_SETS, load_instances
from learnsys.envs.cache.observations import FeatureObservation, ObservationFunction, RawObservation
from learnsys.errors import InputError
from learnsys.traces.trace import Trace

ID = "learnsys/CacheReplacement-v0"
ROOT = Path(__file__).resolve().parents[1]


def trace_of(lines, pcs=None):
    lines = np.asarray(lines, np.uint64)
    return Trace(address=lines * np.uint64(64), pc=None if pcs is None else np.asarray(pcs, np.uint64))


def random_trace(n=3000, lines=200, seed=0):
    rng = np.random.default_rng(seed)
    return trace_of(np.minimum(rng.exponential(lines / 4, n).astype(int), lines - 1), rng.integers(1, 9, n))


A, B, C, D = 10, 20, 30, 40
TEN = trace_of([A, B, C, A, B, D, A, C, B, A], range(100, 110))
TWO_WAYS = {"trace": TEN, "capacity": 128, "ways": 2}
SMALL = {"capacity": "2KiB", "ways": 4}  # 8 sets


def play(env, choose, seed=0, options=None):
    """The transitions of one episode: (action, reward, info after it)."""
    observation, info = env.reset(seed=seed, options=options)
    steps, over = [], False
    while not over:
        action = choose(observation, info)
        observation, reward, over, truncated, info = env.step(action)
        assert not truncated
        steps.append((action, reward, info))
    return steps


def lru(observation, info):
    return int(np.argmin(-observation["line_recency"])) if info["action_mask"][0] else len(info["action_mask"]) - 1


def belady(observation, info):
    return info["belady_action"]


# One set of two ways. Belady's victims in brackets, the agent's after them; way 0 is written first.
#   t=2 C misses on [A B]: [B] B  -> [A C]; t=3 A hits
#   t=4 B misses on [A C]: [C] A  -> [B C]
#   t=5 D misses on [B C]: [B] B  -> [D C]
#   t=6 A misses on [D C]: [D] D  -> [A C]; t=7 C hits
#   t=8 B misses on [A C]: [C] A  -> [B C]
#   t=9 A misses on [B C]: none is used again, so any victim is optimal
ACTIONS = [1, 0, 0, 0, 0, 1]


@pytest.mark.parametrize(
    ("reward", "expected"),
    [("hits", [1, 0, 0, 1, 0, 0]), ("misses", [-1, -1, -1, -1, -1, 0]), ("belady", [1, 0, 1, 1, 0, 1])],
)
def test_ten_accesses_by_hand(reward, expected):
    env = CacheReplacementEnv(**TWO_WAYS, reward=reward)
    _, info = env.reset(seed=0)
    assert (info["hits"], info["accesses"], info["belady_action"]) == (0, 3, 1)
    actions = iter(ACTIONS)
    steps = play(env, lambda observation, info: next(actions))
    assert [reward for _, reward, _ in steps] == expected
    assert [info["belady_action"] for _, _, info in steps] == [1, 0, 0, 1, 0, 0]
    counts = [(info["hits"], info["accesses"]) for _, _, info in steps]
    assert counts == [(1, 5), (1, 6), (1, 7), (2, 9), (2, 10), (2, 10)]
    final = steps[-1][2]
    assert not final["action_mask"].any() and not any(info["invalid_action"] for _, _, info in steps)
    assert final["hit_rate"] == 0.2 and final["lru_hit_rate"] == 0.0 and final["belady_hit_rate"] == 0.3
    assert final["normalised_hit_rate"] == pytest.approx(2 / 3)
    assert all("hit_rate" not in info for _, _, info in steps[:-1])


def test_bypass_by_hand():
    env = CacheReplacementEnv(**TWO_WAYS, allow_bypass=True, reward="belady")
    assert env.action_space.n == 3
    _, info = env.reset(seed=0)
    assert info["belady_action"] == 2  # C comes after A and B: outside it stays, in the optimum with 5 hits
    *_, info = env.step(1)  # t=4: B comes again at 8, after A (6) and C (7)
    assert info["belady_action"] == 2 and info["action_mask"].tolist() == [1, 1, 1]
    _, reward, *_, info = env.step(2)
    assert reward == 1 and info["accesses"] == 6  # D misses, never used again: bypass; A and C stay
    _, reward, over, _, info = env.step(2)
    assert (reward, over, info["hits"], info["accesses"]) == (1, False, 3, 9)  # A and C hit, B misses on [A C]
    assert info["belady_action"] == 2  # neither C nor B comes again
    _, reward, over, _, info = env.step(1)  # so that C may go as well
    assert (reward, over, info["hit_rate"], info["belady_hit_rate"]) == (1, True, 0.4, 0.5)


def test_raw_observation_by_hand():
    env = CacheReplacementEnv(**TWO_WAYS, observation="raw", history=4)
    observation, _ = env.reset(seed=0)
    expected = {
        "pc": [102],
        "address": [C * 64],
        "set": [0],
        "line_pc": [100, 101],
        "line_address": [A * 64, B * 64],
        "line_age": [2, 1],
        "line_recency": [1, 0],
        "line_held": [1, 1],
        "history_pc": [0, 100, 101, 102],
        "history_address": [0, A * 64, B * 64, C * 64],
        "history_held": [0, 1, 1, 1],
        "action_mask": [1, 1],
    }
    assert {name: array.tolist() for name, array in observation.items()} == expected
    observation, *_ = env.step(1)
    assert observation["line_pc"].tolist() == [103, 102] and observation["line_age"].tolist() == [1, 2]
    assert observation["history_pc"].tolist() == [101, 102, 103, 104]


def test_feature_observation_by_hand():
    env = CacheReplacementEnv(**TWO_WAYS, observation=FeatureObservation(history=2, code_bits=0))
    env.reset(seed=0)
    observation, *_ = env.step(1)  # t=4: B misses on A (touched at 3, before at 0) and C (touched at 2)
    assert observation["access"] == pytest.approx([math.log2(4) / 31, B / 63])
    lines = observation["lines"].reshape(2, 5)
    assert lines[0] == pytest.approx([1, 0, math.log2(2) / 31, math.log2(4) / 31, -math.log2(1 + B - A) / 64])
    assert lines[1] == pytest.approx([1, 1, math.log2(3) / 31, 1, math.log2(1 + C - B) / 64])
    assert observation["history"].reshape(2, 2) == pytest.approx(np.array([[1, -math.log2(11) / 64], [1, 0]]))


def test_history_of_the_set_only():
    trace = trace_of([0, 1, 2, 4, 3, 5, 6, 8], range(1, 9))  # two sets of two ways; even lines in set 0
    env = CacheReplacementEnv(trace, capacity=256, ways=2, observation=RawObservation(history=5, per_set=True))
    observation, _ = env.reset(seed=0)
    assert observation["history_address"].tolist() == [0, 0, 0, 2 * 64, 4 * 64]
    assert observation["history_pc"].tolist() == [0, 0, 1, 3, 4]
    assert observation["history_held"].tolist() == [0, 0, 1, 1, 1]


lines = st.lists(st.integers(0, 40), min_size=1, max_size=150)


@settings(max_examples=60, deadline=None)
@given(lines, st.sampled_from(["eviction", "access"]), st.booleans(), st.sampled_from(["all", 2, (1, 3)]))
def test_agents_reach_the_bounds(numbers, decide, bypass, sets):
    """LRU and Belady played through the environment hit exactly as often as the simulators say."""
    trace = trace_of(numbers, numbers)
    geometry = CacheGeometry(512, 2)
    if sets == (1, 3) and not any(n % 4 in sets for n in numbers):
        return
    try:
        instances = load_instances(trace, geometry, sets)
    except InputError:  # no access in the sampled sets
        return
    env = CacheReplacementEnv(
        trace, capacity=512, ways=2, sets=sets, decide=decide, allow_bypass=bypass, observation="both", history=3
    )
    expected = {
        lru: lru_hits(instances.accesses, instances.sets, 2).sum(),
        belady: belady_hits(instances.accesses, instances.sets, 2, bypass).sum(),
    }
    for agent, hits in expected.items():
        before = env.reset(seed=0)[1]["hits"]
        steps = play(env, agent)
        final = steps[-1][2]
        assert (final["hits"], final["accesses"]) == (hits, len(instances.accesses))
        assert sum(reward for _, reward, _ in steps) + before == hits
        assert not any(info["invalid_action"] for _, _, info in steps)
    assert final["hit_rate"] == final["belady_hit_rate"]
    rates = expected[lru] / len(instances.accesses), final["lru_hit_rate"]
    assert rates[0] == pytest.approx(rates[1])


@settings(max_examples=30, deadline=None)
@given(lines, st.data())
def test_observations_are_in_their_space(numbers, data):
    scale = data.draw(st.sampled_from([1, 2**40, 2**57]))
    trace = Trace(
        address=np.array(numbers, np.uint64) * np.uint64(64 * scale % 2**64) + np.uint64(2**63),
        pc=np.array(numbers, np.uint64) * np.uint64(scale),
    )
    env = CacheReplacementEnv(trace, capacity=128, ways=2, decide="access", observation="both", history=5)
    rng = np.random.default_rng(0)

    def choose(observation, info):
        assert env.observation_space.contains(observation)
        assert observation["line_held"].sum() == (env.decisions.tags[0] >= 0).sum()
        return int(rng.choice(np.flatnonzero(info["action_mask"])))

    play(env, choose)


def test_masked_out_actions():
    env = CacheReplacementEnv(**TWO_WAYS, decide="access")
    _, info = env.reset(seed=0)
    assert info["action_mask"].tolist() == [0, 0, 1] == env.action_masks().astype(int).tolist()
    *_, info = env.step(0)  # A goes into the free way all the same
    assert info["invalid_action"] and info["accesses"] == 2
    env.step(2)
    *_, info = env.step(2)  # masked out at a miss in a full set: the least recently used line, A, goes
    assert info["invalid_action"] and env.decisions.tags[0].tolist() == [2, 1]
    strict = CacheReplacementEnv(**TWO_WAYS, decide="access", strict=True)
    strict.reset(seed=0)
    with pytest.raises(InputError, match="masked out"):
        strict.step(0)
    strict.step(2)  # still usable
    for action in (-1, 3, 1.5, "evict", None, np.array([0, 1])):
        with pytest.raises(InputError, match="is no action"):
            strict.step(action)


@pytest.mark.parametrize("strict", [False, True])
def test_an_episode_without_decisions(strict):
    env = CacheReplacementEnv(trace_of([1, 2, 1]), capacity=128, ways=2, strict=strict, observation="both")
    observation, info = env.reset(seed=0)
    assert not info["action_mask"].any() and info["hits"] == 1
    assert not any(array.any() for array in observation.values())
    observation, reward, terminated, _, info = env.step(0)
    assert (reward, terminated, info["hit_rate"], info["invalid_action"]) == (0.0, True, pytest.approx(1 / 3), False)
    assert math.isnan(info["normalised_hit_rate"])
    with pytest.raises(gym.error.ResetNeeded):
        env.step(0)


def test_sets_and_part_filter_the_trace():
    trace = random_trace()
    geometry = CacheGeometry(2048, 4)
    number = (trace.address // 64).astype(int)
    part = slice(round(0.25 * 3000), round(0.75 * 3000))
    keep = np.isin(number[part] % 8, (1, 6))
    instances = load_instances(trace, geometry, (6, 1), (0.25, 0.75))
    expected = Accesses.prepare(trace.address[part][keep], trace.pc[part][keep], geometry)
    assert np.array_equal(instances.accesses.line_number, expected.line_number)
    assert np.array_equal(instances.accesses.next_use, expected.next_use)
    assert np.array_equal(instances.accesses.row, (expected.row == 6).astype(int)) and instances.sets == 2
    assert len(load_instances(trace, geometry, 3, "test").accesses) < 300
    assert len(set(PARROT_SETS)) == 64 and max(PARROT_SETS) < 2048


def test_starts():
    trace = random_trace()
    env = CacheReplacementEnv(trace, **SMALL, episode_accesses=500, random_start=True, observation="raw")
    begins = []
    for seed in (1, 2, 1):
        env.reset(seed=seed)
        begins.append(int(env.decisions.begin[0]))
    assert begins[0] == begins[2] != begins[1]
    env.reset()
    assert int(env.decisions.begin[0]) not in begins and env.decisions.end[0] - env.decisions.begin[0] == 500

    final = play(env, belady, options={"start": 700})[-1][2]
    cut = CacheReplacementEnv(trace[700:1200], **SMALL, observation="raw")
    same = play(cut, belady)[-1][2]
    for name in ("hits", "accesses", "hit_rate", "lru_hit_rate", "belady_hit_rate"):
        assert final[name] == same[name]
    one, other = env.reset(options={"start": 700})[0], cut.reset()[0]
    for name, array in one.items():
        assert np.array_equal(array, other[name]), name


def test_traces_in_options_and_in_lists():
    short, long = random_trace(400, seed=1), random_trace(900, seed=2)
    env = CacheReplacementEnv([short, long], **SMALL)
    lengths = [play(env, belady, seed=seed)[-1][2]["accesses"] for seed in range(12)]
    assert set(lengths) == {400, 900}
    assert play(env, belady, options={"trace": 1})[-1][2]["accesses"] == 900
    alone = play(CacheReplacementEnv(long, **SMALL), belady)[-1][2]["belady_hit_rate"]
    assert play(env, belady, options={"trace": 1})[-1][2]["belady_hit_rate"] == alone
    assert play(env, belady, options={"trace": TEN, "start": 0})[-1][2]["accesses"] == 10
    assert play(env, belady)[-1][2]["accesses"] in (400, 900)


def test_environments_of_a_file_share_its_arrays(tmp_path):
    from learnsys.traces import write_trace

    write_trace(tmp_path / "t.parquet", random_trace())
    envs = [CacheReplacementEnv(tmp_path / "t.parquet", **SMALL) for _ in range(2)]
    assert envs[0].instances.accesses is envs[1].instances.accesses
    write_trace(tmp_path / "t.parquet", random_trace(500))
    assert len(CacheReplacementEnv(tmp_path / "t.parquet", **SMALL).instances.accesses) == 500


class OldestPC(ObservationFunction):
    """An observation of a user's own: the program counter that last touched each line."""

    def space(self, geometry, actions):
        return spaces.Box(0, 1000, (geometry.ways,), np.int64)

    def observe(self, decisions):
        accesses = decisions.instances.accesses
        last = decisions.touched[decisions.cache_row]
        pcs = accesses.pc_value[accesses.pc[last]].astype(np.int64)
        return np.where((decisions.time < 0)[:, None], 0, pcs)


def test_own_observation_and_reward():
    def halves(outcome):
        return outcome.hits / 2 - outcome.misses

    env = gym.make(ID, **TWO_WAYS, observation=OldestPC(), reward=halves)
    observation, _ = env.reset(seed=0)
    assert observation.tolist() == [100, 101]
    assert env.step(1)[1] == -0.5
    vector = gym.make_vec(ID, num_envs=3, **TWO_WAYS, observation=OldestPC(), reward=halves)
    assert vector.reset(seed=0)[0].tolist() == [[100, 101]] * 3
    assert vector.step([1, 1, 0])[1].tolist() == [-0.5, -0.5, -1]


def test_render():
    env = CacheReplacementEnv(**TWO_WAYS, render_mode="ansi")
    env.reset(seed=0)
    rows = env.render().splitlines()
    assert rows[0] == "pc 0x66 accesses 0x780 in set 0; 0 hits in 3 accesses"
    assert rows[2].split() == ["0", "0x280", "0x64", "2", "1", "lru"]
    assert rows[3].split() == ["1", "0x500", "0x65", "1", "2", "belady"]
    play(env, belady)
    assert "over: 3 hits in 10" in env.render()
    env = CacheReplacementEnv(**TWO_WAYS, render_mode="rgb_array")
    env.reset(seed=0)
    picture = env.render()
    assert picture.dtype == np.uint8 and picture.shape == (400, 640, 3) and len(np.unique(picture)) > 10
    assert CacheReplacementEnv(**TWO_WAYS).render() is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"decide": "never"}, "decide"),
        ({"observation": "pixels"}, "observation"),
        ({"observation": "raw", "history": -1}, "history"),
        ({"reward": "money"}, "reward"),
        ({"ways": 3}, "power of two"),
        ({"capacity": "lots"}, "size in bytes"),
        ({"sets": "some"}, "choice of sets"),
        ({"sets": 9000}, "sampled"),
        ({"sets": [8]}, "not among"),
        ({"sets": []}, "not among"),
        ({"part": "best"}, "part"),
        ({"part": (0.5, 0.5)}, "part"),
        ({"part": (0.1, 0.2, 0.3)}, "part"),
        ({"part": (0.0, 0.01)}, "no access"),
        ({"random_start": True}, "episode_accesses"),
        ({"episode_accesses": 0}, "episode"),
        ({"render_mode": "human"}, "render_mode"),
        ({"trace": "missing.parquet"}, "missing.parquet"),
        ({"trace": []}, "empty list"),
        ({"trace": {"kind": "loops"}}, "'n'"),
        ({"trace": {"kind": "nothing", "n": 10}}, "nothing"),
        ({"trace": Trace(address=np.arange(9, dtype=np.uint64), objects=True)}, "object ids"),
    ],
)
def test_bad_arguments_are_told_in_one_line(arguments, message):
    with pytest.raises(InputError, match=message) as caught:
        CacheReplacementEnv(**{**TWO_WAYS, **({"capacity": 1024} if "sets" in arguments else {}), **arguments})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("options", [{"trace": 1}, {"start": 10}, {"start": -1}, {"speed": 2}, {"trace": "none.csv"}])
def test_bad_reset_options(options):
    env = CacheReplacementEnv(**TWO_WAYS)
    with pytest.raises(InputError):
        env.reset(options=options)


def test_kernels_are_compiled_once():
    from learnsys.envs.cache import decisions, observation_kernels

    for decide in ("eviction", "access"):
        play(CacheReplacementEnv(**TWO_WAYS, decide=decide, observation="both"), belady)
    for kernel in (decisions._step, observation_kernels.raw_kernel, observation_kernels.feature_kernel):
        assert len(kernel.signatures) == 1
