"""Pass 2: aperture fluxes of every source in a chunk of frames."""

import logging
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
from pydantic import Field
from sqlalchemy import Connection, update

from tianyu.pipelines.aperture_shapes import (
    FrameEllipse,
    ShapeOfApertures,
    add_ellipses,
    ellipse_of_frame,
    shape_or_round,
)
from tianyu.pipelines.calibration import Calibration, Calibrators
from tianyu.pipelines.context import StepContext
from tianyu.pipelines.detector_noise import noise_gain
from tianyu.pipelines.errors import PermanentError
from tianyu.pipelines.fits.pixels import read_pixels
from tianyu.pipelines.flux_plan import (
    ANNULUS_FWHM,
    FluxPlan,
    flux_columns,
    following,
    load_plan,
    measure_sources,
)
from tianyu.pipelines.frame_rows import FrameRow, load_frame_rows
from tianyu.pipelines.frames import FrameFile, find_product_of, raw_frames
from tianyu.pipelines.lists import read_list
from tianyu.pipelines.measuring import FrameBuffers, MeasuredFrame, remeasure_frame
from tianyu.pipelines.passing_light import (
    PassingLight,
    check_wanted,
    has_trail,
    mark_passing_light,
    note_trails,
)
from tianyu.pipelines.products import Products
from tianyu.pipelines.reading import Arrival, read_ahead
from tianyu.pipelines.reference import load_reference
from tianyu.pipelines.science.apertures import ApertureFluxes
from tianyu.pipelines.science.arrays import FloatImage
from tianyu.pipelines.science.sky import SkyModel
from tianyu.pipelines.science.transform import AffineTransform
from tianyu.pipelines.sky_meshes import load_sky_meshes
from tianyu.pipelines.step import ProcessId, step
from tianyu.schema.tables import Flux, Frame, FrameVerdict

logger = logging.getLogger(__name__)


class ChunkPhotometry(PassingLight):
    """What measuring a chunk of frames needs, one by one or stacked."""

    frames: tuple[int, ...] = Field(min_length=1, description="light frames of the chunk")
    calibration: Calibration = Calibration()
    gain_e_per_adu: float | None = Field(None, gt=0, description="None: fluxes stay in ADU")
    annulus_fwhm: tuple[float, float] = ANNULUS_FWHM
    pattern: ProcessId | None = Field(None, description="process that measured the fixed pattern")


class ExtractFlux(ChunkPhotometry, ShapeOfApertures):
    """Parameters of pass 2 over one chunk."""

    follow_fwhm: bool = Field(
        False, description="radii in units of each frame's FWHM instead of the night's median"
    )


@step(
    "extract_flux",
    parameters=ExtractFlux,
    reads=("light", "frame", "sky_mesh", "source_position", "aperture"),
    writes=("aperture_ellipse", "flux"),
)
def extract_flux(parameters: ExtractFlux, context: StepContext) -> Products:
    """Measure every source of the template in every aligned frame of a chunk."""
    files = {file.image_id: file for file in raw_frames(context, parameters.frames)}
    frames = load_frame_rows(context, image_ids=parameters.frames)
    skies = load_sky_meshes(context, parameters.frames)
    gain = noise_gain(context, parameters.gain_e_per_adu, parameters.calibration.flat)
    plan = load_plan(context, parameters.annulus_fwhm, gain)
    check_wanted(parameters, plan)
    saturation = load_reference(context).saturation_adu
    calibrators = Calibrators(context, parameters.calibration, saturation)
    pattern, buffers = load_pattern(context, parameters.pattern), FrameBuffers()
    measured: list[tuple[int, ApertureFluxes]] = []
    radii_of: dict[int, tuple[float, ...]] = {}
    problems: dict[int, str] = {}
    crossed: list[str] = []
    ellipses: dict[int, FrameEllipse] = {}
    aligned = [(frame, frame.transform) for frame in frames if frame.transform is not None]
    arrivals = read_ahead(context, [files[frame.image_id] for frame, _ in aligned])
    for done, ((frame, transform), arrival) in enumerate(zip(aligned, arrivals, strict=True)):
        context.progress(done, len(aligned))
        own = following(plan, frame.fwhm_pix) if parameters.follow_fwhm else plan
        try:
            sky = skies[frame.image_id]
            image = _calibrated(
                parameters, own, frame, transform, arrival, sky, calibrators, pattern, buffers
            )
        except PermanentError as error:
            # It was there in pass 1; the rest of the night does not depend on it.
            logger.warning("%s is not measured: %s", frame.name, error)
            problems[frame.image_id] = str(error)
            continue
        ellipse = ellipse_of_frame(image, transform, own, frame.fwhm_pix, parameters)
        if ellipse is not None:
            ellipses[frame.image_id] = ellipse
        shape = shape_or_round(ellipse)
        fluxes = measure_sources(image, transform, own, parameters.gain_e_per_adu, shape)
        measured.append((frame.image_id, fluxes))
        crossed += [frame.name] if has_trail(image, parameters) else []
        radii_of[frame.image_id] = own.radii_pix
    products = Products()
    if problems:
        products.then(lambda connection: _note_problems(connection, context.run_id, problems))
    note_trails(products, context, crossed)
    add_ellipses(products, context.run_id, ellipses)
    if measured:
        products.rows(Flux, flux_columns(context.run_id, plan, measured, radii_of))
    return products


def _calibrated(
    parameters: ExtractFlux,
    plan: FluxPlan,
    frame: FrameRow,
    transform: AffineTransform,
    arrival: Arrival,
    sky: SkyModel,
    calibrators: Calibrators,
    pattern: FloatImage | None,
    buffers: FrameBuffers,
) -> MeasuredFrame:
    is_searched = parameters.trails or parameters.cosmic_rays or parameters.wants_ellipses
    image = remeasure_frame(
        arrival.raw(),
        calibrators.for_exposure(arrival.file.exposure_s),
        sky,
        pattern,
        buffers=buffers,
        # What crosses a frame is sought in all of it, and so are the stars that tell ellipses.
        whole=is_searched,
    )
    return mark_passing_light(image, transform, plan, frame.fwhm_pix, parameters)


def load_pattern(context: StepContext, birth: int | None) -> FloatImage | None:
    """Return the fixed pattern that a process measured, if it found enough frames for one."""
    file = None if birth is None else find_product_of(context, birth, "fixed_pattern")
    return None if file is None else read_pattern(context, file)


def read_pattern(context: StepContext, file: FrameFile) -> FloatImage:
    """Return a pattern; it is read once per child process, not once per chunk."""
    misses = _read_pattern.cache_info().misses
    is_list = bool(file.header.get("is_list", False))
    pattern, n_bytes = _read_pattern(file.path, file.shape, is_list)
    if _read_pattern.cache_info().misses > misses:
        context.traffic.read += n_bytes
    return pattern


# A product's path holds the process and attempt that made it, so it never changes its content.
@lru_cache(maxsize=1)
def _read_pattern(path: Path, shape: tuple[int, int], is_list: bool) -> tuple[FloatImage, int]:
    if not is_list:  # as versions before wrote it
        pattern = read_pixels(path)
        return np.asarray(pattern, dtype=np.float32), pattern.nbytes
    corrected, n_bytes = read_list(path, "PATTERN")
    pattern = np.zeros(shape, np.float32)
    corrected.put(pattern)
    return pattern, n_bytes


def _note_problems(connection: Connection, run_id: int, problems: Mapping[int, str]) -> None:
    """Say of frames why they have no fluxes, and that they are good no more."""
    for image_id, problem in problems.items():
        of_frame = (Frame.run_id == run_id, Frame.image_id == image_id)
        connection.execute(update(Frame).where(*of_frame).values(problem=problem))
        of_verdict = (FrameVerdict.run_id == run_id, FrameVerdict.image_id == image_id)
        verdict = {"is_good": False, "reason": problem}
        connection.execute(update(FrameVerdict).where(*of_verdict).values(**verdict))
