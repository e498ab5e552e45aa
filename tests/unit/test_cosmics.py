"""Cosmic rays are found, on stars too, and the cores of stars are left alone."""

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, label

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.cosmics import check_possible, find_cosmic_rays
from tianyu.pipelines.science.masks import MaskBit
from tianyu.pipelines.simulation import Field, MoffatPsf, NightPlan, build_scene, render_stars
from tianyu.pipelines.simulation.cosmic_rays import cosmic_rays

PLAN = NightPlan(width=256, height=256, n_stars=110, n_light=1, field=Field(count_slope=0.12))
GAIN, SKY_E, READ_NOISE_E, FULL_E = 1.5, 300.0, 8.0, 90000.0
PIXEL_NOISE_E = np.sqrt(SKY_E + READ_NOISE_E**2)


def frame(fwhm_pix, seed, rays_per_minute=250.0):
    """Light of the stars and charge of the rays, electrons; pixels in ADU, and their mask."""
    rng = np.random.default_rng(seed)
    stars = build_scene(PLAN).stars
    psf = MoffatPsf(fwhm_pix, 3.0, 1.05, 30.0)
    light = render_stars(PLAN.shape, stars.x, stars.y, stars.flux_e, psf)
    rays = cosmic_rays(PLAN.shape, 60.0, rays_per_minute, rng)
    charge = rng.poisson(light + SKY_E) + rays + rng.normal(0.0, READ_NOISE_E, light.shape)
    mask = np.where(charge >= FULL_E, MaskBit.SATURATED, 0).astype(np.uint8)
    pixels = ((np.minimum(charge, FULL_E) - SKY_E) / GAIN).astype(np.float32)
    return light, rays, pixels, mask


def rays_found(fwhm_pix, seed, **options):
    light, rays, pixels, mask = frame(fwhm_pix, seed, **options)
    found = find_cosmic_rays(pixels, mask, sky_rms=PIXEL_NOISE_E / GAIN, gain_e_per_adu=GAIN)
    return light, rays, mask, found


@pytest.mark.parametrize("fwhm_pix", [2.5, 3.0, 4.5])
def test_rays_are_found(fwhm_pix):
    """Of those that rise 5σ above the light under them 98 % in larger samples."""
    n_found, n_rays = 0, 0
    for seed in range(2):
        light, rays, mask, found = rays_found(fwhm_pix, seed)
        events, _ = label(rays > 0, np.ones((3, 3)))
        clear = (rays > 5.0 * np.sqrt(PIXEL_NOISE_E**2 + light)) & (mask == 0)
        seen = np.setdiff1d(np.unique(events[clear]), [0])
        n_rays += seen.size
        n_found += np.isin(seen, events[found]).sum()
    assert n_rays > 14
    assert n_found >= 0.93 * n_rays


@pytest.mark.parametrize("fwhm_pix", [2.5, 3.0, 4.5])
def test_cores_of_stars_are_not_eaten(fwhm_pix):
    """Not one in a hundred of those that stand out, without any ray, saturated ones included."""
    stars = build_scene(PLAN).stars
    light, _, _, found = rays_found(fwhm_pix, seed=1, rays_per_minute=0.0)
    x, y = np.rint(stars.x).astype(int), np.rint(stars.y).astype(int)
    inside = (x >= 2) & (y >= 2) & (x < 254) & (y < 254)
    near = binary_dilation(found, np.ones((5, 5)))
    bright = light[y[inside], x[inside]] > 3.0 * PIXEL_NOISE_E
    assert bright.sum() > 60
    assert near[y[inside], x[inside]][bright].sum() <= 1
    assert found.sum() < 1e-3 * found.size


def test_what_is_marked_already_is_passed_over():
    _, _, pixels, mask = frame(3.0, seed=2, rays_per_minute=0.0)
    hot = pixels.copy()
    hot[100, 100], mask[100, 100] = 30000.0, MaskBit.BAD
    found = find_cosmic_rays(hot, mask, sky_rms=PIXEL_NOISE_E / GAIN, gain_e_per_adu=GAIN)
    assert not found[98:103, 98:103].any()


@pytest.mark.parametrize(
    ("gain", "fwhm_pix", "words"),
    [(None, 3.0, "without a gain; give it with --gain"), (1.5, 2.1, "stars of 2.10 px FWHM")],
)
def test_what_would_take_stars_for_rays_is_refused(gain, fwhm_pix, words):
    with pytest.raises(UnusableDataError, match=words):
        check_possible(gain, fwhm_pix)


def test_without_the_package_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(UnusableDataError, match=r"pip install 'tianyu\[cosmics\]'"):
        check_possible(1.5, 3.0)
