"""Numbers as people read them."""

import math
from datetime import UTC, datetime

US_PER_S = 1_000_000
_UNKNOWN = "–"


def utc_of(microseconds: int | None) -> datetime | None:
    """Return a time of the engine as a datetime in UTC.

    Examples
    --------
    >>> utc_of(1_500_000)
    datetime.datetime(1970, 1, 1, 0, 0, 1, 500000, tzinfo=datetime.timezone.utc)
    """
    return None if microseconds is None else datetime.fromtimestamp(microseconds / US_PER_S, UTC)


def clock(moment: datetime | None) -> str:
    """Return date and time to the second, UTC."""
    return _UNKNOWN if moment is None else moment.strftime("%Y-%m-%d %H:%M:%S")


def duration(seconds: float | None) -> str:
    """Return a length of time with at most two units.

    Examples
    --------
    >>> duration(0.25), duration(59.4), duration(61), duration(3720), duration(200000)
    ('0.25 s', '59.4 s', '1 min 1 s', '1 h 2 min', '2 d 7 h')
    """
    if seconds is None or not math.isfinite(seconds):
        return _UNKNOWN
    if seconds < 59.95:
        return f"{seconds:.3g} s"
    minutes, rest_s = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest_s} s"
    hours, rest_min = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {rest_min} min"
    return f"{hours // 24} d {hours % 24} h"


def size(n_bytes: float | None) -> str:
    """Return a number of bytes in decimal units.

    Examples
    --------
    >>> size(999), size(8_400_000), size(None)
    ('999 B', '8.4 MB', '–')
    """
    if n_bytes is None:
        return _UNKNOWN
    value = float(n_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 999.5:
            return f"{value:.3g} {unit}"
        value /= 1000.0
    return f"{value:.3g} TB"


def number(value: float | None, spec: str = ".2f") -> str:
    """Return a number in a format; a dash for what is not known."""
    return _UNKNOWN if value is None or not math.isfinite(value) else format(value, spec)


def percent(fraction: float | None) -> str:
    """Return a fraction in percent with two decimals.

    Examples
    --------
    >>> percent(0.00458)
    '0.46 %'
    """
    return number(None if fraction is None else 100.0 * fraction, ".2f") + (
        "" if fraction is None or not math.isfinite(fraction) else " %"
    )


def plural(count: int, noun: str, nouns: str | None = None) -> str:
    """Return a count with its noun.

    Examples
    --------
    >>> plural(1, "process", "processes"), plural(3, "frame")
    ('1 process', '3 frames')
    """
    return f"{count} {noun if count == 1 else nouns or noun + 's'}"
