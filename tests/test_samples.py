"""The recordings that are shipped: what their manifest says holds, and they leave a learner something to gain."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from learnsys.envs.cache.accesses import Accesses
from learnsys.envs.cache.bounds import belady_hits, lru_hits
from learnsys.envs.cache.geometry import CacheGeometry
from learnsys.traces.io import open_trace, read_trace
from learnsys.traces.samples import FOLDER, sample_names, sample_path


def manifest() -> dict[str, dict[str, str]]:
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (FOLDER / "MANIFEST.md").read_text().splitlines()
        if line.startswith("|") and "---" not in line
    ]
    return {row[0]: dict(zip(rows[0], row, strict=True)) for row in rows[1:]}


def test_sizes():
    assert sorted(manifest()) == sample_names()
    sizes = [sample_path(name).stat().st_size for name in sample_names()]
    assert len(sizes) >= 4 and max(sizes) <= 4e6 and sum(sizes) <= 12e6
    assert all(open_trace(f"sample:{name}").accesses >= 1_000_000 for name in sample_names())
    assert sum(float(line["gap 2 MiB"]) >= 10 for line in manifest().values()) >= 3


@pytest.mark.parametrize("name", sample_names())
def test_the_manifest_tells_the_truth(name):
    line = manifest()[name]
    path = sample_path(name)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == line["sha256"]
    trace = read_trace(path)
    assert not (trace.address % np.uint64(64)).any()
    assert trace.address.max() < 2**47 and trace.pc.max() < 2**47
    assert 0 < trace.store.mean() < 1
    for label, capacity in {"2 MiB": 2**21, "512 KiB": 2**19}.items():
        geometry = CacheGeometry(capacity, 16)
        accesses = Accesses.prepare(trace.address, trace.pc, geometry)
        assert f"{100 * lru_hits(accesses, geometry.sets, 16).mean():.2f}" == line[f"LRU {label}"]
        assert f"{100 * belady_hits(accesses, geometry.sets, 16).mean():.2f}" == line[f"Belady {label}"]
    assert f"{len(trace):,}" == line["accesses"]
    assert f"{accesses.line_number.size:,}" == line["lines"]
    assert f"{accesses.pc_value.size:,}" == line["PCs"]


def test_a_sample_says_how_it_was_recorded():
    with open_trace("sample:gnugo") as reader:
        assert reader.metadata["command"].startswith("/usr/games/gnugo ")
        assert "--skip-records=2000000" in reader.metadata["options"]
