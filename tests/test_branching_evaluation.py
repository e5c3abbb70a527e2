"""Comparing branching policies: `learnsys branch evaluate`, its statistics by hand, and optima that must not change."""

import csv
import json
import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from learnsys.cli import main
from learnsys.errors import InputError
from learnsys.files import locked
from learnsys.policies.branching import evaluation
from learnsys.policies.branching.comparison import bound_course, disagreements, performance_profile, summarise
from learnsys.policies.branching.evaluation import evaluate
from learnsys.policies.branching.figures import write_figure
from learnsys.policies.branching.measuring import initial_bounds, run_once
from learnsys.policies.branching.protocol import EvaluationConfig
from learnsys.policies.branching.registry import TRAINED, make_branching_policy

MIPLIB = Path(os.environ.get("LEARNSYS_MIPLIB", Path(__file__).parents[2] / "shared" / "data" / "miplib"))
OPTIMA = {"flugpl": 1201500, "egout": 568.1007, "lseu": 1120, "gt2": 21166, "bell5": 8966406.49, "misc03": 3360}
FAMILY = "auction:items=30,bids=100"
POLICIES = (("pscost", "pscost"), ("ours", "pseudocost"), ("first", "first"))


def row(instance, seed, policy, seconds, nodes=1, **more):
    """A made-up result of `run_once`."""
    return {
        "instance": instance,
        "seed": seed,
        "policy": policy,
        "solved": True,
        "seconds": seconds,
        "after_root": seconds / 2,
        "wall_seconds": seconds,
        "policy_seconds": 0.0,
        "nodes": nodes,
        "lp_iterations": 10 * nodes,
        "primal_bound": 5.0,
        "dual_bound": 5.0,
        "sense": 1.0,
        "course": [],
        **more,
    }


class TestStatisticsByHand:
    rows = (
        row("a", 0, "relpscost", 3.0, nodes=1),
        row("a", 1, "relpscost", 3.0, nodes=3),
        row("b", 0, "relpscost", 15.0, nodes=7),
        row("b", 1, "relpscost", 15.0, nodes=9),
        row("a", 0, "learned", 1.0, nodes=3),
        row("a", 1, "learned", 3.5, nodes=7),
        row("b", 0, "learned", 7.0, nodes=15),
        row("b", 1, "learned", 100.0, nodes=999, solved=False),
    )

    def test_means(self):
        expert, learned = summarise(self.rows)
        assert expert["seconds"] == pytest.approx(7.0)  # (4 * 4 * 16 * 16) ** (1/4) - 1
        assert learned["seconds"] == pytest.approx((2 * 4.5 * 8 * 101) ** 0.25 - 1)
        assert learned["reference"] == "relpscost"
        assert learned["ratio"] == pytest.approx(learned["seconds"] / 7.0)
        assert learned["ratio_low"] <= learned["ratio"] <= learned["ratio_high"]
        assert expert["ratio_low"] == expert["ratio_high"] == pytest.approx(1.0)

    def test_only_runs_that_all_solved_count_for_nodes(self):
        expert, learned = summarise(self.rows)
        assert expert["common"] == 3
        assert expert["nodes"] == pytest.approx((2 * 4 * 8) ** (1 / 3) - 1)
        assert learned["nodes"] == pytest.approx((4 * 8 * 16) ** (1 / 3) - 1)
        assert learned["lp_iterations"] == pytest.approx((31 * 71 * 151) ** (1 / 3) - 1)

    def test_wins_and_solved(self):
        expert, learned = summarise(self.rows)
        assert (expert["wins"], learned["wins"]) == (2, 2)
        assert (expert["solved"], learned["solved"]) == (4, 3)

    def test_deviation_is_over_seeds_within_an_instance(self):
        expert, learned = summarise(self.rows)
        assert expert["deviation"] == 0.0
        by_instance = [np.std([1.0, 3.5], ddof=1) / 2.25, np.std([7.0, 100.0], ddof=1) / 53.5]
        assert learned["deviation"] == pytest.approx(np.mean(by_instance))
        one_seed = [each for each in self.rows if each["seed"] == 0]
        assert math.isnan(summarise(one_seed)[0]["deviation"])

    def test_the_faster_of_scip_s_rules_is_the_reference(self):
        rows = [row("a", 0, "relpscost", 4.0), row("a", 0, "pscost", 2.0), row("a", 0, "x", 3.0)]
        assert {each["reference"] for each in summarise(rows)} == {"pscost"}
        assert {each["reference"] for each in summarise(rows[2:])} == {"x"}

    def test_dual_scores_are_compared_in_pairs(self):
        rows = [row(name, 0, "relpscost", 1.0, score=10.0 * i) for i, name in enumerate("abcd")]
        rows += [row(name, 0, "learned", 1.0, score=10.0 * i + 2.0) for i, name in enumerate("abcd")]
        learned = summarise(rows)[1]
        assert learned["score"] == pytest.approx(17.0)
        assert learned["score_gain"] == learned["score_gain_low"] == learned["score_gain_high"] == pytest.approx(2.0)

    def test_profile(self):
        profiles = performance_profile(self.rows)
        assert profiles["relpscost"][0].tolist() == pytest.approx([1.0, 1.0, 15 / 7, 3.0])
        assert profiles["relpscost"][1].tolist() == [0.25, 0.5, 0.75, 1.0]
        assert profiles["learned"][1].tolist() == [0.25, 0.5, 0.75]  # the unsolved run never comes

    @pytest.mark.parametrize("sense", [1.0, -1.0])
    def test_bound_course(self, sense):
        """The gap is from 2 to 4: a bound of 3 has closed half of it."""
        course = [(1.0, 1, 2.0 * sense, 9.0), (2.0, 5, 3.0 * sense, 9.0), (4.0, 9, 4.0 * sense, 4.0)]
        rows = [row("a", 0, "x", 4.0, course=course, primal_bound=4.0 * sense, dual_bound=4.0 * sense, sense=sense)]
        seconds, closed = bound_course(rows)
        assert closed["x"][seconds < 1.9].max() == 0.0
        assert closed["x"][(seconds > 2.1) & (seconds < 3.9)].tolist() == pytest.approx(
            [0.5] * int(((seconds > 2.1) & (seconds < 3.9)).sum())
        )
        assert closed["x"][-1] == 1.0

    def test_different_optima_are_told(self):
        rows = [row("a", 0, "x", 1.0), row("a", 1, "y", 1.0, primal_bound=5.1), row("b", 0, "x", 1.0)]
        assert disagreements(rows) == ["a"]
        unsolved = [rows[0], {**rows[1], "solved": False}]
        assert disagreements(unsolved) == []

    def test_a_figure_of_runs_that_nobody_solved(self, tmp_path):
        write_figure(tmp_path / "a.png", [row("a", 0, "x", 1.0, solved=False)], "title")
        assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluation") / "run"
    config = EvaluationConfig(FAMILY, POLICIES, count=2, seeds=2)
    return config, folder, evaluate(config, out=folder)


class TestRuns:
    def test_every_policy_meets_every_instance_and_seed(self, measured):
        rows = measured[2]
        assert [(each["instance"], each["seed"], each["policy"]) for each in rows] == [
            (name, seed, label) for name in "01" for seed in (0, 1) for label, _ in POLICIES
        ]
        assert not disagreements(rows)
        for each in rows:
            assert each["status"] == "optimal"
            assert 0.0 <= each["after_root"] < each["seconds"]
            times = [point[0] for point in each["course"]]
            assert times == sorted(times)
            assert each["course"][-1][2] == pytest.approx(each["primal_bound"])
        # SCIP's rule is not asked, ours are
        assert all((each["decisions"] > 0) == (each["policy"] != "pscost") for each in rows if each["nodes"] > 2)

    def test_a_rule_of_scip_is_undisturbed(self, measured):
        """Its tree is the one that SCIP makes alone."""
        from learnsys.envs.branching.models import seed_parameters, set_parameters

        config, _, rows = measured
        model = config.model("1")
        set_parameters(model, {**seed_parameters(np.random.default_rng(1)), **config.parameters()})
        model.setParam("branching/pscost/priority", 10**8)
        model.optimize()
        found = next(each for each in rows if (each["instance"], each["seed"], each["policy"]) == ("1", 1, "pscost"))
        assert (model.getNTotalNodes(), model.getNLPIterations()) == (found["nodes"], found["lp_iterations"])
        model.free()

    def test_what_was_measured_is_not_measured_again(self, measured):
        config, folder, rows = measured
        lines = (folder / "metrics.jsonl").read_text().splitlines(keepends=True)
        (folder / "metrics.jsonl").write_text("".join(lines[:5]) + lines[5][:40])  # a run killed here
        told = []
        again = evaluate(config, out=folder, report=told.append)
        assert told[0] == 5
        assert sum(told) == len(rows) == len(again)
        lasting = ("instance", "seed", "policy", "nodes", "lp_iterations", "status")
        assert [[each[key] for key in lasting] for each in again] == [[each[key] for key in lasting] for each in rows]
        told.clear()
        fewer = evaluate(replace(config, policies=POLICIES[1:], count=1), out=folder, report=told.append)
        assert len(fewer) == sum(told) == told[0] == 4
        more = evaluate(replace(config, policies=(*POLICIES[:1], ("new", "uniform")), seeds=1), out=folder)
        assert [(each["instance"], each["policy"]) for each in more] == [
            (name, label) for name in "01" for label in ("pscost", "new")
        ]
        with pytest.raises(InputError, match="another configuration"):
            evaluate(replace(config, time_limit=3.0), out=folder)
        with pytest.raises(InputError, match="another policy called first"):
            evaluate(replace(config, policies=(("first", "uniform"),)), out=folder)

    def test_two_processes_do_not_write_into_one_folder(self, measured):
        config, folder, _ = measured
        with locked(folder), pytest.raises(InputError, match="another process"):
            evaluate(config, out=folder)

    def test_dual_task(self):
        config = EvaluationConfig(
            "item_placement:tiny",
            (("pscost", "pscost"), ("first", "first")),
            count=1,
            seeds=1,
            time_limit=0.5,
            dual_task=True,
        )
        primal, dual = initial_bounds(config, "0")
        assert dual < primal
        rows = evaluate(config)
        for each in rows:
            # between the first LP's bound and the first solution, for half a second
            assert 0.5 * dual <= each["score"] <= 0.5 * primal
        assert {"score", "score_gain"} <= summarise(rows)[0].keys()

    @pytest.mark.parametrize("dual_task", [False, True])
    def test_each_instance_of_the_dual_task_is_permuted_in_its_own_way(self, monkeypatch, dual_task):
        seen = []
        monkeypatch.setattr(evaluation, "initial_bounds", lambda config, name: (2.0, 1.0))
        monkeypatch.setattr(evaluation, "run_once", lambda model, policy, seed, *_: seen.append(seed) or {})
        policies = (("pscost", "pscost"), ("first", "first"))
        config = EvaluationConfig("item_placement:tiny", policies, count=3, seeds=2, dual_task=dual_task)
        evaluate(config)
        pairs = [seen[i : i + 2] for i in range(0, len(seen), 2)]  # the policies of an instance meet the same
        assert all(a == b for a, b in pairs)
        assert len({a for a, _ in pairs}) == (6 if dual_task else 2)
        assert all(0 <= seed < 2**31 for seed in seen)
        assert {config.scip_seed("2", seed) for seed in (0, 1)} == {pairs[2][0], pairs[5][0]}

    def test_limits(self):
        config = EvaluationConfig("auction:tiny", (("first", "first"),), node_limit=3)
        found = run_once(config.model("0"), make_branching_policy("first"), 0, config)
        assert found["status"] == "totalnodelimit"
        assert not found["solved"]


class TestCommand:
    def test_table_files_and_json(self, tmp_path, capsys):
        arguments = ["branch", "evaluate", "--instances", FAMILY, "--policies", "pscost,mine=pseudocost"]
        arguments += ["--count", "1", "--seeds", "2", "--out", str(tmp_path / "run")]
        assert main(arguments) == 0
        text = capsys.readouterr().out
        assert "mine" in text
        assert "not counted" in text
        with open(tmp_path / "run" / "results.csv") as file:
            assert [(each["policy"], each["seed"]) for each in csv.DictReader(file)] == [
                ("pscost", "0"),
                ("mine", "0"),
                ("pscost", "1"),
                ("mine", "1"),
            ]
        assert (tmp_path / "run" / "comparison.png").read_bytes().startswith(b"\x89PNG")
        assert "Performance profile" in (tmp_path / "run" / "report.html").read_text()
        summary = (tmp_path / "run" / "summary.json").read_bytes()
        assert main([*arguments, "--json"]) == 0  # nothing is solved again
        found = json.loads(capsys.readouterr().out)
        assert [each["policy"] for each in found["policies"]] == ["pscost", "mine"]
        assert (tmp_path / "run" / "summary.json").read_bytes() == summary

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            (["--instances", "nowhere"], "nowhere"),
            (["--instances", FAMILY, "--policies", "nobody"], "nobody"),
            (["--instances", FAMILY, "--policies", "pscost,pscost"], "same label"),
            (["--instances", FAMILY, "--policies", "a="], "no list of policies"),
            (["--instances", FAMILY, "--seeds", "0"], "needs policies"),
            (["--instances", FAMILY, "--time-limit", "0"], "time limit"),
            (["--instances", FAMILY, "--policies", "gcnn=/no/such/folder"], "no branching policy"),
        ],
    )
    def test_bad_input(self, capsys, wrong, message):
        assert main(["branch", "evaluate", *wrong]) == 2
        assert message in capsys.readouterr().err


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """Networks as they are before training, and all that ship: whatever the weights, the optimum must not change."""
    import torch

    from learnsys.policies.branching.features.policy import WIDTH, MlpPolicy
    from learnsys.policies.branching.gcnn.config import ModelConfig
    from learnsys.policies.branching.gcnn.model import GcnnModel
    from learnsys.policies.branching.gcnn.policy import GcnnPolicy

    folder = tmp_path_factory.mktemp("learned")
    torch.manual_seed(0)
    config = ModelConfig(width=16)
    weights = {name: tensor.numpy().copy() for name, tensor in GcnnModel(config).state_dict().items()}
    GcnnPolicy(config, weights).save(folder / "gcnn")
    rng = np.random.default_rng(0)
    shapes = ((8, WIDTH), (8,), (8, 8), (8,), (1, 8), (1,))
    arrays = {f"layers.{i // 2 * 2}.{('weight', 'bias')[i % 2]}": rng.standard_normal(s) for i, s in enumerate(shapes)}
    MlpPolicy({**arrays, "mean": np.zeros(WIDTH), "deviation": np.ones(WIDTH)}).save(folder / "mlp")
    shipped = sorted(path.parent for path in TRAINED.glob("*/*/config.json"))
    return tuple((f"{path.parent.name}:{path.name}", str(path)) for path in (folder / "gcnn", folder / "mlp", *shipped))


@pytest.mark.skipif(not MIPLIB.is_dir(), reason="the MIPLIB instances are not here")
@pytest.mark.parametrize("name", OPTIMA)
def test_the_optimum_is_the_same_whatever_branches(name, learned):
    config = EvaluationConfig(str(MIPLIB / f"{name}.mps"), (("uniform", "uniform"), *learned), seeds=1)
    for each in evaluate(config):
        assert each["status"] == "optimal"
        assert each["primal_bound"] == pytest.approx(OPTIMA[name], rel=1e-6)
