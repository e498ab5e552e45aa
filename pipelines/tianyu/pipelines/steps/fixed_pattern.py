"""The pattern that calibration left in a night's frames, measured between their stars."""

import logging

import numpy as np
from pydantic import Field
from sqlalchemy import select

from tianyu.pipelines.calibration import Calibration, Calibrators
from tianyu.pipelines.context import StepContext
from tianyu.pipelines.errors import PermanentError
from tianyu.pipelines.frame_rows import FrameRow, load_frame_rows
from tianyu.pipelines.frames import raw_frames
from tianyu.pipelines.kernels import compiled_kernels
from tianyu.pipelines.lists import as_images
from tianyu.pipelines.measuring import FrameBuffers, remeasure_frame
from tianyu.pipelines.products import Products
from tianyu.pipelines.reading import read_ahead
from tianyu.pipelines.reference import load_reference
from tianyu.pipelines.saving import save_image
from tianyu.pipelines.science.arrays import FloatArray
from tianyu.pipelines.science.fixedpattern import (
    FEWEST_LOOKS,
    PATTERN_SIGMA,
    PatternFrames,
    PatternMethod,
    frames_that_fit,
)
from tianyu.pipelines.science.footprints import Footprints
from tianyu.pipelines.science.sparse import FewPixels
from tianyu.pipelines.sky_meshes import load_sky_meshes
from tianyu.pipelines.step import StepParameters, step
from tianyu.schema.tables import Reduction, Source, SourcePosition

logger = logging.getLogger(__name__)

MAX_FRAMES = 20
"""They are read once more: 4 % of a night of 500 frames. On HAT-P-32 20, 24 and 30 tie (scatter
0.405, 0.407 and 0.405 %; faint third 2.11, 2.13 and 2.13 %); 16 and 12 are worse: 0.430, 0.451."""


class FixedPatternParameters(StepParameters):
    """Parameters of the pattern."""

    calibration: Calibration = Calibration()
    max_frames: int = Field(
        MAX_FRAMES, ge=0, le=100, description="frames to measure it in, at most; 0: no correction"
    )
    threshold_sigma: float = Field(PATTERN_SIGMA, gt=0)


@step(
    "fixed_pattern",
    parameters=FixedPatternParameters,
    reads=("light", "frame_verdict", "sky_mesh", "source_position"),
    writes=("fixed_pattern",),
)
def fixed_pattern(parameters: FixedPatternParameters, context: StepContext) -> Products:
    """Measure what single pixels hold in excess of the sky, in frames spaced over the night."""
    products = Products()
    chosen = choose_frames(load_frame_rows(context), parameters.max_frames)
    if len(chosen) < FEWEST_LOOKS:
        return products
    sample = _sample_frames(context, parameters, chosen)
    pattern = sample.pattern(parameters.threshold_sigma)
    header = {
        "n_frames": pattern.n_frames,
        "frames": [frame.image_id for frame in chosen],
        "sigma_adu": pattern.sigma,
        "fraction_corrected": pattern.fraction_corrected,
        "is_list": True,
    }
    # One pixel in a hundred is corrected, and every child of a consumer reads the pattern.
    corrected = FewPixels.of(pattern.correction, pattern.correction)
    arrays = as_images("PATTERN", corrected)
    shape = pattern.correction.shape
    save_image(context, products, "fixed_pattern", arrays, header=header, shape=shape)
    return products


def choose_frames(frames: list[FrameRow], max_frames: int) -> list[FrameRow]:
    """Choose good frames of one size and the commonest exposure, spaced over the night.

    Parameters
    ----------
    frames : list of FrameRow
        In the order of time.
    max_frames : int

    Returns
    -------
    list of FrameRow
    """
    good = [f for f in frames if f.is_good and f.transform is not None and f.fwhm_pix is not None]
    if not good or not max_frames:
        return []
    # Measured exposures of one nominal time differ in their later digits.
    kinds = [(frame.shape, f"{frame.exposure_s or 0.0:.2g}") for frame in good]
    commonest = max(set(kinds), key=lambda kind: (kinds.count(kind), kind))
    alike = [frame for frame, kind in zip(good, kinds, strict=True) if kind == commonest]
    max_frames = min(max_frames, frames_that_fit(alike[0].shape))
    places = np.unique(np.linspace(0, len(alike) - 1, min(max_frames, len(alike))).round())
    return [alike[int(place)] for place in places]


def _sample_frames(
    context: StepContext, parameters: FixedPatternParameters, frames: list[FrameRow]
) -> PatternFrames:
    ids = [frame.image_id for frame in frames]
    files = {file.image_id: file for file in raw_frames(context, ids)}
    meshes = load_sky_meshes(context, ids)
    x, y, peak = _stars(context)
    calibrators = Calibrators(
        context, parameters.calibration, load_reference(context).saturation_adu
    )
    sample = PatternFrames(len(frames), frames[0].shape, pattern_method())
    buffers = FrameBuffers()
    arrivals = read_ahead(context, [files[frame.image_id] for frame in frames])
    for done, (frame, arrival) in enumerate(zip(frames, arrivals, strict=True)):
        context.progress(done, len(frames))
        file, sky = arrival.file, meshes[frame.image_id]
        try:
            raw = arrival.raw()
        except PermanentError as error:
            # The others tell the pattern as well; the pass that measures it names the loss.
            logger.warning("%s is left out of the fixed pattern: %s", frame.name, error)
            continue
        calibrator = calibrators.for_exposure(file.exposure_s)
        image = remeasure_frame(raw, calibrator, sky, buffers=buffers)
        if frame.transform is None or frame.fwhm_pix is None:
            continue
        on_x, on_y = frame.transform.apply(x, y)
        stars = Footprints.of_stars(on_x, on_y, peak, fwhm_pix=frame.fwhm_pix, sky_rms=sky.rms)
        sample.add(image.pixels, image.mask, stars, sky.rms)
    return sample


def pattern_method() -> PatternMethod | None:
    """Return the compiled functions; None where the settings want the plain ones."""
    if not compiled_kernels():
        return None
    from tianyu.pipelines.science.kernels.pattern import (  # noqa: PLC0415 - slow to import
        correct,
        keep,
    )

    return PatternMethod(keep, correct)


def _stars(context: StepContext) -> tuple[FloatArray, FloatArray, FloatArray]:
    query = (
        select(SourcePosition.x, SourcePosition.y, SourcePosition.peak)
        .join(Reduction, Reduction.template_image_id == SourcePosition.template_image_id)
        .join(Source, Source.id == SourcePosition.source_id)
        # A given position is no star, and must not change what others are corrected by.
        .where(Reduction.run_id == context.run_id, Source.is_forced.is_(False))
    )
    with context.database.read() as connection:
        rows = connection.execute(query).all()
    columns = np.array([(r.x, r.y, np.nan if r.peak is None else r.peak) for r in rows])
    x, y, peak = columns.reshape(-1, 3).T
    return x, y, peak
