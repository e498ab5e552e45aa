"""The simulated detector obeys the equations by which a real one is measured."""

from dataclasses import replace

import numpy as np
import pytest

from tianyu.pipelines.simulation import Camera, make_detector, read_out
from tianyu.pipelines.simulation.cosmic_rays import cosmic_rays

SHAPE = (256, 256)

IDEAL = replace(
    Camera(),
    bias_row_gradient_adu=0.0,
    bias_column_rms_adu=0.0,
    dark_current_e_s=0.0,
    hot_fraction=0.0,
    warm_fraction=0.0,
    dead_fraction=0.0,
    pixel_response_rms=0.0,
    vignetting=0.0,
    n_dust_rings=0,
    cosmic_rays_per_megapixel_minute=0.0,
)


def expose(camera, level_e, seed=0, exposure_s=60.0):
    detector = make_detector(camera, SHAPE, seed=3)
    light = np.full(SHAPE, level_e, dtype=np.float32)
    return read_out(light, detector, exposure_s, np.random.default_rng(seed)).astype(np.float64)


def test_photon_transfer_gives_the_gain():
    # Variance of a difference of two flats = 2·(level/g + (RN/g)² + 1/12); slope = 1/g.
    levels, variances = [], []
    for i, level_e in enumerate((3e3, 1e4, 3e4, 6e4)):
        first, second = (expose(IDEAL, level_e, seed=2 * i + k) for k in (0, 1))
        levels.append((first.mean() + second.mean()) / 2 - IDEAL.bias_level_adu)
        variances.append(np.var(first - second) / 2)
    slope = np.polyfit(levels, variances, 1)[0]
    # Each variance of 65536 pixels is known to √(2/65536) = 0.55 %.
    assert 1.0 / slope == pytest.approx(IDEAL.gain_e_adu, rel=0.015)


def test_blank_sky_has_the_noise_of_sky_and_read_out():
    frame = expose(IDEAL, level_e=200.0)
    # √(200 + 8²) / 1.5 = 10.832 ADU; rounding adds 1/12 ADU².
    assert frame.std() == pytest.approx(np.sqrt(264.0 / 2.25 + 1 / 12), rel=0.01)
    assert frame.mean() == pytest.approx(1000.0 + 200.0 / 1.5, abs=0.2)


def test_bias_has_level_gradient_and_columns():
    camera = replace(IDEAL, bias_row_gradient_adu=12.0, bias_column_rms_adu=1.5)
    frame = expose(camera, level_e=0.0, exposure_s=0.0)
    rows, columns = frame.mean(axis=1), frame.mean(axis=0)
    slope = np.polyfit(np.linspace(-0.5, 0.5, SHAPE[0]), rows, 1)[0]
    assert slope == pytest.approx(12.0, abs=0.3)
    # Columns' own offsets and the mean of 256 read-out noises: √(1.5² + (8/1.5/16)²) = 1.54.
    assert columns.std() == pytest.approx(1.54, rel=0.15)


def test_hot_pixels_are_as_many_and_as_hot_as_planned():
    detector = make_detector(Camera(), (512, 512), seed=1)
    n = detector.is_hot.sum()
    assert n == pytest.approx(512 * 512 * 5e-4, abs=4 * np.sqrt(131))
    hot = detector.dark_e_s[detector.is_hot]
    assert hot.min() >= 10.0
    assert hot.max() <= 400.0
    assert not (detector.is_hot & (detector.is_warm | detector.is_dead)).any()


def test_dark_current_grows_with_the_exposure():
    camera = replace(IDEAL, dark_current_e_s=3.0)
    short, long = (expose(camera, 0.0, exposure_s=t).mean() for t in (10.0, 60.0))
    # 3 e/s over 50 s more is 150 e, 100 ADU.
    assert long - short == pytest.approx(100.0, abs=0.2)


def test_response_is_one_in_the_mean_and_dark_at_the_corners():
    detector = make_detector(replace(Camera(), dead_fraction=0.0), SHAPE, seed=5)
    assert detector.response.mean() == pytest.approx(1.0, abs=1e-5)
    centre = np.median(detector.response[112:144, 112:144])
    corner = np.median(detector.response[:12, :12])
    assert corner / centre == pytest.approx(1 - 0.12 * (250 / 256) ** 2, abs=0.03)


def test_full_pixels_read_at_or_above_the_saturation_level():
    frame = expose(IDEAL, level_e=1e6)
    assert frame.min() >= IDEAL.saturation_adu
    assert frame.max() <= 65535


def test_the_maps_cannot_be_written():
    detector = make_detector(Camera(), (64, 64), seed=0)
    with pytest.raises(ValueError, match="read-only"):
        detector.response[0, 0] = 2.0


def test_read_out_leaves_the_light_alone():
    detector = make_detector(Camera(), SHAPE, seed=0)
    light = np.full(SHAPE, 100.0, dtype=np.float32)
    read_out(light, detector, 60.0, np.random.default_rng(0))
    assert (light == 100.0).all()


def test_cosmic_rays_come_at_their_rate_and_leave_the_rest_dark():
    rng = np.random.default_rng(8)
    images = [cosmic_rays((1000, 1000), 60.0, 3.0, rng) for _ in range(60)]
    touched = np.array([np.count_nonzero(image) for image in images])
    assert (touched == 0).mean() < 0.2  # e⁻³ = 5 % have none
    assert touched.mean() < 100
    assert all(image.min() >= 0 for image in images)
    assert not cosmic_rays((100, 100), 0.0, 3.0, rng).any()
