"""Choosing a policy by what it achieves: `learnsys branch choose` and `--policy auto`."""

import json

import pytest

from learnsys.cli import main
from learnsys.errors import InputError
from learnsys.policies.branching.base import ScipRule
from learnsys.policies.branching.choice import known_candidates, parse_candidates, standings
from learnsys.policies.branching.registry import make_branching_policy

FAMILY = "auction:items=30,bids=100"


def row(policy, seconds, solved=True, gap=0.0, **more):
    return {"policy": policy, "seconds": seconds, "solved": solved, "gap": gap, **more}


class TestStandings:
    def test_the_fastest(self):
        rows = [row("a", 3.0), row("a", 15.0), row("b", 7.0), row("b", 7.0)]
        ranked = standings(rows, 60.0)
        assert [each.policy for each in ranked] == ["a", "b"]  # 7.0 each: the first stays ahead
        assert ranked[0].seconds == pytest.approx(7.0)

    def test_a_limit_counts_twice(self):
        ranked = standings([row("a", 10.0, solved=False), row("b", 19.0)], 10.0)
        assert [(each.policy, each.seconds) for each in ranked] == [
            ("b", pytest.approx(19.0)),
            ("a", pytest.approx(20.0)),
        ]

    def test_the_gap_decides_where_nobody_ends(self):
        ranked = standings([row("a", 10.0, False, 1e20), row("b", 10.0, False, 0.4)], 10.0)
        assert [(each.policy, each.gap) for each in ranked] == [("b", 0.4), ("a", 1.0)]

    def test_the_dual_task_is_scored(self):
        rows = [row("a", 1.0, score=5.0), row("b", 60.0, solved=False, gap=0.5, score=6.0)]
        assert standings(rows, 60.0)[0].policy == "b"


class TestCandidates:
    def test_the_simple_ones_are_always_there(self):
        names = [name for name, _ in known_candidates("no such family")]
        assert names == ["relpscost", "pscost", "random"]

    def test_given_ones(self):
        assert parse_candidates("auto:pscost+runs/a", None) == (("pscost", "pscost"), ("runs/a", "runs/a"))
        with pytest.raises(InputError, match="names no candidates"):
            parse_candidates("auto:", None)


class TestCommands:
    def test_the_chosen_one_is_a_policy(self, tmp_path, capsys):
        out = tmp_path / "best"
        arguments = ["branch", "choose", "--instances", FAMILY, "--out", str(out), "--count", "2"]
        assert main([*arguments, "--policies", "fullstrong,pscost", "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["chosen"] == found["standings"][0]["policy"] in ("pscost", "fullstrong")
        policy = make_branching_policy(str(out))
        assert isinstance(policy, ScipRule)
        assert policy.rule == {"pscost": "pscost", "fullstrong": "vanillafullstrong"}[found["chosen"]]

    def test_auto(self, tmp_path, capsys):
        assert main(["branch", "solve", FAMILY, "--policy", "auto:first+pscost", "--json"]) == 0
        told = capsys.readouterr()
        assert json.loads(told.out)[0]["status"] == "optimal"
        assert "auto:first+pscost is " in told.err

    def test_bad_candidates(self, capsys):
        assert main(["branch", "solve", FAMILY, "--policy", "auto:nobody"]) == 2
        assert "nobody" in capsys.readouterr().err
