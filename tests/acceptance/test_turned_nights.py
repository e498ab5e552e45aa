"""Nights that rotate, flip, grow and drift are measured as well as one that does nothing of it.

Small frames through the functions of the pipeline, without a database. Whole nights through the
command, with narrower bounds: ``make bench-science``.
"""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest

from tianyu.pipelines.science.align import align
from tianyu.pipelines.science.apertures import measure_fluxes
from tianyu.pipelines.science.arrays import FloatArray
from tianyu.pipelines.science.calibrate import Calibrator
from tianyu.pipelines.science.ensemble import weighted_ensemble
from tianyu.pipelines.science.scatter import mad_sigma
from tianyu.pipelines.science.sky import measure_sky
from tianyu.pipelines.science.stars import find_stars
from tianyu.pipelines.science.transform import AffineTransform
from tianyu.pipelines.simulation import (
    Camera,
    Field,
    NightPlan,
    SignalPlan,
    Tracking,
    Weather,
    build_scene,
    simulate_frame,
)

PLAN = NightPlan(
    seed=5,
    width=320,
    height=320,
    n_light=18,
    cadence_s=300.0,
    n_stars=110,
    camera=Camera(cosmic_rays_per_megapixel_minute=0.0),
    field=Field(bright_mag=12.5, faint_mag=16.0, count_slope=0.1, reach_pix=150.0),
    weather=Weather(n_cloudy=0),
    tracking=Tracking(drift_pix=(0.0, 0.0), rotation_deg=0.0),
    signals=SignalPlan(transit_depth=0.0, pulsation_amplitude_mag=0.0, eclipse_depth=0.0),
)
GAIN, RADIUS_PIX, RING_PIX = PLAN.camera.gain_e_adu, 4.0, (13.0, 21.0)


@lru_cache
def departures(tracking: Tracking, *, whole_pixels: bool = False) -> FloatArray:
    """Relative fluxes less one, over their errors: a row for each star that stays in the field."""
    plan = replace(PLAN, tracking=tracking)
    scene = build_scene(plan)
    detector = scene.detector
    calibrator = Calibrator(
        bias=detector.bias_adu,
        dark=detector.dark_e_s * (plan.exposure_s / GAIN),
        flat=detector.response,
        saturation=float(plan.camera.saturation_adu),
    )
    reference, fluxes = None, []
    for index in range(plan.n_light):
        image = calibrator.apply(simulate_frame(plan, index).raw)
        sky = measure_sky(image.pixels, image.mask, box_pix=64)
        pixels = image.pixels - sky.image()
        stars = find_stars(pixels, image.mask, sky.rms)
        reference = stars if reference is None else reference
        found = align(reference, stars, plan.shape)
        # The truth's stars stand in the scene's pixels, which are those of the first frame.
        from_scene = found.transform
        if whole_pixels:
            from_scene = AffineTransform.translation(*found.whole_pixel_shift)
        start = scene.frames[0].transform(plan.centre)
        x, y = from_scene.apply(*start.apply(scene.stars.x, scene.stars.y))
        fluxes.append(
            measure_fluxes(
                pixels, image.mask, x, y, (RADIUS_PIX,), annulus_pix=RING_PIX,
                sky_rms=sky.rms, gain=GAIN,
            )
        )  # fmt: skip
    flux = np.stack([f.flux[:, 0] for f in fluxes], axis=1)
    twinkle = np.array([frame.scintillation for frame in scene.frames])
    error = np.hypot(np.stack([f.flux_error[:, 0] for f in fluxes], axis=1), twinkle * flux)
    flags = np.stack([f.flags[:, 0] for f in fluxes], axis=1)
    whole = np.flatnonzero((flags == 0).all(axis=1))
    curves = weighted_ensemble(
        flux[whole], error[whole], flags[whole], np.ones(plan.n_light, dtype=bool),
        scene.stars.x[whole], scene.stars.y[whole], np.ones(whole.size, dtype=bool),
    )  # fmt: skip
    return np.asarray((curves.flux - 1.0) / curves.error)


def noise(tracking: Tracking, *, whole_pixels: bool = False) -> float:
    """Median over the stars of scatter over expected error."""
    return float(np.median(mad_sigma(departures(tracking, whole_pixels=whole_pixels))))


STILL = PLAN.tracking


@pytest.mark.parametrize(
    "tracking",
    [
        pytest.param(replace(STILL, rotation_deg=0.5), id="rotated by 0.5 degrees"),
        pytest.param(replace(STILL, flip_fraction=0.5), id="flipped by 180 degrees"),
        pytest.param(replace(STILL, scale=(0.999, 1.001)), id="scaled by 0.1 %"),
        pytest.param(replace(STILL, drift_pix=(90.0, -60.0)), id="drifted by a third of the field"),
    ],
)
def test_the_scatter_is_that_of_the_errors_whatever_the_mount_does(tracking: Tracking) -> None:
    """Medians over some 50 stars of 18 frames: each is uncertain by 3 %."""
    assert len(departures(tracking)) > 25
    assert noise(tracking) == pytest.approx(noise(STILL), rel=0.12)
    assert 0.85 < noise(tracking) < 1.2


def test_whole_pixel_shifts_would_not_do() -> None:
    """Half a degree is 2 px at the corners."""
    assert noise(replace(STILL, rotation_deg=1.0), whole_pixels=True) > 1.5 * noise(STILL)
