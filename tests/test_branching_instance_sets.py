"""Sets of instances with a manifest, and the command that writes them."""

import errno
import hashlib
import json
from dataclasses import asdict, fields

import pytest

from learnsys.cli import main
from learnsys.envs.branching.instances import FAMILIES, make_family, parse_family
from learnsys.envs.branching.instances.registry import family_class, family_names
from learnsys.envs.branching.instances.sets import MANIFEST, read_manifest, write_set
from learnsys.errors import InputError

SMALL = ("setcover", "--rows", "20", "--cols", "30", "--density", "0.2")


def listing(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_command_writes_a_set(tmp_path, capsys):
    out = tmp_path / "a" / "b"
    assert main(["branch", "generate", *SMALL, "--count", "3", "--out", str(out), "--seed", "5", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["files"] == [f"setcover_0000{k}.mps.gz" for k in range(3)] and said["rows"] == [20, 20]
    entries = [json.loads(line) for line in (out / MANIFEST).read_text().splitlines()]
    family = make_family("setcover", rows=20, cols=30, density=0.2)
    for index, entry in enumerate(entries):
        content = (out / entry["file"]).read_bytes()
        assert entry["sha256"] == hashlib.sha256(content).hexdigest() and entry["bytes"] == len(content)
        assert (entry["family"], entry["seed"], entry["index"]) == ("setcover", 5, index)
        assert (entry["rows"], entry["columns"], entry["nonzeros"]) == (20, 30, 120)
        again = make_family(entry["family"], **entry["parameters"])
        assert again == family and again.instance(entry["seed"], entry["index"]).encode("mps.gz") == content
    assert set(listing(out)) == {MANIFEST, *said["files"]}
    assert main(["branch", "generate", *SMALL, "--count", "3", "--out", str(out), "--seed", "5"]) == 0
    assert "3 instances of setcover" in capsys.readouterr().out


@pytest.mark.parametrize("killed", ["before manifest", "half a line", "file lost", "file cut"])
def test_killed_generation_resumes(killed, tmp_path):
    family = make_family("knapsack")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    list(write_set("knapsack", family, 5, whole))
    run = write_set("knapsack", family, 5, broken)
    next(run), next(run)
    run.close()
    (broken / ".knapsack_00002.mps.gz.abc.part").write_bytes(b"half")
    manifest = broken / MANIFEST
    lines = manifest.read_text().splitlines(keepends=True)
    if killed == "before manifest":
        manifest.write_text(lines[0])
    elif killed == "half a line":
        manifest.write_text(lines[0] + lines[1][:40])
    elif killed == "file lost":
        (broken / "knapsack_00000.mps.gz").unlink()
    else:
        (broken / "knapsack_00001.mps.gz").write_bytes(b"cut")
    assert len(list(write_set("knapsack", family, 5, broken))) == 5
    assert listing(broken) == listing(whole)
    before = {path: path.stat().st_mtime_ns for path in broken.iterdir() if path.name != MANIFEST}
    assert [entry["index"] for entry in write_set("knapsack", family, 7, broken)] == list(range(7))
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    assert list(read_manifest(broken)) == [f"knapsack_0000{k}.mps.gz" for k in range(7)]


def test_one_process_at_a_time(tmp_path):
    first = write_set("knapsack", make_family("knapsack"), 2, tmp_path)
    next(first)
    with pytest.raises(InputError, match="another process"):
        next(write_set("knapsack", make_family("knapsack"), 2, tmp_path))
    assert len(list(first)) == 1
    assert len(list(write_set("knapsack", make_family("knapsack"), 2, tmp_path))) == 2


def test_a_full_disk_is_told_and_survived(tmp_path, monkeypatch):
    def full(path, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("learnsys.envs.branching.instances.sets.write_bytes", full)
        with pytest.raises(InputError, match=r"knapsack_00000.*No space left.*make room"):
            list(write_set("knapsack", make_family("knapsack"), 2, tmp_path))
    assert len(list(write_set("knapsack", make_family("knapsack"), 2, tmp_path))) == 2


def test_workers_write_the_same(tmp_path):
    family = make_family("independent_set", nodes=30)
    list(write_set("independent_set", family, 4, tmp_path / "one", suffix="lp"))
    list(write_set("independent_set", family, 4, tmp_path / "two", suffix="lp", workers=2))
    assert listing(tmp_path / "one") == listing(tmp_path / "two")


def test_folders_of_others_stay_as_they_are(tmp_path):
    family = make_family("knapsack")
    list(write_set("knapsack", family, 1, tmp_path))
    before = listing(tmp_path)
    for other in ({"seed": 1}, {"suffix": "mps"}):
        with pytest.raises(InputError, match="another folder"):
            list(write_set("knapsack", family, 1, tmp_path, **other))
    with pytest.raises(InputError, match="another folder"):
        list(write_set("knapsack", make_family("knapsack", items=9), 1, tmp_path))
    (tmp_path / "knapsack_00001.mps.gz").write_bytes(b"mine")
    with pytest.raises(InputError, match="stands already"):
        list(write_set("knapsack", family, 2, tmp_path))
    assert listing(tmp_path) == {**before, "knapsack_00001.mps.gz": b"mine"}
    (tmp_path / MANIFEST).write_text("no json\n{}\n")
    with pytest.raises(InputError, match="line 1"):
        list(write_set("knapsack", family, 2, tmp_path))


@pytest.mark.parametrize(
    "text", ["setcover:rows=40,cols=50,density=0.1", "facility:tiny,demand=5,9,continuous_assignment=False"]
)
def test_a_family_may_be_named_as_in_other_commands(text, tmp_path, capsys):
    assert main(["branch", "generate", "--json", text, "--out", str(tmp_path)]) == 0
    written = json.loads(capsys.readouterr().out)["parameters"]
    assert written == json.loads(json.dumps(asdict(parse_family(text))))


@pytest.mark.parametrize(
    "arguments",
    [
        ["setcover", "--rows", "0"],
        ["setcover", "--density", "0.0001"],
        ["item_placement:tiny", "--capacity-factor", "0.1"],
        ["facility:tiny", "--count", "0"],
        ["facility:tiny", "--format", "zip"],
        ["facility:tiny", "--seed", "-1"],
    ],
)
def test_command_refuses_in_one_line(arguments, tmp_path, capsys):
    assert main(["branch", "generate", *arguments, "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("learnsys: ") and said.err.count("\n") == 1 and not said.out
    assert not (tmp_path / "out").exists()


def test_command_refuses_an_unwritable_folder(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["branch", "generate", "knapsack", "--out", str(tmp_path / "file" / "out")]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "cannot be made" in said


def test_help_lists_families_and_parameters(capsys):
    with pytest.raises(SystemExit) as end:
        main(["branch", "generate", "--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert all(name in text for name in family_names())
    for name in FAMILIES:
        with pytest.raises(SystemExit):
            main(["branch", "generate", name, "--help"])
        text = capsys.readouterr().out
        assert all(f"--{field.name.replace('_', '-')}" in text for field in fields(family_class(name)))
