"""The recorder: what it writes, what it lets through, and how it fails."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from learnsys.cli import main
from learnsys.envs.cache.geometry import CacheGeometry
from learnsys.errors import InputError
from learnsys.traces import llctrace
from learnsys.traces.filters import CacheFilter
from learnsys.traces.hierarchy import Hierarchy
from learnsys.traces.io import open_trace, read_trace
from learnsys.traces.programs import find_program
from learnsys.traces.recorder import ENVIRONMENT, Recording, record

pytestmark = pytest.mark.skipif(
    not (shutil.which("valgrind") and shutil.which("gcc")), reason="the recorder needs valgrind and gcc"
)
RAW = {"l1": None, "l2": None}
TINY = {"l1": CacheGeometry(1024, 2, 64), "l2": CacheGeometry(4096, 4, 64)}


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory):
    """One cache folder for all tests, not the user's."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


def assemble(folder: Path, body: str) -> str:
    """A static program without a C library: _start, the instructions of `body`, then exit(7)."""
    source, program = folder / "program.s", folder / "program"
    source.write_text(
        f".globl _start\n_start:\n lea buffer(%rip), %rsi\n{body}\n mov $60, %eax\n mov $7, %edi\n syscall\n"
        ".bss\n.balign 4096\nbuffer: .skip 65536\n"
    )
    subprocess.run(["gcc", "-nostdlib", "-static", "-o", program, source], check=True)
    return str(program)


def script(folder: Path, text: str) -> str:
    path = folder / "script"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def offsets(path: Path) -> list[tuple[int, bool]]:
    """(bytes from the page that the program's buffer starts at, store) of each access."""
    trace = read_trace(path)
    base = int(trace.address.min()) & ~4095
    return [(int(address) - base, bool(store)) for address, store in zip(trace.address, trace.store, strict=True)]


def test_every_kind_of_access(tmp_path):
    program = assemble(
        tmp_path,
        """
        mov (%rsi), %rbx
        mov %rbx, 64(%rsi)
        mov 60(%rsi), %rcx
        addq $1, (%rsi)
        lock cmpxchg %rdx, 192(%rsi)
        fxsave 256(%rsi)
        """,
    )
    out = tmp_path / "t.parquet"
    result = record([program], out, **RAW)
    load, store = False, True
    head = [(0, load), (64, store), (60, load), (64, load), (0, load), (0, store), (192, load), (192, store)]
    found = offsets(out)
    assert found[:8] == head
    assert {offset // 64 for offset, _ in found[8:]} == set(range(4, 11)), "the 416 bytes that FXSAVE defines"
    assert all(is_store for _, is_store in found[8:])
    assert result == Recording(out, len(found), "exit", 7, None, ())
    steps = np.diff(read_trace(out).pc[:7].astype(np.int64))
    assert steps.tolist() == [3, 4, 0, 4, 0, 4], "lengths of the instructions"


@pytest.mark.skipif("avx2" not in Path("/proc/cpuinfo").read_text(), reason="needs AVX2")
def test_masked_accesses_touch_only_what_the_mask_lets_through(tmp_path):
    program = assemble(
        tmp_path,
        """
        movl $-1, 4(%rsi)
        movl $-1, 28(%rsi)
        vmovdqu (%rsi), %ymm1
        vpmaskmovd 64(%rsi), %ymm1, %ymm2
        vpmaskmovd %ymm2, %ymm1, 128(%rsi)
        """,
    )
    record([program], tmp_path / "t.parquet", **RAW)
    found = offsets(tmp_path / "t.parquet")
    assert found[:3] == [(4, True), (28, True), (0, False)]
    assert found[3:] == [(68, False), (92, False), (132, True), (156, True)]


def test_fetches(tmp_path):
    program = assemble(tmp_path, "mov (%rsi), %rbx")
    record([program], tmp_path / "t.parquet", fetches=True, **RAW)
    trace = read_trace(tmp_path / "t.parquet")
    data = trace.pc != trace.address
    assert data.tolist() == [False, False, True, False, False, False]
    assert not trace.store.any()


def test_two_levels_by_hand(tmp_path):
    """Direct-mapped 1 KiB over two-way 1 KiB, 64-byte lines: 16 and 8 sets."""
    program = assemble(tmp_path, "\n".join(f"movb $1, {64 * line + 5}(%rsi)" for line in (0, 0, 16, 0, 8, 16, 0)))
    out = tmp_path / "t.parquet"
    record([program], out, l1=CacheGeometry(1024, 1, 64), l2=CacheGeometry(1024, 2, 64))
    # 0 miss; 0 L1 hit; 16 miss; 0 L2 hit; 8 miss (evicts 16, least recent of {16, 0}); 16 miss (evicts 0); 0 miss
    assert offsets(out) == [(64 * line, True) for line in (0, 16, 8, 16, 0)]


@pytest.mark.parametrize("levels", [{}, TINY], ids=["default", "tiny"])
def test_the_filter_is_that_of_the_library(tmp_path, levels):
    program = ["sh", "-c", "i=0; while [ $i -lt 300 ]; do i=$((i+1)); x=$x$i; done"]
    whole, filtered = tmp_path / "whole.parquet", tmp_path / "filtered.parquet"
    record(program, whole, **RAW)
    record(program, filtered, **levels)
    trace = read_trace(whole)
    missed = CacheFilter(Hierarchy(**levels)).apply(trace.address)
    expected, found = trace.address[missed] // 64 * 64, read_trace(filtered)
    assert len(trace) > 200_000 and len(found) > 1000
    assert np.array_equal(found.address, expected)
    assert np.array_equal(found.pc, trace.pc[missed])
    assert np.array_equal(found.store, trace.store[missed])


def test_recordings_are_alike_to_the_last_bit(tmp_path, monkeypatch):
    command = ["/usr/bin/perl", "-e", "my %h; $h{$_} = 1 for 1..2000; print join(',', keys %h)"]
    record(command, tmp_path / "a.parquet")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setenv("NOISE", "x" * 5000)
    record(command, Path("b.parquet"))
    assert Path("b.parquet").read_bytes() == (tmp_path / "a.parquet").read_bytes()
    record(command, Path("c.parquet"), environment={"NOISE": "x" * 5000})
    assert Path("c.parquet").read_bytes() != (tmp_path / "a.parquet").read_bytes()


def test_skip_and_maximum_hold_through_an_exec(tmp_path):
    program = script(tmp_path, "exec /bin/echo hello")
    shell = script(tmp_path, "/nowhere 2>/dev/null; exec /bin/echo hello")
    whole = tmp_path / "whole.parquet"
    for command in ([program], [shell]):
        total = record(command, whole, **TINY).accesses
        trace = read_trace(whole)
        part = tmp_path / "part.parquet"
        for skip, maximum in ((0, 1000), (1000, total - 2000), (total - 500, 100), (total - 100, None)):
            result = record(command, part, skip=skip, maximum=maximum, **TINY)
            wanted = trace[skip : None if maximum is None else skip + maximum]
            found = read_trace(part)
            assert np.array_equal(found.address, wanted.address) and np.array_equal(found.pc, wanted.pc)
            assert result.end == ("exit" if maximum is None else "maximum")


def test_children_are_not_recorded(tmp_path):
    loop = "i=0; while [ $i -lt 60 ]; do i=$((i+1)); done"
    commands = {"forked": f"({loop}); exit 3", "own": f"{loop}; exit 3", "started": f"sh -c '{loop}'; exit 3"}
    counts = {}
    for name, text in commands.items():
        result = record(["sh", "-c", text], tmp_path / "t.parquet", **RAW)
        assert result.exit_code == 3
        counts[name] = result.accesses
    assert counts["own"] > 3 * max(counts["forked"], counts["started"])


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


def test_bad_arguments(tmp_path, capfd):
    out = str(tmp_path / "t.parquet")
    for options, message in {
        ("--l1", "32KiB"): "write CAPACITY:WAYS",
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


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="needs root to become another user")
def test_a_normal_user_records_the_same(tmp_path):
    """In a cache folder of another length too: the tool's folder is padded to one length."""
    become = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    code = "import sys; from learnsys.cli import main; sys.exit(main())"
    start = [*become, sys.executable, "-c", code]
    if subprocess.run([*start, "--version"], check=False, capture_output=True, cwd="/").returncode:
        pytest.skip("another user cannot run this Python")
    home = Path("/var/tmp") / f"learnsys-test-{os.getpid()}"
    home.mkdir()
    try:
        shutil.chown(home, 65534, 65534)
        environment = {**ENVIRONMENT, "XDG_CACHE_HOME": str(home / "cache"), "HOME": str(home)}
        arguments = ["trace", "record", "--out", "t.parquet", "--", "/usr/bin/sort", "/etc/services"]
        subprocess.run([*start, *arguments], check=True, cwd=home, env=environment, capture_output=True)
        record(arguments[5:], tmp_path / "t.parquet")
        assert (home / "t.parquet").read_bytes() == (tmp_path / "t.parquet").read_bytes()
    finally:
        shutil.rmtree(home)
