"""Longitudes that a header implies without stating them.

Local sidereal time less that of Greenwich is the east longitude. A header tells the local
sidereal time outright, as right ascension plus hour angle, or by altitude and azimuth; the
zone of a civil time tells it to a few degrees times fifteen. None needs to be right: they are
witnesses to the sign of a stated longitude, and one that fits neither sign is not heard.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from tianyu.pipelines.fits.angles import parse_angle, wrap_180
from tianyu.pipelines.fits.cards import Cards
from tianyu.pipelines.fits.timestamps import parse_timestamp

_SIDEREAL_TIMES = ("LST-OBS", "LST_OBS", "LST", "LMST", "ST", "ST-OBS", "SIDTIME", "SIDEREAL")
_HOUR_ANGLES = ("HA", "OBJCTHA", "HA-OBS", "TELHA", "HOURANG")
_ALTITUDES_AZIMUTHS = (
    ("TELALT", "TELAZ"), ("OBJCTALT", "OBJCTAZ"), ("ALTITUDE", "AZIMUTH"), ("ALT", "AZ"),
    ("OBJALT", "OBJAZ"),
)  # fmt: skip

# Precession to date, refraction and clocks that are a minute off stay within it.
_SKY_TOLERANCE_DEG = 3.0
# Civil zones stray from their meridian, by as much as 40 degrees in western China.
_ZONE_TOLERANCE_DEG = 45.0

_J2000 = datetime(2000, 1, 1, 12)


@dataclass(frozen=True)
class Witness:
    """East longitudes that one card may imply; more than one where its unit is not known."""

    source: str
    east_longitudes_deg: tuple[float, ...]
    tolerance_deg: float = _SKY_TOLERANCE_DEG


def greenwich_sidereal_deg(utc: datetime) -> float:
    """Compute the mean sidereal time of Greenwich.

    Parameters
    ----------
    utc : datetime
        Naive UTC, taken as UT1 (0.9 s, or 0.004 degrees).

    Returns
    -------
    float
        Degrees in [0, 360).

    Notes
    -----
    Meeus, *Astronomical Algorithms* (1998), eq. 12.4 without its terms in T² and T³, which
    stay below 0.001 degrees until 2100.

    Examples
    --------
    >>> round(greenwich_sidereal_deg(datetime(1987, 4, 10, 19, 21)), 3)  # example 12.b
    128.738
    """
    days = (utc - _J2000).total_seconds() / 86400.0
    return (280.46061837 + 360.98564736629 * days) % 360.0


def hour_angle_deg(altitude_deg: float, azimuth_deg: float, latitude_deg: float) -> float:
    """Compute the hour angle of a direction, west positive.

    Parameters
    ----------
    altitude_deg, azimuth_deg : float
        Azimuth from north through east, degrees.
    latitude_deg : float
        North positive, degrees.

    Returns
    -------
    float
        Degrees in (−180, 180].

    Notes
    -----
    Meeus (1998), chapter 13, with the azimuth counted from north.

    Examples
    --------
    >>> hour_angle_deg(0.0, 270.0, 35.0)  # setting due west
    90.0
    """
    altitude, azimuth, latitude = (
        math.radians(angle) for angle in (altitude_deg, azimuth_deg, latitude_deg)
    )
    west = -math.sin(azimuth) * math.cos(altitude)
    meridian = math.sin(altitude) * math.cos(latitude) - math.cos(altitude) * math.cos(
        azimuth
    ) * math.sin(latitude)
    return wrap_180(math.degrees(math.atan2(west, meridian)))


def find_witnesses(
    cards: Cards, utc: datetime | None, ra_deg: float | None, latitude_deg: float
) -> list[Witness]:
    """List the longitudes that the header implies.

    Parameters
    ----------
    cards : Cards
        The header.
    utc : datetime or None
        Start of the exposure; without it only the civil zone speaks.
    ra_deg : float or None
        Right ascension of the pointing; without it only sidereal times and the zone speak.
    latitude_deg : float
        North positive.

    Returns
    -------
    list of Witness
        Empty where nothing is said.
    """
    witnesses = list(_zone(cards))
    if utc is None:
        return witnesses
    greenwich = greenwich_sidereal_deg(utc)
    sidereal = [*_sidereal_times(cards)]
    if ra_deg is not None:
        sidereal += [
            (keyword, [ra_deg + angle for angle in angles])
            for keyword, angles in (*_hour_angles(cards), *_alt_az(cards, latitude_deg))
        ]
    witnesses += [
        Witness(keyword, tuple(wrap_180(angle - greenwich) for angle in angles))
        for keyword, angles in sidereal
    ]
    return witnesses


def _units(text: str) -> list[float]:
    """Degrees that a text may mean: sexagesimal is hours, a plain number either."""
    angle = parse_angle(text)
    if angle is None or abs(angle.value) > 360.0:
        return []
    if angle.is_sexagesimal:
        return [angle.value * 15.0]
    return [angle.value, angle.value * 15.0] if abs(angle.value) <= 24.0 else [angle.value]


def _sidereal_times(cards: Cards) -> Iterator[tuple[str, list[float]]]:
    for keyword, text in cards.texts(_SIDEREAL_TIMES).items():
        if degrees := _units(text):
            yield keyword, degrees


def _hour_angles(cards: Cards) -> Iterator[tuple[str, list[float]]]:
    for keyword, text in cards.texts(_HOUR_ANGLES).items():
        if degrees := _units(text):
            yield keyword, degrees


def _alt_az(cards: Cards, latitude_deg: float) -> Iterator[tuple[str, list[float]]]:
    for altitude_key, azimuth_key in _ALTITUDES_AZIMUTHS:
        altitude = parse_angle(cards.text(altitude_key) or "")
        azimuth = parse_angle(cards.text(azimuth_key) or "")
        if altitude is None or azimuth is None or abs(altitude.value) > 90.0:
            continue
        angle = hour_angle_deg(altitude.value, azimuth.value, latitude_deg)
        yield f"{altitude_key}/{azimuth_key}", [angle]


def _zone(cards: Cards) -> Iterator[Witness]:
    stamp = parse_timestamp(cards.text("DATE-OBS") or "")
    if stamp is None or stamp.clock is None or not stamp.clock.zone:
        return
    hours = stamp.clock.zone.total_seconds() / 3600.0
    yield Witness("the zone of DATE-OBS", (wrap_180(hours * 15.0),), _ZONE_TOLERANCE_DEG)
