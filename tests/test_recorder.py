"""What the recorder writes: the accesses, the filter, one process, the same twice."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from learnsys.envs.cache.geometry import CacheGeometry
from learnsys.traces.filters import CacheFilter
from learnsys.traces.hierarchy import Hierarchy
from learnsys.traces.io import read_trace
from learnsys.traces.recorder import ENVIRONMENT, Recording, record

pytestmark = [
    pytest.mark.skipif(
        not (shutil.which("valgrind") and shutil.which("gcc")), reason="the recorder needs valgrind and gcc"
    ),
    pytest.mark.usefixtures("recorder_cache"),
]
RAW = {"l1": None, "l2": None}
TINY = {"l1": CacheGeometry(1024, 2, 64), "l2": CacheGeometry(4096, 4, 64)}


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
