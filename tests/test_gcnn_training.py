"""Training a GCNN, from Python and from the command line: it learns, it is killed and resumed, it becomes a policy."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from learnsys.cli import main
from learnsys.envs.branching.environment import BranchingEnv
from learnsys.errors import InputError
from learnsys.files import write_json
from learnsys.imitation import LoopConfig, imitate
from learnsys.policies.branching.gcnn import data, fitting
from learnsys.policies.branching.gcnn.config import RECIPES, GcnnConfig, ModelConfig, TrainingConfig, gcnn
from learnsys.policies.branching.gcnn.model import loss_of
from learnsys.policies.branching.gcnn.policy import GcnnPolicy
from learnsys.policies.branching.gcnn.training import ImitationTask, train_gcnn
from learnsys.policies.branching.samples import Sample, SampleSet, append_manifest, write_shard
from learnsys.policies.branching.training_data import TrainingData
from learnsys.runs import Run, read_json, read_metrics
from learnsys.settings import override

ROOT = Path(__file__).resolve().parents[1]
TINY = ("width=16", "epoch=64", "epochs=3", "batch=8", "norm_every=4")


def make_sample(rng):
    """The best candidate is the one with the largest value in its (only) row, so edges must be read to find it."""
    n, m, k = 12, 8, 5
    columns = np.concatenate([rng.choice(n, 4, replace=False) for _ in range(m)]).astype(np.int32)
    values = rng.random(4 * m).astype(np.float32)
    candidates = rng.choice(n, k, replace=False).astype(np.int32)
    sums = np.bincount(columns, values, n)
    return Sample(
        variable_features=rng.normal(size=(n, 19)).astype(np.float32),
        row_features=rng.normal(size=(m, 5)).astype(np.float32),
        row_pointers=np.arange(0, 4 * m + 1, 4, dtype=np.int32),
        columns=columns,
        values=values,
        candidates=candidates,
        scores=sums[candidates],
        candidate_features=np.zeros((k, 0), np.float32),
        pseudocost_choice=0,
        instance=0,
        seed=0,
        node=1,
        depth=0,
        lp_value=0.0,
        lower_bound=0.0,
        upper_bound=1.0,
    )


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("samples")
    rng = np.random.default_rng(0)
    for split, count in (("train", 300), ("valid", 60), ("test", 60)):
        (folder / split).mkdir()
        write_shard(folder / split / "000000.arrow", [make_sample(rng) for _ in range(count)])
        append_manifest(folder / split, {"instance": 0, "samples": count, "file": "000000.arrow"})
    write_json(folder / "config.json", {"family": "none", "pseudo_candidates": True})
    return folder


def test_folders_are_taken_together(tmp_path, samples):
    other = tmp_path / "other"
    shutil.copytree(samples, other)
    together = TrainingData([samples, other])
    assert together.counts == {"train": 600, "valid": 120, "test": 120} and together.pseudo_candidates
    assert np.array_equal(together.train[0].values, together.train[300].values)
    assert together.about()["data_sha256"] != TrainingData(samples).about()["data_sha256"]
    summary = train_gcnn([samples, other], override(gcnn(), TINY), tmp_path / "run")
    assert summary["samples"]["train"] == 600
    write_json(other / "config.json", {"family": "other", "pseudo_candidates": True})
    with pytest.raises(InputError, match="different families"):
        TrainingData([samples, other])
    with pytest.raises(InputError, match="no folder"):
        TrainingData([])


def test_a_search_changes_one_setting_at_a_time_and_the_source(tmp_path, samples):
    """All networks are measured on the samples of --data: alike ones of another folder give the same network."""
    other = tmp_path / "other"
    shutil.copytree(samples, other)
    script = [sys.executable, str(ROOT / "scripts" / "search_branching"), "--data", str(samples)]
    script += ["--sources", str(other), "--only", "width,source", "--out", str(tmp_path / "runs"), "--json"]
    script += ["--set", "width=16", "epoch=20", "epochs=1"]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = {row.pop("changed"): row for row in json.loads(done.stdout)}
    assert list(rows) == ["as it is", "width 32", "width 64", f"source {samples.name}", "source other", "source all"]
    assert rows["width 32"]["weights"] > 3 * rows["as it is"]["weights"]
    timeless = [{**row, "cpu_seconds": 0} for row in rows.values()]
    assert timeless[0] == timeless[3] == timeless[4]
    summary = json.loads((tmp_path / "runs" / "source-all" / "summary.json").read_text())
    assert summary["samples"]["train"] == 600
    assert rows["source all"]["validation_loss"] == pytest.approx(summary["validation"]["loss"], rel=1e-5)
    again = subprocess.run(script, capture_output=True, text=True, check=False)
    assert again.stdout == done.stdout  # from what is kept
    append_manifest(other / "test", {"instance": 1, "samples": 60, "file": "000000.arrow"})
    changed = subprocess.run(script, capture_output=True, text=True, check=False)
    assert changed.returncode == 2 and "source-other: was trained on other samples" in changed.stderr


def test_it_learns_what_only_edges_tell(tmp_path, samples):
    config = override(gcnn(), ("width=32", "epoch=600", "epochs=8", "batch=16"))
    summary = train_gcnn(samples, config, tmp_path)
    assert summary["test"]["acc@1"] >= 0.75
    assert summary["test"]["acc@5"] == 1.0
    assert summary["by_chance"]["random"] < 0.3
    losses = [line["validation_loss"] for line in read_metrics(tmp_path)]
    assert min(losses) == summary["validation"]["loss"] < losses[0]
    assert GcnnPolicy.load(tmp_path).pseudo_candidates is True  # as the samples were collected


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_runs_and_gives_a_policy(tmp_path, samples, recipe):
    config = override(RECIPES[recipe](), ("width=16", "epoch=32", "epochs=1"))
    summary = train_gcnn(samples, config, tmp_path, about={"recipe": recipe})
    assert summary == read_json(tmp_path / "summary.json")
    policy = GcnnPolicy.load(tmp_path)
    env = BranchingEnv("setcover:tiny", observation=policy.observation, form="direct")
    observation, info = env.reset(seed=3)
    logits = policy.logits(observation, info["action_set"])
    chosen = policy.act(observation, info["action_set"])
    env.close()
    assert logits.shape == info["action_set"].shape and np.isfinite(logits).all()
    assert chosen == info["action_set"][np.argmax(logits)]


@pytest.mark.parametrize("target", ["first", "ties", "soft"])
def test_targets_by_hand(target):
    """Scores 4, 2, 4, 0: the first best; both best; (score / 4) to the power 1 / 0.5 = 1, 1/4, 1, 0."""
    expected = {"first": [1, 0, 0, 0], "ties": [1 / 2, 0, 1 / 2, 0], "soft": [4 / 9, 1 / 9, 4 / 9, 0]}
    found = data._target(np.array([4.0, 2.0, 4.0, 0.0]), target, 0.5)
    np.testing.assert_allclose(found, expected[target], atol=1e-6)
    assert data._target(np.zeros(4), target, 0.5).sum() == 1.0  # all scores 0


def test_losses_by_hand():
    """Chances 1/2, 1/4, 1/4, of which the last two are best: any of them comes with 1/2; alike, log 4 on average."""
    batch = SimpleNamespace(owner=torch.zeros(3, dtype=torch.int64), place=torch.arange(3))
    table, wanted = torch.log(torch.tensor([[0.5, 0.25, 0.25]])), torch.tensor([0.0, 0.5, 0.5])
    assert float(loss_of(table, wanted, batch, "ties")) == pytest.approx(np.log(2))
    assert float(loss_of(table, wanted, batch, "soft")) == pytest.approx(np.log(4))


def test_hits_by_hand(samples):
    """Two examples; the best candidate is ranked second in the first, and a tie counts in the second."""
    examples = [data.Example.of(SampleSet(samples / "train")[i], ModelConfig()) for i in range(2)]
    scores = np.array([1.0, 3, 2, 0, 0]), np.array([5.0, 5, 1, 0, 0])
    for example, values in zip(examples, scores, strict=True):
        object.__setattr__(example, "scores", values)
    logits = np.array([9.0, 8, 7, 6, 5, 1, 4, 0, 0, 0], np.float32)
    assert data.hits(logits, examples, (1, 2)).tolist() == [[False, True], [True, True]]


def test_portions_change_no_gradient(samples, monkeypatch):
    """A batch is taken in portions that fit the processor's cache; the gradient is that of the whole batch."""
    task = ImitationTask(
        override(gcnn(), (*TINY, "dropout=0")), SampleSet(samples / "train"), SampleSet(samples / "valid"), 0
    )
    task.collect(0, 1.0, lambda *_: None)
    model, gradients = task.fitter.model, []
    for edges, portions in ((1, 16), (10**9, 1)):
        monkeypatch.setattr(fitting, "CHUNK_EDGES", edges)
        model.zero_grad()
        chunks = list(task.fitter._chunks([task.train[i] for i in range(16)]))
        losses = [task.fitter._loss_of(chunk)[0] for chunk in chunks]
        assert len(losses) == portions
        sum(losses).backward()
        gradients.append({name: each.grad.clone() for name, each in model.named_parameters()})
    for name, gradient in gradients[0].items():
        np.testing.assert_allclose(gradient, gradients[1][name], rtol=1e-3, atol=1e-5, err_msg=name)


def test_a_killed_run_ends_as_if_never_killed(tmp_path, samples):
    config = override(gcnn(), (*TINY, "decay_after=1", "dropout=0.2"))

    class Killed(Exception):
        pass

    def train(folder, kill_in=None):
        def report(phase, done, total):
            if phase == kill_in and done > 8:
                raise Killed

        return train_gcnn(samples, config, folder, report=report)

    whole = train(tmp_path / "whole")
    with pytest.raises(Killed):
        train(tmp_path / "killed", "epoch 3")
    assert train(tmp_path / "killed") == whole
    for name in ("summary.json", "metrics.jsonl", "model.safetensors", "config.json"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes(), name


def test_the_plateau_lowers_the_rate(samples):
    config = override(gcnn(), (*TINY, "decay_after=2", "learning_rate=0.1"))
    task = ImitationTask(config, SampleSet(samples / "train"), SampleSet(samples / "valid"), 0)
    rates = []
    for loss in (1.0, 2.0, 2.0, 0.5, 0.6, 0.5, 0.5, 0.5):
        task.fitter.observe(loss)
        rates.append(round(task.fitter.learning_rate, 6))
    assert rates == [0.1, 0.1, 0.02, 0.02, 0.02, 0.004, 0.004, 0.0008]


def test_early_stopping(tmp_path, samples):
    config = override(gcnn(), (*TINY, "epochs=30", "learning_rate=1.0", "stop_after=3"))
    summary = train_gcnn(samples, config, tmp_path)
    assert summary["epochs"] == summary["best_epoch"] + 3 < 30


def test_command(tmp_path, samples, capsys):
    arguments = ["branch", "train", "--data", str(samples), "--out", str(tmp_path / "run"), "--smoke", "--set"]
    assert main([*arguments, "width=16", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert set(summary["test"]) == {"loss", "acc@1", "acc@3", "acc@5", "acc@10"}
    assert main([*arguments, "width=16"]) == 0  # done already
    assert "trained policy" in capsys.readouterr().out
    shutil.copytree(samples, tmp_path / "moved")
    assert main([arguments[0], arguments[1], "--data", str(tmp_path / "moved"), *arguments[4:], "width=16"]) == 0
    assert "trained policy" in capsys.readouterr().out
    for wrong, message in (
        (["--set", "width=20"], "multiple of 16"),
        (["--set", "width=32"], "another configuration (model.width is 16 there, 32 here)"),
        (["--recipe", "none"], "no recipe"),
        (["--data", str(tmp_path)], "holds no samples"),
    ):
        assert main([*arguments[:-2], *wrong]) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1


def test_damaged_and_foreign_weights_are_refused(tmp_path, samples):
    config = override(gcnn(), (*TINY, "epochs=1"))
    train_gcnn(samples, config, tmp_path)
    with pytest.raises(InputError, match="no such file"):
        GcnnPolicy.load(tmp_path / "none")
    about = read_json(tmp_path / "config.json")
    for change in ({"width": 32}, {"width": 16, "incumbent": False}, {"wide": 1}):
        write_json(tmp_path / "config.json", {**about, "model": change})
        with pytest.raises(InputError, match="holds no GCNN"):
            GcnnPolicy.load(tmp_path)
    write_json(tmp_path / "config.json", about)
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(InputError, match="no safetensors"):
        GcnnPolicy.load(tmp_path)


def test_impossible_configurations():
    for settings in ("batch=0", "decay=2", "temperature=0", "dropout=1", "learning_rate=-1"):
        with pytest.raises(InputError):
            override(GcnnConfig(), (settings,))
    with pytest.raises(InputError):
        TrainingConfig(target="last")


def test_equal_seeds_give_equal_networks_and_others_do_not(tmp_path, samples):
    found = []
    for seed in (0, 0, 1):
        task = ImitationTask(override(gcnn(), TINY), SampleSet(samples / "train"), SampleSet(samples / "valid"), seed)
        folder = tmp_path / str(len(found))
        imitate(task, LoopConfig(rounds=1), Run(folder, {"seed": seed}))
        found.append(task.weights()["output_module.2.weight"].tolist())
    assert found[0] == found[1] != found[2]
