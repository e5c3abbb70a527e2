"""The features of a line's own past: by hand, and never of its future."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from learnsys.envs.cache.accesses import Accesses
from learnsys.envs.cache.geometry import CacheGeometry
from learnsys.policies.cache.parrot.features import FEATURES, PAST, line_features, past_of

GEOMETRY = CacheGeometry(1024, 4)


def accesses_of(lines, pcs):
    return Accesses.prepare(np.array(lines, np.uint64) * 64, np.array(pcs, np.uint64), GEOMETRY)


def test_past_by_hand():
    """Lines A B A A with PCs 1 2 1 1, horizons of 1, 4, 16 and 64 accesses for a cache of 8 lines."""
    past = past_of(accesses_of([0, 1, 0, 0], [1, 2, 1, 1]), 8)
    first = 24 / 8
    np.testing.assert_allclose(past[:, 0], [first, first, 1 / 8, 0])  # log2 of gaps 2 and 1
    np.testing.assert_allclose(past[:, 1], [first, first, first, 1 / 8])
    np.testing.assert_allclose(past[:, 2], [0, 0, 1 / 4, np.log2(3) / 4], rtol=1e-6)
    # Used again within one access? Access 0 (PC 1) no, known at 1; access 1 (PC 2) no; access 2 (PC 1) yes, at 3.
    after_one = 0.5 - 0.5 / 64
    np.testing.assert_allclose(past[:, 3], [0.5, 0.5, after_one, after_one + (1 - after_one) / 64], rtol=1e-6)
    np.testing.assert_allclose(past[:, 4:7], 0.5)  # nothing is four accesses old yet
    # All lines are of one page: no, no, yes at the rate 1/16.
    page = [0.5, 0.5 * 15 / 16, 0.5 * (15 / 16) ** 2, 0.5 * (15 / 16) ** 3 + 1 / 16]
    np.testing.assert_allclose(past[:, 7], page, rtol=1e-6)


def test_lines_by_hand():
    past = np.arange(4 * PAST, dtype=np.float32).reshape(4, PAST)
    features = line_features(np.array([9]), np.array([[3, 1, -1, 2]], np.int32), past)
    assert features.shape == (1, 4, FEATURES)
    np.testing.assert_allclose(features[0, :, 0], [np.log2(6) / 8, 3 / 8, 0, np.log2(7) / 8], rtol=1e-6)
    np.testing.assert_allclose(features[0, :, 1], [0, 2 / 4, 0, 1 / 4])
    np.testing.assert_array_equal(features[0, [0, 1, 3], 2:], past[[3, 1, 2]])
    assert not features[0, 2].any()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 199))
def test_the_future_is_not_seen(seed, cut):
    """Features of a trace's beginning are the same whatever follows, although next uses are not."""
    rng = np.random.default_rng(seed)
    lines, pcs = rng.integers(0, 30, 200), rng.integers(0, 4, 200)
    whole, part = accesses_of(lines, pcs), accesses_of(lines[:cut], pcs[:cut])
    np.testing.assert_array_equal(past_of(whole, 8)[:cut], past_of(part, 8))
