import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.sinusoid import fit_sinusoid

TIME = np.linspace(0.0, 0.3, 200)


@pytest.fixture
def rng():
    return np.random.default_rng(6)


def wave(period, amplitude, phase=0.4, mean=1.0):
    return mean * (1 + amplitude * np.sin(2 * np.pi * (TIME - TIME.mean()) / period + phase))


@settings(max_examples=20)
@given(st.floats(0.02, 0.2), st.floats(0.01, 0.5), st.floats(0.1, 6.0), st.floats(0.1, 1e5))
def test_a_noiseless_wave_is_recovered(period, amplitude, phase, mean):
    fit = fit_sinusoid(TIME, wave(period, amplitude, phase, mean))
    assert fit.period == pytest.approx(period, rel=1e-4)
    assert fit.amplitude == pytest.approx(amplitude, rel=1e-4)
    assert np.cos(fit.phase - phase) == pytest.approx(1.0)
    assert fit.mean == pytest.approx(mean, rel=1e-4)
    np.testing.assert_allclose(fit.model(TIME), wave(period, amplitude, phase, mean), rtol=1e-3)


def test_pulls_over_many_nights_are_of_unit_width(rng):
    pulls = []
    for _ in range(60):
        fit = fit_sinusoid(TIME, wave(0.07, 0.02) + 0.01 * rng.normal(size=200))
        pulls.append(
            [
                (fit.period - 0.07) / fit.period_error,
                (fit.amplitude - 0.02) / fit.amplitude_error,
                (fit.phase - 0.4) / fit.phase_error,
            ]
        )
    assert np.mean(pulls, axis=0) == pytest.approx(np.zeros(3), abs=0.45)
    assert np.std(pulls, axis=0) == pytest.approx(np.ones(3), abs=0.3)


def test_the_scatter_is_that_of_the_noise_and_gaps_are_left_out(rng):
    flux = wave(0.05, 0.1, mean=500.0) + 5.0 * rng.normal(size=200)
    flux[::7] = np.nan
    fit = fit_sinusoid(TIME, flux, np.full(200, 5.0))
    assert fit.residual_scatter == pytest.approx(0.01, rel=0.15)
    assert fit.amplitude == pytest.approx(0.1, abs=4 * fit.amplitude_error)


def test_the_period_is_sought_within_the_limits():
    flux = wave(0.1, 0.1) + wave(0.03, 0.05) - 1
    assert fit_sinusoid(TIME, flux, max_period=0.05).period == pytest.approx(0.03, rel=0.05)


def test_too_few_points_are_refused():
    with pytest.raises(UnusableDataError, match="4 of 5 points"):
        fit_sinusoid(np.arange(5.0), np.array([1.0, 2.0, np.nan, 1.0, 0.0]))


def test_periods_out_of_order_are_refused():
    with pytest.raises(ValueError, match="give positive ones in order"):
        fit_sinusoid(TIME, wave(0.1, 0.1), min_period=0.2, max_period=0.1)
