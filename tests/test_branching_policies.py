"""Branching policies: every one ends at the known optimum, inside SCIP and through the environment; the command."""

import json
from pathlib import Path

import numpy as np
import pytest

from learnsys.cli import main
from learnsys.envs.branching.base import BARE
from learnsys.envs.branching.environment import BranchingEnv
from learnsys.envs.branching.instances import parse_family
from learnsys.envs.branching.models import read_model
from learnsys.errors import InputError, LearnsysError
from learnsys.policies.branching.base import BranchingPolicy, ScipRule
from learnsys.policies.branching.baselines import First, MostFractional, Pseudocost, StrongBranching
from learnsys.policies.branching.registry import POLICIES, SCIP_RULES, make_branching_policy
from learnsys.policies.branching.solve import solve

MIPLIB = Path(__file__).resolve().parents[1].parent / "shared" / "data" / "miplib"
OPTIMA = {"flugpl": 1201500, "egout": 568.1007, "lseu": 1120, "gt2": 21166, "bell5": 8966406.49, "misc03": 3360}
NO_CUTS = {"separating/emphasis": "off", "heuristics/emphasis": "off", "presolving/emphasis": "off"}


def knapsack(name="tiny"):
    return parse_family(f"knapsack:{name}").instance(0).to_model()


@pytest.mark.parametrize("name", [*SCIP_RULES, *POLICIES])
@pytest.mark.parametrize("instance", OPTIMA)
def test_every_policy_ends_at_the_known_optimum(instance, name):
    if not MIPLIB.exists():
        pytest.skip("the MIPLIB instances are not here")
    model = read_model(MIPLIB / f"{instance}.mps")
    few_cuts = {"separating/emphasis": "off", "heuristics/emphasis": "off"}  # so that there is a tree, a small one
    parameters = few_cuts if instance in ("flugpl", "egout", "misc03") else {}
    done = solve(model, make_branching_policy(name), seed=0, scip_params=parameters)
    assert done.n_nodes > 1 or instance == "gt2"
    assert done.status == "optimal" and done.primal_bound == pytest.approx(OPTIMA[instance], rel=1e-6)
    model.free()


@pytest.mark.parametrize("name", POLICIES)
def test_inside_scip_and_through_the_environment_the_tree_is_the_same(name):
    model = knapsack()
    policy = make_branching_policy(name)
    inside = solve(model, policy, seed=7, scip_params=NO_CUTS)
    model.free()
    env = BranchingEnv(knapsack, observation=policy.observation, form="direct", scip_params={**seeded(7), **NO_CUTS})
    seen, info = env.reset(seed=0)
    policy.start(7)
    decisions = 0
    while info["action_mask"].any():
        seen, _, _, _, info = env.step(policy.act(seen, info["action_set"]))
        decisions += 1
    assert (info["n_nodes"], info["n_lp_iterations"], decisions) == (
        inside.n_nodes,
        inside.n_lp_iterations,
        inside.n_decisions,
    )
    assert decisions == inside.n_branched > 5
    env.close()


def seeded(seed):
    from learnsys.envs.branching.models import seed_parameters

    return seed_parameters(np.random.default_rng(seed))


def test_own_rules_make_scip_s_trees():
    """Pseudocost scores are SCIP's, so is most fractional; strong branching without a rule's own pruning is not."""
    for own, rule, parameters in ((Pseudocost(), "pscost", {}), (MostFractional(), "mostinf", {})):
        trees = []
        for policy in (own, ScipRule(rule)):
            model = knapsack("steps")
            done = solve(model, policy, scip_params={**BARE, **parameters, "misc/usesymmetry": 0})
            trees.append((done.n_nodes, done.n_lp_iterations, done.max_depth, done.n_branched))
            model.free()
        assert trees[0] == trees[1] and trees[0][0] > 100


def test_same_seed_same_numbers():
    runs = []
    for seed in (1, 1, 2):
        model = knapsack()
        runs.append(solve(model, make_branching_policy("uniform"), seed=seed, scip_params=NO_CUTS).lasting())
        model.free()
    assert runs[0] == runs[1] != runs[2]
    assert not [name for name in runs[0] if "seconds" in name]


def test_nodes_of_the_tree_add_up():
    model = knapsack()
    done = solve(model, First(), seed=0, scip_params={**NO_CUTS, "misc/usesymmetry": 0})
    assert done.n_nodes - 5 <= done.n_branched + done.n_feasible + done.n_infeasible <= done.n_nodes
    assert done.n_decisions == done.n_branched
    assert 0 < done.max_depth < done.n_nodes <= 2 * done.n_branched + 1
    assert 0 < done.policy_seconds < done.seconds
    model.free()


def test_strong_branching_needs_a_smaller_tree():
    sizes = dict.fromkeys(("strong_branching", "uniform"), 0)
    for name in sizes:
        for seed in range(3):
            model = parse_family("auction:items=30,bids=120").instance(seed).to_model()
            sizes[name] += solve(model, make_branching_policy(name), seed=seed, scip_params=NO_CUTS).n_nodes
            model.free()
    assert sizes["strong_branching"] < sizes["uniform"] / 2


def test_scores_that_are_missing_are_never_best():
    candidates = np.array([2, 4, 5])
    scores = np.array([9.0, 9.0, np.nan, 9.0, 1.0, 1.0])
    assert StrongBranching().act(scores, candidates) == 4
    assert StrongBranching().act(np.full(6, np.nan), candidates) == 2
    assert StrongBranching().act(None, candidates) == 2


def test_a_policy_that_chooses_no_candidate_is_told():
    class Wrong(BranchingPolicy):
        def act(self, observation, candidates):
            return -1

    model = knapsack()
    with pytest.raises(LearnsysError, match="Wrong chose variable -1"):
        solve(model, Wrong())
    model.free()


def test_unknown_policies_are_told():
    with pytest.raises(InputError, match="choose from relpscost"):
        make_branching_policy("best")


# ---- learnsys branch solve -------------------------------------------------------------------------------------------


def test_command_solves_and_tells(capsys, tmp_path):
    path = tmp_path / "knapsack.mps"
    model = knapsack()
    model.writeProblem(str(path), verbose=False)
    model.free()
    out, found = tmp_path / "run", tmp_path / "best.sol"
    arguments = ["branch", "solve", str(path), "--policy", "uniform", "--seed", "3", "--json"]
    assert main([*arguments, "--out", str(out), "--solution", str(found)]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["status"] == "optimal" and row["policy"] == "uniform" and row["n_decisions"] > 0
    assert f"{row['primal_bound']:.6g}"[:4] in found.read_text().splitlines()[0]
    first = (out / "summary.json").read_bytes()
    assert main([*arguments, "--out", str(out)]) == 0
    assert (out / "summary.json").read_bytes() == first
    assert "seconds" not in first.decode() and "seconds" in (out / "timings.json").read_text()
    capsys.readouterr()

    assert main(["branch", "solve", str(path), "--policy", "relpscost,first", "--node-limit", "3"]) == 0
    shown = capsys.readouterr().out
    assert "relpscost" in shown and "first" in shown and "totalnodelimit" in shown


def test_command_takes_families_limits_and_parameters(capsys):
    arguments = ["branch", "solve", "knapsack:steps", "--json", "--policy", "pscost"]
    assert main([*arguments, "--set", "presolving/emphasis=off", "limits/totalnodes=7", "misc/usesymmetry=0"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["n_nodes"] == 7
    assert main([*arguments, "--time-limit", "0"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["status"] == "timelimit" and row["n_nodes"] == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["missing.mps"],
        ["knapsack:tiny", "--policy", "best"],
        ["knapsack:tiny", "--policy", ","],
        ["knapsack:none"],
        ["knapsack:tiny", "--set", "limits/time"],
        ["knapsack:tiny", "--set", "limits/none=1"],
        ["knapsack:tiny", "--set", "limits/totalnodes=many"],
        ["knapsack:tiny", "--set", "limits/totalnodes=-5"],
        ["knapsack:tiny", "--policy", "first,uniform", "--solution", "x.sol"],
        ["knapsack:tiny", "--time-limit", "0", "--solution", "x.sol"],
    ],
    ids=" ".join,
)
def test_command_tells_bad_input(arguments, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["branch", "solve", *arguments]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("learnsys: ")]
    assert len(lines) == 1
    assert not list(tmp_path.iterdir())
