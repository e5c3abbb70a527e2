"""The contract of every registered environment, the contract's own teeth, users' environments, the CLI."""

import json
import multiprocessing
import os
import subprocess
import sys
from types import SimpleNamespace

import gymnasium as gym
import numpy as np
import pytest

import learnsys.envs
from learnsys.cli import main
from learnsys.envs import ENVIRONMENTS
from learnsys.envs.cache.environment import CacheReplacementEnv
from learnsys.errors import InputError
from learnsys.testing.environments import CHECKS, check_environment, run_checks
from learnsys.traces import write_trace
from learnsys.traces.synthetic import synthesize

CACHE = "learnsys/CacheReplacement-v0"


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_registered_environments_keep_the_contract(name):
    results = {each.name: each for each in check_environment(name)}
    assert len(results) == len(CHECKS)
    unexplained = [each for each in results.values() if each.outcome == "skipped" and not each.detail]
    assert not unexplained


@pytest.mark.parametrize(
    "arguments",
    [
        {"observation": "raw", "allow_bypass": True},
        {"observation": "both", "decide": "access", "sets": "parrot", "reward": "misses"},
        {"trace": [{"kind": "phases", "n": 4000}, {"kind": "stream-hot", "n": 4000}], "capacity": "32KiB"},
        {"capacity": "4KiB", "ways": 4, "episode_accesses": 80, "random_start": True, "decide": "access"},
    ],
)
def test_cache_environment_keeps_the_contract_in_every_form(arguments):
    results = {each.name: each.outcome for each in check_environment(CACHE, **arguments)}
    assert results["stable_baselines3_checker"] == results["own_vector"] == "passed"
    if arguments.get("decide") == "access":
        assert results["masked_out_actions"] == "passed"


class Broken(CacheReplacementEnv):
    """An environment that breaks its contract in the way that `fault` names."""

    def __init__(self, fault, **arguments):
        super().__init__({"kind": "loops", "n": 3000}, capacity="4KiB", ways=4, decide="access", **arguments)
        self.fault = fault
        self.calls = 0
        self.closed = 0

    def reset(self, *, seed=None, options=None):
        self.observation, info = super().reset(seed=seed, options=options)
        return self.observation, info

    def step(self, action):
        self.calls += 1
        observation, reward, terminated, truncated, info = super().step(action)
        if self.fault == "reused":
            for name, array in observation.items():
                self.observation[name][:] = array
            observation = self.observation
        if self.fault == "random":
            reward = float(np.random.default_rng().random())
        if self.fault == "silent":
            info["invalid_action"] = False
        if self.fault == "bounds":
            observation["access"] = observation["access"] + np.float32(9)
        return observation, reward, terminated, truncated, info

    def action_masks(self):
        return ~super().action_masks() if self.fault == "masks" else super().action_masks()

    def close(self):
        self.closed += 1
        if self.fault == "close" and self.closed > 1:
            raise RuntimeError("closed already")

    def __getstate__(self):
        return {**vars(self), "_ended": True} if self.fault == "pickle" else vars(self)


@pytest.mark.filterwarnings("ignore::UserWarning:gymnasium")
@pytest.mark.parametrize(
    ("fault", "check"),
    [
        ("reused", "gymnasium_checker"),
        ("bounds", "gymnasium_checker"),
        ("bounds", "stable_baselines3_checker"),
        ("random", "determinism"),
        ("silent", "masked_out_actions"),
        ("masks", "masks_agree"),
        ("close", "close_twice"),
        ("pickle", "pickling"),
        ("", "docstring_headings"),
        ("random", "sync_vector"),
        ("random", "async_vector"),
    ],
)
def test_the_contract_has_teeth(fault, check, monkeypatch):
    name = "test/Broken-v0"
    spec = gym.envs.registration.EnvSpec(name, entry_point=Broken, kwargs={"fault": fault})
    monkeypatch.setitem(gym.registry, name, spec)
    outcomes = {each.name: each.outcome for each in run_checks(name) if each.name in (check, "own_vector")}
    assert outcomes == {check: "failed", "own_vector": "skipped"}
    with pytest.raises(AssertionError, match=check):
        check_environment(name)


@pytest.fixture
def service(tmp_path, monkeypatch):
    """A user's environment on a file of theirs, given by a relative path from another directory."""
    write_trace(tmp_path / "my.parquet", synthesize("loops", 3000, lines=40, arrays=2))
    monkeypatch.chdir(tmp_path)
    learnsys.envs.register("my/Service-v0", base=CACHE, trace="my.parquet", capacity="4KiB", ways=8)
    monkeypatch.chdir("/")
    yield "my/Service-v0"
    gym.registry.pop("my/Service-v0", None)


def _belady(env):
    """Rewards of Belady's actions in a vector environment of Gymnasium."""
    _, info = env.reset(seed=0)
    total = np.zeros(env.num_envs)
    for _ in range(100):
        _, rewards, *_, info = env.step(np.asarray(info["belady_action"]))
        total += rewards
    env.close()
    return total.tolist()


def test_own_environment(service):
    env = gym.make(service)
    assert env.unwrapped.geometry.ways == 8 and env.spec.kwargs["trace"].endswith("/my.parquet")
    assert os.path.isabs(env.spec.kwargs["trace"])
    assert gym.make(service, ways=4).unwrapped.geometry.ways == 4
    own = _belady(gym.make_vec(service, num_envs=2))
    assert own[0] == own[1] > 0
    assert _belady(gym.make_vec(service, num_envs=2, vectorization_mode="sync")) == own
    for context in ("fork", "spawn"):
        options = {"context": context}
        assert _belady(gym.make_vec(service, 2, vectorization_mode="async", vector_kwargs=options)) == own
    learnsys.envs.register("my/Smaller-v0", base=service, ways=4, max_episode_steps=7)
    try:
        smaller = gym.spec("my/Smaller-v0")
        assert smaller.kwargs == {**env.spec.kwargs, "ways": 4} and smaller.max_episode_steps == 7
        assert gym.make_vec("my/Smaller-v0", num_envs=2).unwrapped.max_episode_steps == 7
    finally:
        gym.registry.pop("my/Smaller-v0")


@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_own_environment_in_subprocesses_of_stable_baselines3(service, method):
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.vec_env import SubprocVecEnv

    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} here")
    spec = gym.spec(service)
    env = make_vec_env(spec.make, n_envs=1, vec_env_cls=SubprocVecEnv, vec_env_kwargs={"start_method": method})
    env.seed(0)
    observation = env.reset()
    assert observation["access"].shape[0] == 1
    masks = env.env_method("action_masks")
    assert [mask.tolist() for mask in masks] == [[True] * 8]
    assert env.step(np.array([1]))[1].shape == (1,)
    env.close()


def test_registering_the_same_again_is_allowed_and_another_is_not(service):
    trace = gym.spec(service).kwargs["trace"]
    learnsys.envs.register(service, base=CACHE, trace=trace, capacity="4KiB", ways=8)
    with pytest.raises(InputError, match="registered already"):
        learnsys.envs.register(service, base=CACHE, trace=trace, capacity="4KiB", ways=4)
    with pytest.raises(InputError, match="registered already"):
        learnsys.envs.register(service, base=CACHE, trace=trace, capacity="4KiB", ways=8, max_episode_steps=3)
    assert gym.spec(service).kwargs["ways"] == 8


@pytest.mark.parametrize(
    ("name", "base", "arguments", "message"),
    [
        ("my/Other-v0", "learnsys/Nothing-v0", {}, "no environment 'learnsys/Nothing-v0'"),
        ("my/Other-v0", CACHE, {"wais": 8}, "no argument 'wais'.*ways"),
        ("my name!", CACHE, {}, "cannot be the name"),
        ("", CACHE, {}, "cannot be the name"),
        ("a/b/C-v0", CACHE, {}, "cannot be the name"),
        (CACHE, CACHE, {"ways": 8}, "registered already"),
        ("learnsys/CacheReplacement", CACHE, {}, "cannot be the name"),
    ],
)
def test_bad_registrations(name, base, arguments, message):
    before = dict(gym.registry)
    with pytest.raises(InputError, match=message) as caught:
        learnsys.envs.register(name, base=base, **arguments)
    assert "\n" not in str(caught.value) and gym.registry == before


def test_files_become_absolute_and_names_stay(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    traces = ["sample:some", "a.csv", tmp_path / "b.csv", {"kind": "loops", "n": 9}]
    learnsys.envs.register("my/Paths-v0", base=CACHE, trace=traces)
    try:
        kept = gym.spec("my/Paths-v0").kwargs["trace"]
    finally:
        gym.registry.pop("my/Paths-v0")
    assert kept == ["sample:some", str(tmp_path / "a.csv"), str(tmp_path / "b.csv"), traces[3]]


def test_a_base_of_another_package_works():
    learnsys.envs.register("my/Pole-v0", base="CartPole-v1", sutton_barto_reward=True)
    try:
        assert gym.make("my/Pole-v0").spec.max_episode_steps == 500
    finally:
        gym.registry.pop("my/Pole-v0")
    with pytest.raises(InputError, match="no argument"):
        learnsys.envs.register("my/Pole-v0", base="CartPole-v1", trace="x")


def test_import_and_registration_stay_light():
    code = "import learnsys, sys; print(sorted({'numba', 'torch', 'pyarrow', 'matplotlib'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
    code = (
        "import gymnasium, sys; e = gymnasium.make('learnsys:learnsys/CacheReplacement-v0'); e.reset(); e.step(0);"
        "print(sorted({'torch', 'stable_baselines3', 'matplotlib'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_cli_list(capsys):
    assert main(["env", "list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["id"] for row in rows] == list(ENVIRONMENTS)
    assert all(row["summary"] and row["arguments"] for row in rows)
    assert main(["env", "list"]) == 0
    assert "learnsys/" in capsys.readouterr().out


def test_cli_check(capsys, monkeypatch):
    arguments = ["env", "check", CACHE, "--set", "ways=4", "capacity=4KiB", "decide=access", "--json"]
    assert main([*arguments, "--steps", "5"]) == 0
    rows = [SimpleNamespace(**row) for row in json.loads(capsys.readouterr().out)]
    assert {row.outcome for row in rows} == {"passed"} and len(rows) == len(CHECKS)
    spec = gym.envs.registration.EnvSpec("test/Broken-v0", entry_point=Broken, kwargs={"fault": "masks"})
    monkeypatch.setitem(gym.registry, "test/Broken-v0", spec)
    assert main(["env", "check", "test/Broken-v0"]) == 1
    assert "failed" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ["learnsys/Nothing-v0"],
        ["no.such.module:my/Thing-v0"],
        [CACHE, "--set", "wais=8"],
        [CACHE, "--set", "ways"],
        [CACHE, "--set", "trace=missing.parquet"],
        [CACHE, "--steps", "0"],
    ],
)
def test_cli_check_tells_mistakes_in_one_line(arguments, capsys):
    assert main(["env", "check", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("learnsys: ") and error.count("\n") == 1 and "Traceback" not in error
