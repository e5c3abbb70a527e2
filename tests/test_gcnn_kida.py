"""KIDA in small: rounds on their own data, rewards inside SCIP, a killed run, the command."""

import json

import numpy as np
import pytest

from learnsys.cli import main
from learnsys.envs.branching.environment import BranchingEnv
from learnsys.envs.branching.instances import parse_family
from learnsys.envs.branching.tasks import dual_task
from learnsys.errors import InputError
from learnsys.policies.branching.base import BranchingPolicy
from learnsys.policies.branching.dual_task import dual_reward, dual_rewards, first_bounds
from learnsys.policies.branching.gcnn.kida import KidaConfig, KidaTask, train_kida
from learnsys.policies.branching.gcnn.policy import GcnnPolicy
from learnsys.policies.branching.registry import make_branching_policy
from learnsys.policies.branching.samples import SampleSet
from learnsys.runs import read_json, read_metrics
from learnsys.settings import override

FAMILY = "item_placement:small_items=12,big_items=1,bins=3,resources=1,capacity_factor=2.5"
TINY = override(
    KidaConfig(),
    (
        *(
            "rounds=3",
            "full_every=2",
            "samples=6",
            "valid=2",
            "node_limit=9",
            "probability=0.5",
            "most_samples=3",
            "epochs=1",
        ),
        *("full_epochs=2", "instances=2", "limit=15", "width=16", "epoch=16", "batch=8"),
    ),
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kida") / "run"
    return folder, train_kida(FAMILY, TINY, folder)


def test_bounds_that_instances_come_with():
    """min 3x + 2y, x + y >= 1.5, x, y integer: the first LP gives 3, and a solution at least 4."""
    from pyscipopt import Model

    model = Model()
    model.hideOutput()
    x, y = model.addVar("x", vtype="I", obj=3, ub=5), model.addVar("y", vtype="I", obj=2, ub=5)
    model.addCons(x + y >= 1.5)
    primal, dual = first_bounds(model)
    assert primal >= 4 and 3 <= dual <= 4
    assert model.getNVars() == 2  # untouched
    model.free()


def test_a_policy_earns_what_the_environment_pays():
    class Last(BranchingPolicy):
        pseudo_candidates = True

        def act(self, observation, candidates):
            return int(candidates[-1])

    family = parse_family(FAMILY)
    model = family.instance(1, 0).to_model()
    env = BranchingEnv(model, observation=None, form="direct", **dual_task(15, first_bounds, "lp_iterations"))
    total, over = 0.0, False
    _, info = env.reset(seed=0, options={"instance": model})
    while not over:
        _, reward, terminated, truncated, info = env.step(int(info["action_set"][-1]))
        total, over = total + reward, terminated or truncated
    env.close()
    model.free()
    assert dual_reward(FAMILY, Last(), 0, 15) == pytest.approx(total)
    assert total != 0


def test_rules_of_scip_and_parallel_processes():
    rule = make_branching_policy("pscost")
    alone = dual_rewards(FAMILY, rule, 2, 15)
    assert alone == dual_rewards(FAMILY, rule, 2, 15, workers=2)
    assert len(set(alone)) == 2


def test_rounds(trained):
    folder, summary = trained
    lines = read_metrics(folder)
    assert [line["round"] for line in lines[:3]] == [0, 1, 2]
    assert ["reward" in line for line in lines[:3]] == [False, True, True]  # every second round, and the last
    assert lines[0]["samples"] < lines[1]["samples"] < lines[2]["samples"]  # the union grows
    assert lines[3]["averaged"] == 2 and lines[3]["of_rounds"] in ([1, 2], [2, 1])
    assert summary["best"]["reward"] == max(line["reward"] for line in lines if "reward" in line)
    assert np.mean(dual_rewards(FAMILY, GcnnPolicy.load(folder / "behaviour-003"), 2, 15)) == lines[2]["reward"]
    policy = GcnnPolicy.load(folder)
    assert policy.pseudo_candidates and not policy.config.incumbent
    assert isinstance(make_branching_policy(str(folder)), GcnnPolicy)
    first, second = (SampleSet(folder / f"round-{number:03d}" / "train")[0] for number in range(2))
    assert first.seed != second.seed  # new instances in each round
    best = max((line for line in lines if "reward" in line), key=lambda line: line["reward"])
    assert np.mean(dual_rewards(FAMILY, policy, 2, 15)) == pytest.approx(best["reward"])


def test_all_networks_start_from_the_same_weights(tmp_path):
    """So that their mean is a network of the same kind; the first one, which is random, is that start."""
    task = KidaTask(FAMILY, TINY, tmp_path, seed=3, workers=1)
    first = task.weights()
    task.load_weights({name: array + 1 for name, array in first.items()})
    task.restart(4)
    again = task.weights()
    assert all(np.array_equal(first[name], again[name]) for name in first)


def test_a_killed_run_ends_as_if_never_killed(tmp_path, trained):
    class Killed(Exception):
        pass

    def report(phase, done, total):
        if phase.startswith("round 3: epoch"):
            raise Killed

    with pytest.raises(Killed):
        train_kida(FAMILY, TINY, tmp_path / "run", report=report)
    train_kida(FAMILY, TINY, tmp_path / "run")
    for name in ("summary.json", "metrics.jsonl", "model.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (trained[0] / name).read_bytes(), name


def test_command(tmp_path, capsys):
    arguments = ["branch", "kida", FAMILY, "--out", str(tmp_path / "run"), "--smoke"]
    assert main([*arguments, "--set", "width=16", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary == read_json(tmp_path / "run/summary.json")
    assert main([*arguments, "--set", "width=16"]) == 0
    assert "trained policy" in capsys.readouterr().out
    assert main(["branch", "kida", "items", "--out", str(tmp_path / "other"), "--smoke"]) == 2
    assert "no family" in capsys.readouterr().err


def test_impossible_settings():
    with pytest.raises(InputError, match="at least 1"):
        KidaConfig(rounds=0)
