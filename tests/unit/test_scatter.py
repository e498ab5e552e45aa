import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.scatter import (
    Scatter,
    expected_sigma,
    finite_median,
    mad_sigma,
    measure_scatter,
    point_to_point_sigma,
    tabulate_scatter,
    von_neumann_eta,
)


@pytest.fixture
def rng():
    return np.random.default_rng(20171220)


finite_or_nan = st.one_of(st.just(np.nan), st.floats(-1e6, 1e6))


@given(arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(1, 9)), elements=finite_or_nan))
def test_the_median_is_that_of_the_finite_values(values):
    expected = [
        np.median(row[np.isfinite(row)]) if np.isfinite(row).any() else np.nan for row in values
    ]
    np.testing.assert_allclose(finite_median(values), expected, equal_nan=True)


def test_an_empty_row_has_no_median():
    assert np.isnan(finite_median(np.zeros((3, 0)))).all()


@pytest.mark.parametrize("estimate", [mad_sigma, point_to_point_sigma])
def test_white_noise_gives_its_standard_deviation(estimate, rng):
    noise = 0.3 * rng.normal(size=(20, 2000))
    assert estimate(noise).mean() == pytest.approx(0.3, rel=0.02)


def test_point_to_point_is_blind_to_slow_variation_and_mad_is_not(rng):
    curve = np.linspace(0.0, 1.0, 500) + 0.01 * rng.normal(size=500)
    assert point_to_point_sigma(curve) == pytest.approx(0.01, rel=0.15)
    assert mad_sigma(curve) > 0.3


def test_the_expected_scatter_is_the_quadratic_mean_of_the_errors():
    assert expected_sigma(np.array([3.0, 4.0, np.nan])) == pytest.approx(np.sqrt(12.5))
    assert np.isnan(expected_sigma(np.array([np.nan])))


def test_eta_of_white_noise_is_two_and_of_a_slow_wave_near_zero(rng):
    t = np.linspace(0.0, 1.0, 1000)
    assert von_neumann_eta(rng.normal(size=1000)) == pytest.approx(2.0, abs=0.2)
    assert von_neumann_eta(np.sin(2 * np.pi * t)) < 1e-3


@pytest.mark.parametrize("curve", [[1.0, 1.0, 1.0], [1.0], [np.nan, np.nan], [1.0, np.nan, 2.0]])
def test_eta_is_undefined_without_successive_points_that_differ(curve):
    assert np.isnan(von_neumann_eta(np.array(curve)))


def test_at_the_theoretical_limit_the_ratio_is_one(rng):
    flux = 1.0 + 0.02 * rng.normal(size=(1, 4000))
    scatter = measure_scatter(flux, np.full_like(flux, 0.02))
    assert scatter.ratio[0] == pytest.approx(1.0, abs=0.05)
    assert scatter.n_point[0] == 4000


def _scatter(values):
    values = np.asarray(values, dtype=np.float64)
    return Scatter(np.full(values.size, 9), values, values, values / 2, np.full(values.size, 2.0))


def test_the_table_has_thirds_brightest_first_and_leaves_out_what_has_no_flux():
    flux = np.array([10.0, 600.0, 100.0, np.nan, 500.0, 90.0, 9.0, -5.0])
    table = tabulate_scatter(_scatter(1.0 / np.abs(flux)), flux)
    assert [(row.n_source, row.brightest, row.faintest) for row in table] == [
        (2, 600.0, 500.0),
        (2, 100.0, 90.0),
        (2, 10.0, 9.0),
    ]
    assert table[0].mad == pytest.approx((1 / 600 + 1 / 500) / 2)
    assert table[0].ratio == pytest.approx(2.0)


def test_two_sources_make_two_classes():
    assert len(tabulate_scatter(_scatter([1.0, 2.0]), np.array([3.0, 4.0]))) == 2


def test_a_night_without_a_usable_source_is_refused():
    with pytest.raises(UnusableDataError, match="none of 1 sources"):
        tabulate_scatter(_scatter([np.nan]), np.array([1.0]))
