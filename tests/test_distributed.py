"""Training under torchrun, with two real gloo processes, beside training in one."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from learnsys.cli import main
from learnsys.errors import InputError
from learnsys.imitation import load_arrays
from learnsys.policies import distributed
from learnsys.policies.independent_set.padded import Steps
from learnsys.runs import read_json, read_metrics
from learnsys.testing.kills import SAMPLES

PARROT = "cache train --trace sample:gnugo --smoke --recipe parrot --capacity 32KiB"


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("samples")
    assert main(SAMPLES.replace("OUT", str(folder)).split()) == 0
    return folder


def torchrun(arguments):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command += arguments
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=600, env=environment)


GRAPHS = "mis train er --count 3 --set loop.rounds=2 width=8"
TRAININGS = {
    "parrot": PARROT,
    "gcnn": "branch train --data DATA --smoke --set width=16 batch=5 epoch=21 dropout=0",  # each process drops its own
    "mlp": "branch train --data DATA --recipe mlp --set epochs=3 batch=5",
    "comparator": f"{GRAPHS} roots=2 kept=40 roll_outs=1 pairs=30 sample=25 batch=6 epochs=2 --recipe comparator",
    "learnsys_mis": f"{GRAPHS} states=9 batch=4 solutions=2 iterations=50 epochs=2",
}


@pytest.mark.parametrize("line", TRAININGS.values(), ids=TRAININGS)
def test_two_processes_train_as_one(line, samples, tmp_path):
    """Some last batches have one item only, so that one of the processes has none."""
    command = line.replace("DATA", str(samples)).split()
    one, two = tmp_path / "one", tmp_path / "two"
    assert main([*command, "--out", str(one)]) == 0
    found = torchrun(["-m", "learnsys", *command, "--out", str(two), "--json"])
    assert found.returncode == 0, found.stderr
    assert {"test", "validation"} & json.loads(found.stdout).keys()  # the first process alone speaks
    assert sorted(path.name for path in two.iterdir()) == sorted(path.name for path in one.iterdir())
    assert read_json(two / "config.json") == {**read_json(one / "config.json"), "processes": 2}
    for mine, other in zip(read_metrics(one), read_metrics(two), strict=True):
        assert mine.keys() == other.keys()
        for key in mine.keys() & {"loss", "accuracy", "validation_loss"}:
            np.testing.assert_allclose(other[key], mine[key], rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(other["reward"], mine["reward"], rtol=1e-2)
    weights, others = load_arrays(one / "model.safetensors")[0], load_arrays(two / "model.safetensors")[0]
    for name, array in weights.items():  # Adam makes much of gradients that are nothing but rounding
        assert np.linalg.norm(others[name] - array) <= 0.03 * np.linalg.norm(array) + 1e-3, name


GRADIENTS = """
import sys, torch
from learnsys.policies.distributed import (
    from_first, gathered, joined, own, quietly, share, summed_over_all, together
)

torch.manual_seed(0)
network, data = torch.nn.Linear(3, 1), torch.randn(7, 3)
with together("cpu", sys.argv[1]) as (place, folder):
    loss = joined(network, lambda rows: (network(rows).pow(3).sum(), len(rows)))
    for size in (7, 1):
        whole = torch.autograd.grad(network(data[:size]).pow(3).mean(), list(network.parameters()))
        network.zero_grad()
        mine, factor = share(data[:size])
        portions = mine.split(3)
        for number, rows in enumerate(portions, 1):
            with quietly(loss, last=number == len(portions)):
                (loss(rows)[0] * factor / size).backward()
        for parameter, expected in zip(network.parameters(), whole):
            torch.testing.assert_close(parameter.grad, expected)
    first = str(folder) == sys.argv[1]
    assert summed_over_all(1, 2 * first).tolist() == [2, 2]
    assert from_first(lambda: first)
    assert gathered([number**2 for number in own(7)], 7) == [number**2 for number in range(7)]
"""

PADDED = """
import os, sys
import networkx as nx
import numpy as np
import torch
from learnsys.graphs import Graph, batch_graphs
from learnsys.policies.distributed import together
from learnsys.policies.independent_set.comparator import config, model, padded
from learnsys.policies.independent_set.learned import config as scores_config, fitting, model as scorer
from learnsys.policies.independent_set.padded import PaddedGraphs

graphs = [Graph.of(nx.gnp_random_graph(n, 0.3, n)) for n in (12, 9, 15)]
batch, rng = batch_graphs(graphs), np.random.default_rng(2)
pairs, labels = rng.integers(0, 9, (14, 2)), rng.choice(np.array([0, 0.5, 1], np.float32), 14)
kept = [(k % 3, (rng.random(graphs[k % 3].n) < 0.8).astype(np.uint8)) for k in range(9)]
left = [graph.degrees > 0 for graph in graphs]
states = [(k % 3, left[k % 3], rng.random(left[k % 3].sum(), np.float32)) for k in range(9)]

def fitted():
    torch.manual_seed(5)
    one = model.ComparatorModel(config.ModelConfig(width=8))
    other = scorer.VertexScorer(scores_config.ModelConfig(8, 2))
    settings = config.TrainingConfig(batch=4, sample=14, double_softmax=False)
    how = (one, torch.optim.SGD(one.parameters(), 0.01), PaddedGraphs(batch, "cpu"))
    tally = padded.PaddedFitting(*how, kept, True, settings, 4).epoch(pairs[:13], labels[:13])
    how = (other, torch.optim.SGD(other.parameters(), 0.01), PaddedGraphs(batch, "cpu"))
    loss = fitting.PaddedScoring(*how, states, scores_config.TrainingConfig(batch=4), 3).epoch(np.arange(9), [0.1] * 3)
    return [tally.right, tally.told, tally.loss, loss], [*one.parameters(), *other.parameters()]

world, os.environ["WORLD_SIZE"] = os.environ["WORLD_SIZE"], "1"
expected = fitted()
os.environ["WORLD_SIZE"] = world
with together("cpu", sys.argv[1]):
    found = fitted()
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-5)
    for one, other in zip(found[1], expected[1]):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)
"""


@pytest.mark.parametrize("script", [GRADIENTS, PADDED], ids=["gradients", "padded"])
def test_two_processes_together_compute_what_one_does(script, tmp_path):
    """Gradients of shares are those of the batch; fitting as on CUDA devices; last batches of one item."""
    (tmp_path / "script.py").write_text(script)
    found = torchrun([str(tmp_path / "script.py"), str(tmp_path / "run")])
    assert found.returncode == 0, found.stderr


def test_commands_that_run_in_one_process_say_so(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["branch", "kida", "setcover", "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err == "learnsys: branch kida runs in one process; start it without torchrun\n"
    with pytest.raises(InputError, match="the recipe trees runs in one process"):
        distributed.alone("the recipe trees")


def test_steps_of_an_epoch_in_shares(monkeypatch):
    """By hand: 5 items in batches of 3, over 2 processes: {0, 2} and {1}, then {3} and {4}."""
    whole = Steps.of(5, 3)
    assert whole.step.tolist() == [0, 0, 0, 1, 1] and whole.place.tolist() == [0, 1, 2, 0, 1]
    np.testing.assert_allclose(whole.share, [1 / 3, 1 / 3, 1 / 3, 1 / 2, 1 / 2])
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank, numbers, places in (("0", [0, 2, 3], [0, 1, 0]), ("1", [1, 4], [0, 0])):
        monkeypatch.setenv("RANK", rank)
        mine = Steps.of(5, 3)
        assert mine.number.tolist() == numbers and mine.place.tolist() == places and max(places) < Steps.width(3)
        np.testing.assert_allclose(mine.share, 2 * whole.share[numbers])


def test_shares_of_a_batch(monkeypatch):
    """By hand: 7 items over 3 processes; the mean of the factors times the shares' sums, over 7, is the mean."""
    batch = np.arange(7.0)
    assert distributed.share(batch)[1] == 1 and distributed.share(batch)[0] is not None
    monkeypatch.setenv("WORLD_SIZE", "3")
    sums = []
    for rank, expected in enumerate(([0, 3, 6], [1, 4], [2, 5])):
        monkeypatch.setenv("RANK", str(rank))
        mine, factor = distributed.share(batch)
        assert mine.tolist() == expected and factor == 3
        sums.append(factor * mine.sum() / 7)
    assert np.mean(sums) == pytest.approx(batch.mean())
    assert distributed.share(batch[:2]) == ([0.0], 0.0)  # the third of three processes has nothing of two items
