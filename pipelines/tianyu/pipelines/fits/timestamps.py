"""Dates and times of day as headers write them, with the precision that they are given to."""

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta

_SECONDS_PER_DAY = 86400.0

# Electronic detectors came after the one, and no clock is right after the other.
FIRST_YEAR, LAST_YEAR = 1950, 2100

_ISO_DATE = re.compile(r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})(?:[T\s]\s*(.*))?$", re.ASCII | re.DOTALL)
_OLD_DATE = re.compile(r"(\d{1,2})[/-](\d{1,2})[/-](\d{4}|\d{2})(?:[T\s]\s*(.*))?$", re.ASCII)
_CLOCK = re.compile(
    r"(\d{1,2})[:\s](\d{1,2})(?:[:\s](\d{1,2})(?:\.(\d*))?)?\s*"
    r"(?:(Z|UTC?|GMT)|([+-])(\d{2}):?(\d{2})?)?$",
    re.ASCII | re.IGNORECASE,
)


@dataclass(frozen=True)
class Clock:
    """A time of day."""

    since_midnight: timedelta
    precision_s: float
    """One unit of the last digit given."""
    zone: timedelta | None
    """Offset from UTC, east positive; ``None`` if not stated."""


@dataclass(frozen=True)
class Timestamp:
    """A date with or without a time of day."""

    day: date
    clock: Clock | None

    @property
    def utc(self) -> datetime:
        """Naive date and time, with the zone, if any, taken off; midnight without a clock."""
        midnight = datetime(self.day.year, self.day.month, self.day.day)
        if self.clock is None:
            return midnight
        return midnight + self.clock.since_midnight - (self.clock.zone or timedelta())


def parse_clock(text: str) -> Clock | None:
    """Read a time of day: ``hh:mm[:ss[.fff]]``, with ``Z``, ``UT`` or ``±hh[:]mm`` or without.

    Examples
    --------
    >>> parse_clock("21:15:12.925-0700").precision_s
    0.001
    >>> parse_clock("04:15:12-0000").zone
    datetime.timedelta(0)
    >>> parse_clock("25:00:00") is None
    True
    """
    match = _CLOCK.match(text.strip())
    if match is None:
        return None
    hour, minute, second = int(match[1]), int(match[2]), int(match[3] or 0)
    # 24:00:00 and second 60 (a leap second, or 59.9996 rounded) do occur.
    if hour > 24 or minute > 59 or second > 60:
        return None
    digits = (match[4] or "")[:9]
    fraction = float(f"0.{digits or 0}")
    precision = 10.0 ** -len(digits) if match[3] else 60.0
    moment = timedelta(hours=hour, minutes=minute, seconds=second + fraction)
    return Clock(moment, precision, _zone(match))


def _zone(match: re.Match[str]) -> timedelta | None:
    if match[5]:
        return timedelta()
    if match[6] is None:
        return None
    size = timedelta(hours=int(match[7]), minutes=int(match[8] or 0))
    return -size if match[6] == "-" else size


def parse_timestamp(text: str) -> Timestamp | None:
    """Read a date, with or without a time.

    Parameters
    ----------
    text : str
        ``'2017-12-19T21:15:12.925-0700'``, ``'2025/05/30'``, or the old ``'30/05/25'``, in
        which years from 50 are of the twentieth century, and month and day are exchanged where
        only that gives a date.

    Returns
    -------
    Timestamp or None
        ``None`` for anything else, a date that does not exist, or a year outside 1950–2100.

    Examples
    --------
    >>> parse_timestamp("2017-12-19T21:15:12.925-0700").utc
    datetime.datetime(2017, 12, 20, 4, 15, 12, 925000)
    >>> parse_timestamp("30/05/25").day
    datetime.date(2025, 5, 30)
    """
    stripped = text.strip()
    if match := _ISO_DATE.match(stripped):
        day = _date(int(match[1]), int(match[2]), int(match[3]))
    elif match := _OLD_DATE.match(stripped):
        day = _old_date(int(match[1]), int(match[2]), match[3])
    else:
        return None
    rest = (match[4] or "").strip()
    clock = parse_clock(rest) if rest else None
    if day is None or (rest and clock is None):
        return None
    return Timestamp(day, clock)


def _old_date(first: int, second: int, year_text: str) -> date | None:
    year = int(year_text)
    if len(year_text) == 2:
        year += 1900 if year >= 50 else 2000
    return _date(year, second, first) or _date(year, first, second)


def _date(year: int, month: int, day: int) -> date | None:
    if not FIRST_YEAR <= year <= LAST_YEAR:
        return None
    try:
        return date(year, month, day)
    except ValueError:
        return None


_MJD_EPOCH = datetime(1858, 11, 17)
# Dates of FIRST_YEAR and LAST_YEAR in either count.
_MJD_RANGE = (33282.0, 88434.0)


@dataclass(frozen=True)
class DayCount:
    """A Julian date, or a modified one, as a moment."""

    moment: datetime
    precision_s: float


def parse_day_count(text: str) -> DayCount | None:
    """Read a Julian date; a value below 100000 is a modified one, whatever the keyword says.

    Parameters
    ----------
    text : str
        Decimal number; its digits tell the precision, and so does double precision
        (40 microseconds for a Julian date).

    Returns
    -------
    DayCount or None
        ``None`` for no number or a year outside 1950–2100.

    Examples
    --------
    >>> parse_day_count("58107.177")
    DayCount(moment=datetime.datetime(2017, 12, 20, 4, 14, 52, 800000), precision_s=86.4)
    """
    match = re.fullmatch(r"(\d{5,7})(?:\.(\d*))?", text.strip(), re.ASCII)
    if match is None:
        return None
    # Day and fraction apart, so that no digit of the text is lost.
    whole, digits = int(match[1]), match[2] or ""
    fraction = float(f"0.{digits or 0}")
    if whole >= 100_000:
        whole, fraction = whole - 2_400_001, fraction + 0.5
    if not _MJD_RANGE[0] <= whole + fraction <= _MJD_RANGE[1]:
        return None
    precision = max(10.0 ** -len(digits) * _SECONDS_PER_DAY, 4e-5)
    moment = _MJD_EPOCH + timedelta(days=whole, seconds=round(fraction * _SECONDS_PER_DAY, 6))
    return DayCount(moment, round(precision, 6))
