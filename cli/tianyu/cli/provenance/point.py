"""Which point of a light curve is meant: a source, a frame, a run and an aperture."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from tianyu.cli.queries.runs import read_run
from tianyu.cli.queries.source_search import FoundSource, find_by_id, find_by_target
from tianyu.cli.retention.packing import refuse_packed
from tianyu.publisher.naming import plain_stem
from tianyu.schema.errors import NotFoundError
from tianyu.schema.tables import (
    Flux,
    Frame,
    Image,
    Observation,
    Reduction,
    Source,
    SourcePhotometry,
    Target,
)

DAY_S = 86400.0
LEAST_REACH_S = 60.0
"""A time names a frame when it is within its exposure of mid-exposure, or within this."""

_JD_RANGE = (2.0e6, 3.0e6)
"""Numbers in it are Julian dates; frames are not that many."""


@dataclass(frozen=True)
class PointKey:
    """One row of the table of fluxes."""

    run: int
    source: int
    image: int
    aperture: int


def find_point(
    connection: Connection,
    source: str,
    frame: str,
    *,
    run: int | None = None,
    radius_pix: float | None = None,
) -> PointKey:
    """Find the point that a person means.

    Parameters
    ----------
    connection : Connection
    source : str
        Name of a target, or number of a source.
    frame : str
        File name, number of the image, BJD_TDB (JD_UTC where that is not known) or a time in
        UTC.
    run : int, optional
        By default the current run of the observation.
    radius_pix : float, optional
        The aperture nearest to it; by default the one chosen for the source.

    Raises
    ------
    NotFoundError
        If there is no such source, frame or point; the text says what there is.
    """
    found = _find_source(connection, source)
    if run is not None:
        read_run(connection, run)
    frames = _frames(connection, found, run)
    if not frames:
        where = "no current run" if run is None else f"run {run}"
        raise NotFoundError(
            f"{where} has frames of the field of {found.how}; `tianyu run list` shows the runs"
        )
    meant = _match(frames, frame)
    for row in meant:
        for source_id in found.source_ids:
            apertures = _apertures(connection, row.run_id, source_id, row.image_id)
            if apertures:
                aperture = _choose(connection, apertures, row.run_id, source_id, radius_pix)
                return PointKey(row.run_id, source_id, row.image_id, aperture)
    refuse_packed(connection, meant[0].run_id)
    raise NotFoundError(_unmeasured(found, meant[0]))


def _find_source(connection: Connection, text: str) -> FoundSource:
    name = connection.scalar(select(Target.id).where(Target.name == text))
    if name is None and text.isdigit():
        return find_by_id(connection, int(text))
    return find_by_target(connection, text)


def _frames(connection: Connection, found: FoundSource, run: int | None) -> list[Row[Any]]:
    """Return the frames in which the sources may have been measured, in the order of time."""
    fields = select(Source.sky_id).where(Source.id.in_(found.source_ids))
    query = (
        select(
            Frame.run_id,
            Frame.image_id,
            Image.name,
            Image.exposure_s,
            Frame.utc_mid,
            Frame.jd_utc_mid,
            Frame.bjd_tdb_mid,
            Frame.problem,
        )
        .join(Image, Image.id == Frame.image_id)
        .join(Reduction, Reduction.run_id == Frame.run_id)
        .join(Observation, Observation.id == Reduction.observation_id)
        .where(Observation.sky_id.in_(fields))
        .order_by(Frame.jd_utc_mid, Frame.image_id)
    )
    wanted = Observation.current_run_id == Frame.run_id if run is None else Frame.run_id == run
    return list(connection.execute(query.where(wanted)))


def _match(frames: Sequence[Row[Any]], text: str) -> list[Row[Any]]:
    """Return the frames that a text may mean: one, or one per run."""
    named = [f for f in frames if f.name.lower() == text.lower()]
    named = named or [f for f in frames if plain_stem(f.name) == plain_stem(text)]
    if named:
        return named
    if text.isdigit():
        numbered = [f for f in frames if f.image_id == int(text)]
        if numbered:
            return numbered
    nearest = _nearest_in_time(frames, text)
    if nearest is not None:
        return [nearest]
    raise NotFoundError(
        f"there is no frame {text!r} among {len(frames)} of the field, {frames[0].name} to "
        f"{frames[-1].name}; give a file name, the number of an image, a BJD or a time in UTC"
    )


def _nearest_in_time(frames: Sequence[Row[Any]], text: str) -> Row[Any] | None:
    """Return the frame at a time; None if the text is none."""
    distances = _distances_s(frames, text)
    if not distances:
        return None
    distance, index = min(distances)
    nearest = frames[index]
    if distance > max(nearest.exposure_s or 0.0, LEAST_REACH_S):
        raise NotFoundError(
            f"no frame at {text}: the nearest, {nearest.name}, is {distance:.0f} s away, mid "
            f"{nearest.utc_mid} UTC"
        )
    return nearest


def _distances_s(frames: Sequence[Row[Any]], text: str) -> list[tuple[float, int]]:
    if re.fullmatch(r"\d+(\.\d+)?", text) and _JD_RANGE[0] < float(text) < _JD_RANGE[1]:
        times = [(f.jd_utc_mid if f.bjd_tdb_mid is None else f.bjd_tdb_mid) for f in frames]
        jd = float(text)
        return [(abs(t - jd) * DAY_S, i) for i, t in enumerate(times) if t is not None]
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return []
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    return [
        (abs((f.utc_mid - moment).total_seconds()), i)
        for i, f in enumerate(frames)
        if f.utc_mid is not None
    ]


def _apertures(connection: Connection, run: int, source: int, image: int) -> dict[int, float]:
    query = select(Flux.aperture, Flux.radius_pix).where(
        Flux.run_id == run, Flux.source_id == source, Flux.image_id == image
    )
    return {row.aperture: row.radius_pix for row in connection.execute(query)}


def _choose(
    connection: Connection,
    apertures: dict[int, float],
    run: int,
    source: int,
    radius_pix: float | None,
) -> int:
    if radius_pix is not None:
        return min(apertures, key=lambda a: abs(apertures[a] - radius_pix))
    default = connection.scalar(
        select(SourcePhotometry.default_aperture).where(
            SourcePhotometry.run_id == run, SourcePhotometry.source_id == source
        )
    )
    # Without relative photometry none was chosen: the middle one, as for choosing references.
    return sorted(apertures)[len(apertures) // 2] if default is None else int(default)


def _unmeasured(found: FoundSource, frame: Row[Any]) -> str:
    text = f"{found.how} was not measured in {frame.name} by run {frame.run_id}"
    if frame.problem:
        return f"{text}: {frame.problem}"
    return f"{text}; `tianyu status {frame.run_id}` says how the run stands"
