"""Apertures that follow the FWHM of each frame: the same part of the light, radii on record."""

from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import select

from tianyu.pipelines.cube import load_cube
from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.flux_plan import FluxPlan, following, measure_sources
from tianyu.pipelines.measuring import MeasuredFrame
from tianyu.pipelines.products import Products
from tianyu.pipelines.science.sky import measure_sky
from tianyu.pipelines.science.transform import AffineTransform
from tianyu.pipelines.simulation import MoffatPsf, render_stars
from tianyu.pipelines.step import find_step, validate
from tianyu.schema.tables import Aperture, Flux, Frame, Process

WHERE = np.array([60.3]), np.array([59.8])
PLAN = FluxPlan(
    source_id=np.array([1]),
    x=WHERE[0],
    y=WHERE[1],
    neighbour_pix=np.array([np.inf]),
    is_forced=np.array([False]),
    radii_pix=(3.0, 5.0, 6.0),
    annulus_pix=(30.0, 50.0),
    fwhm_pix=3.0,
    noise_gain=None,
    is_scaled=(True, False, True),
)


def test_scaled_radii_follow_and_fixed_ones_stay():
    assert following(PLAN, 4.5).radii_pix == pytest.approx((4.5, 5.0, 9.0))
    assert following(PLAN, 4.5).annulus_pix == PLAN.annulus_pix
    assert following(PLAN, 4.5).fwhm_pix == pytest.approx(4.5)
    assert following(PLAN, 3.0).radii_pix == PLAN.radii_pix
    assert following(PLAN, None) == PLAN, "a frame without a width has the night's radii"


def test_an_absurd_width_is_not_followed():
    assert following(PLAN, 90.0).radii_pix == pytest.approx((6.0, 5.0, 12.0))
    assert following(PLAN, 0.1).radii_pix == pytest.approx((1.5, 5.0, 3.0))


def test_the_annulus_gives_way_to_the_largest_circle():
    near = replace(PLAN, annulus_pix=(8.0, 12.0))
    assert following(near, 6.0).annulus_pix == pytest.approx((13.0, 17.0))


def test_fixed_radii_cannot_follow():
    with pytest.raises(UnusableDataError, match=r"\(3, 5, 6 px\) are fixed; give radii_fwhm"):
        following(replace(PLAN, is_scaled=(False, False, False)), 4.0)


def fluxes(fwhm_pix, plan):
    """Fluxes of one star of 1e6 ADU, drawn with this width."""
    pixels = render_stars((121, 121), *WHERE, np.array([1e6]), MoffatPsf(fwhm_pix))
    pixels = pixels.astype(np.float32)
    mask = np.zeros(pixels.shape, np.uint8)
    noise = np.random.default_rng(1).normal(0.0, 1.0, pixels.shape).astype(np.float32)
    image = MeasuredFrame(pixels, mask, measure_sky(noise, mask))
    return measure_sources(image, AffineTransform.identity(), plan, None).flux[0]


def test_the_same_part_of_the_light_is_held_in_any_seeing():
    """Fixed radii lose a quarter when the width grows by half; those that follow, pixels' blur."""
    sharp, wide = fluxes(3.0, PLAN), fluxes(4.5, PLAN)
    followed = fluxes(4.5, following(PLAN, 4.5))
    assert wide[0] / sharp[0] < 0.8
    assert followed[[0, 2]] == pytest.approx(sharp[[0, 2]], rel=0.03)
    assert followed[1] == pytest.approx(wide[1], rel=1e-6), "the fixed one is where it was"


def test_apertures_keep_their_numbers_when_radii_pass_each_other():
    crossed = following(PLAN, 6.0)
    assert crossed.radii_pix == pytest.approx((6.0, 5.0, 12.0))
    flux = fluxes(6.0, crossed)
    assert flux[1] < flux[0] < flux[2]
    level = following(replace(PLAN, radii_pix=(3.0, 4.5, 6.0)), 4.5)
    assert level.radii_pix[0] == level.radii_pix[1]
    same = fluxes(4.5, level)
    assert same[0] == same[1]


def test_the_rows_say_the_radius_used(reduced_night, monkeypatch):
    """A chunk of the simulated night, measured again with radii that follow."""
    rows = {}
    monkeypatch.setattr(Products, "rows", lambda _, table, columns: rows.update({table: columns}))
    with reduced_night.database.read() as connection:
        old = connection.execute(
            select(Process.id, Process.parameters)
            .where(Process.run_id == reduced_night.run_id, Process.command == "extract_flux")
            .order_by(Process.id)
        ).first()
        factors = connection.scalars(
            select(Aperture.fwhm_factor)
            .where(Aperture.run_id == reduced_night.run_id)
            .order_by(Aperture.aperture)
        ).all()
        widths = dict(
            connection.execute(
                select(Frame.image_id, Frame.fwhm_pix).where(Frame.run_id == reduced_night.run_id)
            ).all()
        )
    parameters = validate("extract_flux", {**old.parameters, "follow_fwhm": True})
    find_step("extract_flux").run(parameters, reduced_night.context(old.id, "extract_flux"))
    columns = rows[Flux]
    factor = np.array(factors)[np.asarray(columns["aperture"])]
    width = np.array([widths[int(image)] for image in columns["image_id"]])
    assert len(set(width)) > 1
    np.testing.assert_allclose(columns["radius_pix"], factor * width, rtol=1e-6)
    cube = load_cube(reduced_night.context())
    frame = {image_id: n for n, image_id in enumerate(cube.image_id.tolist())}
    before = cube.flux[
        columns["aperture"],
        np.searchsorted(cube.source_id, columns["source_id"]),
        [frame[int(image)] for image in columns["image_id"]],
    ]
    wider = np.asarray(columns["radius_pix"]) / cube.radius_pix[columns["aperture"]] - 1.0
    brighter = np.asarray(columns["flux"]) / before - 1.0
    told = (before > 100 * np.asarray(columns["flux_error"])) & (np.abs(wider) > 0.1)
    assert told.sum() >= 20
    assert (np.sign(brighter) == np.sign(wider))[told].mean() > 0.9
