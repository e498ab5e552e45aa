"""Errors of aperture fluxes and the theoretical noise, against numbers worked by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tianyu.pipelines.science.noise import (
    circle_noise_area,
    flux_error,
    scintillation,
    theoretical_noise,
)


@pytest.mark.parametrize(
    ("flux", "area", "rms", "gain", "annulus", "variance"),
    [
        # source 400/2, sky 50·3², no noise of the background
        (400.0, 50.0, 3.0, 2.0, np.inf, 200.0 + 450.0),
        # ... and 50²·9/500 = 45 from the background
        (400.0, 50.0, 3.0, 2.0, 500.0, 200.0 + 450.0 + 45.0),
        # no gain: no photon noise of the source
        (400.0, 50.0, 3.0, None, 500.0, 450.0 + 45.0),
        # a negative flux has no photons to be noisy
        (-400.0, 50.0, 3.0, 2.0, np.inf, 450.0),
    ],
)
def test_the_variance_is_the_sum_of_its_parts(flux, area, rms, gain, annulus, variance):
    error = flux_error(flux, area, rms, gain, annulus_area_pix=annulus)
    assert float(error) == pytest.approx(math.sqrt(variance), rel=1e-14)


def test_the_noise_area_of_a_circle_is_the_sum_of_squared_weights():
    """Weights by 20-fold sampling of every pixel, averaged over a grid of centres."""
    radius, fine = 3.0, 20
    sample = (np.arange(12 * fine) + 0.5) / fine - 6.0
    areas = []
    for cx in np.arange(0.05, 1.0, 0.1):
        for cy in np.arange(0.05, 1.0, 0.1):
            inside = np.hypot(sample - cx, sample[:, np.newaxis] - cy) < radius
            weight = inside.reshape(12, fine, 12, fine).mean(axis=(1, 3))
            areas.append((weight**2).sum())
    assert float(circle_noise_area(radius)) == pytest.approx(np.mean(areas), rel=0.005)


def test_the_noise_area_counts_for_the_sky_and_not_for_the_background():
    error = flux_error(0.0, 10.0, 1.0, None, noise_area_pix=8.0, annulus_area_pix=50.0)
    assert float(error) == pytest.approx(math.sqrt(8.0 + 100.0 / 50.0))


def test_a_median_background_counts_its_larger_variance():
    error = flux_error(0.0, 10.0, 1.0, None, annulus_area_pix=100.0, background_variance_factor=1.5)
    assert float(error) == pytest.approx(math.sqrt(10.0 + 1.5))


@pytest.mark.parametrize("gain", [1.0, None])
def test_a_flux_that_is_not_known_has_no_error(gain):
    assert np.isnan(flux_error(np.nan, 10.0, 1.0, gain))


@pytest.mark.parametrize("gain", [0.0, -1.0, np.nan, np.inf])
def test_an_impossible_gain_is_refused(gain):
    with pytest.raises(ValueError, match="gain_e_per_adu"):
        flux_error(1.0, 1.0, 1.0, gain)


@given(st.floats(1.0, 1e6), st.floats(1.0, 1e3), st.floats(0.1, 100.0), st.floats(0.1, 10.0))
def test_the_error_in_electrons_is_the_gain_times_that_in_adu(flux, area, rms, gain):
    in_adu = flux_error(flux, area, rms, gain, annulus_area_pix=400.0)
    in_electrons = flux_error(flux * gain, area, rms * gain, 1.0, annulus_area_pix=400.0)
    assert float(in_electrons) == pytest.approx(gain * float(in_adu), rel=1e-12)


def test_the_error_is_the_scatter_of_simulated_apertures():
    rng = np.random.default_rng(3)
    flux_e, sky_e, read_e, area, annulus, gain = 3000.0, 90.0, 5.0, 60, 300, 1.7
    n = 4000
    source = rng.poisson(flux_e, n)
    inside = (rng.poisson(sky_e, (n, area)) + rng.normal(0, read_e, (n, area))).sum(axis=1)
    level = (rng.poisson(sky_e, (n, annulus)) + rng.normal(0, read_e, (n, annulus))).mean(axis=1)
    measured_adu = (source + inside - area * level) / gain
    rms_adu = math.sqrt(sky_e + read_e**2) / gain
    expected = flux_error(flux_e / gain, area, rms_adu, gain, annulus_area_pix=annulus)
    assert measured_adu.std() == pytest.approx(float(expected), rel=0.05)


def test_scintillation_follows_young_with_the_measured_factor():
    # 0.09 · 100^(−2/3) · 1 · exp(−2000/8000) / √(2·60) = 0.0041774 · 0.778801 / 10.954451
    young = 0.09 / 100.0 ** (2 / 3) * math.exp(-0.25) / math.sqrt(120.0)
    assert young == pytest.approx(2.970e-4, rel=1e-3)
    found = scintillation(1.0, 60.0, diameter_m=1.0, altitude_m=2000.0)
    assert float(found) == pytest.approx(1.5 * young, rel=1e-12)


def test_scintillation_falls_with_time_and_diameter_and_grows_with_airmass():
    one = scintillation(np.array([1.0, 2.0]), 30.0, 0.5, 0.0)
    assert one[1] / one[0] == pytest.approx(2.0**1.75)
    assert float(scintillation(1.0, 120.0, 0.5, 0.0)) == pytest.approx(one[0] / 2.0)
    assert float(scintillation(1.0, 30.0, 4.0, 0.0)) == pytest.approx(one[0] / 4.0)


def test_a_telescope_without_a_mirror_is_refused():
    with pytest.raises(ValueError, match="diameter_m"):
        scintillation(1.0, 30.0, 0.0, 0.0)


def test_the_budget_adds_in_quadrature():
    budget = theoretical_noise(
        10_000.0,
        area_pix=20.0,
        sky_e_per_pix=70.0,
        dark_e_per_pix=5.0,
        readout_e=5.0,
        annulus_area_pix=80.0,
        relative_scintillation=0.002,
    )
    # effective area 20·(1 + 20/80) = 25 pixels
    assert float(budget.source_e) == 100.0
    assert float(budget.sky_e) == pytest.approx(math.sqrt(25.0 * 75.0))
    assert float(budget.readout_e) == pytest.approx(25.0)
    assert float(budget.scintillation_e) == pytest.approx(20.0)
    assert float(budget.total_e) == pytest.approx(math.sqrt(10_000 + 1875 + 625 + 400))
    assert float(budget.relative) == pytest.approx(math.sqrt(12_900) / 10_000)


def test_the_sky_of_the_budget_counts_as_in_the_errors():
    """No source, all noise in the pixels: the budget is the measured error."""
    areas = {"noise_area_pix": 45.0, "annulus_area_pix": 200.0, "background_variance_factor": 1.06}
    budget = theoretical_noise(0.0, area_pix=50.0, sky_e_per_pix=9.0, readout_e=0.0, **areas)
    assert float(budget.sky_e) == pytest.approx(float(flux_error(0.0, 50.0, 3.0, 1.0, **areas)))


def test_the_budget_takes_arrays_and_gives_no_relative_noise_of_no_flux():
    budget = theoretical_noise(
        np.array([100.0, 0.0, -5.0]), area_pix=4.0, sky_e_per_pix=1.0, readout_e=1.0
    )
    assert budget.total_e.shape == (3,)
    assert np.isnan(budget.relative).tolist() == [False, True, True]
