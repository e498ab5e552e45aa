"""A limb-darkened transit on a straight path: geometry, trends, and the truth recovered."""

import numpy as np
import pytest

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.limbdark import limb_darkened_flux
from tianyu.pipelines.science.sampling import SamplerSettings
from tianyu.pipelines.science.transit import (
    LimbDarkening,
    TransitData,
    path_distance,
    scaled_orbit,
    transit_flux,
)
from tianyu.pipelines.science.transitfit import TransitQuestion, TrendIn, fit_transit
from tianyu.pipelines.science.transitscan import Dip

START = 2_458_107.57
TIME = START + np.linspace(0.0, 0.29, 110)
LIMB = LimbDarkening(0.35, 0.25)
TRUE = np.array([[0.15, 0.2, 0.128, START + 0.14]])
SHORT = SamplerSettings(seed=3, n_walker=16, max_steps=500)


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def night(rng, sigma=0.003, time=TIME, shift=0.0):
    s = (time - time.mean()) / 0.15
    trend = 1.0 + 0.004 * s - 0.003 * s**2
    return trend * transit_flux(time - shift, TRUE, LIMB)[0] + sigma * rng.normal(size=time.size)


def test_discs_touch_at_the_contacts():
    one = np.ones(2)
    z = path_distance(np.array([-0.5, 0.5]), 0.1 * one, 0.6 * one, one, 0 * one)
    np.testing.assert_allclose(z, 1.1)


def test_an_orbit_of_known_size_is_found_from_its_transit():
    """z(t) of a circular orbit against the straight path, a/R* = 6.1, P = 2.15 d (HAT-P-32 b)."""
    axis, period, k, inclination = 6.1, 2.15, 0.15, np.radians(88.9)
    b = axis * np.cos(inclination)
    sine = np.sqrt((1 + k) ** 2 - b**2) / (axis * np.sin(inclination))
    duration = period / np.pi * np.arcsin(sine)
    one = np.ones(1)
    found, angle, _ = scaled_orbit(k * one, b * one, duration * one, period)
    assert found[0] == pytest.approx(axis, rel=1e-3)
    assert angle[0] == pytest.approx(88.9, abs=0.02)


def test_trends_and_noise_level_are_integrated_out_as_by_brute_force(rng):
    """The closed form against a sum over a grid of level and noise, for two depths."""
    t = np.linspace(-1.0, 1.0, 40)
    flux = 1.0 + 0.02 * rng.normal(size=40)
    data = TransitData(t, flux, np.ones(40), np.ones((40, 1)))
    pair = np.array([[0.05, 0.1, 0.8, 0.0], [0.2, 0.1, 0.8, 0.0]])
    closed = data.solve(pair, LIMB)[1]
    level = np.linspace(0.95, 1.1, 601)[:, None, None]
    log_sigma = np.linspace(-5.0, -2.5, 400)[None, :, None]
    brute = []
    for p in pair:
        model = level * transit_flux(t, p[None, :], LIMB)[0]
        chi2 = ((flux - model) ** 2).sum(axis=2, keepdims=True) * np.exp(-2.0 * log_sigma)
        brute.append(np.log(np.exp(-0.5 * chi2 - 40 * log_sigma - 130.0).sum()))
    assert np.diff(closed)[0] == pytest.approx(np.diff(brute)[0], abs=0.02)


def test_an_injected_transit_is_recovered_within_its_errors(rng):
    fit = fit_transit(TIME, night(rng), question=TransitQuestion(limb=LIMB, sampler=SHORT))
    for name, truth in zip(
        ("radius_ratio", "duration", "mid_time"), TRUE[0, [0, 2, 3]], strict=True
    ):
        found = getattr(fit, name)
        assert abs(found.value - truth) < 4.0 * found.error, name
    assert fit.mid_time.error < 0.001
    assert fit.residual_scatter == pytest.approx(0.003, rel=0.2)
    k, b = TRUE[:, 0], TRUE[:, 1]
    depth = 1.0 - limb_darkened_flux(b, k, np.array([0.35]), np.array([0.25]))[0]
    assert abs(fit.depth.value - depth) < 4.0 * fit.depth.error


def test_the_same_seed_draws_the_same_posterior(rng):
    flux = night(rng)
    question = TransitQuestion(
        limb=LIMB, sampler=SamplerSettings(seed=5, n_walker=8, max_steps=500)
    )
    first, second = (fit_transit(TIME, flux, question=question) for _ in range(2))
    np.testing.assert_array_equal(first.posterior.draws, second.posterior.draws)


def test_a_chain_that_is_too_short_is_said_to_be(rng):
    question = TransitQuestion(sampler=SamplerSettings(n_walker=16, max_steps=500))
    fit = fit_transit(TIME, night(rng), question=question)
    assert "autocorrelation times" in str(fit.posterior.problem)


def test_outliers_leave(rng):
    flux = night(rng)
    flux[[20, 70, 100]] += (0.1, -0.2, 0.15)
    fit = fit_transit(TIME, flux, question=TransitQuestion(limb=LIMB, sampler=SHORT))
    assert np.flatnonzero(~fit.used).tolist() == [20, 70, 100]
    assert fit.residual_scatter == pytest.approx(0.003, rel=0.2)


def test_two_nights_need_a_period_and_join_with_it(rng):
    period = 2.15
    time = np.concatenate([TIME, TIME + 2 * period])
    flux = np.concatenate([night(rng), night(rng, time=TIME + 2 * period, shift=2 * period)])
    with pytest.raises(UnusableDataError, match="2 nights; give the period"):
        fit_transit(time, flux)
    fit = fit_transit(
        time, flux, question=TransitQuestion(limb=LIMB, period_days=period, sampler=SHORT)
    )
    epochs = (fit.mid_time.value - TRUE[0, 3]) / period
    assert abs(epochs - round(epochs)) * period < 4.0 * fit.mid_time.error
    assert fit.mid_time.error < 0.0008


def test_a_trend_in_airmass_needs_an_airmass(rng):
    question = TransitQuestion(trend_in=TrendIn.AIRMASS)
    with pytest.raises(UnusableDataError, match="no airmass is known"):
        fit_transit(TIME, night(rng), question=question)


def test_a_start_keeps_the_fit_at_its_event(rng):
    """The deeper of two dips is not the one that was asked for."""
    flux = night(rng) * transit_flux(TIME, np.array([[0.25, 0.1, 0.05, START + 0.25]]), LIMB)[0]
    start = Dip(START + 0.141, 0.125, 0.02)
    fit = fit_transit(TIME, flux, question=TransitQuestion(limb=LIMB, start=start, sampler=SHORT))
    assert abs(fit.mid_time.value - TRUE[0, 3]) < 0.01


def test_too_few_points_are_refused():
    with pytest.raises(UnusableDataError, match="needs more than its"):
        fit_transit(TIME[:8], np.ones(8))
