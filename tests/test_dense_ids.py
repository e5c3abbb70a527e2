"""Dense ids and next uses against dictionaries and lists."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learnsys.envs.cache.accesses import NEVER, DenseIds, next_uses


def by_dictionary(keys):
    known: dict[int, int] = {}
    return [known.setdefault(key, len(known)) for key in keys]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 20), max_size=300), st.integers(1, 100))
def test_ids_by_first_appearance_in_any_chunks(keys, chunk):
    dense = DenseIds()
    array = np.array(keys, np.uint64)
    parts = [dense.map(array[start : start + chunk]) for start in range(0, len(keys), chunk)]
    assert np.concatenate([*parts, np.zeros(0, np.int32)]).tolist() == by_dictionary(keys)
    assert dense.values.tolist() == list(dict.fromkeys(keys)) and len(dense) == len(set(keys))


@pytest.mark.parametrize("stride", [1, 64, 4096, 2**32, 2**44, 0x9E3779B97F4A7C15])
def test_growth_keeps_ids(stride):
    """Regular keys and repeated ones through several enlargements, in chunks of uneven sizes."""
    new = np.arange(300_000, dtype=np.uint64) * np.uint64(stride)
    keys = np.concatenate([new, new[::-7], new[:1000], np.array([0, 2**64 - 1], np.uint64)])
    distinct, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    expected = np.argsort(np.argsort(first))[inverse]
    dense = DenseIds()
    parts = [dense.map(part) for part in np.split(keys, [1, 5, 1029, 100_000, 250_001])]
    np.testing.assert_array_equal(np.concatenate(parts), expected)
    assert len(dense) == distinct.size


def test_keys_made_to_collide_do_not_stall():
    """Keys that all hash to the first slots of the table: without another hash, 300,000 of them take minutes."""
    inverse = pow(0x9E3779B97F4A7C15, -1, 2**64)
    keys = np.array([i * inverse % 2**64 for i in range(300_000)], np.uint64)
    keys ^= keys >> np.uint64(32)
    dense = DenseIds()
    assert np.array_equal(dense.map(keys), np.arange(300_000))
    assert dense._factor != DenseIds()._factor


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 12), max_size=200))
def test_next_uses(ids):
    expected = [ids.index(i, t + 1) if i in ids[t + 1 :] else NEVER for t, i in enumerate(ids)]
    assert next_uses(np.array(ids, np.int32), 13).tolist() == expected
