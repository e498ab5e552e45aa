"""The frame that all others are aligned to, the canvas of the stacks, and provisional limits."""

import logging
from dataclasses import asdict

import numpy as np
from pydantic import Field

from tianyu.pipelines.calibration import Calibration, Calibrators
from tianyu.pipelines.context import StepContext
from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.frames import FrameFile, raw_frames, read_frame
from tianyu.pipelines.measuring import measure_frame, stars_of
from tianyu.pipelines.products import Products
from tianyu.pipelines.science.align import align
from tianyu.pipelines.science.alignment import Alignment
from tianyu.pipelines.science.reference import (
    ProvisionalLimits,
    choose_reference,
    drift_bounds,
    spaced,
)
from tianyu.pipelines.science.saturation import HighestCounts
from tianyu.pipelines.science.selection import FrameMetrics
from tianyu.pipelines.science.starlist import StarList
from tianyu.pipelines.step import StepParameters, step
from tianyu.schema.tables import ReferenceFrame

logger = logging.getLogger(__name__)


class ChooseReference(StepParameters):
    """Parameters of the choice of a reference frame."""

    frames: tuple[int, ...] = Field(min_length=1, description="all light frames of the night")
    calibration: Calibration = Calibration()
    saturation_adu: float | None = Field(None, description="raw level; None: found in the data")
    candidates: int = Field(9, ge=1, description="frames looked at, spaced over the night")
    sky_box_pix: int = Field(64, ge=8)


@step(
    "choose_reference",
    parameters=ChooseReference,
    reads=("light",),
    writes=("reference_frame",),
)
def choose_reference_frame(parameters: ChooseReference, context: StepContext) -> Products:
    """Choose the reference frame among frames spaced over the night."""
    frames = raw_frames(context, parameters.frames)
    spaced_frames = [frames[i] for i in spaced(len(frames), parameters.candidates)]
    saturation = parameters.saturation_adu or _ceiling(context, spaced_frames)
    calibrators = Calibrators(context, parameters.calibration, saturation)
    kept, stars, sky_rms = _measure(context, spaced_frames, calibrators, parameters.sky_box_pix)
    best = choose_reference(stars)
    reference = kept[best]
    alignments = _align_all(stars, best, reference.shape, kept)
    good = [a for a in alignments if a is not None]
    x0, y0, width, height = drift_bounds([a.upright for a in good], reference.shape)
    limits = ProvisionalLimits.from_metrics(_metrics(sky_rms, stars, alignments))
    products = Products()
    products.row(
        ReferenceFrame,
        run_id=context.run_id,
        image_id=reference.image_id,
        canvas_x0=x0,
        canvas_y0=y0,
        canvas_width=width,
        canvas_height=height,
        stars=stars[best].to_bytes(),
        limits={"provisional": _finite(asdict(limits)), "saturation_adu": saturation},
    )
    return products


def _ceiling(context: StepContext, frames: list[FrameFile]) -> float | None:
    """Find where the counts of the frames stop, one frame in memory at a time."""
    highest = HighestCounts()
    for frame in frames:
        try:
            highest = highest.including(read_frame(context, frame))
        except UnusableDataError as error:
            logger.info("no ceiling from %s: %s", frame.name, error)
    return highest.ceiling


def _measure(
    context: StepContext, frames: list[FrameFile], calibrators: Calibrators, sky_box_pix: int
) -> tuple[list[FrameFile], list[StarList], list[float]]:
    """Find the stars and the sky noise of the usable frames."""
    kept, stars, sky_rms, problems = [], [], [], []
    for done, frame in enumerate(frames):
        context.progress(done, len(frames))
        try:
            calibrator = calibrators.for_exposure(frame.exposure_s)
            image = measure_frame(read_frame(context, frame), calibrator, sky_box_pix=sky_box_pix)
            stars.append(stars_of(image))
            sky_rms.append(image.sky.rms)
            kept.append(frame)
        except UnusableDataError as error:
            problems.append(f"{frame.name}: {error}")
    if not kept:
        raise UnusableDataError(f"none of {len(frames)} spaced frames is usable: {problems[0]}")
    return kept, stars, sky_rms


def _align_all(
    stars: list[StarList], best: int, shape: tuple[int, int], frames: list[FrameFile]
) -> list[Alignment | None]:
    alignments: list[Alignment | None] = []
    for i, candidate in enumerate(stars):
        try:
            ratio = exposure_ratio(frames[i], frames[best])
            alignments.append(align(stars[best], candidate, shape, exposure_ratio=ratio))
        except UnusableDataError:
            # Counted as not aligned in the metrics below; pass 1 states the reason per frame.
            alignments.append(None)
    return alignments


def exposure_ratio(frame: FrameFile, reference: FrameFile) -> float:
    """Return the exposure of a frame over that of the reference; 1 where unknown."""
    if not frame.exposure_s or not reference.exposure_s:
        return 1.0
    return frame.exposure_s / reference.exposure_s


def _metrics(
    sky_rms: list[float], stars: list[StarList], alignments: list[Alignment | None]
) -> FrameMetrics:
    nan = float("nan")
    return FrameMetrics(
        n_stars=np.array([float(s.n_detected) for s in stars]),
        sky_rms=np.array(sky_rms),
        transparency=np.array([a.transparency if a else nan for a in alignments]),
        aligned=np.array([a is not None for a in alignments]),
    )


def _finite(limits: dict[str, float]) -> dict[str, float | None]:
    """JSON knows no infinity: None stands for no limit."""
    return {name: value if np.isfinite(value) else None for name, value in limits.items()}
