"""Statistics that results are told in, against numbers made by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learnsys.statistics import bootstrap_interval, normalised_hit_rate, shifted_geometric_mean


def test_normalised_hit_rate():
    assert normalised_hit_rate(0.5, 0.4, 0.8) == pytest.approx(0.25)
    assert math.isnan(normalised_hit_rate(0.5, 0.5, 0.5))


def test_shifted_geometric_mean():
    # (0+1)(3+1)(15+1) = 64, whose cube root is 4
    assert shifted_geometric_mean([0.0, 3.0, 15.0]) == pytest.approx(3.0)
    assert shifted_geometric_mean([8.0, 18.0], shift=0.0) == pytest.approx(12.0)
    assert math.isnan(shifted_geometric_mean([]))


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=20))
def test_it_lies_between_the_extremes_and_below_the_mean(values):
    mean = shifted_geometric_mean(values)
    assert min(values) - 1e-6 <= mean * (1 + 1e-9) + 1e-6
    assert mean <= np.mean(values) * (1 + 1e-9) + 1e-6


class TestBootstrap:
    def test_equal_values_leave_no_doubt(self):
        assert bootstrap_interval([3.0] * 9) == (3.0, 3.0)

    def test_it_holds_the_mean_as_often_as_it_says(self):
        rng = np.random.default_rng(1)
        held = 0
        for trial in range(200):
            low, high = bootstrap_interval(rng.standard_normal(40), draws=300, seed=trial)
            held += low <= 0.0 <= high
        assert 0.88 <= held / 200 <= 0.99

    def test_rows_stay_together(self):
        """The ratio of two columns that differ by a factor is that factor in every resample."""
        values = np.random.default_rng(2).random(30) + 0.1
        low, high = bootstrap_interval(
            np.stack([values, 2.5 * values], axis=1), lambda rows: rows[:, 1].mean() / rows[:, 0].mean()
        )
        assert low == pytest.approx(2.5)
        assert high == pytest.approx(2.5)

    def test_nothing(self):
        assert all(map(math.isnan, bootstrap_interval([])))
