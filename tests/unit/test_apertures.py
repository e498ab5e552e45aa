"""Forced aperture photometry: injected light recovered, honest errors, telling flags."""

import math

import numpy as np
import pytest
import sep
from hypothesis import given, settings
from hypothesis import strategies as st

from tianyu.pipelines.science.apertures import ApertureGeometry, measure_fluxes
from tianyu.pipelines.science.flags import FluxFlag
from tianyu.pipelines.science.masks import MaskBit

SIGMA = 1.5
"""Width of the injected Gaussian stars: FWHM 3.53 px."""

CIRCLES = {"annulus_pix": (12.0, 18.0), "sky_rms": 5.0, "gain": None}


def star(shape, x, y, flux, sigma=SIGMA):
    """Integrate a Gaussian over every pixel, exactly."""
    erf = np.vectorize(math.erf)

    def profile(size, centre):
        edges = (np.arange(size + 1) - 0.5 - centre) / (sigma * math.sqrt(2.0))
        return np.diff(erf(edges)) / 2.0

    return (flux * np.outer(profile(shape[0], y), profile(shape[1], x))).astype(np.float32)


def clear(pixels):
    return np.zeros(pixels.shape, dtype=np.uint8)


def at(*positions):
    return np.array(positions, dtype=np.float64).T


def measure(pixels, x, y, radii=(4.0, 6.0, 8.0), mask=None, **options):
    mask = clear(pixels) if mask is None else mask
    return measure_fluxes(pixels, mask, x, y, radii, **{**CIRCLES, **options})


def flagged(result, flag):
    return ((result.flags & flag) != 0).tolist()


@pytest.mark.parametrize("radius", [1.0, 2.5, 4.0, 7.3])
@pytest.mark.parametrize("centre", [(30.0, 30.0), (30.5, 29.5), (30.27, 30.81)])
def test_the_area_of_a_circle_is_exact(radius, centre):
    """A plateau of one ADU that ends before the annulus sums to πr²."""
    y, x = np.mgrid[:61, :61]
    plateau = (np.hypot(x - 30, y - 30) < 10).astype(np.float32)
    flux = measure(plateau, *at(centre), (radius,)).flux
    assert flux[0, 0] == pytest.approx(math.pi * radius**2, rel=1e-5)


@given(st.floats(29.5, 31.5), st.floats(29.5, 31.5), st.floats(50.0, 1e6))
@settings(max_examples=40, deadline=None)
def test_injected_stars_are_recovered_to_a_thousandth(x, y, flux):
    """Within 8 px of σ = 1.5 px lies all but 1e-6 of the light, wherever the star stands."""
    result = measure(star((61, 61), x, y, flux) + np.float32(3.0), *at((x, y)))
    assert result.flux[0, 2] == pytest.approx(flux, rel=1e-3)
    assert result.background[0] == pytest.approx(3.0, abs=1e-5)


@given(st.floats(0.01, 100.0))
@settings(max_examples=20, deadline=None)
def test_flux_is_linear_in_the_image(factor):
    rng = np.random.default_rng(2)
    pixels = star((61, 61), 30.3, 29.8, 1e4) + rng.normal(0, 5, (61, 61)).astype(np.float32)
    one = measure(pixels, *at((30.3, 29.8)))
    scaled = measure(pixels * np.float32(factor), *at((30.3, 29.8)))
    np.testing.assert_allclose(scaled.flux, one.flux * factor, rtol=2e-5)
    np.testing.assert_allclose(scaled.background, one.background * factor, rtol=1e-3, atol=1e-4)


@given(st.integers(-20, 20), st.integers(-20, 20))
@settings(max_examples=20, deadline=None)
def test_a_shift_by_whole_pixels_changes_nothing(dx, dy):
    rng = np.random.default_rng(4)
    pixels = star((121, 121), 60.3, 59.6, 1e4) + rng.normal(0, 5, (121, 121)).astype(np.float32)
    mask = (rng.random(pixels.shape) < 0.002).astype(np.uint8)
    here = measure(pixels, *at((60.3, 59.6)), mask=mask)
    there = measure(
        np.roll(pixels, (dy, dx), (0, 1)),
        *at((60.3 + dx, 59.6 + dy)),
        mask=np.roll(mask, (dy, dx), (0, 1)),
    )
    np.testing.assert_allclose(there.flux, here.flux, rtol=1e-9)
    np.testing.assert_array_equal(there.flags, here.flags)
    assert there.x_centroid[0] - dx == pytest.approx(here.x_centroid[0], abs=1e-5)


@pytest.mark.parametrize("bit", [MaskBit.NO_FLAT, MaskBit.NOT_FINITE])
@pytest.mark.parametrize("place", [(30, 31), (36, 30), (30, 44)])
def test_a_pixel_without_a_value_is_the_same_as_one_that_is_not_a_number(bit, place):
    pixels = star((61, 61), 30.3, 29.8, 1e4)
    broken, wild, mask = pixels.copy(), pixels.copy(), clear(pixels)
    broken[place], wild[place], mask[place] = np.nan, 1e9, bit
    without = measure(broken, *at((30.3, 29.8)))
    masked = measure(wild, *at((30.3, 29.8)), mask=mask)
    for column in ("flux", "flux_error", "background", "background_rms", "flags", "peak"):
        np.testing.assert_array_equal(getattr(without, column), getattr(masked, column))


def test_a_pixel_without_a_value_counts_as_background_and_is_flagged_where_it_lies():
    """At (36, 30) it is 6 px from the centre: outside the 4 px circle, inside that of 8 px."""
    pixels, mask = np.full((61, 61), 2.0, dtype=np.float32), np.zeros((61, 61), dtype=np.uint8)
    pixels[30, 30] += 500.0
    pixels[30, 36], mask[30, 36] = 9999.0, MaskBit.NO_FLAT
    result = measure(pixels, *at((30.0, 30.0)), (4.0, 8.0), mask=mask)
    np.testing.assert_allclose(result.flux, [[500.0, 500.0]], rtol=1e-6)
    assert flagged(result, FluxFlag.MASKED_PIXEL) == [[False, True]]


def test_a_hot_pixel_keeps_the_light_of_the_star_and_is_flagged():
    pixels = star((61, 61), 30.0, 30.0, 1e4)
    mask = clear(pixels)
    mask[31, 30] = MaskBit.BAD
    result = measure(pixels, *at((30.0, 30.0)), mask=mask)
    assert result.flux[0, 2] == pytest.approx(1e4, rel=1e-3)
    assert flagged(result, FluxFlag.MASKED_PIXEL) == [[True, True, True]]


def test_a_saturated_pixel_is_summed_and_flagged():
    pixels = star((61, 61), 30.0, 30.0, 1e4)
    mask = clear(pixels)
    mask[30, 30] = MaskBit.SATURATED
    result = measure(pixels, *at((30.0, 30.0)), mask=mask)
    assert result.flux[0, 2] == pytest.approx(1e4, rel=1e-3)
    assert flagged(result, FluxFlag.SATURATED) == [[True, True, True]]
    assert flagged(result, FluxFlag.MASKED_PIXEL) == [[False, False, False]]


def test_a_pixel_that_a_circle_barely_touches_is_in_it():
    """The pixel at 5 px reaches from 4.5 to 5.5."""
    pixels = np.ones((61, 61), dtype=np.float32)
    mask = clear(pixels)
    mask[30, 35] = MaskBit.SATURATED
    result = measure(pixels, *at((30.0, 30.0)), (4.49, 4.51), mask=mask)
    assert flagged(result, FluxFlag.SATURATED) == [[False, True]]


@pytest.mark.parametrize(
    ("x", "y", "off"),
    [
        (-0.51, 30.0, True),
        (-0.49, 30.0, False),
        (60.49, 60.49, False),
        (60.51, 30.0, True),
        (30.0, 1e9, True),
        (np.nan, 30.0, True),
    ],
)
def test_a_source_off_the_frame_is_said_to_be_and_not_measured(x, y, off):
    result = measure(np.ones((61, 61), dtype=np.float32), *at((x, y)))
    assert flagged(result, FluxFlag.OFF_FRAME) == [[off] * 3]
    assert np.isnan(result.flux).all() == off
    assert np.isnan(result.x_centroid).all() == off


def test_a_source_whose_annulus_is_cut_is_near_the_edge():
    """The annulus ends at 18 px, the frame at −0.5."""
    result = measure(np.ones((61, 61), dtype=np.float32), *at((17.6, 30.0), (17.4, 30.0)), (4.0,))
    assert flagged(result, FluxFlag.NEAR_EDGE) == [[False], [True]]


def test_half_a_star_on_the_edge_is_half_its_light_less_half_its_background():
    pixels = star((61, 61), 30.0, -0.5, 1e4) + np.float32(7.0)
    result = measure(pixels, *at((30.0, -0.5)))
    assert result.flux[0, 2] == pytest.approx(5e3, rel=1e-3)


def test_a_frame_smaller_than_the_annulus_is_measured_without_local_background():
    pixels = star((9, 9), 4.0, 4.0, 1e3, sigma=0.8)
    result = measure(pixels, *at((4.0, 4.0)), (4.0,))
    assert result.flux[0, 0] == pytest.approx(1e3, rel=1e-3)
    assert flagged(result, FluxFlag.NO_BACKGROUND) == [[True]]
    assert result.background[0] == 0.0
    assert np.isnan(result.background_rms[0])


def test_the_local_background_is_not_taken_in_by_neighbours():
    """Two stars of 10⁴ in the ring of 565 px: a mean errs by 35 ADU, this by a fifth of a σ."""
    rng = np.random.default_rng(8)
    pixels = rng.normal(20.0, 5.0, (61, 61)).astype(np.float32)
    for angle in (0.3, 2.9):
        pixels += star((61, 61), 30 + 15 * np.cos(angle), 30 + 15 * np.sin(angle), 1e4)
    result = measure(pixels, *at((30.0, 30.0)))
    assert result.background[0] == pytest.approx(20.0, abs=1.0)


def test_background_and_rms_of_noise_are_those_of_the_noise():
    rng = np.random.default_rng(9)
    pixels = rng.normal(20.0, 5.0, (400, 400)).astype(np.float32)
    x, y = rng.uniform(20, 380, (2, 300))
    result = measure(pixels, x, y)
    assert result.background.mean() == pytest.approx(20.0, abs=0.05)
    assert result.background_rms.mean() == pytest.approx(5.0, rel=0.02)


@pytest.mark.parametrize("flux_e", [0.0, 2_000.0, 50_000.0])
def test_the_error_is_the_scatter_over_noise(flux_e):
    """Gain 2 e/ADU, sky noise 20 e: 1500 realisations of one star, within 5 %."""
    rng = np.random.default_rng(12)
    tile, n, gain = 41, 1500, 2.0
    model = star((tile, tile), 20.2, 19.7, flux_e).astype(np.float64)
    electrons = rng.poisson(model, (n, tile, tile)) + rng.normal(0.0, 20.0, (n, tile, tile))
    pixels = (electrons / gain).astype(np.float32).reshape(n * tile, tile)
    x, y = np.full(n, 20.2), 19.7 + tile * np.arange(n)
    result = measure(pixels, x, y, (3.0, 5.0), sky_rms=10.0, gain=gain)
    np.testing.assert_allclose(result.flux.std(axis=0), result.flux_error.mean(axis=0), rtol=0.05)


def test_with_a_gain_everything_is_in_electrons():
    rng = np.random.default_rng(13)
    pixels = star((61, 61), 30.3, 29.8, 1e4) + rng.normal(9, 5, (61, 61)).astype(np.float32)
    adu, electrons = (measure(pixels, *at((30.3, 29.8)), gain=gain) for gain in (None, 1.6))
    for column in ("flux", "background", "background_rms", "peak"):
        np.testing.assert_allclose(getattr(electrons, column), 1.6 * getattr(adu, column))
    assert (electrons.flux_error > 1.6 * adu.flux_error).all()


def test_the_sky_noise_may_differ_from_source_to_source():
    pixels = np.zeros((61, 61), dtype=np.float32)
    result = measure(pixels, *at((30.0, 30.0), (30.0, 30.0)), sky_rms=np.array([1.0, 3.0]))
    np.testing.assert_allclose(result.flux_error[1], 3.0 * result.flux_error[0])


def test_bright_stars_are_centred_and_faint_ones_left_where_they_were_put():
    pixels = star((61, 61), 30.4, 29.7, 1e5)
    bright = measure(pixels, *at((30.0, 30.0)), fwhm_pix=3.5)
    assert (bright.x_centroid[0], bright.y_centroid[0]) == pytest.approx((30.4, 29.7), abs=0.002)
    faint = measure(pixels * np.float32(1e-3), *at((30.0, 30.0)), fwhm_pix=3.5)
    assert (faint.x_centroid[0], faint.y_centroid[0]) == (30.0, 30.0)


def test_apertures_do_not_follow_the_centroid():
    pixels = star((61, 61), 33.0, 30.0, 1e5)
    result = measure(pixels, *at((30.0, 30.0)), (3.0,))
    assert result.flux[0, 0] < 0.6e5


def test_the_peak_is_that_of_the_smallest_aperture():
    pixels = np.zeros((61, 61), dtype=np.float32)
    pixels[30, 31], pixels[30, 36] = 70.0, 900.0
    assert measure(pixels, *at((30.0, 30.0)), (3.0, 8.0)).peak[0] == 70.0


def test_a_neighbour_blends_the_apertures_that_its_half_light_circle_meets():
    """Distance 7.7 px; radii 4, 6 and 8 plus half of the FWHM of 3.5 reach 5.75, 7.75 and 9.75."""
    pixels = np.ones((61, 61), dtype=np.float32)
    position = at((30.0, 30.0))
    near = measure(pixels, *position, neighbour_distance_pix=np.array([7.7]), fwhm_pix=3.5)
    alone = measure(pixels, *position, neighbour_distance_pix=np.array([np.inf]), fwhm_pix=3.5)
    assert flagged(near, FluxFlag.BLENDED) == [[False, True, True]]
    assert flagged(alone, FluxFlag.BLENDED) == [[False, False, False]]


def test_a_hole_in_the_sky_is_a_negative_flux():
    pixels = np.zeros((61, 61), dtype=np.float32)
    pixels[30, 30] = -50.0
    assert flagged(measure(pixels, *at((30.0, 30.0))), FluxFlag.NEGATIVE_FLUX) == [[True] * 3]


def test_many_sources_are_the_same_as_each_alone():
    """More than one block, some off the frame, and none of it depends on the company."""
    rng = np.random.default_rng(21)
    pixels = rng.normal(0.0, 5.0, (200, 220)).astype(np.float32)
    mask = (rng.random(pixels.shape) < 0.001).astype(np.uint8)
    x, y = rng.uniform(-10, 230, 1300), rng.uniform(-10, 210, 1300)
    together = measure(pixels, x, y, mask=mask)
    for i in range(0, 1300, 97):
        alone = measure(pixels, x[i : i + 1], y[i : i + 1], mask=mask)
        np.testing.assert_allclose(together.flux[i], alone.flux[0], rtol=1e-6, atol=1e-4)
        np.testing.assert_array_equal(together.flags[i], alone.flags[0])


def test_sums_are_those_of_sep_on_the_whole_frame():
    rng = np.random.default_rng(22)
    pixels = rng.normal(0.0, 5.0, (200, 220)).astype(np.float32)
    x, y = rng.uniform(20, 200, 100), rng.uniform(20, 180, 100)
    result = measure(pixels, x, y, (5.5,))
    reference = sep.sum_circle(pixels, x, y, 5.5, subpix=0)[0]
    area = math.pi * 5.5**2
    np.testing.assert_allclose(
        result.flux[:, 0] + area * result.background, reference, rtol=1e-6, atol=1e-3
    )


def test_no_sources_give_empty_columns_of_the_right_shape():
    result = measure(np.ones((61, 61), dtype=np.float32), np.empty(0), np.empty(0))
    assert result.flux.shape == result.flags.shape == (0, 3)
    assert result.flags.dtype == np.uint16


def test_the_image_and_mask_of_the_caller_stay_as_they_are():
    pixels = star((61, 61), 30.0, 30.0, 1e4)
    pixels[5, 5] = np.nan
    mask = clear(pixels)
    mask[30, 30] = MaskBit.BAD
    before, mask_before = pixels.copy(), mask.copy()
    measure(pixels, *at((30.0, 30.0), (1.0, 1.0)), mask=mask)
    np.testing.assert_array_equal(pixels, before)
    np.testing.assert_array_equal(mask, mask_before)


@pytest.mark.parametrize(
    ("radii", "annulus"),
    [
        ((), (10.0, 15.0)),
        ((0.0, 2.0), (10.0, 15.0)),
        ((4.0, 3.0), (10.0, 15.0)),
        ((4.0, np.nan), (10.0, 15.0)),
        ((4.0, 11.0), (10.0, 15.0)),
        ((4.0,), (15.0, 15.0)),
        ((4.0,), (10.0, np.inf)),
    ],
)
def test_impossible_circles_are_refused(radii, annulus):
    with pytest.raises(ValueError, match="pix"):
        ApertureGeometry(radii, annulus)


def test_circles_scale_with_the_width_of_stars():
    geometry = ApertureGeometry.from_fwhm(4.0, radii_fwhm=(1.0, 1.5), annulus_fwhm=(3.0, 5.0))
    assert geometry == ApertureGeometry((4.0, 6.0), (12.0, 20.0))


def test_a_mask_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="one shape"):
        measure(np.ones((61, 61), np.float32), *at((3.0, 3.0)), mask=np.zeros((60, 61), np.uint8))
