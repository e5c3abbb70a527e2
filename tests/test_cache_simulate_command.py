"""`learnsys cache simulate` as users run it."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from learnsys.cli import main
from learnsys.cli.cache_jobs import object_capacity
from learnsys.envs.cache.accesses import Accesses
from learnsys.envs.cache.geometry import CacheGeometry
from learnsys.errors import InputError
from learnsys.policies.cache.registry import LEARNED_POLICIES, SET_POLICIES, make_set_policy
from learnsys.policies.cache.simulation import simulate
from learnsys.testing.policies import geometry_of, varied_accesses
from learnsys.traces import Trace, write_trace

SMALL = ["--capacity", "4KiB", "--ways", "8"]


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """A trace of 4000 accesses in a file."""
    accesses = varied_accesses(4000, geometry_of(8, 8))
    trace = Trace(accesses.line_number[accesses.line] * 64, accesses.pc_value[accesses.pc])
    path = tmp_path_factory.mktemp("trace") / "program.parquet"
    write_trace(path, trace)
    return path, trace


def answer(capsys, *arguments) -> dict:
    assert main(["cache", "simulate", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_results_are_those_of_the_policies(recording, capsys):
    path, trace = recording
    found = answer(capsys, "--trace", path, "--policies", "lru,hawkeye,belady", "--capacity", "4KiB,1KiB", "--ways", 8)
    assert found["accesses"] == 4000 and found["window"] == [0, 1] and not found["objects"]
    assert list(found["results"]) == ["4KiB", "1KiB"]
    for size, capacity in (("4KiB", 4096), ("1KiB", 1024)):
        geometry = CacheGeometry(capacity, 8)
        accesses = Accesses.prepare(trace.address, trace.pc, geometry)
        for row in found["results"][size]:
            assert row["hits"] == simulate(make_set_policy(row["policy"]), accesses, geometry).sum()
            assert row["accesses_per_second"] > 0


def test_table(recording, capsys):
    path, _ = recording
    assert main(["cache", "simulate", "--trace", str(path), *SMALL, "--policies", "all"]) == 0
    out = capsys.readouterr().out
    for name in SET_POLICIES:
        assert (f" {name} " in out) == (not make_set_policy(name).needs_fit)
    assert "+0.000" in out and "+1.000" in out


def test_fitted_policies_count_in_the_last_tenth(recording, capsys):
    path, trace = recording
    found = answer(capsys, "--trace", path, *SMALL, "--policies", "lru,eta_pc,nearest_neighbour")
    assert found["window"] == [0.9, 1] and found["results"]["4KiB"][0]["accesses"] == 400
    assert "last tenth" in " ".join(found["notes"]) and "eta_pc, nearest_neighbour" in " ".join(found["notes"])
    geometry = CacheGeometry(4096, 8)
    hits = simulate(make_set_policy("lru"), Accesses.prepare(trace.address, trace.pc, geometry), geometry)
    assert found["results"]["4KiB"][0]["hits"] == hits[3600:].sum()
    chosen = answer(capsys, "--trace", path, *SMALL, "--policies", "eta_pc", "--fit", "0:0.5", "--window", "0.5:0.75")
    assert chosen["results"]["4KiB"][0]["accesses"] == 1000


def test_learned_policies_come_from_their_folder(recording, capsys, monkeypatch):
    path, _ = recording
    monkeypatch.setitem(LEARNED_POLICIES, "fake", f"{__name__}:Fake")
    monkeypatch.setitem(__import__("sys").modules, __name__, __import__("types").ModuleType(__name__))
    monkeypatch.setattr(__import__("sys").modules[__name__], "Fake", Fake, raising=False)
    found = answer(capsys, "--trace", path, *SMALL, "--policies", "lru,fake=here,fake=there")
    rows = found["results"]["4KiB"]
    assert [row["policy"] for row in rows] == ["lru", "fake", "fake=there"]
    assert rows[1]["hit_rate"] == 0 and rows[2]["hit_rate"] == 1
    assert found["window"] == [0.9, 1]


class Fake:
    """A learned policy that hits always, or never."""

    def __init__(self, folder):
        self.folder = folder

    @classmethod
    def load(cls, folder):
        return cls(folder)

    def simulate(self, accesses, geometry, seed):
        return np.full(len(accesses), self.folder == "there", np.uint8)


def test_run_folder(recording, tmp_path, capsys):
    path, _ = recording
    folder = tmp_path / "run"
    arguments = ["--trace", path, *SMALL, "--policies", "lru,srrip,belady", "--out", folder]
    found = answer(capsys, *arguments)
    summary = (folder / "summary.json").read_bytes()
    rows = list(csv.DictReader((folder / "results.csv").open()))
    assert [row["policy"] for row in rows] == ["lru", "srrip", "belady"]
    assert [int(row["hits"]) for row in rows] == [row["hits"] for row in found["results"]["4KiB"]]
    timings = json.loads((folder / "timings.json").read_text())
    assert timings["4KiB"][1]["seconds"] > 0
    stored = json.loads(summary)
    assert stored["curve"]["miss_ratio"][0] > stored["curve"]["miss_ratio"][-1] > 0
    assert "seconds" not in stored["results"]["4KiB"][0]
    answer(capsys, *arguments, "--workers", 1)
    assert (folder / "summary.json").read_bytes() == summary
    assert main(["cache", "simulate", *map(str, arguments), "--seed", "1"]) == 2
    assert "another configuration" in capsys.readouterr().err
    assert main(["run", "report", str(folder), "--out", str(tmp_path / "page.html")]) == 0
    page = (tmp_path / "page.html").read_text()
    assert "srrip" in page and "<svg" in page


def test_objects(tmp_path, capsys):
    rng = np.random.default_rng(0)
    ids = (rng.zipf(1.4, 3000) % 500).astype(np.uint64)
    path = tmp_path / "objects.parquet"
    write_trace(path, Trace(ids, size=(1 + ids % 9).astype(np.uint32), objects=True))
    found = answer(capsys, "--trace", path, "--policies", "lru,fifo,belady", "--capacity", "50,10%,100B")
    assert found["objects"] and list(found["results"]) == ["50", "10%", "100B"]
    for rows in found["results"].values():
        lru, fifo, best = (row["hit_rate"] for row in rows)
        assert 0 < fifo < best < 1 and 0 < lru < best
    assert found["results"]["50"][0]["byte_hit_rate"] is None
    assert 0 < found["results"]["100B"][0]["byte_hit_rate"] < 1
    uniform = answer(capsys, "--trace", path, "--policies", "lru", "--capacity", "10%", "--uniform")
    n = np.unique(ids).size
    assert f"{int(0.1 * n)} of {n} objects" in " ".join(uniform["notes"])
    same = answer(capsys, "--trace", path, "--policies", "lru", "--capacity", int(0.1 * n))
    assert same["results"][str(int(0.1 * n))][0]["hits"] == uniform["results"]["10%"][0]["hits"]


def test_guarded_objects(recording, capsys):
    path, _ = recording
    asked = ("--trace", path, "--objects", "--capacity", "20")
    found = answer(capsys, *asked, "--policies", "lru,learnsys_cache", "--guard")["results"]["20"]
    assert [row["policy"] for row in found] == ["lru", "guard:learnsys_cache"]
    named = answer(capsys, *asked, "--policies", "guard:learnsys_cache")["results"]["20"]
    assert named[0]["hits"] == found[1]["hits"]


def test_addresses_as_objects(recording, capsys):
    path, trace = recording
    distinct = np.unique(trace.address).size
    found = answer(capsys, "--trace", path, "--objects", "--policies", "lru", "--capacity", distinct)
    assert found["results"][str(distinct)][0]["hits"] == 4000 - distinct


def test_object_capacity():
    assert object_capacity("10%", 505) == 50
    assert object_capacity("0.01%", 50) == 1
    assert object_capacity("10%", 505, 99_999) == 9_999
    assert object_capacity("5000", 10) == 5000
    assert object_capacity("2KiB", 10, 99_999) == 2048
    for wrong in ("0", "-3", "0%", "101%", "x%", "many", "1.5", "2KiB"):
        with pytest.raises(InputError):
            object_capacity(wrong, 100)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--policies", "lru,nothing"], "no cache policy is called 'nothing'"),
        (["--policies", "lru,lru"], "listed twice"),
        (["--policies", ","], "no policies given"),
        (["--policies", "nothing=folder"], "no learned cache policy is called 'nothing'"),
        (["--policies", "parrot=missing"], "missing"),
        (["--capacity", "3MiB"], "no power of two"),
        (["--capacity", "large"], "not a size in bytes"),
        (["--ways", "0"], "at least 1"),
        (["--ways", "6", "--capacity", "6KiB", "--policies", "s4lru"], "cannot split 6 ways"),
        (["--line-size", "60"], "no power of two"),
        (["--window", "0.5"], "no part of a trace"),
        (["--window", "0.9:0.5"], "no part of a trace"),
        (["--policies", "table_pc", "--window", "0:1"], "where hits are counted"),
        (["--objects", "--policies", "srrip"], "no cache policy is called 'srrip'"),
        (["--objects", "--capacity", "1MiB"], "whose sizes do not count"),
        (["--objects", "--policies", "lru,guard:sieve"], "sieve does not tell"),
    ],
)
def test_bad_arguments(recording, capsys, arguments, message):
    path, _ = recording
    assert main(["cache", "simulate", "--trace", str(path), *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.startswith("learnsys: ") and captured.err.count("\n") == 1
    assert message in captured.err


def test_missing_trace(tmp_path, capsys):
    assert main(["cache", "simulate", "--trace", str(tmp_path / "none.parquet")]) == 2
    assert "none.parquet" in capsys.readouterr().err
