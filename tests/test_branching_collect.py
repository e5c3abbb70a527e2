"""Collecting samples of strong branching: `learnsys branch collect`."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from learnsys.cli import main
from learnsys.envs.branching import control
from learnsys.envs.branching.candidates import candidates
from learnsys.envs.branching.dynamics import AskingRule
from learnsys.envs.branching.instances import parse_family
from learnsys.envs.branching.models import seed_parameters, set_parameters
from learnsys.errors import InputError
from learnsys.policies.branching.collect import collect, quotas_of
from learnsys.policies.branching.labelling import CollectConfig, collect_instance
from learnsys.policies.branching.protocol import FIELD_PARAMETERS
from learnsys.policies.branching.registry import TRAINED
from learnsys.policies.branching.samples import MANIFEST, SampleSet, read_manifest

FAMILY = "auction:items=30,bids=100"
ONE = "auction:tiny"
QUICK = {**FIELD_PARAMETERS, "presolving/emphasis": "off", "heuristics/emphasis": "off", "separating/emphasis": "off"}


def contents(folder):
    """The manifests of the splits, and the shards in them."""
    found = {}
    for split in ("train", "valid", "test"):
        entries = read_manifest(folder / split)
        found[split] = (folder / split / MANIFEST).read_bytes()
        found |= {entry["file"]: (folder / split / entry["file"]).read_bytes() for entry in entries if entry["samples"]}
    return found


def run(out, samples, **arguments):
    config = CollectConfig(probability=0.3, scip_params=QUICK)
    return collect("auction", parse_family(FAMILY), quotas_of(samples), out, config, **arguments)


@pytest.fixture(scope="module")
def episode():
    """The samples of one instance, and SCIP's nodes seen beside."""
    config = CollectConfig(probability=0.3, scip_params=QUICK)
    return collect_instance(parse_family(ONE).instance(0, 5).to_model(), config, 5)


class TestOneInstance:
    def test_samples_fit_together(self, episode):
        samples, end = episode
        assert end["status"] == "optimal"
        assert len(samples) >= 3
        for sample in samples:
            n, m = len(sample.variable_features), len(sample.row_features)
            assert sample.variable_features.shape == (n, 19)
            assert sample.row_features.shape == (m, 5)
            assert sample.candidate_features.shape == (len(sample.candidates), 72)
            # candidates are the variables with a fractional LP value (feature 9); Khalil's 18 is its distance
            fraction = sample.variable_features[sample.candidates, 9]
            assert (fraction > 0).all()
            assert np.allclose(np.minimum(fraction, 1 - fraction), sample.candidate_features[:, 18], atol=1e-6)
            assert (sample.scores >= 0).all()
            assert (sample.instance, sample.seed) == (5, 0)
            assert sample.lower_bound <= sample.lp_value + 1e-6
            assert sample.lp_value < sample.upper_bound
            assert (sample.depth == 0) == (sample.node == 1)

    def test_the_share_of_labelled_nodes(self):
        config = CollectConfig(probability=1.0, scip_params=QUICK)
        samples, end = collect_instance(parse_family(ONE).instance(0, 5).to_model(), config, 5)
        numbers = [sample.node for sample in samples]
        assert numbers[0] == 1
        assert len(set(numbers)) == len(numbers)
        # the expert branches everywhere, so each of its choices has two children
        assert end["n_nodes"] <= 2 * len(samples) + 1

    def test_strong_branching_scores_are_the_children_s_gains(self, episode):
        """At the root, the same instance again: scores by PySCIPOpt's own strong branching."""
        config = CollectConfig(probability=1.0, most_samples=1, scip_params=QUICK)
        samples, _ = collect_instance(parse_family(ONE).instance(0, 5).to_model(), config, 5)
        root = samples[0]
        model = parse_family(ONE).instance(0, 5).to_model()
        rng = np.random.default_rng([0, 5, 1])
        set_parameters(model, {"misc/catchctrlc": False, **seed_parameters(rng), **QUICK})
        rule = AskingRule()
        rule.model = model
        seen = {}

        def decide(_):
            if not seen:
                allowed = candidates(model)
                bound = model.getLPObjVal()
                variables = model.getLPBranchCands()[0]
                model.startStrongbranch()
                for index, variable in zip(allowed, variables, strict=True):
                    down, up, *_ = model.getVarStrongbranch(variable, 2**31 - 1, idempotent=True)
                    gains = [max(down, bound) - bound, max(up, bound) - bound]
                    seen[int(index)] = model.getBranchScoreMultiple(variable, gains)
                model.endStrongbranch()
                model.interruptSolve()
            return rule.decline()

        model.includeBranchrule(rule, "learnsys", "", 10_000_000, -1, 1.0)
        control.solve(model, rule, decide)
        model.free()
        assert seen.keys() == set(root.candidates.tolist())
        assert root.scores == pytest.approx([seen[each] for each in root.candidates.tolist()], rel=1e-6)

    def test_without_the_expert_it_is_pseudocost_branching(self):
        """The tree is SCIP's own one of that rule."""
        family = parse_family(ONE)
        config = CollectConfig(probability=1e-12, khalil=True, scip_params=QUICK)
        samples, end = collect_instance(family.instance(0, 5).to_model(), config, 5)
        assert not samples
        model = family.instance(0, 5).to_model()
        set_parameters(model, {**seed_parameters(np.random.default_rng([0, 5, 1])), **QUICK})
        model.setParam("branching/pscost/priority", 10**8)
        model.optimize()
        assert (end["n_nodes"], end["n_lp_iterations"]) == (model.getNTotalNodes(), model.getNLPIterations())
        model.free()

    def test_another_policy_branches(self):
        config = CollectConfig(probability=0.3, behaviour="first", khalil=False, scip_params=QUICK)
        samples, end = collect_instance(parse_family(ONE).instance(0, 5).to_model(), config, 5)
        assert samples
        assert samples[0].candidate_features.shape[1] == 0
        again, other = collect_instance(parse_family(ONE).instance(0, 5).to_model(), config, 5)
        assert other == end
        assert [each.node for each in again] == [each.node for each in samples]


class TestManyInstances:
    def test_splits_by_instances(self, tmp_path):
        found = run(tmp_path, 40)
        sets = {split: SampleSet(tmp_path / split) for split in ("train", "valid", "test")}
        assert {split: len(each) for split, each in sets.items()} == {
            split: each["samples"] for split, each in found.items()
        }
        assert len(sets["train"]) >= 32
        assert len(sets["valid"]) >= 4
        digits = {split: {sample.instance % 10 for sample in each} for split, each in sets.items()}
        assert digits["valid"] == {8}
        assert digits["test"] == {9}
        assert digits["train"] <= set(range(8))
        instances = [entry["instance"] for entry in read_manifest(tmp_path / "train")]
        assert instances == sorted(set(instances))

    def test_any_number_of_workers_and_any_order_of_runs_give_the_same(self, tmp_path):
        run(tmp_path / "a", 40)
        run(tmp_path / "b", 20)
        run(tmp_path / "b", 40, workers=2)
        assert contents(tmp_path / "a") == contents(tmp_path / "b")

    def test_a_killed_run_goes_on(self, tmp_path):
        """SIGKILL again and again, at any moment: the end is as if nothing had happened."""
        whole, killed = tmp_path / "whole", tmp_path / "killed"
        run(whole, 40)
        code = (
            "from pathlib import Path; import sys; sys.path.insert(0, 'tests'); "
            "from test_branching_collect import run; run(Path(sys.argv[1]), 40)"
        )
        for kill in range(4):
            process = subprocess.Popen(
                [sys.executable, "-c", code, str(killed)], cwd=os.path.dirname(os.path.dirname(__file__))
            )
            before = len(list(killed.rglob("*.arrow")))
            while kill < 3 and process.poll() is None and len(list(killed.rglob("*.arrow"))) < before + 3:
                time.sleep(0.002)
            if kill < 3:
                assert process.poll() is None
                os.kill(process.pid, signal.SIGKILL)
            assert process.wait() == (-signal.SIGKILL if kill < 3 else 0)
        assert contents(killed) == contents(whole)

    def test_another_configuration_is_refused(self, tmp_path):
        run(tmp_path, 10)
        with pytest.raises(InputError, match="another configuration"):
            collect("auction", parse_family(FAMILY), quotas_of(10), tmp_path, CollectConfig(seed=5))


class TestCommand:
    arguments = ("branch", "collect", "auction", "--items", "30", "--bids", "100")
    bare = ("--set", "heuristics/emphasis=off", "presolving/emphasis=off", "separating/emphasis=off")

    def test_it_collects(self, tmp_path, capsys):
        wanted = ["--samples", "20", "--probability", "0.3", "--out", str(tmp_path / "set"), "--json", *self.bare]
        assert main([*self.arguments, *wanted]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["splits"]["train"]["samples"] == len(SampleSet(tmp_path / "set" / "train")) >= 16
        config = json.loads((tmp_path / "set" / "config.json").read_text())
        assert config["parameters"]["bids"] == 100
        assert config["seed"] == 0

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            (["--samples", "0"], "0 samples"),
            (["--probability", "0"], "probability"),
            (["--behaviour", "nobody"], "nobody"),
            (["--set", "no/such=1"], "no/such"),
            (["--node-limit", "0"], "limits must be positive"),
            (["--backend", "slurm"], "backend"),
        ],
    )
    def test_bad_input(self, tmp_path, capsys, wrong, message):
        assert main([*self.arguments, "--out", str(tmp_path / "set"), *wrong]) == 2
        assert message in capsys.readouterr().err

    def test_a_damaged_manifest(self, tmp_path, capsys):
        run(tmp_path, 10)
        (tmp_path / "train" / MANIFEST).write_text("nonsense\n")
        with pytest.raises(InputError, match="line 1"):
            run(tmp_path, 10)


def test_a_behaviour_is_known_by_its_weights_wherever_it_lies(tmp_path):
    """A run of KIDA that is moved between a kill and the next start goes on; other weights of that name are refused."""
    family, quotas = parse_family(ONE), {"train": 1, "valid": 0, "test": 0}

    def collected(behaviour):
        config = CollectConfig(probability=0.5, behaviour=str(behaviour), most_samples=2, scip_params=QUICK)
        return collect(ONE, family, quotas, tmp_path / "out", config)

    first, moved = tmp_path / "mlp", tmp_path / "moved" / "mlp"
    shutil.copytree(TRAINED / "mlp" / "auction", first)
    found = collected(first)
    shutil.move(first, moved)
    assert collected(moved) == found
    shutil.copy(TRAINED / "mlp" / "setcover" / "model.safetensors", moved)
    with pytest.raises(InputError, match="another configuration"):
        collected(moved)
