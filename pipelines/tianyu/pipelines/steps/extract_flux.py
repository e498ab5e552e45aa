"""Pass 2: aperture fluxes of every source in a chunk of frames."""

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from pydantic import Field
from sqlalchemy import select

from tianyu.pipelines.calibration import Calibration, Calibrators
from tianyu.pipelines.context import StepContext
from tianyu.pipelines.detector_noise import noise_gain
from tianyu.pipelines.errors import MissingInputError
from tianyu.pipelines.fits.pixels import read_pixels
from tianyu.pipelines.frame_rows import FrameRow, load_frame_rows
from tianyu.pipelines.frames import FrameFile, find_product_of, raw_frames, read_frame
from tianyu.pipelines.measuring import remeasure_frame
from tianyu.pipelines.products import Products
from tianyu.pipelines.reference import load_reference
from tianyu.pipelines.science.apertures import ApertureFluxes, measure_fluxes
from tianyu.pipelines.science.arrays import (
    AnyArray,
    BoolArray,
    FloatArray,
    FloatImage,
    IntArray,
)
from tianyu.pipelines.science.flags import FluxFlag
from tianyu.pipelines.science.sky import SkyModel
from tianyu.pipelines.sky_meshes import load_sky_meshes
from tianyu.pipelines.step import ProcessId, StepParameters, step
from tianyu.schema.tables import Aperture, Flux, Reduction, Source, SourcePosition

ANNULUS_FWHM = (4.0, 7.0)
"""Local background well outside the light of the star itself: at 4 FWHM a Moffat profile of
exponent 3 has less than 0.1 % of its light left."""


class ExtractFlux(StepParameters):
    """Parameters of pass 2 over one chunk."""

    frames: tuple[int, ...] = Field(min_length=1, description="light frames of the chunk")
    calibration: Calibration = Calibration()
    gain_e_per_adu: float | None = Field(None, gt=0, description="None: fluxes stay in ADU")
    annulus_fwhm: tuple[float, float] = ANNULUS_FWHM
    pattern: ProcessId | None = Field(None, description="process that measured the fixed pattern")


@dataclass(frozen=True)
class MeasuringPlan:
    """Where and how to measure, the same for every frame of a run."""

    source_id: IntArray
    x: FloatArray
    y: FloatArray
    neighbour_pix: FloatArray
    is_forced: BoolArray
    radii_pix: tuple[float, ...]
    annulus_pix: tuple[float, float]
    fwhm_pix: float
    noise_gain: float | None


@step(
    "extract_flux",
    parameters=ExtractFlux,
    reads=("light", "frame", "sky_mesh", "source_position", "aperture"),
    writes=("flux",),
)
def extract_flux(parameters: ExtractFlux, context: StepContext) -> Products:
    """Measure every source of the template in every aligned frame of a chunk."""
    files = {file.image_id: file for file in raw_frames(context, parameters.frames)}
    frames = load_frame_rows(context, image_ids=parameters.frames)
    skies = load_sky_meshes(context, parameters.frames)
    plan = measuring_plan(context, parameters)
    saturation = load_reference(context).saturation_adu
    calibrators = Calibrators(context, parameters.calibration, saturation)
    pattern = load_pattern(context, parameters.pattern)
    measured: list[tuple[int, ApertureFluxes]] = []
    for done, frame in enumerate(frames):
        context.progress(done, len(frames))
        if frame.transform is None:
            continue
        file = files[frame.image_id]
        fluxes = _measure(
            context, parameters, plan, frame, file, skies[frame.image_id], calibrators, pattern
        )
        measured.append((frame.image_id, fluxes))
    products = Products()
    if measured:
        products.rows(Flux, _columns(context.run_id, plan, measured))
    return products


def _measure(
    context: StepContext,
    parameters: ExtractFlux,
    plan: MeasuringPlan,
    frame: FrameRow,
    file: FrameFile,
    sky: SkyModel,
    calibrators: Calibrators,
    pattern: FloatImage | None,
) -> ApertureFluxes:
    if frame.transform is None:
        raise MissingInputError(f"{frame.name} is not aligned, nothing can be measured in it")
    calibrator = calibrators.for_exposure(file.exposure_s)
    image = remeasure_frame(read_frame(context, file), calibrator, sky, pattern)
    x, y = frame.transform.apply(plan.x, plan.y)
    fluxes = measure_fluxes(
        image.pixels,
        image.mask,
        x,
        y,
        plan.radii_pix,
        annulus_pix=plan.annulus_pix,
        sky_rms=sky.rms_at(x, y),
        gain=parameters.gain_e_per_adu,
        noise_gain=plan.noise_gain,
        neighbour_distance_pix=plan.neighbour_pix,
        fwhm_pix=plan.fwhm_pix,
    )
    return with_forced_flag(fluxes, plan.is_forced)


def with_forced_flag(fluxes: ApertureFluxes, is_forced: BoolArray) -> ApertureFluxes:
    """Flag the fluxes of sources, shape (n,), that stand where nothing was detected."""
    flag = np.where(is_forced, FluxFlag.FORCED, 0).astype(np.uint16)
    return replace(fluxes, flags=fluxes.flags | flag[:, np.newaxis])


def load_pattern(context: StepContext, birth: int | None) -> FloatImage | None:
    """Return the fixed pattern that a process measured, if it found enough frames for one."""
    file = None if birth is None else find_product_of(context, birth, "fixed_pattern")
    return None if file is None else read_pattern(file.path)


# A product's path holds the process and attempt that made it, so it never changes its content.
@lru_cache(maxsize=1)
def read_pattern(path: Path) -> FloatImage:
    """Read a pattern once per child process, not once per chunk."""
    return np.asarray(read_pixels(path), dtype=np.float32)


def measuring_plan(context: StepContext, parameters: ExtractFlux) -> MeasuringPlan:
    """Return the sources and apertures of the run.

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
    inner, outer = (factor * fwhm for factor in parameters.annulus_fwhm)
    gain = noise_gain(context, parameters.gain_e_per_adu, parameters.calibration.flat)
    beyond = max(0.0, radii[-1].radius_pix + 1.0 - inner)
    return MeasuringPlan(
        source_id=np.array([s.source_id for s in sources]),
        x=np.array([s.x for s in sources]),
        y=np.array([s.y for s in sources]),
        neighbour_pix=np.array(
            [np.inf if s.neighbour_pix is None else s.neighbour_pix for s in sources]
        ),
        is_forced=np.array([bool(s.is_forced) for s in sources]),
        radii_pix=tuple(r.radius_pix for r in radii),
        annulus_pix=(inner + beyond, outer + beyond),
        fwhm_pix=fwhm,
        noise_gain=None if gain is None else gain.e_per_adu,
    )


def _columns(
    run_id: int, plan: MeasuringPlan, measured: list[tuple[int, ApertureFluxes]]
) -> dict[str, AnyArray]:
    """Return the rows as columns in the order of the table's key: source, image, aperture."""
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

    def spread(values: AnyArray, axis: int) -> AnyArray:
        lengths = [1, 1, 1]
        lengths[axis] = len(values)
        return np.broadcast_to(values.reshape(lengths), shape).reshape(-1)

    return {
        "run_id": np.full(np.prod(shape), run_id),
        "source_id": spread(plan.source_id, 0),
        "image_id": spread(images, 1),
        "aperture": spread(np.arange(n_radius), 2),
        "radius_pix": spread(np.array(plan.radii_pix), 2),
        "flux": per_radius("flux"),
        "flux_error": per_radius("flux_error"),
        "background": per_source("background"),
        "background_rms": per_source("background_rms"),
        "x": per_source("x_centroid"),
        "y": per_source("y_centroid"),
        "peak": per_source("peak"),
        "flags": per_radius("flags"),
    }
