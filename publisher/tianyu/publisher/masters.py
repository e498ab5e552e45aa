"""Which master frames belong to an observation."""

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from sqlalchemy import Connection, Row, Select, select

from tianyu.schema.states import State
from tianyu.schema.tables import Image, Observation, Process, Reduction

_MasterSelect: TypeAlias = Select[int, str, float | None, datetime | None, str]
_MasterRow: TypeAlias = Row[int, str, float | None, datetime | None, str]

_HOPELESS = (State.CANCELLED.value, State.FAILED.value)


@dataclass(frozen=True)
class FrameProperties:
    """What calibration frames must share with the frames they calibrate."""

    instrument_id: int
    filter_id: int | None
    width: int
    height: int
    binning: int
    exposure_s: float | None
    jd: float


@dataclass(frozen=True)
class MatchedMasters:
    """Processes that make the masters, and in words what was taken and what is missing."""

    bias: int | None
    dark: int | None
    flat: int | None
    notes: tuple[str, ...]


def match_masters(
    connection: Connection, frames: FrameProperties, *, wanted: tuple[str, ...]
) -> MatchedMasters:
    """Find the best published masters: same camera window and binning, nearest in time.

    Parameters
    ----------
    connection : Connection
    frames : FrameProperties
        Of the frames to be calibrated.
    wanted : tuple of str
        Of ``bias``, ``dark`` and ``flat``; a flat needs no flat, a dark no dark.
    """
    found: dict[str, int | None] = {"bias": None, "dark": None, "flat": None}
    notes = []
    for kind in wanted:
        rows = connection.execute(_query(kind, frames)).all()
        if not rows:
            notes.append(f"no {_describe(kind, frames)} found: {kind} correction is skipped")
            continue
        best = min(rows, key=lambda row: _distance(row, frames, kind))
        found[kind] = int(best.pid)
        notes.append(f"{kind} of observation {best.name!r}")
    return MatchedMasters(found["bias"], found["dark"], found["flat"], tuple(notes))


def _query(
    kind: str, frames: FrameProperties
) -> Select[int, str, float | None, datetime | None, str]:
    query = (
        select(
            Process.id.label("pid"),
            Observation.name,
            Image.exposure_s,
            Image.utc_start,
            Process.state,
        )
        .select_from(Observation)
        .join(Reduction, Reduction.observation_id == Observation.id)
        .join(Process, Process.run_id == Reduction.run_id)
        .join(Image, Image.observation_id == Observation.id)
        .where(
            Observation.kind == kind,
            Observation.instrument_id == frames.instrument_id,
            Process.command == f"master_{kind}",
            Process.state.not_in(_HOPELESS),
            Image.width == frames.width,
            Image.height == frames.height,
            Image.binning == frames.binning,
        )
        .order_by(Process.id, Image.id)
    )
    if kind == "flat":
        query = query.where(Observation.filter_id == frames.filter_id)
    return query


def _distance(row: _MasterRow, frames: FrameProperties, kind: str) -> tuple[float, float, int]:
    """Rank masters: the exposure of a dark first, then nearness in time, then the newest run."""
    exposure = 0.0
    if kind == "dark" and frames.exposure_s and row.exposure_s:
        exposure = abs(row.exposure_s - frames.exposure_s) / frames.exposure_s
    days = abs(julian_date(row.utc_start) - frames.jd) if row.utc_start is not None else 1e6
    return exposure, days, -int(row.pid)


def julian_date(utc: datetime) -> float:
    """Return a Julian date good enough to rank nights (days)."""
    return utc.toordinal() + 1721424.5 + (utc.hour + utc.minute / 60.0) / 24.0


def _describe(kind: str, frames: FrameProperties) -> str:
    size = f"{frames.width}×{frames.height} pixels, binning {frames.binning}"
    return f"{kind} of {size}" + (" in this filter" if kind == "flat" else "")
