"""Synthetic workloads: seeds, shapes worked out by hand, and wrong parameters."""

from __future__ import annotations

import numpy as np
import pytest

from learnsys.errors import InputError
from learnsys.testing.traces import equal
from learnsys.traces.synthetic import KINDS, kind_parameters, synthesize


def lines(trace):
    return ((trace.address - trace.address.min()) // 64).tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_equal_seeds_give_equal_traces(kind):
    trace = synthesize(kind, 3000, 5)
    assert len(trace) == 3000 and equal(trace, synthesize(kind, 3000, 5))
    assert trace.address.dtype == np.uint64 and (trace.objects or trace.pc.dtype == np.uint64)
    assert (trace.pc is None) == trace.objects
    if kind not in ("cyclic-scan", "loops"):
        parameters = {"length": 100} if kind == "phases" else {}
        assert not equal(synthesize(kind, 3000, 5, **parameters), synthesize(kind, 3000, 6, **parameters))


@pytest.mark.parametrize("kind", KINDS)
def test_one_access(kind):
    assert len(synthesize(kind, 1, 0)) == 1


def test_cyclic_scan():
    trace = synthesize("cyclic-scan", 7, lines=3)
    assert lines(trace) == [0, 1, 2, 0, 1, 2, 0] and np.unique(trace.pc).size == 1


def test_loops_tell_short_from_long_recurrence_by_pc():
    trace = synthesize("loops", 12, arrays=2, lines=2, growth=1.5)
    assert lines(trace) == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]
    assert ((trace.pc - trace.pc[0]) // 4).tolist() == [0, 0, 1, 1, 1, 0, 0, 1, 1, 1, 0, 0]


def test_pointer_chase_walks_every_node_of_each_chain_before_it_repeats():
    trace = synthesize("pointer-chase", 40, 1, lines=10, chains=4)
    for chain in range(4):
        walk = np.array(lines(trace))[chain::4]
        length = 3 if chain < 2 else 2  # 10 = 3 + 3 + 2 + 2
        assert np.unique(walk[:length]).size == length and (walk == np.resize(walk[:length], walk.size)).all()
        assert np.unique(trace.pc[chain::4]).size == 1
    assert np.unique(trace.address).size == 10


def test_stream_hot_streams_past_once():
    trace = synthesize("stream-hot", 20_000, hot=100, share=0.25)
    stream = trace.address[trace.pc == trace.pc.min()]
    hot = trace.address[trace.pc != trace.pc.min()]
    assert np.unique(stream).size == stream.size and np.unique(hot).size == 100
    assert 0.23 < hot.size / 20_000 < 0.27 and np.intersect1d(stream, hot).size == 0


def test_phases_take_turns():
    trace = synthesize("phases", 600, length=100, kinds=3, lines=50)
    kind = (trace.pc - trace.pc.min()) // np.uint64(4)
    assert kind.tolist() == [k for k in (0, 1, 2, 0, 1, 2) for _ in range(100)]
    for k in range(3):
        own = np.array(lines(trace))[kind == k]
        assert own.min() >= 50 * k and own.max() < 50 * (k + 1)


def test_zipf_frequencies():
    trace = synthesize("zipf", 200_000, objects=50, alpha=1.0)
    share = np.bincount(trace.address.astype(int), minlength=50) / 200_000
    expected = 1 / np.arange(1, 51) / (1 / np.arange(1, 51)).sum()
    assert np.abs(share - expected).max() < 0.005 and trace.objects


def test_churn_replaces_each_object_after_its_lifetime():
    trace = synthesize("zipf-churn", 10_000, objects=10, alpha=0.0, lifetime=1000)
    rank, version = trace.address.astype(int) % 10, trace.address.astype(int) // 10
    for r in range(10):
        when = np.flatnonzero(rank == r)
        assert (np.diff(version[when]) >= 0).all()
        for v in range(1, version[when].max()):
            seen = when[version[when] == v]
            assert seen[-1] - seen[0] < 1000


@pytest.mark.parametrize(
    ("kind", "n", "seed", "parameters", "message"),
    [
        ("none", 1, 0, {}, "no synthetic trace is called 'none'; choose from cyclic-scan"),
        ("zipf", 0, 0, {}, "0 accesses with seed 0 cannot be made"),
        ("zipf", 1, -1, {}, "1 accesses with seed -1 cannot be made"),
        ("zipf", 1, 0, {"lines": 2}, "zipf has no parameter 'lines'; choose from objects, alpha"),
        ("zipf", 1, 0, {"objects": 0}, "objects=0 of zipf is no whole number from 1"),
        ("zipf", 1, 0, {"objects": 1.5}, "objects=1.5 of zipf is no whole number"),
        ("zipf", 1, 0, {"objects": float("nan")}, "is no whole number"),
        ("zipf", 1, 0, {"alpha": float("nan")}, "an alpha of nan"),
        ("zipf", 1, 0, {"alpha": -1}, "an alpha of -1"),
        ("stream-hot", 1, 0, {"share": 2}, "a share of 2"),
        ("pointer-chase", 1, 0, {"lines": 2}, "4 chains cannot be made of 2 lines"),
        ("loops", 1, 0, {"growth": 0.5}, "a growth of 0.5"),
        ("loops", 1, 0, {"arrays": 99}, "are too large"),
        ("loops", 1, 0, {"lines": 2**39}, "are too large"),
    ],
)
def test_impossible_wishes(kind, n, seed, parameters, message):
    with pytest.raises(InputError, match=message):
        synthesize(kind, n, seed, **parameters)


def test_parameters_are_listed():
    assert kind_parameters("zipf") == {"objects": 100000, "alpha": 0.9}
