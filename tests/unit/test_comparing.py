"""Relative photometry of a whole run."""

from dataclasses import replace

import numpy as np
import pytest

from tianyu.pipelines.comparing import (
    FEWEST_CANDIDATES,
    KnownStars,
    Method,
    choose_candidates,
    compare,
)
from tianyu.pipelines.cube import FluxCube, load_cube
from tianyu.pipelines.science.flags import FluxFlag

N_FRAME = 60
NOISE = 0.003


def make_cube(n_star=60, *, seed=3, dip=0.0):
    """Stars of 10³ to 10⁵ electrons behind passing haze; star 0 is fainter in the middle third."""
    rng = np.random.default_rng(seed)
    transparency = 1.0 - 0.3 * rng.uniform(size=N_FRAME)
    mean = np.logspace(3, 5, n_star)[rng.permutation(n_star)]
    signal = np.ones((n_star, N_FRAME))
    signal[0, N_FRAME // 3 : 2 * N_FRAME // 3] -= dip
    noise = NOISE * rng.normal(size=(2, n_star, N_FRAME))
    flux = mean[:, None] * transparency * signal * (1.0 + noise)
    return FluxCube(
        flux=flux,
        flux_error=NOISE * flux,
        flags=np.zeros(flux.shape, np.uint16),
        good=np.ones(N_FRAME, dtype=bool),
        transparency=transparency,
        jd_utc_mid=2460000.0 + np.linspace(0.0, 0.2, N_FRAME),
        airmass=np.ones(N_FRAME),
        exposure_s=np.full(N_FRAME, 30.0),
        fwhm_pix=np.full(N_FRAME, 3.0),
        x=rng.uniform(0, 1000, n_star),
        y=rng.uniform(0, 1000, n_star),
        source_id=np.arange(100, 100 + n_star),
        image_id=np.arange(N_FRAME),
        radius_pix=np.array([2.0, 3.0]),
        is_forced=np.zeros(n_star, dtype=bool),
    )


def curves_of(cube, method, aperture=1):
    candidates, note = choose_candidates(cube, aperture, method)
    return compare(cube, candidates, method), note


@pytest.mark.parametrize("method", list(Method))
def test_haze_is_gone_and_the_noise_of_each_star_is_left(method):
    comparison, note = curves_of(make_cube(), method)
    assert note is None
    assert len(comparison.curves) == 2
    for curve in comparison.curves:
        scatter = np.nanstd(curve.flux, axis=1)
        assert np.median(scatter) == pytest.approx(NOISE, rel=0.3)
        assert np.nanmedian(curve.flux, axis=1) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("method", list(Method))
def test_a_dip_of_two_percent_is_recovered_to_a_tenth(method):
    comparison, _ = curves_of(make_cube(dip=0.02), method)
    curve = comparison.curves[1].flux[0]
    inside = np.nanmean(curve[N_FRAME // 3 : 2 * N_FRAME // 3])
    outside = np.nanmean(np.r_[curve[: N_FRAME // 3], curve[2 * N_FRAME // 3 :]])
    assert outside - inside == pytest.approx(0.02, abs=0.002)


def check_references(comparison):
    for group in comparison.groups:
        assert len(group.references) == len(group.weights) == len(group.is_borrowed)
        assert len(group.references) >= 2
        assert comparison.candidates.is_candidate[group.references].all()
        own = np.isin(group.references, group.members)
        assert (own == ~group.is_borrowed).all()


def test_every_source_belongs_to_a_group_with_references():
    comparison, _ = curves_of(make_cube(), Method.GROUPS)
    members = np.sort(np.concatenate([group.members for group in comparison.groups]))
    assert members.tolist() == list(range(60))
    for number, group in enumerate(comparison.groups):
        assert (comparison.group_of[group.members] == number).all()
    check_references(comparison)


def test_each_radius_has_an_ensemble_of_its_own():
    comparison, _ = curves_of(make_cube(), Method.ENSEMBLE)
    assert comparison.group_of is None
    assert len(comparison.groups) == len(comparison.curves)
    for group, curve in zip(comparison.groups, comparison.curves, strict=True):
        assert group.members.tolist() == list(range(60))
        assert group.references.tolist() == np.flatnonzero(curve.is_reference).tolist()
    check_references(comparison)


@pytest.mark.parametrize("method", list(Method))
def test_what_is_compared_may_be_other_than_what_chose(method):
    """Ten times as much light in every star: the comparison is the same."""
    cube = make_cube()
    candidates, _ = choose_candidates(cube, 1, method)
    brighter = replace(cube, flux=10 * cube.flux, flux_error=10 * cube.flux_error)
    own = compare(cube, candidates, method)
    other = compare(cube, candidates, method, onto=brighter)
    for mine, theirs in zip(own.curves, other.curves, strict=True):
        np.testing.assert_allclose(theirs.flux, mine.flux, rtol=1e-9)
        np.testing.assert_allclose(theirs.error, mine.error, rtol=1e-9)


def test_groups_of_a_place_are_numbered_from_faint_to_bright():
    comparison, _ = curves_of(make_cube(300), Method.GROUPS)
    mean = comparison.candidates.mean_flux
    by_place = {}
    for group in comparison.groups:
        by_place.setdefault(group.position_bin, []).append(group)
    assert len(by_place) > 1
    for groups in by_place.values():
        ordered = sorted(groups, key=lambda group: group.flux_bin)
        assert [group.flux_bin for group in ordered] == list(range(len(groups)))
        medians = [np.median(mean[group.members]) for group in ordered]
        assert medians == sorted(medians)


def test_a_known_variable_serves_nobody():
    cube = make_cube()
    is_variable = np.zeros(60, dtype=bool)
    is_variable[5] = True
    nowhere = np.full(60, np.nan)
    candidates, _ = choose_candidates(
        cube, 1, Method.ENSEMBLE, KnownStars(is_variable, nowhere, nowhere)
    )
    assert not candidates.is_candidate[5]
    comparison = compare(cube, candidates, Method.ENSEMBLE)
    assert 5 not in comparison.groups[0].references
    assert np.isfinite(comparison.curves[1].flux[5]).all()


def test_the_note_of_the_ensemble_names_its_surface():
    comparison, _ = curves_of(make_cube(), Method.ENSEMBLE)
    assert comparison.groups[0].note.startswith("radius 2.00 px: zero-point surface of order")


def test_in_a_poor_field_blended_stars_are_admitted_and_it_is_said():
    cube = make_cube(6)
    cube.flags[:, :, :] = np.uint16(FluxFlag.BLENDED)
    candidates, note = choose_candidates(cube, 1, Method.GROUPS)
    assert np.count_nonzero(candidates.is_candidate) >= FEWEST_CANDIDATES
    assert note.startswith("only 0 stars met the rules for references; blended and often missing")


@pytest.mark.parametrize("method", list(Method))
def test_saturated_stars_serve_nobody_however_poor_the_field(method):
    cube = make_cube(6)
    cube.flags[:, :4, :] = np.uint16(FluxFlag.SATURATED)
    candidates, note = choose_candidates(cube, 1, method)
    assert not candidates.is_candidate[:4].any()
    assert note is not None


@pytest.mark.parametrize("method", list(Method))
def test_the_night_of_twelve_frames_gets_its_light_curves(reduced_night, method):
    """Two frames under cloud are not good; the references serve for all others."""
    cube = load_cube(reduced_night.context())
    comparison, _ = curves_of(cube, method, aperture=3)
    scatter = np.nanstd(comparison.curves[3].flux[:, cube.good], axis=1)
    raw = np.nanstd(cube.flux[3][:, cube.good], axis=1) / np.nanmean(cube.flux[3], axis=1)
    assert np.nanmin(scatter) < np.nanmin(raw)
    assert np.nanmin(scatter) < 0.01
