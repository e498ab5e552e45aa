"""Compiled kernels against their plain references: stacks, and light in circles and rings."""

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tianyu.pipelines.science.aperturegeometry import ApertureGeometry
from tianyu.pipelines.science.apertures import measure_fluxes, measure_light
from tianyu.pipelines.science.flags import FluxFlag
from tianyu.pipelines.science.kernels.light import CompiledLight
from tianyu.pipelines.science.kernels.summing import add_rows
from tianyu.pipelines.science.masks import MaskBit
from tianyu.pipelines.science.stack import Canvas, PartialStack
from tianyu.pipelines.science.stamps import UNDER_STAR

SHAPE = (120, 140)


@settings(max_examples=40, deadline=None)
@given(st.data(), hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=14))
def test_stacks_agree_to_the_last_digit(data, shape):
    """Shifts, turns, masks, what is not a number, what is clipped, and wider sums."""
    values = st.one_of(
        st.floats(-7e4, 7e4, width=32), st.sampled_from([np.nan, np.inf, -np.inf, 3e38, 9e7])
    )
    canvas = Canvas(data.draw(st.integers(-3, 3)), data.draw(st.integers(-3, 3)), *shape)
    plain, fast = PartialStack.empty(canvas), PartialStack.empty(canvas)
    for _ in range(data.draw(st.integers(1, 4))):
        pixels = data.draw(hnp.arrays(np.float32, shape, elements=values))
        mask = data.draw(hnp.arrays(np.uint8, shape, elements=st.integers(0, 3)))
        dx, dy = data.draw(st.tuples(st.integers(-5, 5), st.integers(-5, 5)))
        how = {"flipped": data.draw(st.booleans()), "ignored": int(MaskBit.SATURATED)}
        name = data.draw(st.sampled_from(["add", "subtract"]))
        getattr(plain, name)(pixels, mask, dx, dy, **how)
        getattr(fast, name)(pixels, mask, dx, dy, **how, add_rows=add_rows)
    for name in ("total", "count"):
        assert getattr(fast, name).dtype == getattr(plain, name).dtype
        np.testing.assert_array_equal(getattr(fast, name), getattr(plain, name))
    assert fast.n_frames == plain.n_frames


def frame(seed, n_stars=30):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    pixels = rng.normal(0.7, 5, SHAPE)
    at = rng.uniform((-3, -3), (SHAPE[1] + 2, SHAPE[0] + 2), (n_stars, 2))
    for (star_x, star_y), flux in zip(at, rng.uniform(20, 4e3, n_stars), strict=True):
        pixels += flux * np.exp(-((x - star_x) ** 2 + (y - star_y) ** 2) / (2 * 1.3**2))
    return pixels.astype(np.float32), at[:, 0], at[:, 1], rng


def compare(pixels, mask, x, y, geometry, **options):
    expected = measure_fluxes(
        pixels, mask, x, y, geometry.radii_pix, annulus_pix=geometry.annulus_pix, **options
    )
    found = measure_light(CompiledLight.of(pixels, mask), x, y, geometry, **options)
    error = np.where(expected.flux_error > 0, expected.flux_error, 1.0)
    # Whether a flux of nothing is negative is chance.
    sure = np.where(abs(expected.flux) < 1e-5 * error, ~np.uint16(FluxFlag.NEGATIVE_FLUX), 0xFFFF)
    np.testing.assert_array_equal(found.flags & sure, expected.flags & sure)
    for column in fields(expected):
        one, other = getattr(found, column.name), getattr(expected, column.name)
        np.testing.assert_array_equal(np.isnan(one), np.isnan(other), err_msg=column.name)
    assert np.nanmax(abs(found.flux - expected.flux) / error) < 1e-5
    np.testing.assert_allclose(found.flux_error, expected.flux_error, rtol=1e-6)
    np.testing.assert_allclose(found.background, expected.background, atol=1e-5)
    np.testing.assert_allclose(found.background_rms, expected.background_rms, rtol=1e-5)
    np.testing.assert_allclose(found.x_centroid, expected.x_centroid, atol=1e-4)
    np.testing.assert_allclose(found.y_centroid, expected.y_centroid, atol=1e-4)
    np.testing.assert_allclose(found.peak, expected.peak, rtol=1e-6)


@settings(max_examples=12, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.floats(1.0, 4.0),
    st.sampled_from([0.0, 0.004, 0.3]),
    st.sampled_from([None, 1.5]),
    st.sampled_from([0.0, 0.2, 0.8, 0.97]),
)
def test_fluxes_agree_with_the_reference(seed, fwhm, bad, gain, covered):
    """Stars on and off the edges, every mark of a pixel, few pixels clear, a wrong guess of σ."""
    pixels, x, y, rng = frame(seed)
    mask = np.where(rng.random(SHAPE) < bad, rng.integers(1, UNDER_STAR, SHAPE), 0)
    mask = (mask | np.where(rng.random(SHAPE) < covered, UNDER_STAR, 0)).astype(np.uint8)
    pixels[rng.random(SHAPE) < bad / 4] = np.nan
    pixels[rng.random(SHAPE) < bad / 8] = np.inf
    geometry = ApertureGeometry.from_fwhm(fwhm)
    guess = 5.0 * 10.0 ** rng.uniform(-2, 2)
    compare(pixels, mask, x, y, geometry, sky_rms=guess, gain=gain, fwhm_pix=fwhm)


@pytest.mark.parametrize("value", [0.0, -3.0, 1e6])
def test_even_frames_agree(value):
    """Whole rings of one value: every order statistic is a tie."""
    pixels, mask = np.full(SHAPE, value, np.float32), np.zeros(SHAPE, np.uint8)
    x, y = np.array([60.0, 2.0]), np.array([50.0, 117.3])
    geometry = ApertureGeometry((2.0, 3.5), (6.0, 10.0))
    compare(pixels, mask, x, y, geometry, sky_rms=1.0, gain=None)


def test_digitised_sky_agrees():
    """A sky of few different counts, as of a camera of 12 bits."""
    pixels, x, y, _ = frame(3)
    pixels = np.rint(pixels / 4).astype(np.float32)
    geometry = ApertureGeometry((2.0, 3.5), (6.0, 10.0))
    compare(pixels, np.zeros(SHAPE, np.uint8), x, y, geometry, sky_rms=1.3, gain=1.0)


def test_frames_without_any_good_pixel_agree():
    pixels, x, y, _ = frame(4)
    geometry = ApertureGeometry((2.0,), (6.0, 10.0))
    compare(pixels, np.full(SHAPE, 4, np.uint8), x, y, geometry, sky_rms=5.0, gain=None)
