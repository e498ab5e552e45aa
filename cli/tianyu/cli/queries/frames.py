"""What a run measured in each raw frame, and whether it was used."""

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, select

from tianyu.pipelines.science.selection import RejectReason
from tianyu.pipelines.surroundings import HandVerdict
from tianyu.publisher.verdicts import read_overrides
from tianyu.schema.tables import Frame, FrameVerdict, Image

_FRAMES = (
    select(
        Frame.__table__,
        Image.name,
        Image.width,
        Image.height,
        Image.exposure_s,
        FrameVerdict.is_good,
        FrameVerdict.reason,
        FrameVerdict.reject_bits,
    )
    .join(Image, Image.id == Frame.image_id)
    .outerjoin(
        FrameVerdict,
        (FrameVerdict.run_id == Frame.run_id) & (FrameVerdict.image_id == Frame.image_id),
    )
    .where(Frame.run_id == bindparam("run"))
    .order_by(Frame.jd_utc_mid, Frame.image_id)
)


@dataclass(frozen=True)
class FrameRecord:
    """One frame of a night.

    Attributes
    ----------
    shift_x_pix, shift_y_pix : float or None
        How far the reference frame's centre is displaced in this frame.
    rotation_deg : float or None
        From the reference frame's x axis to this frame's, in (−180, 180].
    is_good : bool or None
        None before the frames of the night have been judged.
    failed_tests : tuple of str
        Names of RejectReason; empty for a good frame.
    said : str or None
        What a person has said of the frame by now, whether or not this run knows of it.
    """

    image_id: int
    name: str
    utc_mid: datetime | None
    jd_utc_mid: float | None
    bjd_tdb_mid: float | None
    exposure_s: float | None
    sky_adu: float | None
    sky_rms_adu: float | None
    n_stars: int | None
    fwhm_pix: float | None
    elongation: float | None
    shift_x_pix: float | None
    shift_y_pix: float | None
    rotation_deg: float | None
    residual_pix: float | None
    transparency: float | None
    airmass: float | None
    hjd_utc_mid: float | None
    moon_distance_deg: float | None
    moon_altitude_deg: float | None
    moon_illumination: float | None
    time_note: str | None
    is_good: bool | None
    reason: str | None
    failed_tests: tuple[str, ...]
    said: str | None

    @property
    def is_by_hand(self) -> bool:
        """Whether the run's verdict is a person's."""
        return self.said is not None and self.said in (self.reason or "")


def read_frames(connection: Connection, run: int) -> list[FrameRecord]:
    """Return the frames that a run has measured, in the order of time."""
    rows = connection.execute(_FRAMES, {"run": run}).all()
    overrides = read_overrides(connection, [row.image_id for row in rows])
    said = {o.image_id: HandVerdict(**o.parameters).text for o in overrides}
    return [_record(row, said.get(row.image_id)) for row in rows]


def _record(row: Row[Any], said: str | None) -> FrameRecord:
    shift_x, shift_y, rotation = _displacement(row) if row.is_aligned else (None, None, None)
    return FrameRecord(
        image_id=row.image_id,
        name=row.name,
        utc_mid=row.utc_mid,
        jd_utc_mid=row.jd_utc_mid,
        bjd_tdb_mid=row.bjd_tdb_mid,
        exposure_s=row.exposure_s,
        sky_adu=row.sky_level,
        sky_rms_adu=row.sky_rms,
        n_stars=row.n_stars,
        fwhm_pix=row.fwhm_pix,
        elongation=row.elongation,
        shift_x_pix=shift_x,
        shift_y_pix=shift_y,
        rotation_deg=rotation,
        residual_pix=row.residual_pix,
        transparency=row.transparency,
        airmass=row.airmass,
        hjd_utc_mid=row.hjd_utc_mid,
        moon_distance_deg=row.moon_distance_deg,
        moon_altitude_deg=row.moon_altitude_deg,
        moon_illumination=row.moon_illumination,
        time_note=row.time_note,
        is_good=None if row.is_good is None else bool(row.is_good),
        # A frame without a verdict may already have a problem.
        reason=row.reason or row.problem or None,
        failed_tests=tuple(
            test.name.lower() for test in RejectReason(row.reject_bits or 0) if test.name
        ),
        said=said,
    )


def _displacement(row: Row[Any]) -> tuple[float, float, float]:
    """Return shift of the centre and rotation; the shift of the corner would contain it."""
    x, y = (row.width - 1) / 2.0, (row.height - 1) / 2.0
    return (
        row.a * x + row.b * y + row.tx - x,
        row.c * x + row.d * y + row.ty - y,
        math.degrees(math.atan2(row.c, row.a)),
    )
