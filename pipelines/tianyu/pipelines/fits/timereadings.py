"""Every card of a header that tells when the exposure began, each as a moment in UTC."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from tianyu.pipelines.fits.cards import Cards
from tianyu.pipelines.fits.timescales import is_known_scale, to_utc
from tianyu.pipelines.fits.timestamps import (
    Clock,
    Timestamp,
    parse_clock,
    parse_day_count,
    parse_timestamp,
)

# Universal by name; DATE-BEG follows TIMESYS and is read with DATE-OBS.
_UNIVERSAL = (
    "UT-OBS", "UTC-OBS", "DATE-UTC", "DATE_UTC", "UTSTART", "UTCSTART", "UT-START", "UTC-BEG",
    "UTSHUT", "DATE-UT", "UT", "UTC",
)  # fmt: skip
_DATES = ("DATE-BEG", "DATE-OBS", "DATE_OBS", "DATEOBS")
_CLOCKS = ("TIME-OBS", "TIME-BEG", "TIME_OBS", "TIME")
_DAY_COUNTS = (
    "MJD-BEG", "MJD-OBS", "MJD_OBS", "JD-OBS", "JD_OBS", "JD", "JD_UTC", "JD-UTC", "MJD",
)  # fmt: skip
_SHIFTED = {"DATE-AVG": 0.5, "MJD-AVG": 0.5, "DATE-END": 1.0, "MJD-END": 1.0}

_RANK_UNIVERSAL, _RANK_DATE, _RANK_SPLIT, _RANK_COUNT, _RANK_OLD, _RANK_SHIFTED = range(6)

_SAYS_LOCAL = re.compile(r"\b(LT|local)\b", re.IGNORECASE)
_SAYS_MIDDLE = re.compile(r"\bmid(dle|point|-?exposure)?\b", re.IGNORECASE)
_SAYS_END = re.compile(r"\bend of (the )?(exp|obs)", re.IGNORECASE)


@dataclass(frozen=True)
class TimeReading:
    """One card's word on the start of the exposure."""

    source: str
    utc: datetime
    precision_s: float
    rank: int
    """Trust, 0 the highest."""
    is_universal: bool
    """The card or its zone says that this is universal time."""
    remark: str = ""
    """What had to be assumed to use it."""


def read_times(cards: Cards, exposure_s: float) -> tuple[list[TimeReading], tuple[str, ...]]:
    """Read every card that tells the start of the exposure.

    Parameters
    ----------
    cards : Cards
        The header.
    exposure_s : float
        Length of the exposure, seconds.

    Returns
    -------
    readings : list of TimeReading
        In no order.
    notes : tuple of str
        Cards that could not be read.
    """
    scale = (cards.text("TIMESYS") or "UTC").upper()
    readings = [
        *_universal(cards),
        *_dates(cards, exposure_s),
        *_split(cards),
        *_day_counts(cards),
        *_old(cards),
        *_shifted(cards, exposure_s),
    ]
    known = is_known_scale(scale)
    notes = () if known else (f"TIMESYS = {scale!r} is not a known time scale",)
    # A local clock without its zone could be anywhere on Earth.
    readings = [reading for reading in readings if known or reading.is_universal]
    converted = (_convert(reading, scale) for reading in readings)
    return [reading for reading in converted if reading is not None], (
        *notes,
        *_unreadable(cards),
    )


def _convert(reading: TimeReading, scale: str) -> TimeReading | None:
    if reading.is_universal and reading.rank in {_RANK_UNIVERSAL, _RANK_SPLIT}:
        return reading
    try:
        utc = to_utc(reading.utc, scale)
    except ValueError:  # unknown, or inside a leap second
        return reading if reading.is_universal else None
    remark = reading.remark if utc == reading.utc else f"the time was converted from {scale} to UTC"
    return replace(reading, utc=utc, remark=remark)


def _unreadable(cards: Cards) -> Iterator[str]:
    for keyword, text in cards.texts(_DATES).items():
        if parse_timestamp(text) is None:
            yield f"{keyword} = {text!r} is not a date that can be read"
        elif _is_zoneless_local(cards, keyword, parse_timestamp(text)):
            yield f"{keyword} is local time by its comment and names no zone; it was not used"


def _is_zoneless_local(cards: Cards, keyword: str, stamp: Timestamp | None) -> bool:
    if stamp is None or stamp.clock is None or stamp.clock.zone is not None:
        return False
    return _SAYS_LOCAL.search(cards.comment(keyword)) is not None


def _anchor(cards: Cards) -> Timestamp | None:
    stamps = (parse_timestamp(text) for text in cards.texts(_DATES).values())
    return next((stamp for stamp in stamps if stamp is not None), None)


def _universal(cards: Cards) -> Iterator[TimeReading]:
    """Dates with time in keywords of universal time, and times of day joined to a date."""
    anchor = _anchor(cards)
    for keyword, text in cards.texts(_UNIVERSAL).items():
        stamp, clock = parse_timestamp(text), parse_clock(text)
        if stamp is not None and stamp.clock is not None:
            precision = stamp.clock.precision_s
            yield TimeReading(keyword, stamp.utc, precision, _RANK_UNIVERSAL, is_universal=True)
        elif clock is not None and anchor is not None:
            moment = _join(anchor, clock)
            source = f"{keyword} with the date of DATE-OBS"
            yield TimeReading(source, moment, clock.precision_s, _RANK_SPLIT, is_universal=True)


def _join(anchor: Timestamp, clock: Clock) -> datetime:
    """Put a time of day on the date nearest to the anchor, which may be of a local calendar."""
    midnight = datetime(anchor.day.year, anchor.day.month, anchor.day.day)
    moment = midnight + clock.since_midnight - (clock.zone or timedelta())
    if anchor.clock is None or _is_date_only(anchor.clock):
        return moment
    days = (moment + timedelta(days=offset) for offset in (0, -1, 1))
    return min(days, key=lambda day: abs(day - anchor.utc))


def _is_date_only(clock: Clock) -> bool:
    """Midnight without a fraction is how some programs write a date alone."""
    return clock.since_midnight == timedelta() and clock.precision_s >= 1.0


def _dates(cards: Cards, exposure_s: float) -> Iterator[TimeReading]:
    has_clock = any(parse_clock(text) for text in cards.texts((*_CLOCKS, *_UNIVERSAL)).values())
    for keyword, text in cards.texts(_DATES).items():
        stamp = parse_timestamp(text)
        if stamp is None or stamp.clock is None or (has_clock and _is_date_only(stamp.clock)):
            continue
        if _is_zoneless_local(cards, keyword, stamp):
            continue
        zoned = stamp.clock.zone is not None
        share, remark = _part_of_exposure(keyword, cards.comment(keyword))
        yield TimeReading(
            keyword,
            stamp.utc - timedelta(seconds=share * exposure_s),
            stamp.clock.precision_s,
            _RANK_UNIVERSAL if zoned and not share else _RANK_DATE,
            is_universal=zoned,
            remark=remark,
        )


def _part_of_exposure(keyword: str, comment: str) -> tuple[float, str]:
    if _SAYS_MIDDLE.search(comment):
        return 0.5, f"{keyword} is the middle of the exposure by its comment; half was taken off"
    if _SAYS_END.search(comment):
        return 1.0, f"{keyword} is the end of the exposure by its comment; its length was taken off"
    return 0.0, ""


def _split(cards: Cards) -> Iterator[TimeReading]:
    """Date in ``DATE-OBS``, time of day in another card, both of one clock."""
    anchor = _anchor(cards)
    for keyword, text in cards.texts(_CLOCKS).items():
        clock = parse_clock(text)
        if anchor is None or clock is None:
            continue
        source = f"{keyword} with the date of DATE-OBS"
        zoned = clock.zone is not None
        moment = _join(anchor, clock)
        yield TimeReading(source, moment, clock.precision_s, _RANK_SPLIT, is_universal=zoned)


def _day_counts(cards: Cards) -> Iterator[TimeReading]:
    for keyword, text in cards.texts(_DAY_COUNTS).items():
        count = parse_day_count(text)
        if count is not None:
            precision = count.precision_s
            yield TimeReading(keyword, count.moment, precision, _RANK_COUNT, is_universal=True)


def _old(cards: Cards) -> Iterator[TimeReading]:
    """``DATE`` with ``TIME-OBS``; alone, ``DATE`` is the day on which the file was written."""
    stamp = parse_timestamp(cards.text("DATE") or "")
    if stamp is None or _anchor(cards) is not None:
        return
    for keyword, text in cards.texts((*_CLOCKS, *_UNIVERSAL)).items():
        clock = parse_clock(text)
        if clock is None:
            continue
        moment = _join(Timestamp(stamp.day, None), clock)
        yield TimeReading(
            f"{keyword} with DATE",
            moment,
            clock.precision_s,
            _RANK_OLD,
            is_universal=keyword in _UNIVERSAL,
            remark="DATE was taken as the date of the observation: there is no DATE-OBS",
        )


def _shifted(cards: Cards, exposure_s: float) -> Iterator[TimeReading]:
    """Read middles and ends of the exposure: a last resort, since ends include the read-out."""
    if any(True for _ in _dates(cards, 0.0)) or any(True for _ in _universal(cards)):
        return
    for keyword, share in _SHIFTED.items():
        text = cards.text(keyword) or ""
        stamp, count = parse_timestamp(text), parse_day_count(text)
        zoned = False
        if stamp is not None and stamp.clock is not None:
            moment, precision = stamp.utc, stamp.clock.precision_s
            zoned = stamp.clock.zone is not None
        elif count is not None:
            moment, precision = count.moment, count.precision_s
        else:
            continue
        yield TimeReading(
            keyword,
            moment - timedelta(seconds=share * exposure_s),
            precision,
            _RANK_SHIFTED,
            is_universal=zoned,
            remark=f"the start was reckoned back from {keyword}",
        )
