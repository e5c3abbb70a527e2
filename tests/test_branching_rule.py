"""Policies by name or folder, and as a rule in the user's own model."""

import json
import sys

import numpy as np
import pytest
from pyscipopt import Model, quicksum

from learnsys.envs.branching.models import set_parameters
from learnsys.errors import InputError
from learnsys.policies.branching import as_branchrule
from learnsys.policies.branching.base import BranchingPolicy
from learnsys.policies.branching.hybrid import HybridPolicy
from learnsys.policies.branching.registry import make_branching_policy
from learnsys.policies.branching.solve import solve

BARE = {"presolving/emphasis": "off", "heuristics/emphasis": "off", "separating/emphasis": "off"}


def knapsack():
    """A user's own model."""
    rng = np.random.default_rng(3)
    model = Model()
    model.hideOutput()
    chosen = [model.addVar(vtype="B") for _ in range(25)]
    for _ in range(4):
        weights = rng.integers(5, 60, 25)
        model.addCons(quicksum(int(w) * x for w, x in zip(weights, chosen, strict=True)) <= int(weights.sum() // 3))
    model.setObjective(quicksum(int(c) * x for c, x in zip(rng.integers(5, 60, 25), chosen, strict=True)), "maximize")
    set_parameters(model, BARE)
    return model


def plug(model, policy):
    rule = as_branchrule(policy)
    model.includeBranchrule(rule, "learned", "asks a policy", priority=10_000_000, maxdepth=-1, maxbounddist=1.0)
    return rule


class TestAsBranchrule:
    @pytest.mark.parametrize("policy", ["uniform", "most_fractional", "strong_branching"])
    def test_three_lines_in_one_s_own_model(self, policy):
        plain, own, ours = knapsack(), knapsack(), knapsack()
        plain.optimize()
        rule = plug(own, policy)
        own.optimize()
        # the same tree as learnsys's own solving, to the same optimum as SCIP's own rules
        done = solve(ours, make_branching_policy(policy))
        assert own.getObjVal() == pytest.approx(plain.getObjVal())
        assert rule.decide.count == done.n_decisions > 3
        assert own.getNTotalNodes() == done.n_nodes
        for model in (plain, own, ours):
            model.free()

    def test_an_object_of_one_s_own(self):
        class Last(BranchingPolicy):
            def act(self, observation, candidates):
                return int(candidates[-1])

        model = knapsack()
        rule = plug(model, Last())
        model.optimize()
        assert rule.decide.count > 3
        model.free()

    def test_a_second_solve_starts_again(self):
        model = knapsack()
        rule = plug(model, "uniform")
        model.optimize()
        first = rule.decide
        model.freeTransform()
        model.optimize()
        assert rule.decide is not first
        model.free()

    def test_an_error_ends_the_solve(self, monkeypatch):
        class Wrong(BranchingPolicy):
            def act(self, observation, candidates):
                raise ZeroDivisionError("in the policy")

        told = []
        monkeypatch.setattr(sys, "unraisablehook", told.append)
        model = knapsack()
        plug(model, Wrong())
        with pytest.raises(Exception, match="SCIP"):
            model.optimize()
        assert [type(each.exc_value) for each in told] == [ZeroDivisionError]
        model.free()

    def test_rules_of_scip_are_refused(self):
        with pytest.raises(InputError, match="setParam"):
            as_branchrule("relpscost")


class TestHybrid:
    def test_the_first_decides_at_the_root_alone(self):
        class Told(BranchingPolicy):
            def __init__(self, observation):
                self.observation, self.seen = observation, []

            def act(self, observation, candidates):
                self.seen.append(observation)
                return int(candidates[0])

        first, second = Told("pseudocosts"), Told("khalil2016")
        model, plain = knapsack(), knapsack()
        done = solve(model, HybridPolicy(first, second))
        same = solve(plain, make_branching_policy("first"))
        assert done.lasting() == same.lasting()
        assert len(first.seen) == 1
        assert first.seen[0].ndim == 1
        assert len(second.seen) == done.n_decisions - 1 > 3
        assert all(each.shape[1] == 72 for each in second.seen)
        model.free()
        plain.free()

    def test_by_name(self):
        model = knapsack()
        assert solve(model, make_branching_policy("hybrid:strong_branching+pseudocost")).status == "optimal"
        model.free()
        with pytest.raises(InputError, match="two policies that are asked"):
            make_branching_policy("hybrid:relpscost+first")


class TestNames:
    @pytest.mark.parametrize(
        ("name", "family", "message"),
        [
            ("best", None, "no branching policy is called 'best'"),
            ("gcnn", None, "does not say for what instances"),
            ("gcnn", "knapsack", "no gcnn for knapsack ships"),
            ("gcnn:nothing", None, "no gcnn for nothing ships"),
        ],
    )
    def test_unknown(self, name, family, message):
        with pytest.raises(InputError, match=message):
            make_branching_policy(name, family)

    @pytest.mark.parametrize(
        ("content", "message"),
        [(None, "no such file"), ("{", "not JSON"), ("[]", "holds no branching policy"), ('{"policy": "lru"}', "lru")],
    )
    def test_folders_that_hold_no_policy(self, tmp_path, content, message):
        if content is not None:
            (tmp_path / "config.json").write_text(content)
        with pytest.raises(InputError, match=message):
            make_branching_policy(str(tmp_path))

    def test_the_command_takes_them(self, tmp_path, capsys):
        from learnsys.cli import main

        (tmp_path / "config.json").write_text(json.dumps({"policy": "nothing"}))
        assert main(["branch", "solve", "knapsack:tiny", "--policy", str(tmp_path)]) == 2
        assert "holds no branching policy" in capsys.readouterr().err
