"""Elliptical apertures: exact areas, the shape of a frame's stars, less noise on drawn-out ones."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from photutils.aperture import EllipticalAperture, aperture_photometry
from pydantic import ValidationError

from tianyu.pipelines.aperture_shapes import ShapeOfApertures, ellipse_of_frame
from tianyu.pipelines.flux_plan import FluxPlan, measure_sources
from tianyu.pipelines.measuring import MeasuredFrame
from tianyu.pipelines.science.aperturegeometry import ApertureGeometry
from tianyu.pipelines.science.apertureshape import ROUND, ApertureShape, shape_of_ellipticity
from tianyu.pipelines.science.circles import circle_sums, mask_flags
from tianyu.pipelines.science.ellipses import ASIDE_PIX, ellipse_flags, ellipse_sums
from tianyu.pipelines.science.flags import FluxFlag
from tianyu.pipelines.science.masks import MaskBit
from tianyu.pipelines.science.noise import circle_noise_area, ellipse_noise_area
from tianyu.pipelines.science.sky import measure_sky
from tianyu.pipelines.science.stamps import OFF_DETECTOR
from tianyu.pipelines.science.starshape import frame_shape
from tianyu.pipelines.science.transform import AffineTransform
from tianyu.pipelines.simulation import MoffatPsf, render_stars

PLACE = st.floats(-0.5, 0.5)
RATIO, ANGLE = st.floats(0.3, 1.0), st.floats(-90.0, 90.0)
RADII = (3.0, 5.0, 8.0)


@given(PLACE, PLACE, st.floats(1.5, 6.0), RATIO, ANGLE)
@settings(max_examples=40, deadline=None)
def test_an_ellipse_has_the_area_of_its_circle_and_agrees_with_photutils(x, y, r, q, angle):
    size = 29
    rng = np.random.default_rng(1)
    stamps, clear = rng.uniform(1, 9, (1, size, size)).astype(np.float32), np.uint8(0)
    shape = ApertureShape(q, angle)
    bits = np.full(stamps.shape, clear)
    at = np.array([x]), np.array([y])
    sums, areas = ellipse_sums(stamps, bits, *at, np.array([r]), shape)
    assert areas[0, 0] == pytest.approx(math.pi * r**2, rel=1e-12)
    flat, _ = ellipse_sums(np.ones_like(stamps), bits, *at, np.array([r]), shape)
    assert flat[0, 0] == pytest.approx(math.pi * r**2, rel=1e-5)
    a, b = shape.semi_axes(r)
    # Where SEP is asked, and for the same reason.
    place = (size // 2 + x + ASIDE_PIX[0], size // 2 + y + ASIDE_PIX[1])
    other = EllipticalAperture(place, a, b, math.radians(angle))
    theirs = aperture_photometry(stamps[0].astype(float), other, method="exact")["aperture_sum"]
    assert sums[0, 0] == pytest.approx(theirs[0], rel=1e-5)


@pytest.mark.parametrize("angle", [-90.0, -45.0, 0.0, 1.0, 15.0, 30.0, 45.0])
@pytest.mark.parametrize("q", [0.25, 0.36, 1.0])
def test_rims_through_corners_of_pixels_are_summed_too(q, angle):
    """Places in eighths of a pixel, radii in halves: SEP's own sums are NaN or wrong in some."""
    places = np.mgrid[-4:5, -4:5].reshape(2, -1) / 8.0
    ones = np.ones((places.shape[1], 33, 33), np.float32)
    radii = np.arange(3, 15) / 2.0
    clear = np.zeros(ones.shape, np.uint8)
    sums, _ = ellipse_sums(ones, clear, *places, radii, ApertureShape(q, angle))
    np.testing.assert_allclose(sums / (math.pi * radii**2), 1.0, rtol=1e-9)


@given(PLACE, PLACE, st.floats(1.0, 6.0), ANGLE)
@settings(max_examples=30, deadline=None)
def test_an_axis_ratio_of_one_is_the_circle_whatever_its_angle(x, y, radius, angle):
    rng = np.random.default_rng(2)
    stamps = rng.normal(5, 1, (3, 19, 19)).astype(np.float32)
    bits = np.where(rng.random(stamps.shape) < 0.02, np.uint8(MaskBit.NO_FLAT), np.uint8(0))
    stamps[bits != 0] = 0.0
    at, radii = (np.full(3, x), np.full(3, y)), np.array([radius])
    circles, ellipses = (
        circle_sums(stamps, bits, *at, radii),
        ellipse_sums(stamps, bits, *at, radii, ApertureShape(1.0, angle)),
    )
    np.testing.assert_allclose(ellipses[0], circles[0], rtol=1e-5)
    np.testing.assert_allclose(ellipses[1], circles[1], rtol=1e-5)


def test_masked_pixels_flag_the_ellipses_that_touch_them():
    """Semi-axes 6 and 1.5 px along x: the pixel 5 px to the right is in, that 3 px up is not.

    A circle of that area, 3 px, has it the other way round.
    """
    bits = np.zeros((2, 21, 21), np.uint8)
    bits[0, 10, 15] = bits[1, 13, 10] = MaskBit.SATURATED
    centre, radius, shape = np.zeros(2), np.array([3.0]), ApertureShape(0.25, 0.0)
    touched = ellipse_flags(bits, centre, centre, radius, shape)
    assert touched.ravel().tolist() == [FluxFlag.SATURATED, 0]
    assert mask_flags(bits, centre, centre, radius).ravel().tolist() == [0, FluxFlag.SATURATED]


def test_a_pixel_left_out_takes_its_area_along():
    stamps, bits = np.ones((1, 21, 21), np.float32), np.zeros((1, 21, 21), np.uint8)
    stamps[0, 10, 14], bits[0, 10, 14] = 0.0, OFF_DETECTOR
    sums, areas = ellipse_sums(
        stamps, bits, np.zeros(1), np.zeros(1), np.array([3.0]), ApertureShape(0.25, 0.0)
    )
    assert sums[0, 0] == areas[0, 0] == pytest.approx(9 * math.pi - 1, rel=1e-5)


@pytest.mark.parametrize(("q", "angle"), [(0.5, 25.0), (0.7, -60.0), (0.9, 80.0)])
def test_the_noise_area_of_an_ellipse_is_that_of_its_weights(q, angle):
    """Σ w² of the part of each pixel inside, averaged over places in a pixel."""
    rng = np.random.default_rng(3)
    shape, radius, areas = ApertureShape(q, angle), 4.0, []
    for x, y in rng.uniform(-0.5, 0.5, (40, 2)):
        weights = np.eye(625, dtype=np.float32).reshape(625, 25, 25)
        at = np.full(625, x), np.full(625, y)
        part, _ = ellipse_sums(
            weights, np.zeros(weights.shape, np.uint8), *at, np.array([radius]), shape
        )
        areas.append((part**2).sum())
    assert float(ellipse_noise_area(radius, q)) == pytest.approx(np.mean(areas), rel=0.005)
    assert float(ellipse_noise_area(radius, 1.0)) == float(circle_noise_area(radius))


def test_shapes_are_turned_with_the_frame():
    shape = ApertureShape(0.5, 20.0)
    half_turn = AffineTransform(-1.0, 0.0, 0.0, -1.0, 9.0, 9.0)
    mirrored = AffineTransform(-1.0, 0.0, 0.0, 1.0, 9.0, 0.0)
    c, s = math.cos(math.radians(100.0)), math.sin(math.radians(100.0))
    assert shape.turned_by(half_turn).angle_deg == pytest.approx(20.0)
    assert shape.turned_by(mirrored).angle_deg == pytest.approx(-20.0)
    assert shape.turned_by(AffineTransform(c, -s, s, c)).angle_deg == pytest.approx(-60.0)
    with pytest.raises(ValueError, match=r"axis ratio 1\.5 at 0\.0° cannot be placed"):
        ApertureShape(1.5)


def test_the_annulus_must_clear_the_ellipse():
    with pytest.raises(ValueError, match=r"largest aperture of 10\.0 pix"):
        ApertureGeometry((5.0,), (8.0, 12.0), ApertureShape(0.25, 0.0))


GRID = 24.0


def field(psf, *, flux=4e4, noise=3.0, seed=1, n=9):
    """Return a frame of n×n stars at random places in their pixels, its mask, and their places."""
    rng = np.random.default_rng(seed)
    row, column = np.mgrid[:n, :n].reshape(2, -1)
    x, y = (GRID * (axis + 1.0) + rng.uniform(-0.5, 0.5, n * n) for axis in (column, row))
    size = int(GRID * (n + 1))
    light = render_stars((size, size), x, y, np.full(n * n, flux), psf)
    pixels = (light + rng.normal(0.0, noise, light.shape)).astype(np.float32)
    return pixels, np.zeros(pixels.shape, np.uint8), x, y


@pytest.mark.parametrize(("elongation", "angle"), [(1.25, 35.0), (1.6, -70.0), (2.2, 88.0)])
def test_the_shape_of_drawn_out_stars_is_recovered(elongation, angle):
    """Within 10 % of the axis ratio and 2°: pixels round the narrow axis, wings the whole."""
    pixels, mask, x, y = field(MoffatPsf(3.5, 3.0, elongation, angle))
    shape, n_star = frame_shape(pixels, mask, x, y, fwhm_pix=3.5, sky_rms=3.0)
    assert n_star == 81
    assert shape.axis_ratio == pytest.approx(1.0 / elongation, rel=0.1)
    assert abs((shape.angle_deg - angle + 90.0) % 180.0 - 90.0) < 2.0


@pytest.mark.parametrize("seed", range(5))
def test_round_stars_have_round_apertures(seed):
    """Noise alone draws stars out: the median elongation is 1.05 here, the apertures circles."""
    pixels, mask, x, y = field(MoffatPsf(3.0), flux=4e3, noise=3.0, seed=seed)
    assert frame_shape(pixels, mask, x, y, fwhm_pix=3.0, sky_rms=3.0)[0] is ROUND


def test_few_or_masked_stars_tell_no_shape():
    pixels, mask, x, y = field(MoffatPsf(3.5, 3.0, 1.6, 30.0), n=3)
    assert frame_shape(pixels, mask, x[:5], y[:5], fwhm_pix=3.5, sky_rms=3.0) == (ROUND, 5)
    mask[np.rint(y[:4]).astype(int), np.rint(x[:4]).astype(int)] = MaskBit.SATURATED
    assert frame_shape(pixels, mask, x, y, fwhm_pix=3.5, sky_rms=3.0) == (ROUND, 5)


def plan_of(x, y, radii=RADII):
    n = len(x)
    return FluxPlan(
        source_id=np.arange(n), x=x, y=y, neighbour_pix=np.full(n, GRID),
        is_forced=np.zeros(n, bool), radii_pix=radii, annulus_pix=(9.0, 11.5), fwhm_pix=3.5,
        noise_gain=None, peak=np.full(n, 1e3),
    )  # fmt: skip


IDENTITY = AffineTransform.identity()


def frame_of(pixels, mask):
    noise = np.random.default_rng(9).normal(0.0, 3.0, pixels.shape).astype(np.float32)
    return MeasuredFrame(pixels, mask, measure_sky(noise, mask))


def test_ellipses_hold_more_of_a_trailed_star_with_the_same_noise():
    """Stars drawn out by 2 : 1. At 3 px the ellipse holds 6 % more light under no more noise.

    What an ellipse of the stars' own shape holds is what the circle holds of a round star.
    """
    psf = MoffatPsf(3.5, 3.0, 2.0, 30.0)
    pixels, mask, x, y = field(psf)
    image, plan = frame_of(pixels, mask), plan_of(x, y, (3.0, 5.0))
    wanted = ShapeOfApertures(apertures="elliptical")
    ellipse = ellipse_of_frame(image, IDENTITY, plan, 3.5, wanted)
    round_, drawn = (
        measure_sources(image, IDENTITY, plan, None, shape) for shape in (ROUND, ellipse.shape)
    )
    gained = np.median(drawn.flux, axis=0) / np.median(round_.flux, axis=0)
    assert gained[0] > 1.05
    assert np.all(gained >= 0.998)
    assert np.median(drawn.flux[:, 0]) / 4e4 == pytest.approx(psf.encircled(3.0), rel=0.03)
    np.testing.assert_allclose(drawn.flux_error[:, 0], round_.flux_error[:, 0], rtol=0.02)


def test_faint_trailed_stars_scatter_less_in_ellipses():
    """Stars drawn out by 3 : 1 on bright sky, 225 of them: by 15 % at 2.5 px, as the errors say."""
    psf = MoffatPsf(3.5, 3.0, 3.0, 30.0)
    pixels, mask, x, y = field(psf, flux=1e3, n=15)
    image, plan = frame_of(pixels, mask), plan_of(x, y, (2.5,))
    shape = ApertureShape(0.38, 30.0)
    found = [measure_sources(image, IDENTITY, plan, None, s) for s in (ROUND, shape)]
    scatter = [np.std(f.flux) / np.median(f.flux) for f in found]
    error = [np.median(f.flux_error) / np.median(f.flux) for f in found]
    assert scatter[1] < 0.9 * scatter[0]
    assert error[1] / error[0] == pytest.approx(0.86, abs=0.02)
    assert scatter[1] == pytest.approx(error[1], rel=0.15), "1σ of 225 stars is 5 %"


def test_flux_errors_of_ellipses_are_honest():
    """Scatter over error of empty apertures, where the sky is all: 1 within 5 % of 361."""
    pixels, mask, x, y = field(MoffatPsf(3.5), flux=0.0, n=19)
    image, plan = frame_of(pixels, mask), plan_of(x, y)
    shape = ApertureShape(0.5, 40.0)
    found = measure_sources(image, IDENTITY, plan, None, shape)
    ratio = np.std(found.flux, axis=0) / np.median(found.flux_error, axis=0)
    assert ratio == pytest.approx(1.0, abs=0.12)


def test_the_annulus_gives_way_and_a_near_neighbour_blends_along_the_major_axis():
    pixels, mask, x, y = field(MoffatPsf(3.5), n=3)
    image, plan = frame_of(pixels, mask), plan_of(x, y, (4.0,))
    thin = ApertureShape(0.2, 0.0)
    assert thin.semi_axes(4.0)[0] == pytest.approx(8.94, abs=0.01)
    found = measure_sources(image, IDENTITY, plan, None, thin)
    assert np.isfinite(found.flux).all()
    assert ((found.flags & FluxFlag.BLENDED) == 0).all()
    close = FluxPlan(**{**vars(plan), "neighbour_pix": np.full(9, 10.0)})
    blended = measure_sources(image, IDENTITY, close, None, thin).flags & FluxFlag.BLENDED
    assert blended.all(), "10 px is within 8.9 px and half the width of the neighbour"
    assert not (measure_sources(image, IDENTITY, close, None).flags & FluxFlag.BLENDED).any()


def test_a_given_ellipse_is_turned_by_the_frame_and_needs_both_numbers():
    given = ShapeOfApertures(apertures="elliptical", axis_ratio=0.5, position_angle_deg=20.0)
    pixels, mask, x, y = field(MoffatPsf(3.5), n=3)
    mirrored = AffineTransform(-1.0, 0.0, 0.0, 1.0, pixels.shape[1] - 1.0, 0.0)
    ellipse = ellipse_of_frame(frame_of(pixels, mask), mirrored, plan_of(x, y), 3.5, given)
    assert ellipse.n_stars is None
    assert ellipse.shape.angle_deg == pytest.approx(-20.0)
    with pytest.raises(ValidationError, match="give both, or neither"):
        ShapeOfApertures(apertures="elliptical", axis_ratio=0.5)
    with pytest.raises(ValidationError, match="set apertures=elliptical"):
        ShapeOfApertures(axis_ratio=0.5, position_angle_deg=0.0)


def test_ellipticity_becomes_a_shape():
    assert shape_of_ellipticity(0.0, 0.0) == ROUND
    assert shape_of_ellipticity(0.0, 0.6).angle_deg == pytest.approx(45.0)
    assert shape_of_ellipticity(0.0, 0.6).axis_ratio == pytest.approx(0.5)
    assert shape_of_ellipticity(0.999, 0.0).axis_ratio == 0.2
