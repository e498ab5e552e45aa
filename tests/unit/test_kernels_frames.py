"""Compiled kernels against their plain references: a frame calibrated, its sky, its maxima."""

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.aperturegeometry import ApertureGeometry
from tianyu.pipelines.science.blank import plain_extremes
from tianyu.pipelines.science.calibrate import Calibrator
from tianyu.pipelines.science.footprints import Footprints
from tianyu.pipelines.science.kernels.blankness import extremes
from tianyu.pipelines.science.kernels.calibration import (
    calibrate_known,
    calibrate_row,
    row_room,
)
from tianyu.pipelines.science.kernels.frames import kernel_calibration, measure, raw_rows
from tianyu.pipelines.science.kernels.light import CompiledLight, RawLight
from tianyu.pipelines.science.kernels.maxima import find_maxima, subtract_sky
from tianyu.pipelines.science.kernels.skyimage import row_cubics, row_places, sky_run
from tianyu.pipelines.science.kernels.skymesh import calibrate_and_measure
from tianyu.pipelines.science.kernels.stellar import star_method
from tianyu.pipelines.science.light import Light
from tianyu.pipelines.science.overscan import RawFrame
from tianyu.pipelines.science.peaks import find_peaks
from tianyu.pipelines.science.sky import SkyModel, measure_sky
from tianyu.pipelines.science.stars import find_stars

SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=24)
SIGMA = 12.0


def sky_with_stars(shape, seed, n_stars=40):
    """A gradient of sky with noise and stars, as counts of 16 bits."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    image = 900 + 0.1 * x - 0.05 * y + rng.normal(0, SIGMA, shape)
    for star_x, star_y, flux in rng.uniform((0, 0, 200), (*shape[::-1], 9000), (n_stars, 3)):
        near = (abs(x - star_x) < 10) & (abs(y - star_y) < 10)
        r2 = (x[near] - star_x) ** 2 + (y[near] - star_y) ** 2
        image[near] += flux * np.exp(-r2 / (2 * 1.4**2))
    return np.clip(np.rint(image), 0, 65535).astype(np.uint16)


@settings(max_examples=30, deadline=None)
@given(st.data(), st.sampled_from([np.uint16, np.int16, np.uint8]), SHAPES)
def test_calibration_agrees_to_the_last_bit(data, dtype, shape):
    info = np.iinfo(dtype)
    raw = data.draw(hnp.arrays(dtype, shape, elements=st.integers(int(info.min), int(info.max))))
    seed = data.draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    has = [data.draw(st.booleans()) for _ in range(3)]
    bias = rng.normal(300, 40, shape) if has[0] else None
    if bias is not None and data.draw(st.booleans()):
        bias.flat[rng.integers(bias.size)] = np.nan
    flat = rng.normal(1, 0.5, shape) if has[1] else None
    bad = rng.integers(0, 2, shape).astype(np.uint8) if has[2] else None
    saturation = data.draw(st.sampled_from([None, 200.0, 30000.5, np.inf, -np.inf, 1e12]))
    over = data.draw(st.sampled_from([None, (1, 1), (shape[0], 1), (1, shape[1])]))
    overscan = None if over is None else rng.normal(50, 9, over).astype(np.float32)
    calibrator = Calibrator(bias=bias, flat=flat, bad=bad, saturation=saturation)
    expected = calibrator.apply(raw, overscan)
    pixels, mask = np.empty(shape, np.float32), np.empty(shape, np.uint8)
    how = *kernel_calibration(calibrator).arguments(overscan), row_room(shape[1])
    for y in range(shape[0]):
        calibrate_row(raw, y, how, pixels, mask)
    calibrator.fill_holes(pixels, mask)
    np.testing.assert_array_equal(mask, expected.mask)
    np.testing.assert_array_equal(pixels, expected.pixels)


@given(hnp.arrays(np.uint16, SHAPES))
def test_extremes_are_those_of_numpy(raw):
    assert extremes(raw) == plain_extremes(raw)


@pytest.mark.parametrize(
    ("shape", "box"),
    [((256, 256), 64), ((300, 417), 64), ((200, 130), 32), ((40, 40), 64), ((80, 2600), 16)],
)
def test_the_mesh_is_that_of_source_extractor_within_its_own_noise(shape, box):
    """The mode of n pixels is known to 2.1 σ/√n, and both clip in steps of their own.

    A flat makes the counts continuous: of whole ones the reference's median is a whole one.
    """
    raw = sky_with_stars(shape, seed=shape[1], n_stars=1 + np.prod(shape) // 2000)
    flat = np.random.default_rng(6).normal(1, 0.01, shape)
    calibrator = Calibrator(flat=flat, saturation=60000.0)
    pixels, mask = np.empty(shape, np.float32), np.empty(shape, np.uint8)
    sky, _ = measure(RawFrame(raw), calibrator, box, pixels, mask)
    reference = measure_sky(calibrator.apply(raw).pixels, box_pix=box)
    assert sky.box_pix == reference.box_pix
    assert sky.mesh.shape == reference.mesh.shape
    tolerance = 4 * 2.1 * SIGMA / np.sqrt(np.prod(sky.box_pix))
    assert np.abs(sky.mesh - reference.mesh).max() < tolerance
    assert abs(np.median(sky.mesh - reference.mesh)) < 0.02 * SIGMA + 0.2 * tolerance
    assert sky.rms == pytest.approx(reference.rms, rel=0.03)


def test_the_mesh_looks_past_masked_boxes():
    raw = sky_with_stars((256, 256), seed=5)
    raw[:70, :70] = 65535
    flat = np.random.default_rng(6).normal(1, 0.01, raw.shape)
    calibrator = Calibrator(flat=flat, saturation=60000.0)
    pixels, mask = np.empty(raw.shape, np.float32), np.empty(raw.shape, np.uint8)
    sky, _ = measure(RawFrame(raw), calibrator, 64, pixels, mask)
    calibrated = calibrator.apply(raw)
    reference = measure_sky(calibrated.pixels, calibrated.mask, box_pix=64)
    assert np.abs(sky.mesh - reference.mesh).max() < 0.25 * SIGMA


@pytest.mark.parametrize("saturated_rows", [0, 75])
def test_the_mesh_follows_a_sky_that_jumps(saturated_rows):
    """A step up, one down, ten times the noise, and hardly any.

    Saturated pixels take the whole of a box, and a part of the one below.
    """
    rng, truths = np.random.default_rng(3), ((500, 8), (9000, 8), (800, 80), (820, 6), (700, 0.5))
    raw = np.vstack([rng.normal(level, sigma, (64, 256)) for level, sigma in truths])
    raw[:saturated_rows, :64] = 65535
    counts = np.rint(raw).astype(np.uint16)
    calibrator = Calibrator(flat=rng.normal(1, 1e-4, raw.shape), saturation=60000.0)
    pixels, mask = np.empty(raw.shape, np.float32), np.empty(raw.shape, np.uint8)
    level, sigma = np.empty((2, 5, 4))
    arguments = kernel_calibration(calibrator).arguments(None)
    calibrate_and_measure(counts, *arguments, pixels, mask, (64, 64), level, sigma)
    np.testing.assert_array_equal(pixels, calibrator.apply(counts).pixels)
    assert np.isnan(level).sum() == np.isnan(level[0, 0]) == (saturated_rows > 0)
    for k, (truth, noise) in enumerate(truths):
        boxes = slice(1 if k == 0 and saturated_rows else 0, None)
        found = np.hypot(noise, 0.29)  # whole counts
        assert np.abs(level[k, boxes] - truth).max() < 4 * 2.1 * found / 64 + 0.15
        np.testing.assert_allclose(sigma[k, boxes], found, rtol=0.15)


@pytest.mark.parametrize("saturated", [0.6, 1.0])
def test_a_frame_without_sky_is_refused_in_the_words_of_the_reference(saturated):
    raw = sky_with_stars((64, 64), seed=1)
    raw[: int(64 * saturated)] = 65535
    calibrator = Calibrator(saturation=60000.0)
    calibrated = calibrator.apply(raw)
    with pytest.raises(UnusableDataError) as expected:
        measure_sky(calibrated.pixels, calibrated.mask)
    pixels, mask = np.empty(raw.shape, np.float32), np.empty(raw.shape, np.uint8)
    with pytest.raises(UnusableDataError) as found:
        measure(RawFrame(raw), calibrator, 64, pixels, mask)
    assert str(found.value) == str(expected.value)


@pytest.mark.parametrize("level", [0, 1000, 65535])
def test_an_even_frame_has_an_even_sky(level):
    raw = np.full((128, 128), level, np.uint16)
    pixels, mask = np.empty(raw.shape, np.float32), np.empty(raw.shape, np.uint8)
    sky, maxima = measure(RawFrame(raw), Calibrator(), 64, pixels, mask)
    np.testing.assert_allclose(sky.mesh, level, atol=0.01 + 2e-5 * level)
    assert maxima.size == 0


@settings(max_examples=20, deadline=None)
@given(
    st.integers(8, 90), st.integers(8, 90), st.integers(8, 30), st.integers(8, 30), st.integers(0)
)
def test_the_sky_image_is_that_of_the_spline(ny, nx, box_y, box_x, seed):
    nodes = -(-ny // box_y), -(-nx // box_x)
    mesh = np.random.default_rng(seed).normal(1000, 30, nodes).astype(np.float32)
    sky = SkyModel(mesh, mesh, (box_y, box_x), (ny, nx))
    cubics, places = row_cubics(sky), row_places(nodes[1], box_x, nx)
    found = np.empty((ny, nx), np.float32)
    for y in range(ny):
        sky_run(cubics[y], box_x, places, 0, found.shape[1], found[y])
    np.testing.assert_allclose(found, sky.image(), rtol=3e-6)


VALUES = st.sampled_from([0.0, 1.0, 5.0, 5.5, 6.0, 9.0, 9.0, 40.0, np.nan, np.inf, -3.0])


@settings(max_examples=60, deadline=None)
@given(st.data(), hnp.array_shapes(min_dims=2, max_dims=2, min_side=5, max_side=16))
def test_maxima_agree_with_ties_masks_and_edges(data, shape):
    pixels = data.draw(hnp.arrays(np.float32, shape, elements=VALUES))
    mask = data.draw(hnp.arrays(np.uint8, shape, elements=st.sampled_from([0, 0, 0, 0, 1, 2, 8])))
    min_area = data.draw(st.integers(1, 4))
    expected = find_peaks(pixels, mask, 1.0, 5.0, min_area)
    found = find_maxima(pixels, mask, np.array([5.0], np.float32), 5.0, min_area)
    assert found.tolist() == expected.tolist()


@pytest.mark.parametrize("shape", [(150, 200), (90, 65), (6, 6), (12, 70)])
def test_maxima_are_found_while_the_sky_is_taken_off(shape):
    raw = sky_with_stars(shape, seed=shape[0]).astype(np.float32)
    mask = (np.random.default_rng(2).random(shape) < 0.01).astype(np.uint8)
    mesh = np.full((3, 3), 900, np.float32)
    sky = SkyModel(mesh, mesh, (max(2, shape[0] // 3 + 1), max(2, shape[1] // 3 + 1)), shape)
    pixels = raw.copy()
    cubics, places = row_cubics(sky), row_places(3, sky.box_pix[1], shape[1])
    threshold = np.array([60.0], np.float32)
    found = subtract_sky(pixels, mask, cubics, sky.box_pix[1], places, threshold, 60.0, 4)
    np.testing.assert_allclose(pixels, raw - sky.image(), atol=2e-3)
    assert found.tolist() == find_peaks(pixels, mask, 6.0, 10.0, 4).tolist()


@pytest.mark.parametrize("n_stars", [0, 3, 60, 250])
def test_the_stars_of_a_frame_are_those_of_the_reference(n_stars):
    raw = sky_with_stars((300, 280), seed=n_stars, n_stars=n_stars)
    mask = (np.random.default_rng(4).random(raw.shape) < 0.003).astype(np.uint8)
    pixels = raw - measure_sky(raw).image()
    expected = find_stars(pixels, mask, SIGMA)
    found = find_stars(pixels, mask, SIGMA, method=star_method(None))
    assert found.n_detected == expected.n_detected
    np.testing.assert_allclose(found.xy, expected.xy, atol=1e-8)
    np.testing.assert_allclose(found.flux, expected.flux, rtol=1e-8)
    np.testing.assert_allclose(found.fwhm_pix, expected.fwhm_pix, rtol=1e-8)


@pytest.mark.parametrize("dtype", [np.uint16, np.int16])
def test_a_frame_is_calibrated_again_just_as_before(dtype):
    raw = sky_with_stars((200, 230), seed=8).astype(dtype)
    flat = np.random.default_rng(9).normal(1, 0.02, raw.shape)
    calibrator = Calibrator(bias=np.full(raw.shape, 300.25), flat=flat, saturation=2000.0)
    pixels, mask = np.empty(raw.shape, np.float32), np.empty(raw.shape, np.uint8)
    sky, _ = measure(RawFrame(raw), calibrator, 64, pixels, mask)
    again, bits = np.empty_like(pixels), np.empty_like(mask)
    calibrate_known(raw_rows(RawFrame(raw), calibrator, sky), again, bits)
    np.testing.assert_array_equal(again, pixels)
    np.testing.assert_array_equal(bits, mask)


@pytest.mark.parametrize("shape", [(200, 230), (60, 40), (9, 300)])
@pytest.mark.parametrize("is_calibrated", [True, False])
def test_light_read_from_raw_rows_is_that_of_the_whole_frame(shape, is_calibrated):
    """Sources in order and not, near each other and far, on edges, with masks and overscan."""
    raw = sky_with_stars(shape, seed=8)
    rng = np.random.default_rng(9)
    calibrator, level = Calibrator(), None
    if is_calibrated:
        flat = rng.normal(1, 0.02, shape)
        flat[rng.random(shape) < 0.01] = 0
        calibrator = Calibrator(bias=np.full(shape, 300.25), flat=flat, saturation=2000.0)
        level = rng.normal(3, 1, (shape[0], 1)).astype(np.float32)
    mesh = np.full((2, 2), 900, np.float32)
    sky = SkyModel(mesh, mesh / 100, tuple(-(-n // 2) for n in shape), shape)
    rows = raw_rows(RawFrame(raw, level), calibrator, sky)
    pixels, mask = np.empty(shape, np.float32), np.empty(shape, np.uint8)
    calibrate_known(rows, pixels, mask)
    x, y = rng.uniform(-0.5, np.array(shape)[::-1, np.newaxis] - 0.5, (2, 30))
    stars = Footprints(x[:9], y[:9], np.full(9, 4.0))
    ours, whole = RawLight.of(rows, stars), CompiledLight.of(pixels, mask, stars)
    assert ours.shape == whole.shape
    for geometry in (ApertureGeometry((2.0, 3.5), (6.0, 10.0)), ApertureGeometry((2.0,), (4.0, 7))):
        for order in (np.argsort(y), np.arange(30), np.argsort(-y)[::7]):
            found = ours.light(x[order], y[order], geometry, np.full(len(order), 9.0))
            expected = whole.light(x[order], y[order], geometry, np.full(len(order), 9.0))
            for column in fields(Light):
                one, other = getattr(found, column.name), getattr(expected, column.name)
                np.testing.assert_array_equal(one, other, err_msg=column.name)
