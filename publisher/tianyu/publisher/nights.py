"""Which night a frame belongs to: from one local noon to the next."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import pairwise

HOURS_PER_DEGREE = 1.0 / 15.0
UT_NOON_H = 12.0
"""Where the longitude is not known, nights are parted at noon in Greenwich, unless frames
were taken then."""

UNKNOWN_NIGHT = "unknown night"


def local_noon_h(longitude_deg: float) -> float:
    """Return the hour of universal time at which it is noon at an eastern longitude.

    Examples
    --------
    >>> local_noon_h(149.1), round(local_noon_h(-155.5), 2)
    (2.06..., 22.37)
    """
    return (UT_NOON_H - longitude_deg * HOURS_PER_DEGREE) % 24.0


def guess_noon_h(times: Iterable[datetime]) -> float:
    """Return an hour of universal time that parts nights without cutting through one.

    Noon in Greenwich where no light frame was taken near it, else the middle of the longest
    part of the day in which none was taken.

    Parameters
    ----------
    times : iterable of datetime
        UTC of the light frames of one telescope, of any number of nights.

    Examples
    --------
    >>> guess_noon_h([datetime(2025, 1, 1, 20), datetime(2025, 1, 2, 4)])
    12.0
    >>> guess_noon_h([datetime(2025, 1, 1, 9), datetime(2025, 1, 1, 19)])
    2.0
    """
    hours = sorted({t.hour + t.minute / 60.0 + t.second / 3600.0 for t in times})
    if not hours:
        return UT_NOON_H
    gaps = [(after - before, before) for before, after in pairwise(hours)]
    gaps.append((hours[0] + 24.0 - hours[-1], hours[-1]))
    length, start = max(gaps)
    since_start = (UT_NOON_H - start) % 24.0
    if 0.0 < since_start < length:
        return UT_NOON_H
    return (start + length / 2.0) % 24.0


def night_of(
    utc: datetime | None, longitude_deg: float | None, *, noon_h: float = UT_NOON_H
) -> str:
    """Return the date on which a night began: the local date at the noon before.

    Parameters
    ----------
    utc : datetime or None
        Start of an exposure.
    longitude_deg : float or None
        East positive.
    noon_h : float
        Hour of universal time at which nights are parted where the longitude is not known.

    Examples
    --------
    >>> night_of(datetime(2017, 12, 20, 4, 15), -110.88)
    '2017-12-19'
    """
    if utc is None:
        return UNKNOWN_NIGHT
    if longitude_deg is None:
        return (utc - timedelta(hours=noon_h)).date().isoformat()
    local = utc + timedelta(hours=longitude_deg * HOURS_PER_DEGREE)
    return (local - timedelta(hours=12)).date().isoformat()
