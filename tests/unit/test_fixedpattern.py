"""The fixed pattern: what single pixels hold in excess, and nothing of the stars."""

import numpy as np
import pytest
from tests.unit.frame_rows import frame_row

from tianyu.pipelines.science.fixedpattern import (
    FEWEST_LOOKS,
    PatternFrames,
    frames_that_fit,
)
from tianyu.pipelines.science.footprints import Footprints, star_footprints
from tianyu.pipelines.steps.fixed_pattern import choose_frames

SHAPE = (60, 80)
RMS = 2.0
FWHM = 2.5
N_FRAMES = 20


def star(x, y, peak):
    """A Gaussian star of FWHM 2.5 pixels."""
    yy, xx = np.mgrid[: SHAPE[0], : SHAPE[1]]
    sigma = FWHM / 2.3548
    return peak * np.exp(-((xx - x) ** 2 + (yy - y) ** 2) / (2 * sigma**2))


def measure(pattern, *, drift_pix=2.0, n_frames=N_FRAMES, hits=0, order=None, seed=1):
    """Measure a pattern in frames with a star of 3000 ADU that drifts along x."""
    rng = np.random.default_rng(seed)
    frames = []
    for i in range(n_frames):
        x, y = np.array([15.0 + drift_pix * i]), np.array([30.0])
        pixels = rng.normal(0, RMS, SHAPE) + star(x[0], y[0], 3000.0) + pattern
        for _ in range(hits):
            pixels[rng.integers(SHAPE[0]), rng.integers(SHAPE[1])] += 5000
        stars = Footprints.of_stars(x, y, np.array([3000.0]), fwhm_pix=FWHM, sky_rms=RMS)
        frames.append((pixels.astype(np.float32), np.zeros(SHAPE, np.uint8), stars))
    sample = PatternFrames(n_frames, SHAPE)
    for i in order if order is not None else range(n_frames):
        sample.add(*frames[i], RMS)
    return sample.pattern()


def warm_pixels():
    """20 pixels of ±5 to ±300 ADU, the last ones on the path of the star."""
    rng = np.random.default_rng(7)
    pattern = np.zeros(SHAPE)
    places = rng.choice(np.flatnonzero(np.ones(SHAPE)), 16, replace=False)
    pattern.flat[places] = np.geomspace(5, 300, 16) * np.where(np.arange(16) % 3, 1, -1)
    pattern[30, 20:60:10] = 40.0
    return pattern


def test_recovers_every_warm_pixel_within_its_error():
    truth = warm_pixels()
    found = measure(truth)
    on = truth != 0
    assert found.sigma == pytest.approx(1.09 * RMS / np.sqrt(N_FRAMES), rel=1e-6)
    np.testing.assert_allclose(found.correction[on], truth[on], atol=5 * found.sigma)


def test_leaves_good_pixels_alone():
    """4 sigma: 0.006 % of 4800 pixels by chance, so hardly one."""
    found = measure(warm_pixels())
    assert np.count_nonzero(found.correction[warm_pixels() == 0]) <= 2
    assert 0 < found.fraction_corrected < 0.01


def test_takes_nothing_from_a_star_that_does_not_move():
    found = measure(np.zeros(SHAPE), drift_pix=0.0)
    assert np.count_nonzero(found.correction) <= 1
    assert found.correction[25:36, 10:21].max() == 0.0


def test_a_cosmic_ray_in_a_tenth_of_the_pixels_of_each_frame_changes_nothing():
    found = measure(warm_pixels(), hits=100)
    clean = measure(warm_pixels())
    on = warm_pixels() != 0
    np.testing.assert_allclose(found.correction[on], clean.correction[on], atol=3 * found.sigma)


def test_the_order_of_the_frames_does_not_matter():
    forward = measure(warm_pixels())
    shuffled = measure(warm_pixels(), order=np.random.default_rng(3).permutation(N_FRAMES))
    np.testing.assert_array_equal(forward.correction, shuffled.correction)


@pytest.mark.parametrize("n_frames", [0, 1, FEWEST_LOOKS - 1])
def test_few_frames_correct_nothing(n_frames):
    found = measure(warm_pixels(), n_frames=n_frames)
    assert not found.correction.any()
    assert found.n_frames == n_frames


def test_footprints_grow_with_brightness_and_pass_over_what_is_off_the_frame():
    place = np.array([40.0])
    sizes = [
        star_footprints(
            place, place / 2, np.array([peak]), fwhm_pix=FWHM, sky_rms=RMS, shape=SHAPE
        ).sum()
        for peak in (np.nan, 0.0, 10.0, 1000.0, 60000.0)
    ]
    assert sizes[0] == sizes[1] == 21  # pixels within one FWHM of 2.5
    assert sizes[1] < sizes[2] < sizes[3] < sizes[4]
    outside = np.array([-500.0, np.nan])
    peaks = np.array([1000.0, 1000.0])
    assert not star_footprints(
        outside, outside, peaks, fwhm_pix=FWHM, sky_rms=RMS, shape=SHAPE
    ).any()


def test_frames_are_spaced_good_and_alike():
    rows = [
        frame_row(
            image_id=i,
            is_good=i % 10 != 0,
            exposure_s=30.0 if i < 5 else 60.01 + 0.001 * i,
        )
        for i in range(100)
    ]
    chosen = choose_frames(rows, 9)
    assert len(chosen) == 9
    assert all(row.is_good and row.exposure_s > 50 for row in chosen)
    assert (chosen[0].image_id, chosen[-1].image_id) == (5, 99)
    assert choose_frames(rows, 0) == []
    assert choose_frames([], 9) == []


def test_large_frames_are_fewer():
    assert frames_that_fit((100, 100)) > 10000
    assert frames_that_fit((6388, 9576)) == 8
