"""The recorder's tool chain: what is missing, what cannot be recorded, builds."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from learnsys.cli import main
from learnsys.errors import InputError
from learnsys.traces import llctrace
from learnsys.traces.programs import find_program

pytestmark = [
    pytest.mark.skipif(
        not (shutil.which("valgrind") and shutil.which("gcc")), reason="the recorder needs valgrind and gcc"
    ),
    pytest.mark.usefixtures("recorder_cache"),
]


def test_bad_commands(tmp_path):
    plain = tmp_path / "plain"
    plain.write_text("echo hello")
    with pytest.raises(InputError, match="is not executable"):
        find_program([str(plain)])
    plain.chmod(0o755)
    with pytest.raises(InputError, match="neither an ELF program nor a script"):
        find_program([str(plain)])
    head = bytearray(Path("/bin/true").read_bytes()[:64])
    for place, value, message in ((4, 1, "32-bit program"), (18, 183, "foreign program")):
        changed = bytearray(head)
        changed[place] = value
        plain.write_bytes(changed)
        with pytest.raises(InputError, match=message):
            find_program([str(plain)])
    plain.write_text("#! /nowhere/python -u\n")
    with pytest.raises(InputError, match="needs /nowhere/python, which cannot be executed"):
        find_program([str(plain)])
    shutil.copy("/bin/true", plain)
    assert find_program([str(plain)]) == str(plain)
    plain.chmod(0o4755)
    with pytest.raises(InputError, match="more rights than its user"):
        find_program([str(plain)])
    for command, message in {
        (): "no command to record",
        ("no-such-program",): "no program 'no-such-program' on the PATH",
        ("./no-such-program",): "no such program",
        (str(tmp_path),): "is a directory",
        ("true", "a\0b"): "zero byte",
    }.items():
        with pytest.raises(InputError, match=message):
            find_program(command)


def tools(folder: Path, *names: str) -> str:
    """A PATH with these programs alone."""
    folder.mkdir()
    for name in names:
        (folder / name).symlink_to(shutil.which(name))
    return str(folder)


@pytest.mark.parametrize(
    ("present", "message"),
    [((), "valgrind is not installed"), (("valgrind",), "gcc is not installed")],
)
def test_missing_tools(tmp_path, monkeypatch, capfd, present, message):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", tools(tmp_path / "bin", *present))
    assert main(["trace", "record", "--out", str(tmp_path / "t.parquet"), "--", "/bin/true"]) == 2
    err = capfd.readouterr().err
    assert message in err and "sudo apt-get install valgrind gcc" in err and err.count("\n") == 1


def test_missing_parts_of_valgrind(tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    fake = tmp_path / "bin" / "valgrind"
    fake.write_text("#!/bin/sh\necho valgrind-9.99\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(fake.parent))
    with pytest.raises(InputError, match=r"pub_tool_tooliface\.h of valgrind is missing"):
        llctrace.find_valgrind()
    (tmp_path / "include/valgrind").mkdir(parents=True)
    (tmp_path / "include/valgrind/pub_tool_tooliface.h").touch()
    with pytest.raises(InputError, match=r"libcoregrind-amd64-linux\.a of valgrind is missing"):
        llctrace.find_valgrind()
    fake.write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(InputError, match="does not start"):
        llctrace.find_valgrind()


def test_builds_may_race_and_are_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    valgrind = llctrace.find_valgrind()
    with ThreadPoolExecutor(4) as pool:
        folders = set(pool.map(lambda _: llctrace.build_tool(valgrind), range(4)))
    (folder,) = folders
    assert [path.name for path in (tmp_path / "learnsys").iterdir()] == [folder.name]
    assert len(str(folder)) == 160
    monkeypatch.setenv("PATH", "")
    assert llctrace.build_tool(valgrind) == folder, "no compiler is needed any more"


def test_a_build_that_fails(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    broken = tmp_path / "broken.c"
    broken.write_text("int main( {\n")
    monkeypatch.setattr(llctrace, "SOURCE", broken)
    with pytest.raises(InputError, match=r"does not build here \(.*error"):
        llctrace.build_tool(llctrace.find_valgrind())
    assert not list((tmp_path / "learnsys").iterdir())


def test_cache_folders_that_cannot_serve(tmp_path, monkeypatch):
    valgrind = llctrace.find_valgrind()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "with blank"))
    with pytest.raises(InputError, match="blank, colon or semicolon"):
        llctrace.build_tool(valgrind)
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(InputError, match="cannot keep the built recorder"):
        llctrace.build_tool(valgrind)
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert llctrace.cache_folder() == Path.home() / ".cache" / "learnsys"
