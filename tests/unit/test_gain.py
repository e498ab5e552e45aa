"""The gain from a detector's own frames: a known one is found within its stated error."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tianyu.pipelines.science.frame_noise import proportional_noise
from tianyu.pipelines.science.gain import gain_of_flat_pair, gain_of_sky, read_noise_of_pair
from tianyu.pipelines.science.noise import scintillation


def flats(gain, level_adu, read_noise_adu, seed, shape=(256, 320), ratio=1.0):
    """Two flats of a vignetted field whose pixels respond differently by 2 %."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    vignetting = 1 - 0.3 * ((x / shape[1] - 0.5) ** 2 + (y / shape[0] - 0.5) ** 2)
    response = vignetting * rng.normal(1, 0.02, shape)
    return [
        np.rint(
            rng.poisson(k * level_adu * gain * response) / gain
            + rng.normal(0, read_noise_adu, shape)
        )
        for k in (1.0, ratio)
    ]


@settings(max_examples=20, deadline=None)
@given(
    gain=st.floats(0.4, 20),
    level=st.floats(3000, 50000),
    read_noise=st.floats(1, 20),
    ratio=st.floats(0.5, 2),
    seed=st.integers(0, 99),
)
def test_a_pair_of_flats_tells_the_gain(gain, level, read_noise, ratio, seed):
    first, second = flats(gain, level, read_noise, seed, ratio=ratio)
    # Whole numbers add their own noise, 1/12, to that of the read-out.
    found = gain_of_flat_pair(first, second, np.hypot(read_noise, np.sqrt(1 / 12)))
    assert found.e_per_adu == pytest.approx(gain, abs=5 * found.error)
    assert found.error < 0.03 * gain  # where the read-out is as noisy as the light


def test_read_noise_ignores_cosmic_rays():
    rng = np.random.default_rng(1)
    first, second = rng.normal(300, 4.0, (2, 200, 200))
    first[10, :20] += 5000
    assert read_noise_of_pair(first, second) == pytest.approx(4.0, rel=0.03)


def test_too_small_or_empty_flats_tell_nothing():
    assert gain_of_flat_pair(np.ones((20, 20)), np.ones((20, 20))) is None
    assert gain_of_flat_pair(np.zeros((128, 128)), np.zeros((128, 128))) is None


@pytest.mark.parametrize("gain", [0.7, 2.0, 22.0])
def test_the_sky_of_a_night_tells_the_gain(gain):
    """Sky rises by half in morning twilight; 3 % of noise on the noise of each frame."""
    rng = np.random.default_rng(5)
    level = 300 + 400 * np.linspace(0, 1, 120) ** 2  # 300 of it is a pedestal
    rms = np.sqrt((level - 300 + 50) / gain + 3.0**2) * rng.normal(1, 0.01, 120)
    found = gain_of_sky(level, rms)
    assert found.e_per_adu == pytest.approx(gain, abs=4 * found.error)
    assert "120 frames" in found.origin


def test_a_sky_that_does_not_change_tells_nothing():
    rng = np.random.default_rng(6)
    assert gain_of_sky(rng.normal(500, 0.5, 100), rng.normal(10, 0.1, 100)) is None
    assert gain_of_sky(np.arange(10.0), np.arange(10.0)) is None
    assert gain_of_sky(np.full(100, 5.0), np.full(100, 5.0)) is None


def test_what_is_not_known_adds_nothing():
    noise = proportional_noise(
        [1.2, np.nan], [30.0, 30.0], diameter_m=0.5, altitude_m=None, fwhm_pix=[3.0, np.nan]
    )
    assert noise[0] == pytest.approx(float(scintillation(1.2, 30.0, 0.5, 0.0)))
    assert noise[1] == 0.0
    assert not proportional_noise([1.0], [30.0], diameter_m=None, altitude_m=None).any()
