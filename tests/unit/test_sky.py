"""The sky model: true where the truth is known, and the same image whenever it is asked."""

import numpy as np
import pytest
import sep
from hypothesis import given, settings
from hypothesis import strategies as st

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.sky import SkyModel, measure_sky

SHAPE = (500, 650)
SIGMA = 10.0


def true_sky(shape):
    y, x = np.mgrid[: shape[0], : shape[1]]
    return 1000 + 0.1 * x - 0.05 * y + 15 * np.sin(x / 150) * np.cos(y / 120)


def frame(shape=SHAPE, seed=1):
    rng = np.random.default_rng(seed)
    pixels = true_sky(shape) + rng.normal(0, SIGMA, shape)
    y, x = np.mgrid[-7:8, -7:8]
    star = np.exp(-(x**2 + y**2) / 8)
    for _ in range(shape[0] * shape[1] // 3500):
        row, column = (rng.integers(7, size - 8) for size in shape)
        pixels[row - 7 : row + 8, column - 7 : column + 8] += 10 ** rng.uniform(2, 4.5) * star
    return pixels.astype(np.float32)


def test_recovers_an_injected_sky_under_stars():
    """Within a tenth of the noise of a pixel, edges included; unbiased by the stars."""
    sky = measure_sky(frame())
    error = sky.image() - true_sky(SHAPE)
    assert abs(np.median(error)) < 0.4
    assert error.std() < 0.1 * SIGMA
    assert sky.rms == pytest.approx(SIGMA, rel=0.05)
    assert sky.level == pytest.approx(np.median(true_sky(SHAPE)), abs=3.0)


@pytest.mark.parametrize("sample_step", [2, 3])
def test_sampled_sky_agrees_within_a_few_per_cent_of_the_noise(sample_step):
    full, sampled = measure_sky(frame()), measure_sky(frame(), sample_step=sample_step)
    difference = sampled.image() - full.image()
    assert abs(difference.mean()) < 0.03 * SIGMA
    assert difference.std() < 0.04 * sample_step * SIGMA
    assert sampled.rms == pytest.approx(full.rms, rel=0.03)


@pytest.mark.parametrize("sample_step", [2, 3])
def test_sampling_sees_rows_and_columns_of_every_parity(sample_step):
    """Odd rows 2 ADU and odd columns 1 ADU higher: (0 + 2)/2 + (0 + 1)/2 = 1.5 on average."""
    pixels = np.random.default_rng(8).normal(100, 5, (384, 384))
    pixels[1::2] += 2
    pixels[:, 1::2] += 1
    assert measure_sky(pixels, sample_step=sample_step).level == pytest.approx(101.5, abs=0.3)


@pytest.mark.parametrize("shape", [SHAPE, (512, 512), (130, 1000)])
@pytest.mark.parametrize("box_pix", [64, 33])
def test_agrees_with_source_extractors_own_image(shape, box_pix):
    """Its spline breaks the smoothness condition in the first boxes; ours does not."""
    pixels = frame(shape)
    sky = measure_sky(pixels, box_pix=box_pix)
    height, width = sky.box_pix
    reference = sep.Background(pixels, bw=width, bh=height)
    difference = sky.image() - reference.back()
    spread = sky.mesh.std()
    assert np.abs(difference).max() < 0.25 * spread
    assert difference.std() < 0.03 * spread
    assert sky.rms == pytest.approx(reference.globalrms, rel=0.02)


def test_mesh_holds_source_extractors_nodes():
    """Boxes of 50: its nodes are at 25, 75, … in y and at 24.5, 74.5, … in x."""
    sky = measure_sky(frame((400, 400)), box_pix=50)
    image = sep.Background(frame((400, 400)), bw=50, bh=50).back()
    rows = image[np.arange(8) * 50 + 25]
    between = (rows[:, np.arange(8) * 50 + 24] + rows[:, np.arange(8) * 50 + 25]) / 2
    np.testing.assert_allclose(sky.mesh, between, rtol=1e-6)


def test_image_passes_through_the_mesh_and_is_linear_in_it():
    sky = measure_sky(frame((495, 495)), box_pix=55)  # odd: box centres are pixels
    centres = np.arange(9) * 55 + 27
    np.testing.assert_allclose(sky.image()[np.ix_(centres, centres)], sky.mesh, rtol=1e-6)
    twice = SkyModel(2 * sky.mesh, sky.rms_mesh, sky.box_pix, sky.shape)
    np.testing.assert_allclose(twice.image(), 2 * sky.image(), rtol=1e-6)


def test_a_plane_is_reproduced_to_the_edges():
    """Box centres at 31.5, 95.5, …: the plane 10 + 0.1·x + 0.2·y continues beyond them."""
    centres = np.arange(4) * 64 + 31.5
    mesh = (10 + 0.1 * centres[None, :] + 0.2 * centres[:, None]).astype(np.float32)
    sky = SkyModel(mesh, np.ones_like(mesh), (64, 64), (256, 256))
    y, x = np.mgrid[:256, :256]
    np.testing.assert_allclose(sky.image(), 10 + 0.1 * x + 0.2 * y, rtol=1e-5)


def test_at_agrees_with_the_image_and_is_held_at_the_edge():
    sky = measure_sky(frame())
    image = sky.image()
    x, y = np.array([0.0, 649.0, 300.0]), np.array([0.0, 499.0, 77.0])
    np.testing.assert_allclose(sky.at(x, y), image[[0, 499, 77], [0, 649, 300]], rtol=1e-6)
    outside = sky.at(np.array([-500.0]), np.array([77.0]))
    assert outside[0] == pytest.approx(image[77, 0], rel=1e-6)
    assert sky.rms_at(x, y) == pytest.approx(SIGMA, rel=0.15)


def test_packed_model_gives_the_identical_image():
    sky = measure_sky(frame())
    unpacked = SkyModel.from_bytes(sky.to_bytes())
    np.testing.assert_array_equal(unpacked.image(), sky.image())
    np.testing.assert_array_equal(unpacked.rms_mesh, sky.rms_mesh)
    assert (unpacked.box_pix, unpacked.shape) == (sky.box_pix, sky.shape)
    assert len(sky.to_bytes()) == 30 + 2 * 4 * sky.mesh.size


def test_refuses_bytes_that_are_no_sky_model():
    packed = measure_sky(frame((64, 64))).to_bytes()
    for spoiled in (packed[:-1], b"XXXX" + packed[4:], b""):
        with pytest.raises(UnusableDataError, match="sky"):
            SkyModel.from_bytes(spoiled)


def test_refuses_an_unknown_version():
    packed = bytearray(measure_sky(frame((64, 64))).to_bytes())
    packed[4] = 99
    with pytest.raises(UnusableDataError, match="version 99"):
        SkyModel.from_bytes(bytes(packed))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_mask_is_the_same_as_not_finite(value):
    pixels = frame((200, 200))
    mask = (np.random.default_rng(5).random((200, 200)) < 0.2).astype(np.uint8)
    holes = np.where(mask != 0, np.float32(value), pixels)
    mask[0, :2], holes[0, :2] = 1, (np.inf, -np.inf)
    expected = measure_sky(pixels, mask)
    np.testing.assert_array_equal(measure_sky(holes).mesh, expected.mesh)
    np.testing.assert_array_equal(measure_sky(holes, mask).mesh, expected.mesh)


def test_masked_stars_do_not_matter():
    pixels, mask = frame((128, 128)), np.zeros((128, 128), np.uint8)
    mask[30:50, 30:50] = 2
    brighter = np.where(mask != 0, np.float32(6e4), pixels)
    np.testing.assert_array_equal(measure_sky(brighter, mask).mesh, measure_sky(pixels, mask).mesh)


@pytest.mark.parametrize("fraction", [1.0, 0.7])
def test_refuses_a_frame_without_a_usable_box(fraction):
    mask = (np.random.default_rng(2).random((128, 128)) < fraction).astype(np.uint8)
    with pytest.raises(UnusableDataError, match="no sky to measure"):
        measure_sky(frame((128, 128)), mask)


def test_one_usable_box_is_enough():
    mask = np.ones((128, 128), np.uint8)
    mask[:64, :64] = 0
    sky = measure_sky(np.full((128, 128), 7.0) + frame((128, 128)) * 0, mask)
    np.testing.assert_allclose(sky.image(), 7.0)


def test_constant_frame_has_no_noise():
    sky = measure_sky(np.full((100, 100), 123.0, np.float32))
    np.testing.assert_allclose(sky.image(), 123.0, rtol=1e-6)
    assert sky.rms == pytest.approx(0.0, abs=1e-3)


def test_refuses_boxes_of_a_few_samples():
    with pytest.raises(ValueError, match="at least 8 samples"):
        measure_sky(frame((64, 64)), box_pix=16, sample_step=4)


@settings(max_examples=30, deadline=None)
@given(st.integers(16, 300), st.integers(16, 300), st.integers(16, 80), st.integers(1, 2))
def test_every_frame_size_is_covered(height, width, box_pix, sample_step):
    pixels = np.full((height, width), 50.0)
    sky = measure_sky(pixels, box_pix=box_pix, sample_step=sample_step)
    np.testing.assert_allclose(sky.image(), pixels, rtol=1e-5)


def test_refuses_a_frame_of_a_few_pixels():
    with pytest.raises(UnusableDataError, match="too small"):
        measure_sky(np.zeros((7, 100), np.float32))


def test_does_not_write_to_its_arguments_and_reads_any_byte_order():
    pixels, mask = frame((128, 128)).astype(">f4"), np.zeros((128, 128), np.uint8)
    pixels.setflags(write=False)
    mask.setflags(write=False)
    np.testing.assert_array_equal(
        measure_sky(pixels, mask).mesh, measure_sky(frame((128, 128))).mesh
    )
