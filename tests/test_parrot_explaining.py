"""What `learnsys cache explain` tells is what the policy did."""

import json

import numpy as np
import pytest

from learnsys.cli import main
from learnsys.envs.cache.accesses import Accesses
from learnsys.envs.cache.geometry import CacheGeometry
from learnsys.errors import InputError
from learnsys.policies.cache.guard import Guard
from learnsys.policies.cache.parrot.config import parrot
from learnsys.policies.cache.parrot.explaining import by_frequency, explain
from learnsys.policies.cache.parrot.guarded import SHADOWS
from learnsys.policies.cache.parrot.policy import ParrotPolicy
from learnsys.policies.cache.parrot.training import train_parrot
from learnsys.policies.cache.registry import make_set_policy
from learnsys.policies.cache.replay import Replay
from learnsys.policies.cache.simulation import Simulation, chunk_of, simulate
from learnsys.settings import override
from learnsys.traces import write_trace
from learnsys.traces.synthetic import synthesize

CACHE = CacheGeometry(4096, 4)
SMALL = ("--capacity", "4096", "--ways", "4")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A trace and the folder of a Parrot trained on it."""
    folder = tmp_path_factory.mktemp("explain")
    trace = synthesize("phases", 9000, length=1500, lines=200)
    write_trace(folder / "trace.parquet", trace)
    config = override(parrot(), ("collect=3000", "training.steps=20", "loop.rounds=2", "batch=8"))
    train_parrot(trace, config, CACHE, folder / "run")
    return trace, folder


@pytest.mark.parametrize("start", [0, 6000])
def test_decisions_are_those_of_the_simulation(trained, start):
    trace, folder = trained
    policy = ParrotPolicy.load(folder / "run")
    accesses = Accesses.prepare(trace.address, trace.pc, CACHE)
    found = explain(policy, accesses, CACHE, start, 7000)
    d = found.decisions
    assert (np.diff(d.time) > 0).all()
    assert start <= d.time[0] <= d.time[-1] < 7000
    assert (d.preference.max(1) <= np.take_along_axis(d.preference, d.victim[:, None], 1)[:, 0] + 1e-4).all()
    weights = found.attention(np.arange(d.time.size))
    np.testing.assert_allclose(weights.sum(2), 1, atol=1e-5)
    if start == 0:
        victims = policy.victims(accesses, CACHE)[:7000]
        np.testing.assert_array_equal(d.time, np.flatnonzero(victims >= 0))
        np.testing.assert_array_equal(d.victim, victims[d.time])
    for i in (0, d.time.size // 2, d.time.size - 1):
        ahead = accesses.next_use[d.touched[i]].astype(float) - d.time[i]
        ahead[ahead > 10**6] = 10**6
        np.testing.assert_allclose(10 ** d.distance[i], ahead, rtol=1e-4)
        assert d.belady[i] == ahead.argmax()


def test_accuracy_by_frequency(trained):
    trace, folder = trained
    policy = ParrotPolicy.load(folder / "run")
    accesses = Accesses.prepare(trace.address, trace.pc, CACHE)
    found = explain(policy, accesses, CACHE, 5000, 7000)
    rows = by_frequency(found, 5000)
    assert rows[-1]["seen"] == "all"
    assert rows[-1]["decisions"] == found.decisions.time.size == sum(row["decisions"] for row in rows[:-1])
    assert rows[-1]["lines"] == found.decisions.touched.size == sum(row["lines"] for row in rows[:-1])
    assert rows[-1]["accuracy@4"] == 1  # of four ways
    d = found.decisions
    use = accesses.next_use[d.touched]
    right = np.take_along_axis(use, d.victim[:, None], 1)[:, 0] == use.max(1)
    assert abs(rows[-1]["accuracy@1"] - right.mean()) < 0.02  # scores equal but for rounding apart
    off = found.decisions.predicted - found.decisions.distance
    assert rows[-1]["error"] == pytest.approx(float(np.abs(off).mean()))


def test_command_line(tmp_path, trained, capsys):
    _, folder = trained
    fixed = ["cache", "explain", "--trace", str(folder / "trace.parquet"), *SMALL, "--out", str(tmp_path / "e.png")]
    assert main([*fixed, "--policy", f"parrot={folder / 'run'}", "--part", "0.8:0.9", "--count", "5", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (tmp_path / "e.png").read_bytes().startswith(b"\x89PNG")
    assert len(told["evictions"]) == 5
    assert len(told["lines"]) == 4
    assert sum("policy" in line["evicted by"] for line in told["lines"]) == 1
    assert sum("Belady" in line["evicted by"] for line in told["lines"]) == 1
    assert main([*fixed, "--policy", str(folder / "run")]) == 0
    assert "picture: " in capsys.readouterr().out
    guarded = [*fixed, "--policy", f"guard:parrot={folder / 'run'}", "--part", "0.8:0.9", "--count", "5"]
    assert main([*guarded, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {step["follows"] for step in told["evictions"]} <= {part["follows"] for part in told["guard"]}
    assert sum("guard" in line["evicted by"] for line in told["lines"]) == 1
    by_flag = [*fixed, "--policy", str(folder / "run"), "--guard", "--part", "0.8:0.9", "--count", "5"]
    assert main([*by_flag, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == told
    assert main(guarded) == 0
    assert "what the guard follows" in capsys.readouterr().out
    assert main(fixed) == 2
    assert "no trained parrot ships for" in capsys.readouterr().err
    assert main([*fixed, "--policy", str(folder / "run"), "--set-number", "99"]) == 2
    assert "set 99 evicts nothing" in capsys.readouterr().err


def test_what_a_guard_evicts(trained):
    """Beside the same guard, one access at a time."""
    trace, folder = trained
    policy = ParrotPolicy.load(folder / "run")
    accesses = Accesses.prepare(trace.address, trace.pc, CACHE)
    start, stop = 6000, 7500
    found = explain(policy, accesses, CACHE, start, stop, guard=True)
    d, lead = found.decisions, found.lead
    guard = Guard(Replay())
    simulation = Simulation(guard, CACHE, learnt={"policy/victims": policy.victims(accesses, CACHE)})
    state, number = simulation.state, 0
    for t in range(stop):
        row = accesses.row[t]
        before, touched, leader = state["tags"][row].copy(), state["touched"][row].copy(), state["groups"][0, 0]
        hit = simulation.run(chunk_of(accesses, t, t + 1), accesses.line_number.size, accesses.pc_value.size)[0]
        if t < start:
            continue
        assert lead.hits[t - start] == hit and lead.followed[t - start] == leader
        changed = np.flatnonzero((state["tags"][row] != before) & (before >= 0))
        if changed.size:
            assert d.time[number] == t and d.victim[number] == changed[0]
            assert d.touched[number].tolist() == touched.tolist()
            for e, lines in enumerate(guard.held(state)):
                assert lead.held[number, e].tolist() == np.isin(before, lines[row]).tolist()
            assert not lead.held[number, leader, changed[0]]
            number += 1
    assert number == d.time.size > 100
    whole = simulate(make_set_policy("lru"), accesses, CACHE), policy.simulate(accesses, CACHE)
    assert np.array_equal(lead.shadow_hits, np.stack(whole[::-1])[:, start:stop])
    parts = lead.parts()
    assert parts[0]["from"] == start and parts[-1]["to"] == stop
    assert sum(part["guarded hits"] for part in parts) == lead.hits.sum()
    for part in parts:
        followed = lead.followed[part["from"] - start : part["to"] - start]
        assert {SHADOWS[number] for number in followed} == {part["follows"]}


def test_stretches_without_evictions_are_refused(trained):
    trace, folder = trained
    policy = ParrotPolicy.load(folder / "run")
    accesses = Accesses.prepare(trace.address, trace.pc, CACHE)
    with pytest.raises(InputError, match="no line is evicted"):
        explain(policy, accesses, CACHE, 0, 3)
    with pytest.raises(InputError, match="no stretch"):
        explain(policy, accesses, CACHE, 10, 10)
