"""Stars of the simulation: their flux, their width, their place."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import dblquad

from tianyu.pipelines.simulation import MoffatPsf, render_stars

in_pixel = st.floats(-0.5, 0.5)


def one_star(x, y, psf, flux_e=1.0, size=129):
    return render_stars((size, size), np.array([x]), np.array([y]), np.array([flux_e]), psf)


@pytest.mark.parametrize("fwhm_pix", [2.2, 3.0, 3.8])
@pytest.mark.parametrize("beta", [2.5, 3.0, 4.0])
@pytest.mark.parametrize("elongation", [1.0, 1.1])
def test_total_flux_is_right_to_two_in_ten_thousand(fwhm_pix, beta, elongation):
    psf = MoffatPsf(fwhm_pix, beta, elongation, angle_deg=30.0)
    image = one_star(100.31, 99.77, psf, size=201)
    assert image.sum(dtype=np.float64) == pytest.approx(1.0, abs=2e-4)


@pytest.mark.parametrize("fwhm_pix", [2.2, 3.8])
@pytest.mark.parametrize("radius_pix", [3.0, 6.0, 12.0, 20.0])
def test_flux_within_a_circle_of_pixels_is_the_integral_of_the_profile(fwhm_pix, radius_pix):
    psf = MoffatPsf(fwhm_pix)
    x0, y0 = 40.37, 39.81
    image = one_star(x0, y0, psf, size=81).astype(np.float64)
    y, x = np.mgrid[:81, :81]
    inside = np.hypot(x - x0, y - y0) < radius_pix
    # Ten Gauss points along each side of a pixel are exact to rounding for this profile.
    nodes, weights = np.polynomial.legendre.leggauss(10)
    dx = x[inside][:, None, None] - x0 + nodes / 2
    dy = y[inside][:, None, None] - y0 + nodes[:, None] / 2
    profile = psf.central_density * (1 + (dx**2 + dy**2) / psf.alpha_pix**2) ** -3.0
    expected = np.einsum("nij,i,j->", profile, weights / 2, weights / 2)
    assert image[inside].sum() == pytest.approx(expected, abs=2e-4)


@given(st.floats(0.5, 40.0), st.floats(2.0, 4.0))
@settings(max_examples=30, deadline=None)
def test_encircled_flux_is_the_integral_over_rings(radius_pix, beta):
    psf = MoffatPsf(3.0, beta)
    r = np.linspace(0.0, radius_pix, 20001)
    rings = 2 * np.pi * r * psf.central_density * (1 + (r / psf.alpha_pix) ** 2) ** -beta
    assert psf.encircled(radius_pix) == pytest.approx(np.trapezoid(rings, r), abs=1e-5)


def test_a_pixel_holds_the_integral_of_the_profile_over_its_area():
    psf = MoffatPsf(fwhm_pix=2.2, beta=3.0)
    image = one_star(20.4, 20.2, psf, size=41)
    alpha2 = psf.alpha_pix**2
    for x, y in ((20, 20), (21, 20), (23, 18), (28, 25)):
        expected, _ = dblquad(
            lambda v, u: psf.central_density * (1 + (u * u + v * v) / alpha2) ** -3,
            x - 0.5 - 20.4, x + 0.5 - 20.4, y - 0.5 - 20.2, y + 0.5 - 20.2,
        )  # fmt: skip
        assert image[y, x] == pytest.approx(expected, rel=2e-4)


@given(in_pixel, in_pixel)
@settings(max_examples=30, deadline=None)
def test_centroid_is_where_the_star_was_put(dx, dy):
    image = one_star(64 + dx, 64 + dy, MoffatPsf(2.8)).astype(np.float64)
    window = image[40:89, 40:89]
    y, x = np.mgrid[40:89, 40:89]
    # A window that does not follow the star cuts its wings unevenly: 1 % of the offset.
    assert (window * x).sum() / window.sum() == pytest.approx(64 + dx, abs=0.01)
    assert (window * y).sum() / window.sum() == pytest.approx(64 + dy, abs=0.01)


@given(st.integers(-20, 20), st.integers(-20, 20), in_pixel, in_pixel)
@settings(max_examples=30, deadline=None)
def test_moving_a_star_by_whole_pixels_moves_its_image(step_x, step_y, dx, dy):
    psf = MoffatPsf(2.5, elongation=1.1, angle_deg=40.0)
    here = one_star(64.0 + dx, 64.0 + dy, psf)
    there = one_star(64.0 + dx + step_x, 64.0 + dy + step_y, psf)
    moved = np.roll(here, (step_y, step_x), axis=(0, 1))
    np.testing.assert_allclose(there, moved, atol=1e-6)


@pytest.mark.parametrize("fwhm_pix", [2.2, 3.8])
def test_half_maximum_lies_half_a_width_from_the_centre(fwhm_pix):
    psf = MoffatPsf(fwhm_pix)
    zero, edge = np.zeros((1, 1), np.float32), np.full((1, 1), fwhm_pix / 2, np.float32)
    assert psf.density(edge, zero) / psf.density(zero, zero) == pytest.approx(0.5, rel=1e-5)


def test_elongation_stretches_along_the_angle_and_keeps_the_mean_width():
    psf = MoffatPsf(3.0, elongation=1.44, angle_deg=90.0)
    along_y = 3.0 / 2 * 1.2
    along_x = 3.0 / 2 / 1.2
    zero = np.zeros((1, 1), np.float32)
    half = psf.central_density / 2
    assert psf.density(zero, np.full((1, 1), along_y, np.float32)) == pytest.approx(half, rel=1e-4)
    assert psf.density(np.full((1, 1), along_x, np.float32), zero) == pytest.approx(half, rel=1e-4)


@given(st.floats(-200.0, 330.0), st.floats(-200.0, 330.0))
@settings(max_examples=40, deadline=None)
def test_stars_beyond_the_edge_are_cut_like_those_of_a_larger_frame(x, y):
    psf = MoffatPsf(2.5)
    small = one_star(x, y, psf, flux_e=1e6, size=128)
    large = render_stars((528, 528), np.array([x + 200]), np.array([y + 200]), np.array([1e6]), psf)
    np.testing.assert_allclose(small, large[200:328, 200:328], rtol=1e-4, atol=1e-3)


def test_images_of_several_stars_add():
    psf = MoffatPsf(3.0)
    rng = np.random.default_rng(0)
    x, y, flux = rng.uniform(0, 100, 50), rng.uniform(0, 100, 50), rng.uniform(1e2, 1e5, 50)
    together = render_stars((100, 100), x, y, flux, psf)
    singly = sum(
        render_stars((100, 100), x[i : i + 1], y[i : i + 1], flux[i : i + 1], psf).astype(float)
        for i in range(50)
    )
    np.testing.assert_allclose(together, singly, rtol=1e-5, atol=1e-3)


def test_core_radius_by_hand():
    # β = 1 / log₂(1.25) makes 2^(1/β) = 1.25, hence α = FWHM / (2·√0.25) = FWHM.
    beta = 1.0 / math.log2(1.25)
    assert MoffatPsf(3.0, beta).alpha_pix == pytest.approx(3.0)
