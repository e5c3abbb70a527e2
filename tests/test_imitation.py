"""The imitation loop on a task small enough to follow by hand."""

import json

import numpy as np
import pytest

from learnsys.errors import InputError
from learnsys.imitation import LoopConfig, Schedule, imitate
from learnsys.runs import Run, read_metrics


class Killed(BaseException):
    """What a kill looks like from inside: nothing catches it."""


class Averages:
    """The expert says where numbers come from, the policy is a running estimate of it with momentum.

    Everything that a real task has: data that depends on the policy, an optimiser with state, a cursor that moves
    through the data, and randomness from the seed and the round alone.
    """

    def __init__(self, rewards=None, die=None):
        self.weight, self.momentum, self.cursor = np.zeros(3), np.zeros(3), np.zeros(1, np.int64)
        self.rewards, self.die = rewards, die
        self.parts, self.shares, self.restarts = [], [], []

    def _maybe_die(self, number, phase):
        if self.die == (number, phase):
            raise Killed

    def restart(self, number):
        self.restarts.append(number)
        self.weight = np.full(3, float(number))
        self.momentum = np.zeros(3)

    def collect(self, number, expert_share, report):
        self.shares.append(expert_share)
        noise = np.random.default_rng([7, number]).normal(size=(4, 3))
        data = np.arange(3) + noise + (1 - expert_share) * self.weight + 0.01 * self.cursor
        self.cursor += 4
        self._maybe_die(number, "collect")
        return {"data": data, "round": np.array([number])}

    def fit(self, parts, number, report):
        self.parts.append([int(part["round"][0]) for part in parts])
        for part in parts:
            self.momentum = 0.9 * self.momentum + part["data"].mean(0) - self.weight
            self.weight = self.weight + 0.1 * self.momentum
        report("fit", 1, 1)
        self._maybe_die(number, "fit")
        return {"loss": float(np.abs(self.momentum).sum())}

    def evaluate(self, number, report):
        self._maybe_die(number, "evaluate")
        reward = -float(((self.weight - 2) ** 2).sum()) if self.rewards is None else self.rewards[number]
        return {"reward": reward}

    def weights(self):
        return {"weight": self.weight}

    def load_weights(self, weights):
        self.weight = weights["weight"].copy()

    def state(self):
        return {"momentum": self.momentum, "cursor": self.cursor}

    def load_state(self, state):
        self.momentum, self.cursor = state["momentum"].copy(), state["cursor"].copy()


def test_schedules():
    assert [Schedule().expert_share(r) for r in range(4)] == [1, 0, 0, 0]
    assert [Schedule.constant(0.05).expert_share(r) for r in (0, 9)] == [0.05, 0.05]
    assert [Schedule.linear(4).expert_share(r) for r in range(6)] == [1, 0.75, 0.5, 0.25, 0, 0]
    with pytest.raises(InputError):
        Schedule(1.5)


@pytest.mark.parametrize(
    ("keep", "expected"),
    [(1, [[0], [1], [2], [3]]), (0, [[0], [0, 1], [0, 1, 2], [0, 1, 2, 3]]), (2, [[0], [0, 1], [1, 2], [2, 3]])],
)
def test_which_data_is_fitted(tmp_path, keep, expected):
    task = Averages()
    imitate(task, LoopConfig(rounds=4, keep=keep), Run(tmp_path, {}))
    assert task.parts == expected
    assert task.shares == [1, 0, 0, 0]
    assert not (tmp_path / "parts").exists()


def test_the_best_is_kept_and_patience_ends_the_run(tmp_path):
    task = Averages(rewards=[1.0, 3.0, 3.0, 2.0, 9.0])
    weights = []
    fit = task.fit
    task.fit = lambda *a: (fit(*a), weights.append(task.weight.copy()))[0]
    progress = imitate(task, LoopConfig(rounds=5, patience=2), Run(tmp_path, {}))
    assert progress.rounds == 4  # the second best of equals does not count as better
    assert progress.best[0]["round"] == 1
    np.testing.assert_array_equal(task.weight, weights[1])


def test_from_scratch_and_seldom_evaluation(tmp_path):
    task = Averages()
    imitate(task, LoopConfig(rounds=5, keep=0, from_scratch=True, evaluate_every=2), Run(tmp_path, {}))
    assert task.restarts == [0, 1, 2, 3, 4]
    assert [line["round"] for line in read_metrics(tmp_path) if "reward" in line] == [1, 3, 4]


def test_mean_of_the_best_weights(tmp_path):
    """Three networks around the target: their mean is better than each, so it is what remains."""

    class Around(Averages):
        def fit(self, parts, number, report):
            self.weight = 2 + np.roll([2.0, -1.0, -1.0], number)
            return {}

    task = Around()
    progress = imitate(task, LoopConfig(rounds=3, average=3), Run(tmp_path, {}))
    np.testing.assert_allclose(task.weight, [2, 2, 2])
    assert progress.best[0]["averaged"] == 3
    assert progress.best[0]["reward"] == 0


def test_a_greedy_mean_leaves_the_bad_network_out(tmp_path):
    """Around the target 2 lie the first two; with the third, their mean would be worse than any of them."""

    class Three(Averages):
        def fit(self, parts, number, report):
            self.weight = np.array([[2.5, 2, 2], [1.5, 2, 2], [9, 9, 9]][number], float)
            return {}

    task = Three()
    progress = imitate(task, LoopConfig(rounds=3, average=3, greedy=True), Run(tmp_path, {}))
    np.testing.assert_allclose(task.weight, [2, 2, 2])
    assert progress.best[0]["of_rounds"] == [0, 1]
    tried = [line["of_rounds"] for line in read_metrics(tmp_path) if "of_rounds" in line]
    assert tried == [[0, 1], [0, 1, 2]]


LOOPS = [
    LoopConfig(rounds=5),
    LoopConfig(rounds=5, keep=0, from_scratch=True, evaluate_every=2, average=2),
    LoopConfig(rounds=6, keep=3, schedule=Schedule.linear(4), patience=3),
    LoopConfig(rounds=4, average=4, greedy=True),
]


@pytest.mark.parametrize("config", LOOPS)
def test_a_killed_run_ends_as_if_never_killed(tmp_path, config):
    whole, task = Run(tmp_path / "whole", {}), Averages()
    expected = imitate(task, config, whole)
    for number in range(expected.rounds):
        for phase in ("collect", "fit", "evaluate"):
            if phase == "evaluate" and (number + 1) % config.evaluate_every and number + 1 != config.rounds:
                continue
            run = Run(tmp_path / f"{number}{phase}", {})
            with pytest.raises(Killed):
                imitate(Averages(die=(number, phase)), config, run)
            resumed = Averages()
            progress = imitate(resumed, config, run)
            np.testing.assert_array_equal(resumed.weight, task.weight)
            assert progress.best == expected.best
            assert read_metrics(run.folder) == read_metrics(whole.folder)


def test_a_finished_run_runs_nothing_again(tmp_path):
    first = imitate(Averages(), LoopConfig(rounds=3, keep=0), Run(tmp_path, {}))
    task = Averages()
    again = imitate(task, LoopConfig(rounds=3, keep=0), Run(tmp_path, {}))
    assert task.parts == []
    assert again.best == first.best


def test_stop_ends_after_the_round_and_a_later_call_goes_on(tmp_path):
    config = LoopConfig(rounds=4, keep=0)
    assert imitate(Averages(), config, Run(tmp_path / "a", {}), stop=lambda: True).rounds == 1
    task, straight = Averages(), Averages()
    assert imitate(task, config, Run(tmp_path / "a", {})).rounds == 4
    imitate(straight, config, Run(tmp_path / "b", {}))
    np.testing.assert_array_equal(task.weight, straight.weight)


@pytest.mark.parametrize("damage", [b"", b"\x00" * 64, b'{"not": "safetensors"}'])
def test_a_damaged_checkpoint_is_one_clear_error(tmp_path, damage):
    imitate(Averages(), LoopConfig(rounds=1), Run(tmp_path, {}))
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(damage)
    with pytest.raises(InputError, match=r"checkpoint\.safetensors.*delete it"):
        imitate(Averages(), LoopConfig(rounds=1), Run(tmp_path, {}))


def test_a_checkpoint_of_something_else_is_refused(tmp_path):
    from safetensors.numpy import save_file

    Run(tmp_path, {})
    for about in ({}, {"progress": json.dumps({"rounds": 1, "stale": 0, "best": [{}]})}):
        save_file({"x": np.zeros(1)}, tmp_path / "checkpoint.safetensors", about)
        with pytest.raises(InputError, match="is no checkpoint"):
            imitate(Averages(), LoopConfig(rounds=1), Run(tmp_path, {}))


def test_impossible_configurations():
    for wrong in ({"rounds": 0}, {"keep": -1}, {"average": 0}, {"evaluate_every": 0}):
        with pytest.raises(InputError):
            LoopConfig(**wrong)
