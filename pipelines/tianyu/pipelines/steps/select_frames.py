"""The final verdict on every frame of a night."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import Field
from sqlalchemy import select

from tianyu.pipelines.context import StepContext
from tianyu.pipelines.errors import MissingInputError, UnusableDataError
from tianyu.pipelines.products import Products
from tianyu.pipelines.science.arrays import FloatArray
from tianyu.pipelines.science.selection import (
    MIN_TRANSPARENCY,
    SKY_RMS_SIGMA,
    STAR_COUNT_SIGMA,
    FrameMetrics,
    Verdict,
    overrule,
    select_frames,
)
from tianyu.pipelines.step import StepParameters, step
from tianyu.pipelines.surroundings import HandVerdict
from tianyu.schema.tables import Frame, FrameVerdict

CLEAR_QUANTILE = 0.9
"""Of the transparencies of a night: its clear frames, whatever one odd frame shows."""


class SelectFrames(StepParameters):
    """Parameters of the selection."""

    star_count_sigma: float = Field(STAR_COUNT_SIGMA, gt=0)
    sky_rms_sigma: float = Field(SKY_RMS_SIGMA, gt=0)
    min_transparency: float = Field(MIN_TRANSPARENCY, ge=0)
    by_hand: tuple[HandVerdict, ...] = Field((), description="verdicts of people, which count more")
    reference_is_of_another_night: bool = Field(
        False, description="transparency then counts from the clear frames of this night"
    )


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
    verdicts = judge(parameters, rows)
    if parameters.reference_is_of_another_night and not any(v.is_good for v in verdicts):
        # With a template of its own the night fails at its stack, for the same reason.
        raise UnusableDataError(
            f"none of the {len(rows)} frames is good when compared with the template of another "
            f"night ({verdicts[0].text}); `tianyu publish OBSERVATION --recipe light_curves` makes "
            "a template of this night"
        )
    products = Products()
    products.rows(
        FrameVerdict,
        {
            "run_id": [context.run_id] * len(rows),
            "image_id": [r.image_id for r in rows],
            "is_good": [v.is_good for v in verdicts],
            "reject_bits": [int(v.reasons) for v in verdicts],
            "reason": [v.text for v in verdicts],
        },
    )
    return products


def judge(parameters: SelectFrames, rows: Sequence[Any]) -> list[Verdict]:
    """Judge frames by their measurements, and by what people said.

    Parameters
    ----------
    parameters : SelectFrames
    rows : sequence
        With the attributes ``image_id``, ``n_stars``, ``sky_rms``, ``transparency``,
        ``is_aligned`` and ``problem`` of the table ``frame``.

    Returns
    -------
    list of Verdict
        One per row.
    """
    metrics = FrameMetrics(
        n_stars=np.array([_number(r.n_stars) for r in rows]),
        sky_rms=np.array([_number(r.sky_rms) for r in rows]),
        transparency=np.array([_number(r.transparency) for r in rows]),
        aligned=np.array([bool(r.is_aligned) for r in rows]),
    )
    clear = 1.0
    if parameters.reference_is_of_another_night:
        clear = clear_transparency(metrics.transparency)
    verdicts = select_frames(
        metrics,
        star_count_sigma=parameters.star_count_sigma,
        sky_rms_sigma=parameters.sky_rms_sigma,
        min_transparency=parameters.min_transparency * clear,
    )
    said = {word.image_id: word for word in parameters.by_hand}
    return [_final(row, verdict, said) for row, verdict in zip(rows, verdicts, strict=True)]


def clear_transparency(transparency: FloatArray) -> float:
    """Return the transparency of the clear frames of a night; 1 where none is known.

    Parameters
    ----------
    transparency : ndarray, shape (n,)
        Relative to any frame, of this night or another; NaN is not known.

    Examples
    --------
    >>> round(clear_transparency(np.array([0.1, 0.7, 0.7, 0.7, 0.7, 0.7, np.nan])), 3)
    0.7
    """
    known = transparency[np.isfinite(transparency)]
    return float(np.quantile(known, CLEAR_QUANTILE)) if known.size else 1.0


def _final(row: Any, verdict: Verdict, said: Mapping[int, HandVerdict]) -> Verdict:
    # What pass 1 noted says why in the frame's own numbers.
    judged = Verdict(verdict.reasons, row.problem or verdict.text)
    word = said.get(row.image_id)
    if word is None:
        return judged
    return overrule(judged, is_good=word.is_good, why=word.text, is_aligned=bool(row.is_aligned))


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)
