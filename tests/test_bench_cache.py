"""scripts/bench_cache runs, small, and says what to install where its peers are missing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "bench_cache"


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment or None)


def test_quick_run():
    for peer in ("libcachesim", "cachesim", "cachetools"):
        pytest.importorskip(peer)
    done = run("--quick", "--json")
    assert done.returncode == 0, done.stderr
    tables = json.loads(done.stdout)["tables"]
    assert [table["part"] for table in tables] == ["objects", "objects", "sets", "memory", "environment"]
    equal = {row[0]: row[-1] for row in tables[0]["rows"]}
    six = ("lru", "fifo", "clock", "sieve", "s3fifo", "belady")
    assert all(equal[f"{name} {share}"] == "equal" for name in six for share in ("1%", "10%"))
    assert [row[-1] for row in tables[2]["rows"]] == ["equal"] * 3
    assert tables[1]["means"]["simulation"] > 0


def test_missing_peers_are_named(tmp_path):
    (tmp_path / "libcachesim.py").write_text("raise ImportError(\"No module named 'libcachesim'\")\n")
    done = run("--quick", "--part", "objects", PYTHONPATH=str(tmp_path), PATH="/usr/bin:/bin")
    assert done.returncode == 2
    assert done.stderr == "bench_cache: No module named 'libcachesim'; pip install -e '.[bench]'\n"
