"""Where the telescope pointed, in ICRS degrees, from numbers or text in whatever equinox."""

import re
import warnings
from dataclasses import dataclass

from tianyu.pipelines.fits.angles import parse_angle, separation
from tianyu.pipelines.fits.cards import Cards

_PAIRS = (
    ("RA", "DEC"), ("OBJCTRA", "OBJCTDEC"), ("RA-OBS", "DEC-OBS"), ("RA_OBS", "DEC_OBS"),
    ("OBJRA", "OBJDEC"), ("TELRA", "TELDEC"), ("RA-TEL", "DEC-TEL"), ("CAT-RA", "CAT-DEC"),
    ("RA_DEG", "DEC_DEG"), ("RADEG", "DECDEG"), ("RA_TARG", "DEC_TARG"),
)  # fmt: skip

_SAYS_HOURS = re.compile(r"\b(hours?|hms|hh:?mm|h:m:s)\b", re.IGNORECASE)
_SAYS_DEGREES = re.compile(r"\bdeg", re.IGNORECASE)

# Between J2000 and ICRS lie 0.02 arcsec; half a year of precession is 25 arcsec.
_EQUINOX_TOLERANCE_YR = 0.5
_EQUINOX_RANGE = (1850.0, 2100.0)

# Two cards of one pointing may differ by a slew in progress or by precession to date.
_DISAGREEMENT_DEG = 0.5


@dataclass(frozen=True)
class Pointing:
    """Direction of the telescope or of its target; both ``None`` if not known."""

    ra_deg: float | None
    dec_deg: float | None
    notes: tuple[str, ...] = ()


def read_pointing(cards: Cards) -> Pointing:
    """Read right ascension and declination.

    Parameters
    ----------
    cards : Cards
        The header. Text with separators is hours for right ascension; a plain number is
        degrees unless its comment says hours.

    Returns
    -------
    Pointing
        ICRS, degrees, right ascension in [0, 360).

    Examples
    --------
    >>> read_pointing(Cards.of({"RA": "16 00 44.00", "DEC": "+43 08 42.0"}))
    Pointing(ra_deg=240.183333..., dec_deg=43.145, notes=())
    """
    notes: list[str] = []
    found: dict[str, tuple[float, float]] = {}
    for ra_key, dec_key in _PAIRS:
        pair = _pair(cards, ra_key, dec_key, notes)
        if pair is not None:
            found[ra_key] = pair
    if not found:
        return Pointing(None, None, tuple(notes))
    source, (ra, dec) = next(iter(found.items()))
    notes.extend(
        f"{other} and {source} point {separation(pair[0], ra):.2f}° apart in right ascension, "
        f"{abs(pair[1] - dec):.2f}° in declination; {source} was used"
        for other, pair in found.items()
        if max(separation(pair[0], ra), abs(pair[1] - dec)) > _DISAGREEMENT_DEG
    )
    ra, dec, remark = _to_icrs(cards, ra, dec)
    return Pointing(ra, dec, (*notes, remark) if remark else tuple(notes))


def _pair(cards: Cards, ra_key: str, dec_key: str, notes: list[str]) -> tuple[float, float] | None:
    ra_text, dec_text = cards.text(ra_key), cards.text(dec_key)
    if ra_text is None or dec_text is None:
        return None
    ra, dec = _right_ascension(cards, ra_key, ra_text), parse_angle(dec_text)
    if ra is None or dec is None or not -360.0 <= ra <= 360.0 or abs(dec.value) > 90.0:
        notes.append(f"{ra_key} = {ra_text!r}, {dec_key} = {dec_text!r} is no position")
        return None
    if ra == 0.0 and dec.value == 0.0:
        notes.append(f"{ra_key} and {dec_key} are both exactly zero: not believed")
        return None
    return ra % 360.0, dec.value


def _right_ascension(cards: Cards, keyword: str, text: str) -> float | None:
    angle = parse_angle(text)
    if angle is None:
        return None
    comment = cards.comment(keyword)
    # "[hms J2000]" beside a plain number would be hours; sexagesimal degrees must be said.
    is_hours = angle.is_sexagesimal and not (
        _SAYS_DEGREES.search(comment) and not _SAYS_HOURS.search(comment)
    )
    is_hours = is_hours or (
        not angle.is_sexagesimal and _SAYS_HOURS.search(comment) is not None and angle.value < 24.0
    )
    return angle.value * 15.0 if is_hours else angle.value


def _to_icrs(cards: Cards, ra_deg: float, dec_deg: float) -> tuple[float, float, str]:
    """Precess to J2000 where the header states another equinox; J2000 is taken as ICRS."""
    equinox = _equinox(cards)
    system = (cards.first_text(("RADESYS", "RADECSYS")) or "").upper()
    if system == "ICRS" or equinox is None:
        return ra_deg, dec_deg, ""
    if abs(equinox - 2000.0) <= _EQUINOX_TOLERANCE_YR:
        return ra_deg, dec_deg, ""
    from astropy import units  # noqa: PLC0415 - slow to import, and rare
    from astropy.coordinates import FK4, FK5, SkyCoord  # noqa: PLC0415
    from astropy.time import Time  # noqa: PLC0415

    # By the standard, an equinox before 1984 without a system is FK4.
    is_fk4 = system.startswith("FK4") or (not system and equinox < 1984.0)
    with warnings.catch_warnings():
        # "dubious year" beyond the known leap seconds, which precession does not feel.
        warnings.simplefilter("ignore")
        epoch = Time(equinox, format="byear" if is_fk4 else "jyear")
        frame = FK4(equinox=epoch) if is_fk4 else FK5(equinox=epoch)
        position = SkyCoord(ra_deg, dec_deg, unit=units.deg, frame=frame).icrs
    remark = f"the pointing was precessed from equinox {equinox:g} to ICRS"
    return float(position.ra.deg), float(position.dec.deg), remark


def _equinox(cards: Cards) -> float | None:
    for keyword in ("EQUINOX", "EPOCH"):
        text = (cards.text(keyword) or "").upper().lstrip("JB")
        equinox = parse_angle(text)
        if equinox is not None and _EQUINOX_RANGE[0] <= equinox.value <= _EQUINOX_RANGE[1]:
            return equinox.value
    return None
