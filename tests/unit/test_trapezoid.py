import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.trapezoid import _jacobian, _model, fit_trapezoid, trapezoid_shape

TIME = 2_458_107.57 + np.linspace(0.0, 0.3, 200)
TRUTH = {"depth": 0.025, "mid_time": 2_458_107.7113, "duration": 0.13, "ingress": 0.02}


@pytest.fixture
def rng():
    return np.random.default_rng(32)


def transit(depth=0.025, mid_time=2_458_107.7113, duration=0.13, ingress=0.02, slope=0.0):
    trend = 1.0 + slope * (TIME - TIME.mean())
    return trend * (1.0 - depth * trapezoid_shape(TIME, mid_time, duration, ingress))


def test_contacts_of_the_shape():
    # Duration 4, ingress 1: contacts at ∓2 and ∓1.
    t = np.array([-2.5, -2.0, -1.5, -1.0, 0.0, 1.0, 1.5, 2.0])
    assert trapezoid_shape(t, 0.0, 4.0, 1.0).tolist() == [0, 0, 0.5, 1, 1, 1, 0.5, 0]


def test_a_noiseless_transit_is_recovered_exactly():
    fit = fit_trapezoid(TIME, transit(slope=0.02))
    for name, value in TRUTH.items():
        assert getattr(fit, name) == pytest.approx(value, rel=1e-9 if name == "mid_time" else 1e-3)
    assert fit.slope == pytest.approx(0.02, rel=1e-3)
    assert fit.residual_scatter < 1e-5
    np.testing.assert_allclose(fit.model(TIME), transit(slope=0.02), atol=2e-5)


def test_pulls_over_many_nights_are_of_unit_width(rng):
    pulls = {name: [] for name in TRUTH}
    for _ in range(60):
        fit = fit_trapezoid(TIME, transit() + 0.004 * rng.normal(size=200))
        for name, value in TRUTH.items():
            pulls[name].append((getattr(fit, name) - value) / getattr(fit, f"{name}_error"))
    for name in ("depth", "mid_time"):
        assert abs(np.mean(pulls[name])) < 0.45, name
        assert 0.75 < np.std(pulls[name]) < 1.35, name
    for name in ("duration", "ingress"):  # kinks: errors right within a factor
        assert np.median(np.abs(pulls[name])) < 1.5, name


def test_the_scatter_is_that_of_the_noise_without_the_trend(rng):
    fit = fit_trapezoid(TIME, transit(slope=0.1) + 0.004 * rng.normal(size=200))
    assert fit.residual_scatter == pytest.approx(0.004, rel=0.15)


def test_errors_scale_with_reduced_chi2_not_with_the_size_of_the_weights(rng):
    flux = transit() + 0.004 * rng.normal(size=200)
    right, wrong = (fit_trapezoid(TIME, flux, np.full(200, e)) for e in (0.004, 0.4))
    assert wrong.depth_error == pytest.approx(right.depth_error, rel=1e-2)
    assert right.reduced_chi2 == pytest.approx(1.0, abs=0.3)


@settings(max_examples=15)
@given(
    depth=st.floats(0.01, 0.3),
    shift=st.floats(-0.05, 0.05),
    duration=st.floats(0.05, 0.14),
    ratio=st.floats(0.05, 0.5),
)
def test_any_shape_is_found_without_a_start(depth, shift, duration, ratio):
    mid = 2_458_107.72 + shift
    noise = 0.001 * np.random.default_rng(1).normal(size=200)
    fit = fit_trapezoid(TIME, transit(depth, mid, duration, ratio * duration) + noise)
    assert fit.depth == pytest.approx(depth, abs=0.002 + 0.15 * depth * (ratio > 0.4))
    assert fit.mid_time == pytest.approx(mid, abs=0.002)
    assert fit.residual_scatter < 0.0013


def test_outliers_are_clipped(rng):
    flux = transit() + 0.002 * rng.normal(size=200)
    flux[[20, 90, 130]] += 0.08
    fit = fit_trapezoid(TIME, flux, clip_sigma=4.0)
    assert not fit.used[[20, 90, 130]].any()
    assert fit.used.sum() >= 194
    assert fit.depth == pytest.approx(0.025, abs=4 * fit.depth_error)


def test_missing_points_are_left_out(rng):
    flux = transit() + 0.002 * rng.normal(size=200)
    flux[50:60] = np.nan
    fit = fit_trapezoid(TIME, flux)
    assert fit.used.sum() == 190
    assert fit.depth == pytest.approx(0.025, abs=0.002)


def test_a_start_may_be_given(rng):
    flux = transit() + 0.002 * rng.normal(size=200)
    fit = fit_trapezoid(TIME, flux, start=(2_458_107.71, 0.11))
    assert fit.mid_time == pytest.approx(2_458_107.7113, abs=0.002)


def test_depth_is_relative_and_the_unit_of_flux_does_not_matter(rng):
    flux = transit() + 0.002 * rng.normal(size=200)
    small, large = fit_trapezoid(TIME, flux), fit_trapezoid(TIME, 5e4 * flux)
    assert large.depth == pytest.approx(small.depth, rel=1e-3)
    assert large.baseline == pytest.approx(5e4 * small.baseline, rel=1e-4)


def test_the_derivatives_are_those_of_the_model():
    t = np.linspace(-0.15, 0.15, 43)  # none of them on a kink
    p = np.array([1.0, 0.1, 0.02, 0.0111, 0.13, 0.2])
    for k in range(6):
        step = np.zeros(6)
        step[k] = 1e-7
        numeric = (_model(p + step, t) - _model(p - step, t)) / 2e-7
        np.testing.assert_allclose(_jacobian(p, t)[:, k], numeric, atol=1e-6)


def test_too_few_points_are_refused():
    with pytest.raises(UnusableDataError, match="6 of 6 points"):
        fit_trapezoid(np.arange(6.0), np.ones(6))


def test_a_night_without_any_dip_is_refused():
    with pytest.raises(UnusableDataError, match="no dip"):
        fit_trapezoid(np.arange(20) * 0.001, 1.0 + 0.1 * np.arange(20.0))
