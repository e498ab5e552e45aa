"""Where the telescope stood: latitude, longitude counted to the east, altitude.

The sign of a longitude is what headers most often get wrong. It is taken from, in this order:
a letter in the value or a comment ("[deg +E]"); the sky, through
:mod:`~tianyu.pipelines.fits.sidereal`; and for want of both it is believed to be positive to
the east, which the notes then say.
"""

import re
from dataclasses import dataclass
from datetime import datetime

from tianyu.pipelines.fits.angles import parse_angle, separation, wrap_180
from tianyu.pipelines.fits.cards import Cards
from tianyu.pipelines.fits.sidereal import Witness, find_witnesses

_LATITUDES = (
    "LAT-OBS", "OBSGEO-B", "SITELAT", "LATITUDE", "LATITUD", "OBSLAT", "OBS-LAT", "GEOLAT",
    "SITE-LAT", "TELLAT", "LAT", "ESO TEL GEOLAT",
)  # fmt: skip
_LONGITUDES = (
    "LONG-OBS", "LON-OBS", "OBSGEO-L", "SITELONG", "SITELON", "LONGITUD", "LONGITUDE", "OBSLONG",
    "OBS-LONG", "OBSLON", "GEOLON", "GEOLONG", "SITE-LON", "TELLONG", "LONG", "LON",
    "ESO TEL GEOLON",
)  # fmt: skip
# ALTITUDE is the telescope's angle above the horizon as often as the site's above the sea.
_ALTITUDES = (
    "ALT-OBS", "OBSGEO-H", "SITEELEV", "SITEALT", "ELEVATIO", "ELEVATION", "OBSALT", "OBS-ELEV",
    "GEOELEV", "HEIGHT", "ELEV", "ESO TEL GEOELEV",
)  # fmt: skip
_ALTITUDE_RANGE_M = (-500.0, 9000.0)
_EARTH_RADIUS_RANGE_M = (6.30e6, 6.40e6)

# Two cards of one site: 0.02 degrees are 2 km, 7 microseconds of light.
_DISAGREEMENT_DEG = 0.02

_DIRECTION = re.compile(
    r"(?:(?P<before>\+|-|positive|negative)\s*)?"
    r"(?:\b|(?<=[+-]))(?P<direction>(?i:east|west)|E|W)(?:ern|wards?)?(?![a-z])"
    r"(?:[\s=:]*(?:is\s+)?(?P<after>\+|-|positive|negative|pos\b|neg\b))?"
)


@dataclass(frozen=True)
class Site:
    """Position on Earth; latitude and longitude are both known or both ``None``."""

    latitude_deg: float | None
    longitude_deg: float | None
    """East positive, in (−180, 180]."""
    altitude_m: float | None
    notes: tuple[str, ...] = ()


def read_site(cards: Cards, utc: datetime | None, ra_deg: float | None) -> Site:
    """Read the site and settle the sign of its longitude.

    Parameters
    ----------
    cards : Cards
        The header.
    utc : datetime or None
        Start of the exposure.
    ra_deg : float or None
        Right ascension of the pointing, degrees.

    Returns
    -------
    Site
        With a note on every assumption.

    Examples
    --------
    >>> site = {"SITELAT": "32 46 49", "SITELONG": "105 49 13 W"}
    >>> round(read_site(Cards.of(site), None, None).longitude_deg, 4)
    -105.8203
    """
    notes: list[str] = []
    altitude = _altitude(cards)
    latitude = _latitude(cards, notes)
    stated = _first_longitude(cards, notes)
    if latitude is None or stated is None:
        return _geocentric(cards, altitude, notes)
    longitude = _signed_longitude(
        cards, stated, find_witnesses(cards, utc, ra_deg, latitude), notes
    )
    if latitude == 0.0 and longitude == 0.0:
        notes.append("latitude and longitude are both exactly zero: not believed")
        return Site(None, None, altitude, tuple(notes))
    return Site(latitude, longitude, altitude, tuple(notes))


def _altitude(cards: Cards) -> float | None:
    for altitude in cards.numbers(_ALTITUDES).values():
        if _ALTITUDE_RANGE_M[0] <= altitude <= _ALTITUDE_RANGE_M[1]:
            return altitude
    return None


def _angle_and_letter(text: str, letters: str) -> tuple[float, str] | None:
    """Split off a direction letter, as in ``'110 52 W'`` or ``'W110.88'``."""
    angle = parse_angle(text)  # first, since the last letter of 32D46M49S is of the seconds
    if angle is not None:
        return angle.value, ""
    match = re.fullmatch(rf"([{letters}]?)\s*(.*?)\s*([{letters}]?)", text.upper(), re.DOTALL)
    angle = parse_angle(match[2]) if match else None
    return (angle.value, match[1] or match[3]) if match and angle else None


def _latitude(cards: Cards, notes: list[str]) -> float | None:
    found: dict[str, float] = {}
    for keyword, text in cards.texts(_LATITUDES).items():
        reading = _angle_and_letter(text, "NS")
        if reading is None or abs(reading[0]) > 90.0:
            notes.append(f"{keyword} = {text!r} is no latitude")
            continue
        value, letter = reading
        found[keyword] = -abs(value) if letter == "S" else value
    return _agreed(found, notes)


def _agreed(found: dict[str, float], notes: list[str]) -> float | None:
    """Take the first of several cards and note those that say otherwise."""
    if not found:
        return None
    source, value = next(iter(found.items()))
    notes.extend(
        f"{other} = {differing:g}° contradicts {source} = {value:g}°, which was used"
        for other, differing in found.items()
        if separation(differing, value) > _DISAGREEMENT_DEG
    )
    return value


@dataclass(frozen=True)
class _StatedLongitude:
    keyword: str
    value_deg: float
    is_west_positive: bool | None
    """``None`` where neither value nor comment says."""


def _first_longitude(cards: Cards, notes: list[str]) -> _StatedLongitude | None:
    found: dict[str, _StatedLongitude] = {}
    for keyword, text in cards.texts(_LONGITUDES).items():
        reading = _angle_and_letter(text, "EW")
        if reading is None or abs(reading[0]) > 360.0:
            notes.append(f"{keyword} = {text!r} is no longitude")
            continue
        value, letter = reading
        is_west = letter == "W" if letter else _is_west_positive(cards.comment(keyword))
        found[keyword] = _StatedLongitude(keyword, abs(value) if letter else value, is_west)
    # A card that states its direction is worth more than one that does not.
    stated = [longitude for longitude in found.values() if longitude.is_west_positive is not None]
    if not found:
        return None
    _agreed({key: wrap_180(longitude.value_deg) for key, longitude in found.items()}, notes)
    return stated[0] if stated else next(iter(found.values()))


def _is_west_positive(comment: str) -> bool | None:
    """Read "[deg +E]", "west positive", "negative west"; ``None`` if it does not say."""
    answers = set()
    for match in _DIRECTION.finditer(comment):
        sign = match["before"] or match["after"]
        if sign is None and len(match["direction"]) == 1:
            continue  # a lone letter may stand for anything
        is_negative = sign in {"-", "negative", "neg"}
        answers.add(match["direction"].lower().startswith("w") != is_negative)
    return answers.pop() if len(answers) == 1 else None


def _signed_longitude(
    cards: Cards, stated: _StatedLongitude, witnesses: list[Witness], notes: list[str]
) -> float:
    value = wrap_180(stated.value_deg)
    east, west, neither = _hear(value, witnesses)
    is_west = stated.is_west_positive
    if is_west is not None:
        against = east if is_west else west
        notes.extend(
            f"{stated.keyword} is {'west' if is_west else 'east'}-positive by its own words, "
            f"{source} says otherwise; the words count"
            for source in against
        )
    elif len(east) != len(west):
        is_west = len(west) > len(east)
        if is_west:
            notes.append(
                f"{stated.keyword} = {cards.text(stated.keyword)} counts to the west, by "
                f"{', '.join(west)}; the sign was turned"
            )
    else:
        is_west = False
        notes.append(f"{stated.keyword} = {value:g}° was taken as east-positive: nothing tells")
    notes.extend(
        f"{witness.source} implies a longitude of "
        f"{' or '.join(f'{angle:.1f}°' for angle in witness.east_longitudes_deg)}, which fits "
        f"{value:g}° neither east nor west; it was ignored"
        for witness in neither
    )
    return wrap_180(-value) if is_west else value


def _hear(value_deg: float, witnesses: list[Witness]) -> tuple[list[str], list[str], list[Witness]]:
    """Sort witnesses into those for east-positive, for west-positive, and for neither."""
    east, west, neither = [], [], []
    # Near Greenwich and the date line both signs are close, and so must the witness be.
    reach = separation(value_deg, -value_deg) / 4.0
    for witness in witnesses:
        tolerance = min(witness.tolerance_deg, reach)
        for_east, for_west = (
            any(separation(angle, sign * value_deg) <= tolerance
                for angle in witness.east_longitudes_deg)
            for sign in (1, -1)
        )  # fmt: skip
        if for_east and not for_west:
            east.append(witness.source)
        elif for_west and not for_east:
            west.append(witness.source)
        elif not for_east and tolerance == witness.tolerance_deg:
            neither.append(witness)
    return east, west, neither


def _geocentric(cards: Cards, altitude_m: float | None, notes: list[str]) -> Site:
    """Use ``OBSGEO-X/Y/Z`` (metres, ITRS), the standard's own way to state a site."""
    axes = cards.numbers(("OBSGEO-X", "OBSGEO-Y", "OBSGEO-Z"))
    radius = sum(axis**2 for axis in axes.values()) ** 0.5 if len(axes) == 3 else 0.0
    if not _EARTH_RADIUS_RANGE_M[0] <= radius <= _EARTH_RADIUS_RANGE_M[1]:
        notes.append("the site is not known: no pair of latitude and longitude")
        return Site(None, None, altitude_m, tuple(notes))
    from astropy import units  # noqa: PLC0415 - slow to import, and rare
    from astropy.coordinates import EarthLocation  # noqa: PLC0415

    geodetic = EarthLocation.from_geocentric(*axes.values(), unit=units.m).geodetic
    return Site(
        float(geodetic.lat.deg), float(geodetic.lon.deg), float(geodetic.height.value), tuple(notes)
    )
