"""Where and how the sources of a run are measured, and their fluxes as rows."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from sqlalchemy import select

from tianyu.pipelines.context import StepContext
from tianyu.pipelines.errors import MissingInputError, UnusableDataError
from tianyu.pipelines.measuring import MeasuredFrame
from tianyu.pipelines.science.aperturegeometry import ApertureGeometry
from tianyu.pipelines.science.apertures import ApertureFluxes, measure_light
from tianyu.pipelines.science.apertureshape import ROUND, ApertureShape
from tianyu.pipelines.science.arrays import AnyArray, BoolArray, FloatArray, IntArray
from tianyu.pipelines.science.flags import FluxFlag
from tianyu.pipelines.science.footprints import Footprints
from tianyu.pipelines.science.gain import MeasuredGain
from tianyu.pipelines.science.transform import AffineTransform
from tianyu.schema.tables import Aperture, Reduction, Source, SourcePosition

ANNULUS_FWHM = (4.0, 7.0)
"""Local background well outside the light of the star itself: at 4 FWHM a Moffat profile of
exponent 3 has less than 0.1 % of its light left."""


FOLLOWED_RANGE = (0.5, 2.0)
"""Radii follow a frame's FWHM this far: beyond it is the width that is wrong, not the seeing."""


@dataclass(frozen=True)
class FluxPlan:
    """Where and how to measure, the same for every frame of a run."""

    source_id: IntArray
    x: FloatArray
    y: FloatArray
    neighbour_pix: FloatArray
    is_forced: BoolArray
    """Placed, not detected: their fluxes are flagged so."""
    radii_pix: tuple[float, ...]
    annulus_pix: tuple[float, float]
    fwhm_pix: float
    noise_gain: float | None
    is_scaled: tuple[bool, ...] = ()
    """Which radii were given in units of the FWHM; the others are fixed."""
    peak: FloatArray | None = None
    """Central brightness of each source on the template, ADU; NaN of what was placed. With it the
    light of every star is kept out of the backgrounds of the others."""


def following(plan: FluxPlan, fwhm_pix: float | None) -> FluxPlan:
    """Return the plan for one frame, its scaled radii in units of the frame's own FWHM.

    Parameters
    ----------
    plan : FluxPlan
        Of the night, its scaled radii in units of the night's median FWHM.
    fwhm_pix : float or None
        Width of the stars of the frame, pixels; with None the radii are the night's.

    Returns
    -------
    FluxPlan
        Scaled by no less and no more than ``FOLLOWED_RANGE``. Fixed radii stay, and the annulus
        too as long as it clears the largest circle.

    Raises
    ------
    UnusableDataError
        If all radii are fixed, so that there is nothing to scale.
    """
    if not any(plan.is_scaled):
        radii = ", ".join(f"{radius:g}" for radius in plan.radii_pix)
        raise UnusableDataError(
            f"follow_fwhm has nothing to scale: all radii ({radii} px) are fixed; give "
            "radii_fwhm to detect_sources, or leave follow_fwhm out"
        )
    if fwhm_pix is None or not np.isfinite(fwhm_pix):
        return plan
    scale = float(np.clip(fwhm_pix / plan.fwhm_pix, *FOLLOWED_RANGE))
    followed = tuple(
        radius * scale if is_scaled else radius
        for radius, is_scaled in zip(plan.radii_pix, plan.is_scaled, strict=True)
    )
    return replace(
        plan,
        radii_pix=followed,
        fwhm_pix=plan.fwhm_pix * scale,
        annulus_pix=beyond(plan.annulus_pix, max(followed)),
    )


def beyond(annulus_pix: tuple[float, float], reach_pix: float) -> tuple[float, float]:
    """Return the ring, moved out until it is a pixel outside an aperture that reaches so far."""
    inner, outer = annulus_pix
    step = max(0.0, reach_pix + 1.0 - inner)
    return inner + step, outer + step


def measure_sources(
    image: MeasuredFrame,
    transform: AffineTransform,
    plan: FluxPlan,
    gain: float | None,
    shape: ApertureShape = ROUND,
) -> ApertureFluxes:
    """Measure every source of a plan in one frame.

    Parameters
    ----------
    image : MeasuredFrame
    transform : AffineTransform
        From reference to frame pixels.
    plan : FluxPlan
    gain : float or None
        Electrons per ADU; None: fluxes stay in ADU.
    shape : ApertureShape, optional
        Of the apertures on this frame. The annulus gives way to ellipses that would reach it.
    """
    x, y = transform.apply(plan.x, plan.y)
    # Radii that follow the FWHM may pass or meet fixed ones.
    radii, aperture = np.unique(plan.radii_pix, return_inverse=True)
    largest = shape.semi_axes(float(radii[-1]))[0]
    annulus = plan.annulus_pix if shape.is_round else beyond(plan.annulus_pix, largest)
    fluxes = measure_light(
        image.reader(stars_on(x, y, image.sky.rms, plan), shape),
        x,
        y,
        ApertureGeometry(tuple(radii.tolist()), annulus, shape),
        sky_rms=image.sky.rms_at(x, y),
        gain=gain,
        noise_gain=plan.noise_gain,
        neighbour_distance_pix=plan.neighbour_pix,
        fwhm_pix=plan.fwhm_pix,
        # A place given by a person must not move the errors of the others.
        tells_noise=~plan.is_forced,
    )
    by_aperture = replace(
        fluxes,
        flux=fluxes.flux[:, aperture],
        flux_error=fluxes.flux_error[:, aperture],
        flags=fluxes.flags[:, aperture],
    )
    return with_forced_flag(by_aperture, plan.is_forced)


def stars_on(x: FloatArray, y: FloatArray, sky_rms: float, plan: FluxPlan) -> Footprints | None:
    """Return the disks in the light of detected stars, which backgrounds are kept out of.

    The wings of stars that a clip at 3σ leaves in made backgrounds 0.07 of a pixel's noise too
    high in a crowded simulated field, and the fluxes of its faint stars 1.2 % too low.

    Parameters
    ----------
    x, y : ndarray, shape (n,)
        Where the sources of the plan stand on a frame, pixels.
    sky_rms : float
        Scatter of a sky pixel, ADU.
    plan : FluxPlan

    Returns
    -------
    Footprints or None
        None where nothing is known of the brightness of the stars.
    """
    if plan.peak is None:
        return None
    # What a person placed must not change the backgrounds of others.
    found = ~plan.is_forced
    return Footprints.of_stars(
        x[found], y[found], plan.peak[found], fwhm_pix=plan.fwhm_pix, sky_rms=sky_rms
    )


def with_forced_flag(fluxes: ApertureFluxes, is_forced: BoolArray) -> ApertureFluxes:
    """Flag the fluxes of sources, shape (n,), that stand where nothing was detected."""
    flag = np.where(is_forced, FluxFlag.FORCED, 0).astype(np.uint16)
    return replace(fluxes, flags=fluxes.flags | flag[:, np.newaxis])


def load_plan(
    context: StepContext, annulus_fwhm: tuple[float, float], gain: MeasuredGain | None
) -> FluxPlan:
    """Read the sources and the apertures of the run.

    Parameters
    ----------
    context : StepContext
    annulus_fwhm : (float, float)
        Inner and outer radius of the background annulus over the width of the stars.
    gain : MeasuredGain or None
        For the photon noise of the stars; None where nothing tells it.

    Raises
    ------
    MissingInputError
        If there are none yet.
    """
    positions = (
        select(
            SourcePosition.source_id,
            SourcePosition.x,
            SourcePosition.y,
            SourcePosition.neighbour_pix,
            SourcePosition.peak,
            Source.is_forced,
        )
        .join(Source, Source.id == SourcePosition.source_id)
        .join(Reduction, Reduction.template_image_id == SourcePosition.template_image_id)
        .where(Reduction.run_id == context.run_id)
        .order_by(SourcePosition.source_id)
    )
    apertures = (
        select(Aperture.radius_pix, Aperture.fwhm_factor)
        .where(Aperture.run_id == context.run_id)
        .order_by(Aperture.aperture)
    )
    with context.database.read() as connection:
        sources = connection.execute(positions).all()
        radii = connection.execute(apertures).all()
    if not sources or not radii:
        raise MissingInputError(
            f"run {context.run_id} has {len(sources)} sources and {len(radii)} apertures; its "
            "step detect_sources must succeed first"
        )
    scaled = [r.radius_pix / r.fwhm_factor for r in radii if r.fwhm_factor]
    # With fixed radii only, the smallest is taken for the width of the stars.
    fwhm = scaled[0] if scaled else radii[0].radius_pix
    inner, outer = (factor * fwhm for factor in annulus_fwhm)
    return FluxPlan(
        source_id=np.array([s.source_id for s in sources]),
        x=np.array([s.x for s in sources]),
        y=np.array([s.y for s in sources]),
        neighbour_pix=np.array(
            [np.inf if s.neighbour_pix is None else s.neighbour_pix for s in sources]
        ),
        is_forced=np.array([bool(s.is_forced) for s in sources]),
        radii_pix=tuple(r.radius_pix for r in radii),
        annulus_pix=beyond((inner, outer), radii[-1].radius_pix),
        fwhm_pix=fwhm,
        noise_gain=None if gain is None else gain.e_per_adu,
        is_scaled=tuple(bool(r.fwhm_factor) for r in radii),
        peak=np.array([np.nan if s.peak is None else s.peak for s in sources]),
    )


def flux_columns(
    run_id: int,
    plan: FluxPlan,
    measured: list[tuple[int, ApertureFluxes]],
    radii_of: Mapping[int, tuple[float, ...]] | None = None,
) -> dict[str, AnyArray]:
    """Return the rows of images as columns in the order of the key: source, image, aperture.

    Parameters
    ----------
    run_id : int
    plan : FluxPlan
    measured : list of (int, ApertureFluxes)
        Images and the fluxes of all sources of the plan in them.
    radii_of : mapping, optional
        Radii of each image, where they are not those of the plan.
    """
    n_source, n_radius = len(plan.source_id), len(plan.radii_pix)
    measured = sorted(measured, key=lambda item: item[0])
    images = np.array([image_id for image_id, _ in measured])
    shape = (n_source, len(measured), n_radius)

    def per_radius(name: str) -> FloatArray:
        values = np.stack([getattr(fluxes, name) for _, fluxes in measured], axis=1)
        return np.asarray(values).reshape(-1)

    def per_source(name: str) -> FloatArray:
        values = np.stack([getattr(fluxes, name) for _, fluxes in measured], axis=1)
        return np.broadcast_to(values[:, :, None], shape).reshape(-1)

    radii = [(radii_of or {}).get(int(image), plan.radii_pix) for image in images]
    radius_pix = np.broadcast_to(np.array(radii), shape).reshape(-1)

    def spread(values: AnyArray, axis: int) -> AnyArray:
        lengths = [1, 1, 1]
        lengths[axis] = len(values)
        return np.broadcast_to(values.reshape(lengths), shape).reshape(-1)

    return {
        "run_id": np.full(np.prod(shape), run_id),
        "source_id": spread(plan.source_id, 0),
        "image_id": spread(images, 1),
        "aperture": spread(np.arange(n_radius), 2),
        "radius_pix": radius_pix,
        "flux": per_radius("flux"),
        "flux_error": per_radius("flux_error"),
        "background": per_source("background"),
        "background_rms": per_source("background_rms"),
        "x": per_source("x_centroid"),
        "y": per_source("y_centroid"),
        "peak": per_source("peak"),
        "flags": per_radius("flags"),
    }
