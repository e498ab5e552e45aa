"""Variability indices and the ranking: injected variables come first, noise has its alarms."""

import numpy as np
import pytest

from tianyu.pipelines.science.likestars import like_star_sigmas, like_star_tail
from tianyu.pipelines.science.periods import find_periods, period_grid, shuffled_peaks
from tianyu.pipelines.science.spikes import without_spikes
from tianyu.pipelines.science.stetson import neighbouring_pairs, stetson_indices
from tianyu.pipelines.science.trapezoid import trapezoid_shape
from tianyu.pipelines.science.variables import (
    measure_variability,
    rank_variables,
    reasons,
    shared_with,
)

TIME = 2_458_107.0 + np.linspace(0.0, 0.29, 140)
N = 150


@pytest.fixture(scope="module")
def field():
    """150 stars of three magnitudes; 40 transits, 80 pulsates, 120 is an eclipsing binary."""
    rng = np.random.default_rng(11)
    mean_flux = np.geomspace(1e5, 1e3, N)
    sigma = 0.004 * (1e5 / mean_flux) ** 0.5
    flux = 1.0 + sigma[:, None] * rng.normal(size=(N, TIME.size))
    t = TIME - TIME[0]
    flux[40] -= 0.025 * trapezoid_shape(t, 0.14, 0.11, 0.02)
    flux[80] += 0.04 * np.sin(2 * np.pi * t / 0.06)
    flux[120] -= 0.3 * trapezoid_shape(t, 0.2, 0.08, 0.04)
    flux[10, 30:32] = 1.6
    return flux, np.repeat(sigma[:, None], TIME.size, axis=1), mean_flux


def test_injected_variables_lead_and_say_why(field):
    flux, error, mean_flux = field
    tests = measure_variability(TIME, flux, error, mean_flux)
    assert set(rank_variables(tests)[:3].tolist()) == {40, 80, 120}
    assert 0.018 < tests.event.depth[40] < 0.027  # a box holds some of the slopes
    assert any(r.startswith("dip of 2.") for r in reasons(tests, 40))
    assert any(r.startswith("sinusoid of 1.4") for r in reasons(tests, 80))
    assert tests.event_false_alarm[40] == pytest.approx(1 / 61, abs=1e-3)
    assert 24 * tests.peaks.period[80] == pytest.approx(1.44, rel=0.03)


def test_constant_stars_have_the_false_alarms_that_are_stated(field):
    flux, error, mean_flux = field
    tests = measure_variability(TIME, flux, error, mean_flux)
    constant = np.setdiff1d(np.arange(N), [40, 80, 120])
    # A rate of 10 % is reached by about 10 % of the constant stars.
    assert 0.03 < np.mean(tests.event_false_alarm[constant] <= 0.1) < 0.2
    assert abs(np.median(tests.stetson_j[constant])) < 0.15
    assert np.median(tests.score[constant]) < 2.5


def test_spikes_leave_and_a_steep_ingress_stays(field):
    flux = field[0]
    clean = without_spikes(flux)
    assert np.isnan(clean[10, 30:32]).all()
    assert np.isfinite(clean[120]).sum() >= TIME.size - 2


def test_a_star_seen_for_part_of_the_night_is_not_searched(field):
    flux, error, mean_flux = (array.copy() for array in field)
    flux[120, 60:] = np.nan
    assert 120 not in rank_variables(measure_variability(TIME, flux, error, mean_flux))


def test_neighbours_that_echo_a_variable_are_known(field):
    flux = field[0].copy()
    flux[5] += 0.5 * (flux[80] - 1.0)
    x, y = np.arange(N) * 30.0, np.zeros(N)
    x[5] = x[80] + 6.0
    assert shared_with(np.array([80, 5, 40]), flux, x, y, reach_pix=10.0) == {5: 80}


def test_stetson_by_hand():
    # delta = sqrt(6/5) (f - 1) / 0.1 = 1.0954 × (1, 1, -1, -1, 2, -2); pairs 1.2, 1.2, -4.8.
    flux = np.array([[1.1, 1.1, 0.9, 0.9, 1.2, 0.8]])
    j, i = stetson_indices(np.arange(6.0), flux, np.full((1, 6), 0.1))
    assert j[0] == pytest.approx((2 * np.sqrt(1.2) - np.sqrt(4.8)) / 3)
    assert i[0] == pytest.approx((1.2 + 1.2 - 4.8) / np.sqrt(6))


def test_no_pair_spans_a_gap():
    first, _ = neighbouring_pairs(np.array([0.0, 1.0, 2.0, 50.0, 51.0]))
    assert first.tolist() == [0, 3]


def test_the_star_itself_has_no_part_in_its_level():
    values = np.zeros(30)
    values[:] = np.random.default_rng(1).normal(size=30)
    values[4] = 1e6
    sigmas = like_star_sigmas(values, np.arange(1.0, 31.0), n_like=10)
    assert sigmas[4] > 1e5
    assert np.abs(np.delete(sigmas, 4)).max() < 20


def test_the_tail_is_never_zero():
    tail = like_star_tail(np.array([9.0] * 11), np.arange(11.0) / 10, np.arange(1.0, 12.0))
    assert tail.min() == pytest.approx(1 / 11)


def test_white_noise_alarms_of_periods_are_rare_and_shuffles_agree():
    rng = np.random.default_rng(3)
    error = np.full((200, TIME.size), 0.01)
    flux = 1.0 + error * rng.normal(size=error.shape)
    peaks = find_periods(TIME, flux, error)
    assert np.mean(peaks.white_false_alarm < 0.05) < 0.1
    grid = period_grid(TIME)
    shuffled = shuffled_peaks(TIME, flux[0], error[0], grid, block_days=0.02, n_shuffle=99, rng=rng)
    # In white noise shuffled curves are as good as others.
    assert np.quantile(shuffled, 0.9) == pytest.approx(np.quantile(peaks.power, 0.9), rel=0.25)


def test_a_box_that_repeats_is_found():
    period, t = 0.11, TIME - TIME[0]
    phase = (t - 0.03 + 0.5 * period) % period - 0.5 * period
    flux = 1.0 - 0.02 * (np.abs(phase) < 0.01)
    flux = flux + 0.004 * np.random.default_rng(2).normal(size=t.size)
    peaks = find_periods(TIME, flux[None, :], np.full((1, t.size), 0.004))
    assert peaks.box_period[0] == pytest.approx(period, rel=0.02)
    assert peaks.box_depth[0] == pytest.approx(0.02, rel=0.2)
