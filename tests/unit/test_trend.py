import numpy as np
import pytest

from tianyu.pipelines.science.trend import time_moments, without_linear_trend


@pytest.fixture
def rng():
    return np.random.default_rng(20171220)


def test_moments_by_hand():
    valid = np.array([[True, True, False], [True, True, True], [False, False, True]])
    number, mean, spread = time_moments(np.array([0.0, 2.0, 4.0]), valid)
    assert number[:, 0].tolist() == [2.0, 3.0, 1.0]
    assert mean[:, 0].tolist() == [1.0, 2.0, 4.0]
    assert spread[:, 0].tolist() == [2.0, 8.0, np.inf]


def test_a_line_leaves_nothing_and_gaps_stay_gaps(rng):
    time = np.sort(rng.uniform(0.0, 0.3, 50))
    flux = 1.0 + np.array([[0.5], [-2.0]]) * time
    flux[1, 10:20] = np.nan
    rest = without_linear_trend(time, flux)
    np.testing.assert_allclose(rest[np.isfinite(flux)], 0.0, atol=1e-12)
    np.testing.assert_array_equal(np.isnan(rest), np.isnan(flux))


def test_it_is_the_least_squares_line(rng):
    time, flux = np.arange(20.0), rng.normal(size=20)
    expected = flux - np.polyval(np.polyfit(time, flux, 1), time)
    assert without_linear_trend(time, flux[None, :])[0] == pytest.approx(expected)


def test_a_row_without_points_is_all_nan():
    assert np.isnan(without_linear_trend(np.arange(3.0), np.full((1, 3), np.nan))).all()
