"""Rows of ``frame`` with their verdicts, as later steps read them back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, select

from tianyu.pipelines.context import StepContext
from tianyu.pipelines.science.transform import AffineTransform
from tianyu.schema.tables import Frame, FrameVerdict, Image


@dataclass(frozen=True)
class FrameRow:
    """One frame of a run after pass 1 and, where it has been judged, the selection."""

    image_id: int
    name: str
    width: int
    height: int
    exposure_s: float | None
    transform: AffineTransform | None
    is_stacked: bool
    is_good: bool
    fwhm_pix: float | None
    sky_rms: float | None
    transparency: float | None
    jd_utc_mid: float | None
    airmass: float | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Shape ``(ny, nx)`` of the frame."""
        return self.height, self.width


_OF_FRAME = [
    Frame.__table__.c[name]
    for name in (
        "image_id", "is_aligned", "is_stacked", "a", "b", "c", "d", "tx", "ty", "fwhm_pix",
        "sky_rms", "transparency", "jd_utc_mid", "airmass",
    )
]  # fmt: skip
"""What is read of many frames: the table has three times as many columns."""


def load_frame_rows(
    context: StepContext,
    *,
    aligned_by: Sequence[int] | None = None,
    image_ids: Sequence[int] | None = None,
) -> list[FrameRow]:
    """Return frames of the run in the order of time, ties by id.

    Parameters
    ----------
    context : StepContext
    aligned_by : sequence of int, optional
        Only frames that these processes aligned.
    image_ids : sequence of int, optional
        Only these frames.
    """
    query = (
        select(*_OF_FRAME, FrameVerdict.is_good)
        .add_columns(Image.name, Image.width, Image.height, Image.exposure_s)
        .join(Image, Image.id == Frame.image_id)
        .outerjoin(
            FrameVerdict,
            (FrameVerdict.run_id == Frame.run_id) & (FrameVerdict.image_id == Frame.image_id),
        )
        .where(Frame.run_id == context.run_id)
        .order_by(Frame.jd_utc_mid, Frame.image_id)
    )
    if aligned_by is not None:
        query = query.where(Frame.aligned_by.in_(aligned_by))
    if image_ids is not None:
        query = query.where(Frame.image_id.in_(image_ids))
    with context.database.read() as connection:
        return [_row(row) for row in connection.execute(query)]


def _row(row: Row[Any]) -> FrameRow:
    transform = (
        AffineTransform(row.a, row.b, row.c, row.d, row.tx, row.ty) if row.is_aligned else None
    )
    return FrameRow(
        image_id=row.image_id,
        name=row.name,
        width=row.width,
        height=row.height,
        exposure_s=row.exposure_s,
        transform=transform,
        is_stacked=bool(row.is_stacked),
        is_good=bool(row.is_good),
        fwhm_pix=row.fwhm_pix,
        sky_rms=row.sky_rms,
        transparency=row.transparency,
        jd_utc_mid=row.jd_utc_mid,
        airmass=row.airmass,
    )
