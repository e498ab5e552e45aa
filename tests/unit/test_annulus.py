"""The local background: the level under the stars, its noise, and none where pixels are few."""

import numpy as np
import pytest

from tianyu.pipelines.science.annulus import MIN_ANNULUS_PIXELS, local_background
from tianyu.pipelines.science.stamps import UNDER_STAR

RING = (12.0, 18.0)
SHAPE = (41, 41)


def noise(n, level=20.0, rms=5.0, seed=5):
    stamps = np.random.default_rng(seed).normal(level, rms, (n, *SHAPE)).astype(np.float32)
    return stamps, np.zeros(stamps.shape, np.uint8)


def test_level_and_rms_of_noise_are_unbiased():
    """Rings of 568 px: the mean of 400 of them errs by 0.01, its scatter is 5·√(1.06/568)."""
    level, rms, n_pixels = local_background(*noise(400), RING)
    assert level.mean() == pytest.approx(20.0, abs=0.03)
    assert rms.mean() == pytest.approx(5.0, rel=0.01)
    assert level.std() == pytest.approx(5 * np.sqrt(1.06 / n_pixels.mean()), rel=0.15)


def test_stars_in_the_ring_are_clipped():
    """Five per cent of the ring under stars of 40σ: the mean would err by 10."""
    stamps, bits = noise(50)
    stamps[:, 2:8, 18:23] += 200.0
    level, _, _ = local_background(stamps, bits, RING)
    assert level.mean() == pytest.approx(20.0, abs=0.2)


def test_masked_pixels_and_those_outside_the_ring_do_not_count():
    stamps, bits = noise(1)
    stamps[0, 20, 20], stamps[0, 0, 0] = 1e6, 1e6
    wild = stamps.copy()
    bits[0, 20, 35], wild[0, 20, 35] = 1, np.nan
    found, as_before = (local_background(s, bits, RING) for s in (wild, stamps))
    for column, other in zip(found, as_before, strict=True):
        np.testing.assert_array_equal(column, other)


@pytest.mark.parametrize("n_good", [0, MIN_ANNULUS_PIXELS - 1, MIN_ANNULUS_PIXELS])
def test_with_too_few_pixels_there_is_no_background(n_good):
    stamps, bits = np.full((1, *SHAPE), 7.0, np.float32), np.ones((1, *SHAPE), np.uint8)
    y, x = np.mgrid[-20:21, -20:21]
    ring = np.argwhere((np.hypot(x, y) >= 12) & (np.hypot(x, y) <= 18))[:n_good]
    bits[0, ring[:, 0], ring[:, 1]] = 0
    level, rms, n_pixels = local_background(stamps, bits, RING)
    if n_good < MIN_ANNULUS_PIXELS:
        assert (level[0], n_pixels[0], bool(np.isnan(rms[0]))) == (0.0, 0, True)
    else:
        assert (level[0], n_pixels[0], rms[0]) == (7.0, n_good, 0.0)


def test_whole_numbers_of_little_noise_are_not_clipped_to_one_step():
    """A camera of 12 bits: the noise of the sky is one ADU, and pixels are whole numbers."""
    rng = np.random.default_rng(11)
    stamps = np.rint(rng.normal(0.3, 1.0, (400, 31, 31))).astype(np.float32)
    level, rms, _ = local_background(stamps, np.zeros_like(stamps, np.uint8), (7.0, 12.0))
    assert rms.min() > 0.6  # one step alone would show 0.3
    np.testing.assert_allclose(level, 0.3, atol=0.35)
    assert level.mean() == pytest.approx(0.3, abs=0.02)


def test_the_noise_is_that_of_the_pixels_whatever_light_lies_under_them():
    """A slope of five times the noise across the ring, and a star in it of sixty."""
    stamps, bits = noise(200)
    y, x = np.mgrid[-20:21, -20:21]
    ring = (np.hypot(x, y) >= 12) & (np.hypot(x, y) <= 18)
    stamps += (0.8 * x).astype(np.float32)
    assert stamps[:, ring].std(axis=1).mean() > 9.0
    assert local_background(stamps, bits, RING)[1].mean() == pytest.approx(5.0, rel=0.01)
    stamps += (300.0 * np.exp(-((x - 15) ** 2 + y**2) / 4.0)).astype(np.float32)
    assert local_background(stamps, bits, RING)[1].mean() == pytest.approx(5.0, rel=0.07)


def test_pixels_under_known_stars_make_no_background():
    """Wings below the clip raise the mean by 0.6; left out, they do not."""
    stamps, bits = noise(300)
    stamps[:, 2:12, 5:36] += 4.0
    level, _, n_pixels = local_background(stamps, bits, RING)
    assert level.mean() > 20.5
    bits[:, 2:12, 5:36] = UNDER_STAR
    clear, _, n_clear = local_background(stamps, bits, RING)
    assert clear.mean() == pytest.approx(20.0, abs=0.05)
    assert (n_clear < n_pixels).all()


def test_where_stars_cover_nearly_all_of_the_ring_it_is_used_as_it_is():
    stamps, bits = noise(20)
    crowded = bits.copy()
    crowded[:, :, 6:] = UNDER_STAR
    for found, expected in zip(
        local_background(stamps, crowded, RING), local_background(stamps, bits, RING), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


def test_the_noise_of_whole_numbers_holds_that_of_the_rounding():
    rng = np.random.default_rng(12)
    for sigma in (0.5, 1.0, 3.0):
        stamps = np.rint(rng.normal(0.3, sigma, (300, 31, 31))).astype(np.float32)
        _, rms, _ = local_background(stamps, np.zeros_like(stamps, np.uint8), (7.0, 12.0))
        assert rms.mean() == pytest.approx(np.hypot(sigma, 12**-0.5), rel=0.03)
