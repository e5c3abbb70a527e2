"""Training a Parrot, from Python and from the command line; killed and resumed."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from learnsys.cli import main
from learnsys.envs.cache.accesses import NEVER
from learnsys.envs.cache.bounds import belady_hits
from learnsys.envs.cache.geometry import CacheGeometry
from learnsys.errors import InputError
from learnsys.files import write_json
from learnsys.imitation import silent
from learnsys.policies.cache.parrot.config import RECIPES, parrot
from learnsys.policies.cache.parrot.policy import ParrotPolicy
from learnsys.policies.cache.parrot.task import ParrotTask, Split, _windows
from learnsys.policies.cache.parrot.training import train_parrot
from learnsys.policies.cache.registry import guarded
from learnsys.runs import read_json, read_metrics
from learnsys.settings import override
from learnsys.traces import write_trace
from learnsys.traces.synthetic import synthesize

CACHE = CacheGeometry(4096, 4)  # 16 sets of 4 ways: a loop over 96 lines defeats LRU
PLAIN = (
    "embedding=64",
    "hidden=128",
    "line_features=False",
    "losses=ndcg,reuse_dist",
    "evict_by=score",
    "longest=5",
    "unknown=0",
)
TINY = ("collect=3000", "training.steps=4", "loop.rounds=3", "batch=4")


@pytest.fixture(scope="module")
def loop():
    return synthesize("cyclic-scan", 12_000, lines=96)


@pytest.mark.parametrize("settings", [PLAIN, ()], ids=["paper", "default"])
def test_it_learns_a_loop_where_lru_hits_nothing(tmp_path, loop, settings):
    config = override(parrot(), (*settings, "collect=4000", "training.steps=110", "loop.rounds=2"))
    summary = train_parrot(loop, config, CACHE, tmp_path)
    assert summary["test"]["lru"] == 0
    assert summary["test"]["normalised"] >= 0.9
    assert summary["test"]["hit_rate"] <= summary["test"]["belady"]


def test_the_unknown_row_is_trained_by_forgetting(loop):
    """The vocabulary holds every line of this trace, so that only forgetting ever shows the network the unknown."""
    split = Split.of(loop, CACHE)
    for unknown, trained in ((0.0, False), (0.5, True)):
        task = ParrotTask(split, override(parrot(), (*TINY, f"unknown={unknown}")), CACHE, seed=0)
        before = task.weights()["address.table"][0].copy()
        task.fit([task.collect(0, 1.0, silent)], 0, silent)
        assert (task.weights()["address.table"][0] != before).any() == trained
        assert task.evaluate(0, silent) == task.evaluate(0, silent)  # nothing is forgotten where it counts


@pytest.mark.parametrize("attend_to", ["hidden", "cell"])
@pytest.mark.parametrize("losses", ["log_likelihood", "ndcg,reuse_dist", "kl"])
def test_fitting_lowers_every_loss(loop, attend_to, losses):
    config = override(parrot(), (*PLAIN, *TINY, f"attend_to={attend_to}", f"losses={losses}", "training.steps=25"))
    task = ParrotTask(Split.of(loop, CACHE), config, CACHE, seed=0)
    part = task.collect(0, 1.0, silent)
    first, second = (task.fit([part], number, silent)["loss"] for number in range(2))
    assert second < first


def test_collection_moves_on_and_labels_stay_beladys(loop):
    """Whoever decides, the sets are those of the cache that follows, and the next part begins where this one ends."""
    config = override(parrot(), (*TINY, "collect=3100"))
    task = ParrotTask(Split.of(loop, CACHE), config, CACHE, seed=0)
    parts = [task.collect(number, share, silent) for number, share in enumerate((1.0, 0.5, 0.0, 1.0))]
    assert [int(part["start"][0]) for part in parts] == [0, 3100, 6200, 0]  # 9,600 accesses to train on
    assert parts[2]["decision"].size == 3400  # with what would be too little for a part
    train = task.split.train
    assert (train.next_use[train.next_use != NEVER] < 9600).all()  # nothing is known of the other parts
    for part in parts[:3]:
        times = int(part["start"][0]) + np.arange(part["decision"].size)
        held = part["seen"] >= 0
        lines = np.where(held, train.line[part["seen"]], -1)
        assert (train.row[lines[held]] == np.broadcast_to(train.row[times][:, None], held.shape)[held]).all()
        assert (train.next_use[part["seen"]][held] > np.broadcast_to(times[:, None], held.shape)[held]).all()
        assert held[part["decision"]].all()
    hits = [1 - part["decision"].mean() for part in parts]
    optimum = belady_hits(train, CACHE.sets, CACHE.ways)[:3100]
    assert parts[0]["decision"].sum() == (1 - optimum).sum() - CACHE.sets * CACHE.ways  # it fills the cache, then MIN
    assert hits[0] > hits[1]


def test_a_state_restored_goes_on_the_same(loop):
    config = override(parrot(), TINY)
    split = Split.of(loop, CACHE)
    one, other = (ParrotTask(split, config, CACHE, seed=0) for _ in range(2))

    def step(task, number):
        task.fit([task.collect(number, 0.5, silent)], number, silent)

    step(one, 0)
    other.load_weights(one.weights())
    other.load_state({name: array.copy() for name, array in one.state().items()})
    for task in (one, other):
        step(task, 1)
    for name, array in one.weights().items():
        np.testing.assert_array_equal(array, other.weights()[name])
    assert one.evaluate(1, silent) == other.evaluate(1, silent)


def command(trace, out, *more):
    fixed = ["--trace", str(trace), "--out", str(out), "--capacity", "4096", "--ways", "4"]
    return ["cache", "train", *fixed, "--recipe", "parrot", "--set", *TINY, *more]


@pytest.fixture(scope="module")
def trace(tmp_path_factory, loop):
    path = tmp_path_factory.mktemp("trace") / "loop.parquet"
    write_trace(path, loop)
    return path


def test_command_line(tmp_path, trace, capsys):
    out = tmp_path / "run"
    assert main(command(trace, out, "--json")) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary == read_json(out / "summary.json")
    assert [line["round"] for line in read_metrics(out)] == [0, 1, 2, 3]  # the last: the mean of the best
    files = {path.name for path in out.iterdir()}
    assert {"config.json", "command.txt", "env.json", "metrics.jsonl", "model.safetensors", "timings.json"} <= files
    split = Split.of(synthesize("cyclic-scan", 12_000, lines=96), CACHE)
    hits = ParrotPolicy.load(out).simulate(split.whole, CACHE)
    assert hits[len(split.seen) :].mean() == summary["test"]["hit_rate"]
    hits = guarded(ParrotPolicy.load(out)).simulate(split.whole, CACHE)
    assert hits[len(split.seen) :].mean() == summary["test, guarded"]["hit_rate"]

    before = (out / "summary.json").read_bytes()
    assert main(command(trace, out)) == 0  # again: nothing is left to do
    assert (out / "summary.json").read_bytes() == before
    assert "cache simulate" in capsys.readouterr().out
    assert main(command(trace, out, "--seed", "1")) == 2
    assert "another configuration" in capsys.readouterr().err


@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_every_recipe_runs(tmp_path, trace, capsys, recipe):
    fixed = ["--trace", str(trace), "--out", str(tmp_path / recipe), "--capacity", "4096", "--ways", "4"]
    assert main(["cache", "train", *fixed, "--recipe", recipe, "--smoke", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rounds"] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--recipe", "parot"], "choose from parrot"),
        (["--set", "history=0"], "history must be"),
        (["--capacity", "3000"], "power of two"),
        (["--steps", "0"], "steps must be"),
        (["--device", "abacus"], "no device"),
        (["--threads", "0"], "too few"),
    ],
)
def test_impossible_commands_are_one_line(tmp_path, trace, capsys, arguments, message):
    assert main(["cache", "train", "--trace", str(trace), "--out", str(tmp_path / "run"), *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_object_and_short_traces_are_refused(tmp_path, loop):
    write_trace(tmp_path / "objects.parquet", synthesize("zipf", 2000))
    write_trace(tmp_path / "short.parquet", loop[:100])
    for name in ("objects", "short"):
        out = tmp_path / "run"
        assert main(["cache", "train", "--trace", str(tmp_path / f"{name}.parquet"), "--out", str(out)]) == 2
        assert not out.exists()
    with pytest.raises(InputError, match="64 bytes"):
        ParrotTask(Split.of(loop, CACHE), parrot(), CacheGeometry(8192, 4, 128), seed=0)


def test_killed_and_run_again_it_ends_the_same(tmp_path, trace):
    """SIGKILL in the middle; the same command then writes the summary of a run that was never killed."""
    assert main(command(trace, tmp_path / "whole", "--json", "--set", *TINY, "loop.rounds=4")) == 0
    killed = tmp_path / "killed"
    arguments = command(trace, killed, "--json", "--set", *TINY, "loop.rounds=4")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "learnsys", *arguments], env=environment, stdout=subprocess.DEVNULL
    )
    while process.poll() is None and not (killed / "checkpoint.safetensors").exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (killed / "summary.json").exists()
    assert main(arguments) == 0
    for name in ("summary.json", "metrics.jsonl", "model.safetensors"):
        assert (killed / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_parts_left_out_by_one_flag_each(tmp_path, trace, capsys):
    flags = {
        "--no-ranking-loss": (("training", "losses"), ["log_likelihood", "reuse_dist"]),
        "--no-reuse-loss": (("training", "losses"), ["ndcg"]),
        "--no-dagger": (("loop", "schedule"), {"first": 1.0, "last": 1.0, "rounds": 1}),
        "--embedder=byte": (("model", "pc_embedder"), "byte"),
        "--history=50": (("training", "sequence"), 90),
    }
    for flag, ((group, name), value) in flags.items():
        out = tmp_path / flag
        tiny = ["--set", "training.steps=1", "loop.rounds=1", "collect=2000"]
        fixed = ["--trace", str(trace), "--out", str(out), "--capacity", "4096", "--ways", "4"]
        assert main(["cache", "train", "--recipe", "parrot_brief", flag, *fixed, *tiny]) == 0
        assert read_json(out / "config.json")[group][name] == value
    assert main(["cache", "train", "--no-reuse-loss", *fixed]) == 2  # the default recipe evicts by it
    assert "reuse" in capsys.readouterr().err


def test_ablations(tmp_path, trace, capsys):
    fixed = ["--traces", str(trace), "--out", str(tmp_path), "--capacity", "4096", "--ways", "4", "--seeds", "2"]
    tiny = ["--set", "training.steps=2", "loop.rounds=1", "collect=2000"]
    assert main(["cache", "ablate", *fixed, "--variants", "full,no DAgger", "--accesses", "8000", *tiny, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {name: len(rows["loop"]["test"]) for name, rows in found.items()} == {"full": 2, "no DAgger": 2}
    run = read_json(tmp_path / "loop" / "no-DAgger" / "seed-1" / "summary.json")
    assert run["test"]["normalised"] == found["no DAgger"]["loop"]["test"][1]
    again = ["cache", "ablate", *fixed, "--variants", "full,no DAgger", "--accesses", "8000", *tiny, "--guard"]
    assert main([*again, "--json"]) == 0  # nothing is trained again
    guarded = json.loads(capsys.readouterr().out)
    assert list(guarded) == ["full", "no DAgger", "guard:full", "guard:no DAgger"]
    assert {name: guarded[name] for name in found} == found
    assert guarded["guard:no DAgger"]["loop"]["test"][1] == run["test, guarded"]["normalised"]
    assert main(again) == 0
    assert "guard:no DAgger" in capsys.readouterr().out
    write_json(tmp_path / "loop" / "full" / "seed-0" / "summary.json", {"validation": {}, "test": {}})
    assert main(again) == 2
    assert "tells nothing under the guard" in capsys.readouterr().err
    assert main(["cache", "ablate", *fixed, "--variants", "full,no love"]) == 2
    assert "choose from full" in capsys.readouterr().err


def test_windows_of_decisions_by_hand():
    """Two sequences of four decisions with a history of 3: rows 0 to 5 and 10 to 15 of the memory."""
    memory = torch.cat((torch.arange(6.0), torch.arange(10.0, 16.0))).view(2, 6, 1)
    windows = _windows(memory, np.array([0, 3, 5]), 3)
    assert windows[..., 0].tolist() == [[0, 1, 2], [3, 4, 5], [11, 12, 13]]
