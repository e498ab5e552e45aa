"""Curve of growth: the injected profile comes back, and only stars that can tell it are asked."""

import numpy as np
import pytest
from astropy.table import Table
from hypothesis import given
from hypothesis import strategies as st

from tianyu.pipelines import growth_report
from tianyu.pipelines.cube import load_cube
from tianyu.pipelines.products import Products
from tianyu.pipelines.science.apertures import measure_fluxes
from tianyu.pipelines.science.flags import FluxFlag
from tianyu.pipelines.science.growth import MAX_STARS, growth_stars, measure_growth
from tianyu.pipelines.simulation import MoffatPsf, NightTruth, render_stars
from tianyu.pipelines.step import find_step, validate

RADII = np.array([2.0, 3.0, 5.0, 9.0])
WIDTHS = np.array([2.5, 3.0, 3.5, 4.0, 6.0])


def profile(fwhm_pix):
    """Encircled light over that within the largest radius."""
    light = np.array([MoffatPsf(fwhm_pix=fwhm_pix).encircled(radius) for radius in RADII])
    return light / light[-1]


@pytest.fixture
def night():
    """Forty stars of 1e4 to 1e6 in five frames of different width and transparency."""
    rng = np.random.default_rng(5)
    brightness = np.geomspace(1e6, 1e4, 40)[:, None] * rng.uniform(0.5, 1.0, WIDTHS.size)
    flux = np.array([profile(w) for w in WIDTHS]).T[:, None, :] * brightness
    error = np.sqrt(flux)
    return flux + rng.normal(0.0, error), error, np.zeros(flux.shape, np.uint16)


ALL_GOOD = np.ones(WIDTHS.size, dtype=bool)


def test_the_profile_of_every_frame_is_recovered(night):
    """The ratio of a star errs by at most 1.5 %, the median of forty by less than 0.3 %."""
    flux, _, flags = night
    curve = measure_growth(flux, flags, ALL_GOOD, RADII)
    expected = np.array([profile(width) for width in WIDTHS]).T
    np.testing.assert_allclose(curve.growth, expected, atol=0.003)
    np.testing.assert_array_equal(curve.growth[-1], 1.0)
    assert curve.n_star.tolist() == [40] * WIDTHS.size
    assert (curve.scatter[:-1] > 0).all()


def test_the_night_is_the_median_of_its_good_frames(night):
    flux, _, flags = night
    good = np.array([True, True, True, False, False])
    curve = measure_growth(flux, flags, good, RADII)
    np.testing.assert_allclose(curve.night_growth, profile(3.0), atol=0.003)
    # Of three values the median distance from the middle one is the smaller of the two steps.
    steps = np.abs(curve.growth[:, [0, 2]] - curve.growth[:, [1]]).min(axis=1)
    np.testing.assert_allclose(curve.night_scatter, 1.4826 * steps, rtol=1e-3)
    assert np.isfinite(curve.growth).all(), "the others have their curves all the same"


def test_a_flagged_star_is_left_out_of_its_frame_only(night):
    flux, _, flags = night
    flux[0, 7, 2] *= 100.0
    flags[0, 7, 2] = FluxFlag.SATURATED
    flux[:, 8, 2] = np.nan
    curve = measure_growth(flux, flags, ALL_GOOD, RADII)
    assert curve.n_star.tolist() == [40, 40, 38, 40, 40]
    np.testing.assert_allclose(curve.growth[:, 2], profile(WIDTHS[2]), atol=0.003)


def test_a_frame_without_stars_has_no_curve_and_does_not_hurt_the_night(night):
    flux, _, flags = night
    flags[:, :, 4] = FluxFlag.OFF_FRAME
    curve = measure_growth(flux, flags, ALL_GOOD, RADII)
    assert np.isnan(curve.growth[:, 4]).all()
    assert curve.n_star[4] == 0
    assert np.isfinite(curve.night_growth).all()


@given(st.floats(1e-3, 1e3))
def test_transparency_does_not_matter(factor):
    flux = np.array([profile(w) for w in WIDTHS]).T[:, None, :] * np.full((5, 5), 1e5)
    flags = np.zeros(flux.shape, np.uint16)
    dimmed = measure_growth(flux * factor, flags, ALL_GOOD, RADII)
    expected = measure_growth(flux, flags, ALL_GOOD, RADII)
    np.testing.assert_allclose(dimmed.growth, expected.growth, rtol=1e-12)


def test_stars_are_bright_isolated_and_unflagged(night):
    flux, error, flags = night
    neighbour = np.full(40, np.inf)
    neighbour[3] = 17.9  # within twice the largest radius
    error[:, 5] = flux[:, 5] / 40.0  # below the least S/N
    flags[0, 6, :3] = FluxFlag.SATURATED  # in three of five frames
    flags[0, 7, :2] = FluxFlag.SATURATED  # in two
    stars = growth_stars(flux, error, flags, ALL_GOOD, neighbour, RADII)
    assert set(range(40)) - set(stars.tolist()) == {3, 5, 6}
    assert stars[0] == 0, "the brightest first"


def test_no_more_stars_than_needed():
    flux = np.full((2, 200, 1), 1e4)
    flags, radii = np.zeros(flux.shape, np.uint16), np.array([1.0, 2.0])
    isolated, good = np.full(200, np.inf), np.array([True])
    assert len(growth_stars(flux, flux / 100, flags, good, isolated, radii)) == MAX_STARS
    assert len(growth_stars(flux, flux / 100, flags, ~good, isolated, radii)) == 0


def test_shapes_and_radii_that_disagree_are_refused(night):
    flux, _, flags = night
    with pytest.raises(ValueError, match="rising radii"):
        measure_growth(flux, flags, ALL_GOOD, RADII[::-1])
    with pytest.raises(ValueError, match="one per frame"):
        measure_growth(flux, flags, ALL_GOOD[1:], RADII)


def rendered_profile(psf, radii):
    """Light of a star on pixels within the radii, over that within the largest."""
    pixels = render_stars((121, 121), np.array([60.3]), np.array([59.8]), np.array([1e6]), psf)
    pixels = pixels.astype(np.float32)
    light = measure_fluxes(
        pixels, np.zeros(pixels.shape, np.uint8), np.array([60.3]), np.array([59.8]), radii,
        annulus_pix=(50.0, 58.0), sky_rms=1.0, gain=None,
    ).flux[0]  # fmt: skip
    return light / light[-1]


def test_a_night_stores_the_profile_of_its_stars(reduced_night, night_folder, monkeypatch):
    """Table and picture of a simulated night: the profiles put in, within 2 % in a frame."""
    made = {}
    monkeypatch.setattr(Products, "image", lambda _, image: made.setdefault(image.kind, image))
    context = reduced_night.context(process_id=900, command="diagnostics")
    find_step("diagnostics").run(validate("diagnostics", {}), context)
    assert set(made) == {"growth_table", "growth_figure", "scatter_table", "scatter_figure"}
    picture = reduced_night.root / made["growth_figure"].path
    assert picture.read_bytes().startswith(b"\x89PNG")
    table = Table.read(reduced_night.root / made["growth_table"].path, format="ascii.ecsv")
    night, truth = table.meta["night"], NightTruth.read(night_folder)
    n_radius, n_frame = len(night["radius_pix"]), len(truth.frames)
    assert len(table) == n_radius * n_frame
    radii, beta = tuple(night["radius_pix"]), truth.plan.weather.moffat_beta
    expected = np.array([rendered_profile(frame.psf(beta), radii) for frame in truth.frames])
    growth = np.array(table["growth"]).reshape(n_frame, n_radius)
    good = np.array(table["is_good"]).reshape(n_frame, n_radius)[:, 0]
    assert 0 < night["n_good_frames"] == good.sum() < n_frame
    np.testing.assert_allclose(growth, expected, atol=0.02)
    np.testing.assert_allclose(night["growth"], np.median(expected[good], axis=0), atol=0.005)


def test_a_night_without_lone_stars_says_that_it_has_no_curve(reduced_night, monkeypatch):
    made, told = {}, {}
    monkeypatch.setattr(growth_report, "ISOLATION_RADII", 1000.0)
    monkeypatch.setattr(Products, "image", lambda _, image: made.setdefault(image.kind, image))
    monkeypatch.setattr(
        growth_report, "tell", lambda _products, _run_id, **notes: told.update(notes)
    )
    context = reduced_night.context(process_id=901, command="diagnostics")
    find_step("diagnostics").run(validate("diagnostics", {}), context)
    assert set(made) == {"scatter_table", "scatter_figure"}
    assert "no star of S/N 50 without flags has its neighbours beyond 1000 times" in told["growth"]


def test_apertures_out_of_order_are_put_in_order(reduced_night, monkeypatch):
    """As radii that follow the FWHM may pass fixed ones."""
    made = {}
    monkeypatch.setattr(Products, "image", lambda _, image: made.setdefault(image.kind, image))

    def swapped(*arguments):
        order = np.array([1, 0, 2, 3, 4, 5])
        return growth_report._of_apertures(load_cube(*arguments), order)

    context = reduced_night.context(process_id=902, command="diagnostics")
    monkeypatch.setattr(growth_report, "load_cube", swapped)
    growth_report.report_growth(context, Products())
    table = Table.read(reduced_night.root / made["growth_table"].path, format="ascii.ecsv")
    night = table.meta["night"]
    assert night["radius_pix"] == sorted(night["radius_pix"])
    assert night["growth"] == sorted(night["growth"])
