"""Pixel scale, aperture of the telescope and celestial coordinates of the pixels."""

import math
import re
from dataclasses import dataclass

from tianyu.pipelines.fits.angles import separation
from tianyu.pipelines.fits.cards import Cards

_SCALES = ("PIXSCALE", "IM_SCALE", "SECPIX", "SECPIX1", "PIXSCAL1", "PLTSCALE", "SCALE")
# From the sharpest large telescopes to all-sky lenses, arcseconds to a pixel.
_SCALE_RANGE_ARCSEC = (0.005, 600.0)
_SCALE_DISAGREEMENT = 0.05
_ARCSEC_PER_UM_PER_MM = 206.264806

_DIAMETERS = ("APTDIA", "TELDIAM", "TELAPER", "APERDIAM", "APERTURE", "DIAMETER")
# Below this it is metres, above it millimetres: no telescope is 20 mm or 20 m.
_LARGEST_METRES = 20.0
_LARGEST_MM = 15000.0

_WCS_EXACT = (
    "WCSAXES", "EQUINOX", "RADESYS", "RADECSYS", "LONPOLE", "LATPOLE", "CROTA1", "CROTA2",
    "A_ORDER", "B_ORDER", "AP_ORDER", "BP_ORDER",
)  # fmt: skip
_WCS_PATTERN = re.compile(
    r"(?:CTYPE|CRVAL|CRPIX|CDELT|CUNIT)[12]|(?:CD|PC)[12]_[12]|PC00[12]00[12]|PV[12]_\d{1,2}"
    r"|(?:A|B|AP|BP)_\d_\d",
    re.ASCII,
)

# Pixels are square to better than this, and a solution that says otherwise is wrong.
_LARGEST_STRETCH = 1.3


@dataclass(frozen=True)
class Wcs:
    """Celestial coordinate cards, ``None`` where there is no plausible set."""

    cards: dict[str, float | str] | None
    scale_arcsec: float | None
    notes: tuple[str, ...] = ()


def read_wcs(cards: Cards, ra_deg: float | None, dec_deg: float | None) -> Wcs:
    """Collect the celestial WCS cards if they make sense.

    Parameters
    ----------
    cards : Cards
        The header.
    ra_deg, dec_deg : float or None
        Pointing, to compare with.

    Returns
    -------
    Wcs
        With SIP and TPV terms where there are any; a note where a set was refused.
    """
    found = _wcs_cards(cards)
    if "CTYPE1" not in found or "CTYPE2" not in found:
        return Wcs(None, None)
    flaw = _flaw(cards, found)
    if flaw:
        return Wcs(None, None, (f"the WCS was not used: {flaw}",))
    scale = math.sqrt(abs(_determinant(found))) * 3600.0
    return Wcs(found, scale, _far_from_pointing(found, ra_deg, dec_deg))


def _wcs_cards(cards: Cards) -> dict[str, float | str]:
    found: dict[str, float | str] = {}
    for keyword in cards.values:
        if keyword not in _WCS_EXACT and not _WCS_PATTERN.fullmatch(keyword):
            continue
        number, text = cards.number(keyword), cards.text(keyword)
        if number is not None:
            found[keyword] = number
        elif text is not None:
            found[keyword] = text
    return found


def _flaw(cards: Cards, found: dict[str, float | str]) -> str:
    axes = {str(found[key])[:3].strip("-").upper() for key in ("CTYPE1", "CTYPE2")}
    if axes != {"RA", "DEC"}:
        return f"its axes are {found['CTYPE1']} and {found['CTYPE2']}, not RA and DEC"
    missing = [
        key
        for key in ("CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2")
        if not isinstance(found.get(key), float)
    ]
    if missing:
        return f"{', '.join(missing)} missing"
    if cards.values.get("PLTSOLVD") is False:
        return "PLTSOLVD = F, the field was not solved"
    return _matrix_flaw(_matrix(found))


def _matrix(found: dict[str, float | str]) -> tuple[float, float, float, float]:
    """Return the matrix from pixels to degrees, whichever way it is written."""

    def value(key: str, default: float) -> float:
        entry = found.get(key, default)
        return entry if isinstance(entry, float) else default

    if any(key.startswith("CD") and "_" in key for key in found):
        return value("CD1_1", 0.0), value("CD1_2", 0.0), value("CD2_1", 0.0), value("CD2_2", 0.0)
    dx, dy = value("CDELT1", 0.0), value("CDELT2", 0.0)
    if any(key.startswith("PC") for key in found):
        old = "PC00{}00{}" if "PC001001" in found else "PC{}_{}"
        names = [old.format(row, column) for row in (1, 2) for column in (1, 2)]
        a, b, c, d = (value(key, eye) for key, eye in zip(names, (1.0, 0.0, 0.0, 1.0), strict=True))
        return dx * a, dx * b, dy * c, dy * d
    angle = math.radians(value("CROTA2", value("CROTA1", 0.0)))
    cosine, sine = math.cos(angle), math.sin(angle)
    return dx * cosine, -dy * sine, dx * sine, dy * cosine


def _determinant(found: dict[str, float | str]) -> float:
    a, b, c, d = _matrix(found)
    return a * d - b * c


def _matrix_flaw(matrix: tuple[float, float, float, float]) -> str:
    a, b, c, d = (entry * 3600.0 for entry in matrix)
    x_scale, y_scale = math.hypot(a, c), math.hypot(b, d)
    lowest, highest = _SCALE_RANGE_ARCSEC
    if not (lowest <= x_scale <= highest and lowest <= y_scale <= highest):
        return f"its scale is {x_scale:g}″ × {y_scale:g}″ to a pixel"
    if max(x_scale, y_scale) > _LARGEST_STRETCH * min(x_scale, y_scale):
        return f"its pixels are {x_scale:g}″ × {y_scale:g}″, not square"
    # Of square pixels on perpendicular axes the determinant is the product of the scales.
    if abs(a * d - b * c) < 0.5 * x_scale * y_scale:
        return "its axes are not perpendicular"
    return ""


def _far_from_pointing(
    found: dict[str, float | str], ra_deg: float | None, dec_deg: float | None
) -> tuple[str, ...]:
    values = {str(found[f"CTYPE{axis}"])[:2].upper(): found[f"CRVAL{axis}"] for axis in (1, 2)}
    ra, dec = values["RA"], values["DE"]
    if ra_deg is None or dec_deg is None or isinstance(ra, str) or isinstance(dec, str):
        return ()
    across = separation(ra, ra_deg) * math.cos(math.radians(dec_deg))
    distance = math.hypot(across, dec - dec_deg)
    # Two degrees: no field of a telescope with a WCS per frame is so far off its pointing.
    return (f"the WCS is {distance:.1f}° from the pointing",) if distance > 2.0 else ()


def read_pixel_scale(
    cards: Cards, wcs_scale_arcsec: float | None
) -> tuple[float | None, tuple[str, ...]]:
    """Read the size of a pixel on the sky: by the WCS, else as stated, else from the optics.

    Parameters
    ----------
    cards : Cards
        The header.
    wcs_scale_arcsec : float or None
        Scale of a plausible WCS.

    Returns
    -------
    scale_arcsec : float or None
        Arcseconds to a (binned) pixel.
    notes : tuple of str
        Where two ways differ by more than 5 %.

    Examples
    --------
    >>> read_pixel_scale(Cards.of({"XPIXSZ": 13.0, "FOCALLEN": 4014.0}), None)
    (0.66802..., ())
    """
    found: dict[str, float] = {}
    if wcs_scale_arcsec is not None:
        found["the WCS"] = wcs_scale_arcsec
    found |= cards.numbers(_SCALES)
    optics = cards.numbers(("XPIXSZ", "FOCALLEN"))
    if len(optics) == 2 and optics["FOCALLEN"] > 0.0:
        found["XPIXSZ and FOCALLEN"] = _ARCSEC_PER_UM_PER_MM * optics["XPIXSZ"] / optics["FOCALLEN"]
    lowest, highest = _SCALE_RANGE_ARCSEC
    found = {source: scale for source, scale in found.items() if lowest <= scale <= highest}
    if not found:
        return None, ()
    source, scale = next(iter(found.items()))
    notes = tuple(
        f"the pixel scale is {scale:.3f}″ by {source} and {other_scale:.3f}″ by {other}; the "
        "first was used"
        for other, other_scale in found.items()
        if abs(other_scale / scale - 1.0) > _SCALE_DISAGREEMENT
    )
    return scale, notes


def read_aperture(cards: Cards) -> float | None:
    """Read the telescope's diameter in metres, from millimetres or metres.

    Examples
    --------
    >>> read_aperture(Cards.of({"APTDIA": 508.0})), read_aperture(Cards.of({"TELDIAM": 1.0}))
    (0.508, 1.0)
    """
    for diameter in cards.numbers(_DIAMETERS).values():
        if 0.0 < diameter <= _LARGEST_METRES:
            return diameter
        if _LARGEST_METRES < diameter <= _LARGEST_MM:
            return diameter / 1000.0
    return None
