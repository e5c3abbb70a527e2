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


@pytest.mark.parametrize(
    "line", [PARROT, "branch train --data DATA --smoke --set width=16 batch=5 epoch=21"], ids=["parrot", "gcnn"]
)
def test_two_processes_train_as_one(line, samples, tmp_path):
    """The GCNN's last batch has one sample only, so that one of the processes has none."""
    command = line.replace("DATA", str(samples)).split()
    one, two = tmp_path / "one", tmp_path / "two"
    assert main([*command, "--out", str(one)]) == 0
    found = torchrun(["-m", "learnsys", *command, "--out", str(two), "--json"])
    assert found.returncode == 0, found.stderr
    assert "test" in json.loads(found.stdout)  # the first process alone speaks
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
from learnsys.policies.distributed import from_first, joined, quietly, share, summed_over_all, together

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
"""


def test_gradients_of_shares_are_those_of_the_batch(tmp_path):
    (tmp_path / "gradients.py").write_text(GRADIENTS)
    found = torchrun([str(tmp_path / "gradients.py"), str(tmp_path / "run")])
    assert found.returncode == 0, found.stderr


def test_commands_that_run_in_one_process_say_so(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["mis", "train", "er", "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err == "learnsys: mis train runs in one process; start it without torchrun\n"
    with pytest.raises(InputError, match="the recipe trees runs in one process"):
        distributed.alone("the recipe trees")


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
