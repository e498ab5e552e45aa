"""When an exposure began: every card that speaks of it is read, and the best is chosen.

The first of these that is there and precise enough is believed; a coarse one comes last:

1. a date and time with its zone, or in a keyword that is UTC by its name;
2. ``DATE-OBS`` with a time, in the scale of ``TIMESYS`` (UTC if it is silent);
3. the date of ``DATE-OBS`` and a time of day in another card;
4. a Julian date, or a modified one;
5. ``DATE`` with ``TIME-OBS``, as written before the year 2000;
6. the middle or end of the exposure, less half or all of its length.

A ``DATE-OBS`` without a zone that differs from the universal time of another card by whole
quarters of an hour is local time, and these are taken off. Times that disagree by more than
they are precise to are named in a note.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from tianyu.pipelines.fits.cards import Cards
from tianyu.pipelines.fits.timereadings import TimeReading, read_times

# A coarser time is used only where there is no other: 2 s shift a transit by a noticeable part
# of what a good night measures it to.
COARSE_S = 2.0

# The chosen time is sharpened by an agreeing one only where its own digits are worse than this.
FINE_S = 0.1

# Programs round the same clock differently; no exposure of a second is dated better.
_AGREEMENT_S = 0.01

_QUARTER_HOUR_S = 900.0
# Clocks of a camera and of a telescope control system seldom agree better.
_ZONE_TOLERANCE_S = 60.0


@dataclass(frozen=True)
class StartTime:
    """Start of an exposure."""

    utc: datetime | None
    """Naive UTC; ``None`` if no card tells it."""
    precision_s: float | None
    """One unit of the last digit of the card that it is from."""
    source: str | None
    notes: tuple[str, ...] = ()


def read_start_time(cards: Cards, exposure_s: float) -> StartTime:
    """Find the start of the exposure in UTC.

    Parameters
    ----------
    cards : Cards
        The header.
    exposure_s : float
        Length of the exposure in seconds, for headers that give its middle or end.

    Returns
    -------
    StartTime
        With the card it is from; the notes name what was assumed, and what disagreed.

    Examples
    --------
    >>> header = {"DATE-OBS": "2017-12-19T21:15:12.925-0700", "MJD-OBS": 58107.177}
    >>> read_start_time(Cards.of(header), 60.0).utc
    datetime.datetime(2017, 12, 20, 4, 15, 12, 925000)
    """
    readings, notes = read_times(cards, exposure_s)
    readings, local_notes = _localised(readings, exposure_s)
    notes = (*notes, *local_notes)
    if not readings:
        return StartTime(None, None, None, (*notes, "no card tells when the exposure began"))
    primary = min(readings, key=_preference)
    chosen = _sharpen(primary, readings)
    notes = (*notes, *_disagreements(chosen, readings, exposure_s), *_remarks(chosen))
    return StartTime(chosen.utc, chosen.precision_s, chosen.source, notes)


def _preference(reading: TimeReading) -> tuple[bool, int, float]:
    return reading.precision_s > COARSE_S, reading.rank, reading.precision_s


def _difference(first: TimeReading, second: TimeReading) -> float:
    return (first.utc - second.utc).total_seconds()


def _agree(first: TimeReading, second: TimeReading) -> bool:
    tolerance = max(first.precision_s + second.precision_s, _AGREEMENT_S)
    return abs(_difference(first, second)) <= tolerance


def _sharpen(primary: TimeReading, readings: list[TimeReading]) -> TimeReading:
    if primary.precision_s <= FINE_S:
        return primary
    agreeing = [reading for reading in readings if _agree(primary, reading)]
    return min(agreeing, key=lambda reading: (reading.precision_s, reading.rank))


def _localised(
    readings: list[TimeReading], exposure_s: float
) -> tuple[list[TimeReading], list[str]]:
    """Take the zone off times without one that a universal time shows to be local."""
    universal = [reading for reading in readings if reading.is_universal]
    corrected, notes = [], []
    for reading in readings:
        for witness in () if reading.is_universal else universal:
            zone = _zone_between(reading, witness, exposure_s)
            if zone:
                notes.append(
                    f"{reading.source} is {zone / timedelta(hours=1):+.2f} h from "
                    f"{witness.source}: it is local time, and that was taken off"
                )
                corrected.append(replace(reading, utc=reading.utc - zone))
                break
        else:
            corrected.append(reading)
    return corrected, notes


def _zone_between(
    reading: TimeReading, universal: TimeReading, exposure_s: float
) -> timedelta | None:
    """Return the whole quarters of an hour between two times, if there are and nothing else."""
    difference = _difference(reading, universal)
    quarters = round(difference / _QUARTER_HOUR_S)
    tolerance = _ZONE_TOLERANCE_S + universal.precision_s
    # Zones lie within −12 and +14 hours; a card too coarse to tell quarters proves nothing.
    if not 2 <= abs(quarters) <= 56 or tolerance > _QUARTER_HOUR_S / 2:
        return None
    # The middle and the end of a long exposure may be whole quarters away, too.
    others = (quarters * _QUARTER_HOUR_S, -exposure_s / 2, -exposure_s)
    near = [abs(difference - other) <= tolerance for other in others]
    return timedelta(seconds=quarters * _QUARTER_HOUR_S) if near == [True, False, False] else None


def _disagreements(
    chosen: TimeReading, readings: list[TimeReading], exposure_s: float
) -> list[str]:
    notes = []
    for other in readings:
        if _agree(chosen, other):
            continue
        middle = replace(other, utc=other.utc - timedelta(seconds=exposure_s / 2))
        reason = "; it is the middle of the exposure" if _agree(chosen, middle) else ""
        notes.append(
            f"{other.source} is {_difference(other, chosen):+.3f} s from {chosen.source}, more "
            f"than their digits allow{reason}; {chosen.source} was used"
        )
    return notes


def _remarks(chosen: TimeReading) -> list[str]:
    notes = [chosen.remark] if chosen.remark else []
    if chosen.precision_s > COARSE_S:
        notes.append(
            f"the start is known to {chosen.precision_s:g} s only, from {chosen.source}: there "
            "is no finer time"
        )
    return notes
