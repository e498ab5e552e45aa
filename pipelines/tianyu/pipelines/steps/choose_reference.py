"""The frame that all others are aligned to, the canvas of the stacks, and provisional limits."""

from dataclasses import asdict

import numpy as np
from pydantic import Field

from tianyu.pipelines.calibration import Calibration, load_calibrator
from tianyu.pipelines.context import StepContext
from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.frames import FrameFile, raw_frames, read_frame
from tianyu.pipelines.measuring import MeasuredFrame, measure_frame, stars_of
from tianyu.pipelines.products import Products
from tianyu.pipelines.science.align import align
from tianyu.pipelines.science.alignment import Alignment
from tianyu.pipelines.science.arrays import AnyArray
from tianyu.pipelines.science.reference import (
    ProvisionalLimits,
    choose_reference,
    drift_bounds,
    spaced,
)
from tianyu.pipelines.science.saturation import find_ceiling
from tianyu.pipelines.science.selection import FrameMetrics
from tianyu.pipelines.science.starlist import StarList
from tianyu.pipelines.step import StepParameters, step
from tianyu.schema.tables import ReferenceFrame


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
    looked_at = [frames[i] for i in spaced(len(frames), parameters.candidates)]
    usable, raws = _readable(context, looked_at)
    saturation = parameters.saturation_adu or find_ceiling(raws)
    measured, stars, kept = _measure(context, parameters, usable, raws, saturation)
    best = choose_reference(stars)
    reference = kept[best]
    alignments = _align_all(stars, best, reference.shape, kept)
    good = [a for a in alignments if a is not None]
    x0, y0, width, height = drift_bounds([a.upright for a in good], reference.shape)
    limits = ProvisionalLimits.from_metrics(_metrics(measured, stars, alignments))
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


def _readable(
    context: StepContext, frames: list[FrameFile]
) -> tuple[list[FrameFile], list[AnyArray]]:
    usable, raws, problems = [], [], []
    for done, frame in enumerate(frames):
        context.progress(done, 2 * len(frames))
        try:
            raws.append(read_frame(context, frame))
            usable.append(frame)
        except UnusableDataError as error:
            problems.append(str(error))
    if not usable:
        raise UnusableDataError(f"none of {len(frames)} spaced frames can be read: {problems[0]}")
    return usable, raws


def _measure(
    context: StepContext,
    parameters: ChooseReference,
    frames: list[FrameFile],
    raws: list[AnyArray],
    saturation: float | None,
) -> tuple[list[MeasuredFrame], list[StarList], list[FrameFile]]:
    measured, stars, kept, problems = [], [], [], []
    for done, (frame, raw) in enumerate(zip(frames, raws, strict=True)):
        context.progress(len(frames) + done, 2 * len(frames))
        try:
            calibrator = load_calibrator(
                context,
                parameters.calibration,
                exposure_s=frame.exposure_s,
                saturation_adu=saturation,
            )
            image = measure_frame(raw, calibrator, sky_box_pix=parameters.sky_box_pix)
            stars.append(stars_of(image))
            measured.append(image)
            kept.append(frame)
        except UnusableDataError as error:
            problems.append(f"{frame.name}: {error}")
    if not kept:
        raise UnusableDataError(f"none of {len(frames)} spaced frames is usable: {problems[0]}")
    return measured, stars, kept


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
    measured: list[MeasuredFrame], stars: list[StarList], alignments: list[Alignment | None]
) -> FrameMetrics:
    nan = float("nan")
    return FrameMetrics(
        n_stars=np.array([float(s.n_detected) for s in stars]),
        sky_rms=np.array([m.sky.rms for m in measured]),
        transparency=np.array([a.transparency if a else nan for a in alignments]),
        aligned=np.array([a is not None for a in alignments]),
    )


def _finite(limits: dict[str, float]) -> dict[str, float | None]:
    """JSON knows no infinity: None stands for no limit."""
    return {name: value if np.isfinite(value) else None for name, value in limits.items()}
