"""The simulation driver: windows, fitting, sweeps, spooled traces, resumable streams, and the published hit rates."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from learnsys.envs.cache.accesses import Accesses
from learnsys.envs.cache.geometry import CacheGeometry
from learnsys.envs.cache.spool import Spool
from learnsys.errors import InputError
from learnsys.policies.cache.registry import SET_POLICIES, make_set_policy
from learnsys.policies.cache.simulation import Tally, compare, part_of, simulate
from learnsys.policies.cache.streaming import Stream
from learnsys.statistics import normalised_hit_rate
from learnsys.testing.policies import geometry_of, varied_accesses
from learnsys.traces import Trace, read_trace

RECORDINGS = Path(__file__).resolve().parents[1].parent / "shared" / "data" / "llc"

# Hit rates in % on the recordings, caches starting empty: LRU, SRRIP and the optimum at 2 MiB, 512 KiB and 256 KiB.
GOLDEN = {
    "xz": ("68.34 69.52 81.12", "24.57 27.53 55.01", "6.64 8.24 39.57"),
    "sqlite3": ("73.97 75.30 84.36", "38.02 40.40 58.17", "6.46 11.65 41.87"),
    "python3": ("42.46 42.49 58.46", "7.75 9.07 35.27", "1.15 1.46 22.84"),
    "perl": ("46.27 47.67 66.12", "16.36 19.66 41.78", "4.89 6.66 30.80"),
    "stockfish": ("7.19 17.13 35.63", "0.56 0.53 13.39", "0.33 0.25 8.81"),
    "gnugo": ("28.65 29.05 43.61", "15.52 19.59 30.13", "4.97 7.21 22.60"),
    "glpsol": ("99.07 99.07 99.07", "96.10 96.34 97.87", "41.83 51.35 82.59"),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_hit_rates_of_the_recordings(name):
    path = RECORDINGS / f"{name}.parquet"
    if not path.exists():
        pytest.skip("the recordings are not here")
    trace = read_trace(path)
    policies = {label: make_set_policy(label) for label in ("lru", "srrip", "belady")}
    for capacity, expected in zip(("2MiB", "512KiB", "256KiB"), GOLDEN[name], strict=True):
        geometry = CacheGeometry({"2MiB": 2**21, "512KiB": 2**19, "256KiB": 2**18}[capacity])
        results = compare(policies, Accesses.prepare(trace.address, trace.pc, geometry), geometry)
        assert " ".join(f"{100 * result.hit_rate:.2f}" for result in results) == expected, capacity


def test_normalised_hit_rate():
    assert normalised_hit_rate(0.6, 0.5, 0.9) == pytest.approx(0.25)
    assert normalised_hit_rate(0.4, 0.5, 0.9) == pytest.approx(-0.25)
    assert math.isnan(normalised_hit_rate(0.5, 0.5, 0.5))


def test_tally_counts_a_window():
    hits = np.array([1, 1, 0, 1, 0, 0, 1, 1, 1, 0], np.uint8)
    tally = Tally.of(hits, 2, 10, 0.5)
    assert (tally.hits, tally.accesses, tally.simulated, tally.seconds) == (4, 8, 10, 0.5)
    assert tally.over_time == [0, 1, 0, 0, 1, 1, 1, 0]
    assert math.isnan(tally.byte_hit_rate)
    sized = Tally.of(hits, 2, 6, 0.5, np.array([9, 9, 10, 30, 50, 0, 9, 9, 9, 9]))
    assert sized.byte_hit_rate == pytest.approx(30 / 91)  # no object is smaller than a byte


def test_hit_rate_over_time_has_at_most_fifty_equal_parts():
    hits = np.zeros(1030, np.uint8)
    hits[:515] = 1
    curve = Tally.of(hits, 0, 1030, 1.0).over_time
    assert len(curve) == 50 and curve[:25] == [1.0] * 25 and curve[25:] == [0.0] * 25


def test_compare_counts_next_to_lru_and_belady():
    geometry = geometry_of(8, 4)
    accesses = varied_accesses(4000, geometry)
    done = []
    policies = {"mine": make_set_policy("srrip"), "belady": make_set_policy("belady")}
    results = compare(policies, accesses, geometry, window=(0.5, 1.0), workers=3, finished=done.append)
    assert [result.policy for result in results] == ["mine", "belady"] and sorted(done) == ["belady", "lru", "mine"]
    rates = {
        name: simulate(make_set_policy(name), accesses, geometry)[2000:].mean() for name in ("lru", "srrip", "belady")
    }
    mine = results[0]
    assert mine.accesses == 2000 and mine.hit_rate == rates["srrip"] and mine.hits == round(2000 * rates["srrip"])
    assert mine.normalised == pytest.approx((rates["srrip"] - rates["lru"]) / (rates["belady"] - rates["lru"]))
    assert mine.misses_to_lru == pytest.approx((1 - rates["srrip"]) / (1 - rates["lru"]))
    assert results[1].normalised == 1
    assert mine.seconds > 0 and mine.accesses_per_second == pytest.approx(4000 / mine.seconds)


def test_threads_change_nothing():
    geometry = geometry_of(8, 4)
    accesses = varied_accesses(4000, geometry)
    policies = {name: make_set_policy(name) for name in SET_POLICIES}
    alone, together = (
        compare(policies, accesses, geometry, window=(0.6, 1), fit_on=(0, 0.5), workers=workers) for workers in (1, 4)
    )
    assert [result.hits for result in alone] == [result.hits for result in together]


def test_objects_that_simulate_themselves():
    class AllHits:
        def simulate(self, accesses, geometry, seed):
            assert seed == 5
            return np.ones(len(accesses), np.uint8)

    geometry = geometry_of(4, 4)
    results = compare({"sure": AllHits()}, varied_accesses(500, geometry), geometry, seed=5)
    assert results[0].hit_rate == 1 and results[0].misses_to_lru == 0 and results[0].normalised > 1


def test_parts():
    assert part_of((0.0, 1.0), 7) == (0, 7)
    assert part_of((0.9, 1.0), 2_000_000) == (1_800_000, 2_000_000)
    for window in ((0.5, 0.5), (0.9, 0.1), (-0.1, 0.5), (0.5, 1.1), (float("nan"), 1.0), (0.5, 0.5001)):
        with pytest.raises(InputError):
            part_of(window, 100)


def test_fitting_needs_an_earlier_part():
    geometry = geometry_of(4, 4)
    accesses = varied_accesses(500, geometry)
    policies = {"table": make_set_policy("table_pc")}
    with pytest.raises(InputError, match="table must be fitted"):
        compare(policies, accesses, geometry)
    with pytest.raises(InputError, match="where hits are counted"):
        compare(policies, accesses, geometry, window=(0.7, 1), fit_on=(0, 0.8))
    assert compare(policies, accesses, geometry, window=(0.8, 1), fit_on=(0, 0.8))[0].accesses == 100


def test_no_accesses():
    geometry = geometry_of(4, 4)
    with pytest.raises(InputError, match="no accesses"):
        compare({}, Accesses.prepare(np.zeros(0, np.uint64), None, geometry), geometry)


def trace_of(n: int, seed: int = 0, **columns) -> Trace:
    rng = np.random.default_rng(seed)
    return Trace(rng.integers(0, 2**16, n).astype(np.uint64), rng.integers(0, 50, n).astype(np.uint64), **columns)


def chunks_of(trace: Trace, n: int):
    return (trace[start : start + n] for start in range(0, len(trace), n))


def test_spool_equals_memory(tmp_path):
    trace, geometry = trace_of(5000), geometry_of(16, 4)
    spool = Spool(chunks_of(trace, 700), folder=tmp_path)
    assert list(tmp_path.iterdir()) == []  # the files have no names, so nothing stays behind
    expected, found = Accesses.prepare(trace.address, trace.pc, geometry), spool.at(geometry)
    for name in ("line", "pc", "row", "next_use", "line_number", "pc_value"):
        assert np.array_equal(getattr(found, name), getattr(expected, name)), name
    for name in ("hawkeye", "belady"):
        policy = make_set_policy(name)
        assert np.array_equal(simulate(policy, found, geometry, chunk=900), simulate(policy, expected, geometry))


def test_spool_in_blocks(monkeypatch):
    monkeypatch.setattr("learnsys.envs.cache.spool._BLOCK", 300)
    trace, geometry = trace_of(1000), geometry_of(16, 4)
    expected, found = Accesses.prepare(trace.address, None, geometry), Spool([Trace(trace.address)]).at(geometry)
    assert np.array_equal(found.next_use, expected.next_use) and np.array_equal(found.row, expected.row)
    assert not found.pc.any() and found.pc_value.tolist() == [0]


def test_spool_of_objects():
    ids, size = np.array([5, 7, 5, 9, 7], np.uint64), np.array([10, 20, 30, 40, 20], np.uint32)
    trace = Trace(ids, size=size, objects=True)
    spool = Spool(chunks_of(trace, 2), line_size=1)
    assert spool.line.tolist() == [0, 1, 0, 2, 1] and spool.size.tolist() == size.tolist()
    assert spool.footprint() == 30 + 20 + 40
    with pytest.raises(InputError, match="only some chunks"):
        Spool([Trace(ids, size=size), Trace(ids)])
    with pytest.raises(InputError, match="no accesses"):
        Spool([])


STREAMED = [name for name in SET_POLICIES if not make_set_policy(name).needs_future]


def test_stream_equals_the_whole(tmp_path):
    """Chunks of any length, with the state saved, lost and loaded on the way, give the hits of one simulation."""
    trace, geometry = trace_of(6000), geometry_of(16, 4)
    accesses = Accesses.prepare(trace.address, trace.pc, geometry)
    policies = {name: make_set_policy(name) for name in STREAMED}
    stream = Stream(policies, geometry, seed=3)
    collected = []
    for part in (trace[:1], trace[1:1500], trace[1500:2000], trace[2000:]):
        stream.save(tmp_path / "state.safetensors")
        stream = Stream(policies, geometry, seed=3)
        stream.restore(tmp_path / "state.safetensors")
        collected.append(stream.feed(part))
    assert stream.position == 6000
    for name, policy in policies.items():
        hits = np.concatenate([part[name] for part in collected])
        assert np.array_equal(hits, simulate(policy, accesses, geometry, seed=3)), name


def test_stream_refuses_what_it_cannot_go_on_from(tmp_path):
    geometry, path = geometry_of(16, 4), tmp_path / "state.safetensors"
    policies = {"lru": make_set_policy("lru"), "hawkeye": make_set_policy("hawkeye")}
    stream = Stream(policies, geometry)
    stream.feed(trace_of(1000))
    stream.save(path)
    others = [
        Stream(policies, geometry, seed=1),
        Stream(policies, geometry_of(8, 8)),
        Stream({"lru": make_set_policy("lru")}, geometry),
        Stream({**policies, "hawkeye": make_set_policy("hawkeye_sampled")}, geometry),
    ]
    for other in others:
        with pytest.raises(InputError, match="another simulation"):
            other.restore(path)
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(InputError, match="not those that were written"):
        stream.restore(path)
    path.write_bytes(data[:500])
    with pytest.raises(InputError, match="no safetensors file"):
        stream.restore(path)
    with pytest.raises(InputError, match="no such file"):
        stream.restore(tmp_path / "missing")
    with pytest.raises(InputError, match="belady needs the future"):
        Stream({"belady": make_set_policy("belady")}, geometry)
