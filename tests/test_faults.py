"""Commands that train or collect, on full and read-only disks, and with damaged and foreign checkpoints."""

from __future__ import annotations

import shutil

import pytest

from learnsys import imitation
from learnsys.cli import main
from learnsys.testing.faults import NoNamespacesError, check_full_disk, check_one_line, check_read_only
from learnsys.testing.kills import COMMANDS, arguments_of, finish

RESUMED = [name for name in COMMANDS if name not in ("branch collect", "branch train mlp", "branch train trees")]
"""the commands that keep a checkpoint"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """name -> an undisturbed run of it, and the arguments for another folder."""
    home, samples, known = tmp_path_factory.mktemp("runs"), tmp_path_factory.mktemp("samples"), {}

    def run(name):
        def command(out):
            return arguments_of(name, out, samples)

        if name not in known:
            known[name] = home / name.replace(" ", "-")
            finish(command(known[name]))
        return known[name], command

    return run


@pytest.mark.parametrize("name", COMMANDS)
def test_full_and_read_only_disks(name, runs, tmp_path):
    whole, command = runs(name)
    try:
        check_full_disk(command, tmp_path, whole=whole)
        interrupted = tmp_path / "interrupted"
        shutil.copytree(whole, interrupted / "run", ignore=shutil.ignore_patterns("summary.json"))
        check_read_only(command, tmp_path, before=interrupted)
    except NoNamespacesError as error:
        pytest.skip(f"no disk can be mounted here ({error})")


@pytest.mark.parametrize("name", RESUMED)
def test_damaged_and_foreign_checkpoints(name, runs, tmp_path, capsys, monkeypatch):
    whole, command = runs(name)
    folder = tmp_path / "run"
    shutil.copytree(whole, folder, ignore=shutil.ignore_patterns("summary.json"))
    checkpoint = folder / "checkpoint.safetensors"
    data = checkpoint.read_bytes()
    others = {path: path.read_bytes() for path in folder.rglob("*.safetensors") if path != checkpoint}

    def refused(*parts):
        assert main(command(folder)) == 2
        check_one_line(capsys.readouterr().err, str(checkpoint), "delete it", *parts)
        assert {path: path.read_bytes() for path in others} == others

    checkpoint.write_bytes(data[: len(data) // 2])
    refused("is no safetensors file")
    checkpoint.write_bytes(data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])
    refused("its arrays are not those that were written")
    checkpoint.write_bytes(data)
    arrays, about = imitation.load_arrays(checkpoint)
    with monkeypatch.context() as patch:
        patch.setattr(imitation, "VERSION", 99)
        imitation.save_arrays(checkpoint, arrays, about)
    refused("is of version 99, which this learnsys does not read")
    weights = next(key for key, array in arrays.items() if key.startswith("weights/") and array.ndim)
    imitation.save_arrays(checkpoint, {**arrays, weights: arrays[weights].repeat(2, axis=0)}, about)
    refused("is no checkpoint of this run")
    checkpoint.write_bytes(data)
    assert main(command(folder)) == 0
    assert (folder / "summary.json").read_bytes() == (whole / "summary.json").read_bytes()
