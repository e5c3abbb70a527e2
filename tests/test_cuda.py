"""Trainers on a CUDA device: the same bits from run to run, and the processor's result within rounding."""

import json

import pytest
import torch

from learnsys.cli import main
from learnsys.errors import InputError
from learnsys.policies.torch_setup import deterministic
from learnsys.traces import write_trace
from learnsys.traces.synthetic import synthesize

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")

FAMILY = "item_placement:small_items=12,big_items=1,bins=3,resources=1,capacity_factor=2.5"
SAMPLES = ["--out", "{samples}", "--samples", "40", "--probability", "0.5", "--seed", "1"]
TRAINERS = {  # without dropout: devices draw different units to drop
    "parrot": (
        ["cache", "train", "--recipe", "parrot", "--trace", "{trace}", "--capacity", "4KiB", "--ways", "4"],
        "training.steps=3 loop.rounds=1 collect=3000 batch=4",
    ),
    "gcnn": (["branch", "train", "--data", "{samples}", "--recipe", "gcnn"], "epoch=64 epochs=2 dropout=0"),
    "gcnn_kida_anonymous": (
        ["branch", "train", "--data", "{samples}", "--recipe", "gcnn_kida_anonymous"],
        "epoch=64 epochs=1 dropout=0",
    ),
    "comparator": (
        ["mis", "train", "{graphs}", "--recipe", "comparator"],
        "loop.rounds=1 roots=2 roll_outs=1 kept=4 sample=32 epochs=2",
    ),
    "learnsys_mis": (["mis", "train", "{graphs}"], "loop.rounds=1 states=40 epochs=2"),
    "mlp": (["branch", "train", "--data", "{samples}", "--recipe", "mlp"], "epochs=2"),
}


def numbers(summary, path=""):
    """All numbers of a summary by their place in it."""
    if isinstance(summary, dict):
        return {name: each for key, value in summary.items() for name, each in numbers(value, f"{path}/{key}").items()}
    return {path: float(summary)} if isinstance(summary, int | float) else {}


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    assert main(["branch", "collect", "setcover:tiny", *(each.format(samples=folder) for each in SAMPLES)]) == 0
    trace = folder / "loop.parquet"
    write_trace(trace, synthesize("cyclic-scan", 12_000, lines=96))
    wanted = ["--nodes", "20", "30", "--count", "4", "--out", str(folder / "graphs")]
    assert main(["mis", "generate", "er", *wanted]) == 0
    return {"samples": folder, "trace": trace, "graphs": folder / "graphs"}


@needs_cuda
@pytest.mark.parametrize("name", TRAINERS)
def test_cuda_gives_equal_runs_and_the_processors_numbers(name, places, tmp_path, capsys):
    command, settings = TRAINERS[name]
    found = {}
    for run, device in (("cpu", "cpu"), ("first", "cuda"), ("second", "cuda")):
        words = [each.format(**places) for each in command]
        arguments = [*words, "--out", str(tmp_path / run), "--device", device, "--json", "--set", *settings.split()]
        capsys.readouterr()
        assert main(arguments) == 0
        found[run] = numbers(json.loads(capsys.readouterr().out))
    assert found["first"] == found["second"]
    assert found["first"] == pytest.approx(found["cpu"], rel=0.02, abs=0.02)


@needs_cuda
def test_kida_on_cuda(tmp_path, capsys):
    arguments = ["branch", "kida", FAMILY, "--smoke", "--device", "cuda", "--json"]
    summaries = []
    for run in ("first", "second"):
        capsys.readouterr()
        assert main([*arguments, "--out", str(tmp_path / run)]) == 0
        summaries.append(json.loads(capsys.readouterr().out))
    assert summaries[0] == summaries[1]


def test_a_device_that_is_not_here_is_one_line():
    with pytest.raises(InputError, match="no device 'cuda:99' here"), deterministic("cuda:99", 1):
        pass
