"""The best policy for a trace: chosen on the validation part, kept in a folder, found again."""

import json

import numpy as np
import pytest

from learnsys.cli import main
from learnsys.envs.cache.accesses import Accesses
from learnsys.envs.cache.geometry import CacheGeometry
from learnsys.policies.cache.picker import Picked, candidate_names, choose, renumbered
from learnsys.policies.cache.registry import make_set_policy
from learnsys.policies.cache.simulation import fit, simulate
from learnsys.traces import read_trace, write_trace
from learnsys.traces.synthetic import synthesize

CACHE = CacheGeometry(4096, 4)
SMALL = ("--capacity", "4096", "--ways", "4")


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    path = tmp_path_factory.mktemp("trace") / "mix.parquet"
    write_trace(path, synthesize("cyclic-scan", 12_000, lines=96))
    return path


def prepared(path):
    trace = read_trace(path)
    return Accesses.prepare(trace.address, trace.pc, CACHE)


def test_the_most_validation_hits_win(trace):
    accesses = prepared(trace)
    names = ["lru", "table_address", "mru", "srrip"]
    choice = choose(accesses, CACHE, names, workers=2)
    part = slice(9600, 10800)
    for name in names:
        policy = make_set_policy(name)
        learnt = fit(policy, accesses, CACHE, 0, 9600) if policy.needs_fit else {}
        hits = simulate(policy, accesses, CACHE, learnt=learnt)
        assert choice.hit_rates[name] == hits[part].mean()
        if name == choice.name:
            np.testing.assert_array_equal(choice.hits, hits)
    assert choice.hit_rates[choice.name] == max(choice.hit_rates.values()) > choice.hit_rates["lru"] == 0


def test_equals_keep_their_order(trace):
    accesses = prepared(trace)
    assert choose(accesses, CACHE, ["lru", "srrip"]).name == choose(accesses, CACHE, ["lru"]).name == "lru"


def test_nothing_that_knows_the_future_is_a_candidate():
    names = candidate_names()
    assert {"lru", "table_pc", "parrot", "guard:parrot", "learnsys_cache", "guard:learnsys_cache"} <= set(names)
    assert not {"belady", "belady_bypass"} & set(names)


def test_renumbered_by_hand():
    """A trace of lines 7 5 9 5, read as one that already knew 5 and 7 in this order."""
    accesses = Accesses.prepare(np.array([7, 5, 9, 5], np.uint64) * 64, np.array([1, 2, 1, 3], np.uint64), CACHE)
    again = renumbered(accesses, np.array([5, 7], np.uint64), np.array([3], np.uint64))
    assert again.line.tolist() == [1, 0, 2, 0]
    assert again.line_number.tolist() == [5, 7, 9]
    assert again.pc.tolist() == [1, 2, 1, 0]
    assert again.pc_value.tolist() == [3, 1, 2]
    assert again.row.tolist() == accesses.row.tolist()
    nothing = np.zeros(0, np.uint64)
    assert renumbered(accesses, nothing, nothing).line.tolist() == accesses.line.tolist()


@pytest.mark.parametrize("candidates", ["lru,table_both,table_pc", "lru,nearest_neighbour", "lru,parrot,guard:parrot"])
def test_the_folder_is_a_policy(tmp_path, trace, capsys, candidates):
    out = tmp_path / "best"
    tiny = ["--set", "collect=3000", "training.steps=40", "loop.rounds=2", "batch=8"]
    arguments = ["cache", "train", "--recipe", "best", "--trace", str(trace), "--out", str(out), *SMALL]
    assert main([*arguments, "--candidates", candidates, "--json", *tiny]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert set(summary["candidates"]) == set(candidates.split(","))
    assert summary["choice"] != "lru"
    assert main(["cache", "simulate", "--trace", str(trace), "--policies", f"best={out}", *SMALL, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["results"]
    (result,) = next(iter(rows.values()))
    assert result["hit_rate"] == summary["test"]["hit_rate"]
    # The same program in another run: other ids, the same values.
    accesses = prepared(trace)
    later = Accesses.prepare(read_trace(trace).address[5000:], read_trace(trace).pc[5000:], CACHE)
    assert Picked.load(out).simulate(later, CACHE).mean() > 0.5 * Picked.load(out).simulate(accesses, CACHE).mean()


def test_clear_errors(tmp_path, trace, capsys):
    arguments = ["cache", "train", "--recipe", "best", "--trace", str(trace), "--out", str(tmp_path / "x"), *SMALL]
    assert main([*arguments, "--candidates", "lru,belady"]) == 2
    assert "no candidate is called 'belady'" in capsys.readouterr().err
    assert main(["cache", "simulate", "--trace", str(trace), "--policies", f"best={tmp_path}", *SMALL]) == 2
    assert "summary.json" in capsys.readouterr().err
