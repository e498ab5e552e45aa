"""The final verdict on every frame of a night."""

import numpy as np
from pydantic import Field
from sqlalchemy import select

from tianyu.pipelines.context import StepContext
from tianyu.pipelines.errors import MissingInputError
from tianyu.pipelines.products import Products
from tianyu.pipelines.science.selection import (
    MIN_TRANSPARENCY,
    SKY_RMS_SIGMA,
    STAR_COUNT_SIGMA,
    FrameMetrics,
    select_frames,
)
from tianyu.pipelines.step import StepParameters, step
from tianyu.schema.tables import Frame, FrameVerdict


class SelectFrames(StepParameters):
    """Parameters of the selection."""

    star_count_sigma: float = Field(STAR_COUNT_SIGMA, gt=0)
    sky_rms_sigma: float = Field(SKY_RMS_SIGMA, gt=0)
    min_transparency: float = Field(MIN_TRANSPARENCY, ge=0)


@step("select_frames", parameters=SelectFrames, reads=("frame",), writes=("frame_verdict",))
def select_good_frames(parameters: SelectFrames, context: StepContext) -> Products:
    """Judge every frame by its stars, its sky and its transparency."""
    query = (
        select(
            Frame.image_id,
            Frame.n_stars,
            Frame.sky_rms,
            Frame.transparency,
            Frame.is_aligned,
            Frame.problem,
        )
        .where(Frame.run_id == context.run_id)
        .order_by(Frame.image_id)
    )
    with context.database.read() as connection:
        rows = connection.execute(query).all()
    if not rows:
        raise MissingInputError(f"run {context.run_id} has no measured frames to judge")
    metrics = FrameMetrics(
        n_stars=np.array([_number(r.n_stars) for r in rows]),
        sky_rms=np.array([_number(r.sky_rms) for r in rows]),
        transparency=np.array([_number(r.transparency) for r in rows]),
        aligned=np.array([bool(r.is_aligned) for r in rows]),
    )
    verdicts = select_frames(
        metrics,
        star_count_sigma=parameters.star_count_sigma,
        sky_rms_sigma=parameters.sky_rms_sigma,
        min_transparency=parameters.min_transparency,
    )
    products = Products()
    products.rows(
        FrameVerdict,
        {
            "run_id": [context.run_id] * len(rows),
            "image_id": [r.image_id for r in rows],
            "is_good": [v.is_good for v in verdicts],
            "reject_bits": [int(v.reasons) for v in verdicts],
            # What pass 1 noted says why in the frame's own numbers.
            "reason": [r.problem or v.text for r, v in zip(rows, verdicts, strict=True)],
        },
    )
    return products


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)
