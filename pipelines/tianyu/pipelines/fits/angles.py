"""Angles as headers write them: degrees, or sexagesimal text in degrees or hours."""

import math
import re
from dataclasses import dataclass

# Two ways of writing, not mixed: after blanks a last S is the south, after letters the seconds.
_SEPARATED = re.compile(
    r"([+-]?)\s*(\d{1,3})\s*[:\s]\s*(\d{1,2}(?:\.\d*)?)(?:\s*[:\s]\s*(\d{1,2}(?:\.\d*)?))?$",
    re.ASCII,
)
_LETTERED = re.compile(
    r"([+-]?)\s*(\d{1,3})\s*[dDhH°*]\s*(\d{1,2}(?:\.\d*)?)\s*[mM'′]?"
    r"(?:\s*(\d{1,2}(?:\.\d*)?)\s*(?:[sS\"″]|'')?)?$",
    re.ASCII,
)
_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eEdD][+-]?\d+)?$", re.ASCII)


@dataclass(frozen=True)
class Angle:
    """A number with the form that it was written in."""

    value: float
    """In the unit of the first field: degrees, or hours for ``hh mm ss``."""
    is_sexagesimal: bool


def parse_angle(text: str) -> Angle | None:
    """Read a decimal or sexagesimal angle.

    Parameters
    ----------
    text : str
        Such as ``'240.18'``, ``'16 00 44.00'``, ``'-00:30:00'`` or ``'32d46m49s'``.

    Returns
    -------
    Angle or None
        ``None`` if the text is no angle, or minutes or seconds reach 60.

    Examples
    --------
    >>> parse_angle("-105 49 13")
    Angle(value=-105.82027777777778, is_sexagesimal=True)
    >>> parse_angle("-00:30")
    Angle(value=-0.5, is_sexagesimal=True)
    >>> parse_angle("31 70 00") is None
    True
    """
    stripped = text.strip()
    if _DECIMAL.match(stripped):
        value = float(stripped.replace("D", "E").replace("d", "e"))
        return Angle(value, is_sexagesimal=False) if math.isfinite(value) else None
    match = _SEPARATED.match(stripped) or _LETTERED.match(stripped)
    if match is None:
        return None
    sign, whole, minutes, seconds = match.groups()
    minute, second = float(minutes), float(seconds or 0.0)
    if minute >= 60.0 or second >= 60.0:
        return None
    # One division, so that 43 08 42 is 43.145 to the last digit.
    magnitude = (int(whole) * 3600.0 + minute * 60.0 + second) / 3600.0
    # The sign is taken from the text: minus zero degrees is lost in a number.
    return Angle(-magnitude if sign == "-" else magnitude, is_sexagesimal=True)


def wrap_180(angle_deg: float) -> float:
    """Bring an angle into (−180, 180] degrees.

    Examples
    --------
    >>> wrap_180(249.12), wrap_180(-180.0)
    (-110.88, 180.0)
    """
    wrapped = round(180.0 - (180.0 - angle_deg) % 360.0, 12)
    return wrapped + 0.0  # no minus zero


def separation(first_deg: float, second_deg: float) -> float:
    """Return the distance of two angles on the circle, degrees in [0, 180]."""
    return abs(wrap_180(first_deg - second_deg))
