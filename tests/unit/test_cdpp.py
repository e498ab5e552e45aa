import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import savgol_filter

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.cdpp import CdppScales, expected_cdpp, measure_cdpp, savitzky_golay

MINUTE = 1.0 / 1440.0


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def test_on_an_even_grid_it_is_the_savitzky_golay_filter(rng):
    time, flux = np.arange(60.0), rng.normal(size=60)
    smooth = savitzky_golay(time, flux[None, :], 10.0)[0]
    np.testing.assert_allclose(smooth[5:-5], savgol_filter(flux, 11, 2)[5:-5], atol=1e-12)


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.tuples(*[st.floats(-5, 5)] * 3), st.floats(0.0, 0.4))
def test_a_quadratic_passes_unchanged_whatever_sampling_and_gaps(seed, coefficients, missing):
    rng = np.random.default_rng(seed)
    time = np.sort(rng.uniform(0.0, 10.0, 80))
    flux = np.polyval(coefficients, time)[None, :].copy()
    flux[0, rng.random(80) < missing] = np.nan
    smooth = savitzky_golay(time, flux, 4.0)
    known = np.isfinite(smooth)
    assert known.sum() > 20
    np.testing.assert_allclose(smooth[known], flux[known], atol=1e-6)
    assert not known[np.isnan(flux)].any()


def test_the_gaps_of_one_source_leave_the_others_alone(rng):
    time, flux = np.arange(60.0), rng.normal(size=(2, 60))
    whole = savitzky_golay(time, flux, 10.0)
    flux[1, 20:30] = np.nan
    np.testing.assert_allclose(savitzky_golay(time, flux, 10.0)[0], whole[0])


def test_windows_with_fewer_than_five_points_give_nothing():
    time = np.array([0.0, 1.0, 2.0, 3.0, 50.0, 51.0, 52.0, 53.0, 54.0])
    smooth = savitzky_golay(time, np.ones((1, 9)), 20.0)[0]
    assert np.isnan(smooth[:4]).all()
    np.testing.assert_allclose(smooth[4:], 1.0)


def test_the_response_predicts_the_cdpp_of_white_noise(rng):
    time = np.arange(300) * MINUTE
    noise = measure_cdpp(time, 1.0 + 0.002 * rng.normal(size=(200, 300)))
    expected = 0.002 * 1e6 * noise.white_noise_response
    assert np.median(noise.ppm) == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("n_frame", [60, 300])
def test_what_is_expected_of_noise_that_changes_is_what_is_measured(rng, n_frame):
    """Noise that triples over a short night, over places in time at random: within 4 %.

    The quadratic mean times the response to white noise would be 13 % too much.
    """
    time = np.sort(rng.uniform(0.0, 4.0 / 24.0, n_frame))
    sigma = 0.001 * np.linspace(1.0, 3.0, n_frame)[None, :]
    measured = measure_cdpp(time, 1.0 + sigma * rng.normal(size=(2000, n_frame)))
    expected = expected_cdpp(time, sigma)
    assert np.median(measured.ppm) == pytest.approx(expected[0], rel=0.04)
    plain = 1e6 * measured.white_noise_response * np.sqrt(np.mean(sigma**2))
    assert plain > 1.1 * expected[0]


def test_noise_of_one_size_is_expected_as_white_noise(rng):
    time = np.arange(300) * MINUTE
    sigma = np.vstack([np.full(300, 2e-3), np.full(300, 4e-3), np.full(300, np.nan)])
    sigma[1, ::3] = np.nan
    expected = expected_cdpp(time, sigma)
    noise = measure_cdpp(time, 1.0 + 0.002 * rng.normal(size=(1000, 300)))
    assert expected[0] == pytest.approx(np.median(noise.ppm), rel=0.02)
    assert expected[1] == pytest.approx(2.0 * expected[0]), "gaps count as the mean"
    assert np.isnan(expected[2])
    assert np.isnan(expected_cdpp(np.arange(6) * 0.1, np.ones((1, 6)))).all()
    assert np.isnan(expected_cdpp(np.zeros(0), np.zeros((2, 0)))).all()


def test_cdpp_scales_with_the_noise_and_ignores_slow_variation(rng):
    time = np.arange(300) * MINUTE
    noise = 0.001 * rng.normal(size=(1, 300))
    quiet, loud, slow = (
        measure_cdpp(time, 1 + curve).ppm[0]
        for curve in (noise, 3 * noise, noise + 0.01 * np.sin(2 * np.pi * time / 0.4))
    )
    assert loud == pytest.approx(3 * quiet)
    assert slow == pytest.approx(quiet, rel=0.1)


def test_a_wild_point_is_clipped(rng):
    time = np.arange(300) * MINUTE
    flux = 1 + 0.001 * rng.normal(size=(1, 300))
    wild = flux.copy()
    wild[0, 150] = 3.0
    assert measure_cdpp(time, wild).ppm[0] == pytest.approx(
        measure_cdpp(time, flux).ppm[0], rel=0.1
    )


def test_a_source_without_points_is_nan_and_alone():
    flux = np.vstack([np.full(300, np.nan), 1 + 1e-3 * np.cos(np.arange(300) * 2.0)])
    ppm = measure_cdpp(np.arange(300) * MINUTE, flux).ppm
    assert np.isnan(ppm[0])
    assert ppm[1] > 0


def test_a_sampling_too_sparse_for_the_filter_is_nan_not_an_error():
    cdpp = measure_cdpp(np.arange(6) * 0.1, np.ones((1, 6)))
    assert np.isnan(cdpp.ppm).all()
    assert np.isnan(cdpp.white_noise_response)


def test_no_frames_give_nan():
    assert np.isnan(measure_cdpp(np.zeros(0), np.zeros((2, 0))).ppm).all()


def test_times_must_ascend():
    with pytest.raises(UnusableDataError, match="ascend"):
        measure_cdpp(np.array([1.0, 0.0]), np.ones((1, 2)))


@pytest.mark.parametrize("wrong", [{"window_days": 0.0}, {"window_days": 1.0}, {"clip_sigma": 0.0}])
def test_impossible_scales_are_refused(wrong):
    with pytest.raises(ValueError, match="must be positive"):
        CdppScales(**wrong)
