"""The frame that all others are aligned to, the canvas of the stacks, and provisional limits."""

import logging
from dataclasses import asdict

import numpy as np
from pydantic import Field

from tianyu.pipelines.calibration import Calibration, Calibrators
from tianyu.pipelines.context import StepContext
from tianyu.pipelines.errors import PermanentError, UnusableDataError
from tianyu.pipelines.frames import FrameFacts, FrameFile, raw_frames, read_raw
from tianyu.pipelines.measuring import FrameBuffers, measure_frame, refuse_blank_frame, stars_of
from tianyu.pipelines.products import Products
from tianyu.pipelines.science.align import align
from tianyu.pipelines.science.alignment import Alignment
from tianyu.pipelines.science.pairs import MIN_STARS
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

SHOWN_PROBLEMS = 3
"""Frames named in the error when none is usable."""

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
    chosen = spaced(len(frames), parameters.candidates)
    spaced_frames = [frames[i] for i in chosen]
    # Should all of those be bad, the night need not be.
    others = [frame for i, frame in enumerate(frames) if i not in set(chosen)]
    saturation = parameters.saturation_adu or _ceiling(context, spaced_frames)
    calibrators = Calibrators(context, parameters.calibration, saturation)
    box_pix = parameters.sky_box_pix
    kept, stars, sky_rms = _measure(context, spaced_frames, others, calibrators, box_pix)
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
            highest = highest.including(read_raw(context, frame).pixels)
        except PermanentError as error:
            logger.info("no ceiling from %s: %s", frame.name, error)
    return highest.ceiling


def _measure(
    context: StepContext,
    frames: list[FrameFile],
    others: list[FrameFile],
    calibrators: Calibrators,
    sky_box_pix: int,
) -> tuple[list[FrameFile], list[StarList], list[float]]:
    """Find the stars and the sky noise of the usable frames; of the others until one is usable."""
    kept: list[FrameFile] = []
    stars: list[StarList] = []
    sky_rms: list[float] = []
    problems: list[str] = []
    buffers = FrameBuffers()
    for done, frame in enumerate([*frames, *others]):
        if done >= len(frames) and any(s.count >= MIN_STARS for s in stars):
            break
        context.progress(done, len(frames) + len(others))
        try:
            calibrator = calibrators.for_exposure(frame.exposure_s)
            raw = read_raw(context, frame)
            refuse_blank_frame(raw, frame.name)
            image = measure_frame(raw, calibrator, sky_box_pix=sky_box_pix, buffers=buffers)
            stars.append(stars_of(image))
            sky_rms.append(image.sky.rms)
            kept.append(frame)
        except PermanentError as error:
            text = str(error)
            problems.append(text if frame.name in text else f"{frame.name}: {text}")
    if not kept:
        shown = "; ".join(problems[:SHOWN_PROBLEMS])
        more = len(problems) - SHOWN_PROBLEMS
        raise UnusableDataError(
            f"none of the {len(problems)} frames is usable: {shown}"
            + (f"; and {more} more" if more > 0 else "")
        )
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


def exposure_ratio(frame: FrameFile, reference: FrameFile | FrameFacts) -> float:
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
