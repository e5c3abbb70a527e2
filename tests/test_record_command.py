"""`learnsys trace record`: the program's output and end, interrupts, bad arguments, a full disk."""

from __future__ import annotations

import json
import resource
import shutil
import signal
import subprocess
import sys

import pytest

from learnsys.cli import main
from learnsys.errors import InputError
from learnsys.traces.io import open_trace
from learnsys.traces.recorder import record

pytestmark = [
    pytest.mark.skipif(
        not (shutil.which("valgrind") and shutil.which("gcc")), reason="the recorder needs valgrind and gcc"
    ),
    pytest.mark.usefixtures("recorder_cache"),
]


def test_output_passes_through_and_the_status_is_kept_apart(tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("PASSED", "along")
    command = ["sh", "-c", "printf '%s' \"$1 $PASSED $GIVEN $HOME\"; echo fine >&2; exit 9", "--", "--max=3"]
    options = [
        "--out",
        str(tmp_path / "t.parquet"),
        "--l1",
        "1KiB:2",
        "--l2=none",
        "--env",
        "PASSED",
        "--env=GIVEN=a=b",
    ]
    assert main(["trace", "record", *options, "--json", "--", *command]) == 0
    out, err = capfd.readouterr()
    printed, answer = out.split("\n", 1)
    assert printed == "--max=3 along a=b "
    assert err == "fine\n"
    assert answer.count("\n") == 1
    found = json.loads(answer)
    assert found["exit_code"] == 9 and found["end"] == "exit" and found["signal"] is None
    assert found["accesses"] == open_trace(tmp_path / "t.parquet").accesses


def test_the_command_keeps_its_own_flags(tmp_path, capfd):
    words = ["--out", "x", "--line_size=3", "--json", "--", "-h", "--help", "--no-such"]
    assert (
        main(["trace", "record", "--max", "5000000", "--out", str(tmp_path / "t.parquet"), "--", "echo", *words]) == 0
    )
    out, err = capfd.readouterr()
    assert out == " ".join(words) + "\n"
    assert err.startswith("learnsys: ") and err.endswith("; the program ended with status 0\n")


def test_standard_input_reaches_the_program(tmp_path):
    code = "import sys; from learnsys.cli import main; sys.exit(main())"
    arguments = ["trace", "record", "--out", str(tmp_path / "t.parquet"), "--", "sort", "-r"]
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments], check=False, input="a\nb\n", capture_output=True, text=True
    )
    assert (result.returncode, result.stdout) == (0, "b\na\n")


def test_a_killed_program_leaves_its_recording(tmp_path):
    result = record(["sh", "-c", "kill -SEGV $$"], tmp_path / "t.parquet")
    assert (result.end, result.exit_code, result.signal) == ("exit", None, "SIGSEGV")
    assert open_trace(tmp_path / "t.parquet").accesses == result.accesses > 0


def test_timeout(tmp_path):
    result = record(["sleep", "600"], tmp_path / "t.parquet", timeout=1.5)
    assert (result.end, result.exit_code, result.signal) == ("timeout", None, None)
    assert open_trace(tmp_path / "t.parquet").accesses == result.accesses > 0


@pytest.mark.parametrize("stubborn", ["", "$SIG{INT} = $SIG{TERM} = 'IGNORE';"], ids=["yielding", "stubborn"])
def test_an_interrupt_keeps_what_was_recorded(tmp_path, stubborn):
    code = "import sys; from learnsys.cli import main; sys.exit(main())"
    loop = f"{stubborn} $| = 1; print qq(ready\\n); 1 while 1"
    arguments = ["trace", "record", "--out", str(tmp_path / "t.parquet"), "--l2", "none", "--", "perl", "-e", loop]
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "by an interrupt" in err
    assert "Traceback" not in err
    assert f"{open_trace(tmp_path / 't.parquet').accesses:,} accesses" in err


def test_nothing_to_record(tmp_path):
    out = tmp_path / "t.parquet"
    out.write_text("an older file")
    with pytest.raises(InputError, match="no access was recorded: the program ended with status 4"):
        record(["sh", "-c", "exit 4"], out, skip=10**9)
    assert out.read_text() == "an older file"
    assert list(tmp_path.iterdir()) == [out]


def test_bad_arguments(tmp_path, capfd):
    out = str(tmp_path / "t.parquet")
    for options, message in {
        ("--l1", "32KiB"): "write it as CAPACITY:WAYS",
        ("--l2", "3KiB:2"): "no power of two",
        ("--l1", "512:2"): "no multiple of 1 KiB",
        ("--skip", "-1"): "cannot skip",
        ("--max", "0"): "cannot skip 0 and record 0",
        ("--timeout", "0"): "leaves no time",
        ("--env", "NO_SUCH_VARIABLE"): "no such variable",
    }.items():
        assert main(["trace", "record", "--out", out, *options, "--", "true"]) == 2
        message_lines = capfd.readouterr().err.splitlines()
        assert len(message_lines) == 1 and message in message_lines[0]
    assert not list(tmp_path.iterdir())


def test_a_full_disk(tmp_path, capfd):
    """A limit on the size of files stands in for the disk: the write fails the same way, in the middle."""
    out = tmp_path / "t.parquet"
    out.write_text("an older file")
    record(["true"], tmp_path / "first.parquet")  # the tool is built
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        assert main(["trace", "record", "--out", str(out), "--", "perl", "-e", "@x = 1..90000"]) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    err = capfd.readouterr().err
    assert "cannot be written (File too large)" in err and err.count("\n") == 1
    assert out.read_text() == "an older file"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first.parquet", "t.parquet"]


def test_a_place_that_cannot_be_written_is_told_before_the_program_runs(tmp_path):
    (tmp_path / "file").touch()
    witness = tmp_path / "witness"
    with pytest.raises(InputError, match="cannot be written"):
        record(["touch", str(witness)], tmp_path / "file" / "t.parquet")
    assert not witness.exists()
