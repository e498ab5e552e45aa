"""Which master frames belong to an observation."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, select

from tianyu.pipelines.fits import FlatKind
from tianyu.schema.states import BAD
from tianyu.schema.tables import (
    Image,
    Instrument,
    Observation,
    OpticalFilter,
    Process,
    Queue,
    Reduction,
)

SAME_EXPOSURE = 0.01
"""Darks within a hundredth of the exposure are equally good: then the nearer night counts."""

SAME_GAIN = 0.01
"""Gains of one camera in one mode differ in the digits that a header was given."""

LEAST_TWILIGHT_FLATS = 3
"""Of fewer the stars are not removed, see :mod:`tianyu.pipelines.science.flats`."""

MAX_NAMED = 3
"""So many masters that do not fit are named in a note, the nearest in time first."""

UNKNOWN_DAYS = 1e6
"""Stands for the distance of frames without a time: farther than any with one."""

_HOPELESS = frozenset(state.value for state in BAD)


@dataclass(frozen=True)
class FrameProperties:
    """What calibration frames must share with the frames they calibrate.

    Attributes
    ----------
    site_id : int
        Where the frames are processed: the masters' files must be there.
    exposure_s : float or None
        Of the darks wanted; others are scaled.
    jd : float or None
        Julian date, days; None is not known.
    gain_e_per_adu, gain_setting : float or None
        As headers state them; None is not known.
    has_overscan : bool
        Whether it is subtracted from each frame.
    """

    instrument_id: int
    site_id: int
    filter_id: int | None
    width: int
    height: int
    binning: int
    exposure_s: float | None
    jd: float | None
    gain_e_per_adu: float | None = None
    gain_setting: float | None = None
    has_overscan: bool = False


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

    Of darks those of the nearest exposure come first. Masters that failed, were cancelled or
    wait for one that did are passed over; of several runs on the same frames the newest counts.

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
        masters = sorted(_masters(connection, kind), key=lambda row: _rank(row, frames, kind))
        misfits = [(row, _misfit(row, frames, kind)) for row in masters]
        best = next((row for row, misfit in misfits if misfit is None), None)
        if best is None:
            notes.append(_missing(kind, [(row, str(misfit)) for row, misfit in misfits]))
        else:
            found[kind] = int(best.pid)
            notes.append(_taken(kind, best, frames))
    return MatchedMasters(found["bias"], found["dark"], found["flat"], tuple(notes))


def julian_date(utc: datetime) -> float:
    """Return a Julian date good enough to rank nights, days.

    Examples
    --------
    >>> julian_date(datetime(2000, 1, 1, 12))
    2451545.0
    """
    return utc.toordinal() + 1721424.5 + (utc.hour + utc.minute / 60.0) / 24.0


# Of all frames of an observation the headers say the same, see grouping.
_gain = Image.header["gain_e_per_adu"].as_float()
_setting = Image.header["gain_setting"].as_float()
_overscan = Image.header["overscan_section"].as_string()
_flat_kind = Image.header["flat_kind"].as_string()


def _masters(connection: Connection, kind: str) -> list[Row[Any]]:
    """Return every published master of a kind, with what is common to its frames."""
    constant = (
        Process.id,
        Process.state,
        Queue.site_id,
        Observation.name,
        Observation.instrument_id,
        Observation.filter_id,
        Instrument.name,
        OpticalFilter.name,
        Image.width,
        Image.height,
        Image.binning,
    )
    query = (
        select(
            Process.id.label("pid"),
            Process.state,
            Queue.site_id,
            Observation.name,
            Observation.instrument_id,
            Observation.filter_id,
            Instrument.name.label("instrument"),
            OpticalFilter.name.label("filter"),
            Image.width,
            Image.height,
            Image.binning,
            func.min(Image.exposure_s).label("exposure_s"),
            func.min(Image.utc_start).label("first"),
            func.max(Image.utc_start).label("last"),
            func.min(_gain).label("gain_e_per_adu"),
            func.min(_setting).label("gain_setting"),
            func.count(_overscan).label("n_with_overscan"),
            func.min(_flat_kind).label("flat_kind"),
            func.count(Image.id).label("n_frames"),
        )
        .select_from(Observation)
        .join(Instrument, Instrument.id == Observation.instrument_id)
        .outerjoin(OpticalFilter, OpticalFilter.id == Observation.filter_id)
        .join(Reduction, Reduction.observation_id == Observation.id)
        .join(Process, Process.run_id == Reduction.run_id)
        .join(Queue, Queue.id == Process.queue_id)
        .join(Image, (Image.observation_id == Observation.id) & Image.birth.is_(None))
        .where(Observation.kind == kind, Process.command == f"master_{kind}")
        .group_by(*constant)
    )
    return list(connection.execute(query))


def _misfit(row: Row[Any], frames: FrameProperties, kind: str) -> str | None:
    """Return why a master cannot be used, None if it can."""
    misfits = (
        (row.instrument_id != frames.instrument_id, f"of another instrument, {row.instrument}"),
        (
            kind == "flat" and row.filter_id != frames.filter_id,
            f"in another filter, {row.filter or 'none'}",
        ),
        (
            (row.width, row.height) != (frames.width, frames.height),
            f"of another size, {row.width}×{row.height} pixels",
        ),
        (row.binning != frames.binning, f"of another binning, {row.binning}"),
        (
            _differ(row.gain_setting, frames.gain_setting),
            f"of another gain, set to {row.gain_setting}",
        ),
        (
            _differ(row.gain_e_per_adu, frames.gain_e_per_adu),
            f"of another gain, {row.gain_e_per_adu} e/ADU",
        ),
        (
            (row.n_with_overscan > 0) != frames.has_overscan,
            "with overscan, which these frames lack"
            if row.n_with_overscan
            else "without overscan, which these frames have",
        ),
        (row.state in _HOPELESS, f"its process {row.pid} is {row.state}"),
        (row.site_id != frames.site_id, "made at another site"),
    )
    return next((reason for does_not_fit, reason in misfits if does_not_fit), None)


def _differ(first: float | None, second: float | None) -> bool:
    """Tell whether two gains are both known and not the same."""
    return first is not None and second is not None and abs(first - second) > SAME_GAIN * second


def _rank(
    row: Row[Any], frames: FrameProperties, kind: str
) -> tuple[float, float, int, float, int]:
    """Rank masters: a dark's exposure first, then nearness in time, then the newest run.

    Of the flats of one night those of the twilight come before those of a dome, since they are
    lit from where the stars are; but not one or two, whose stars cannot be told from the sky.
    """
    exposure = 0.0
    if kind == "dark" and frames.exposure_s and row.exposure_s:
        ratio = abs(row.exposure_s - frames.exposure_s) / frames.exposure_s
        exposure = ratio if ratio > SAME_EXPOSURE else 0.0
    days = UNKNOWN_DAYS
    if row.first is not None and frames.jd is not None:
        days = abs((julian_date(row.first) + julian_date(row.last)) / 2.0 - frames.jd)
    if kind != "flat":
        return exposure, days, 0, days, -int(row.pid)
    enough = row.n_frames >= LEAST_TWILIGHT_FLATS
    is_twilight = row.flat_kind == FlatKind.TWILIGHT.value
    order = 0 if is_twilight and enough else 2 if is_twilight else 1
    return exposure, float(round(days)), order, days, -int(row.pid)


def _taken(kind: str, row: Row[Any], frames: FrameProperties) -> str:
    note = f"{kind} of observation {row.name!r}"
    if row.flat_kind is not None:
        note += f" ({row.flat_kind})"
    if kind == "dark" and row.exposure_s and frames.exposure_s:
        ratio = frames.exposure_s / row.exposure_s
        if abs(ratio - 1.0) > SAME_EXPOSURE:
            note += f", of {row.exposure_s:g} s for frames of {frames.exposure_s:g} s"
    return note


def _missing(kind: str, misfits: list[tuple[Row[Any], str]]) -> str:
    """Say that a correction is skipped, and which masters there are that do not fit."""
    if not misfits:
        return f"no {kind} is registered: {kind} correction is skipped"
    named = [f"{row.name!r} ({misfit})" for row, misfit in misfits[:MAX_NAMED]]
    if len(misfits) > MAX_NAMED:
        named.append(f"and {len(misfits) - MAX_NAMED} more")
    return f"no {kind} fits: {kind} correction is skipped; not used: {'; '.join(named)}"
