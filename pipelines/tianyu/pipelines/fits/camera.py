"""The detector as the header describes it: exposure, filter, gain, noise, saturation, binning."""

import math
import re
from dataclasses import dataclass

from tianyu.pipelines.fits.cards import Cards
from tianyu.pipelines.fits.errors import HeaderError
from tianyu.pipelines.fits.kinds import FrameKind
from tianyu.pipelines.fits.timestamps import parse_timestamp

_EXPOSURES = ("EXPTIME", "EXPOSURE", "EXP_TIME", "XPOSURE", "EXPOSED", "ITIME", "INTTIME", "ONTIME")
# A day; longer ones are milliseconds or microseconds in the wrong unit.
_LONGEST_EXPOSURE_S = 86400.0

_FILTERS = ("FILTER", "FILTER1", "FILTER2", "FILTNAM", "FILTERID", "FILT", "INSFILTE",
            "ESO INS FILT1 NAME")  # fmt: skip
_NO_FILTER = frozenset({"clear", "open", "none", "empty", "air", "blank"})

_GAINS = ("EGAIN", "GAIN", "CCDGAIN", "DETGAIN", "ESO DET OUT1 CONAD")
# Science cameras convert 0.1 to 10 electrons to a count; 100 or 1200 is a camera's setting.
_GAIN_RANGE = (0.0, 50.0)
_NOT_ELECTRONS = re.compile(r"\bdB\b|setting|ADU\s*/\s*e|ADU per e", re.IGNORECASE)

_READ_NOISES = ("RDNOISE", "READNOIS", "READNOISE", "RON", "ENOISE", "ESO DET OUT1 RON")
_READ_NOISE_RANGE_E = (0.0, 200.0)

_SATURATIONS = ("SATURATE", "SATLEVEL", "SATURATI", "MAXLIN", "MAXADU")
# No camera saturates at less than 8 bits.
_LOWEST_SATURATION_ADU = 100.0

_TEMPERATURES = ("CCD-TEMP", "CCDTEMP", "CAMTEMP", "CCD_TEMP", "DET-TEMP", "DETTEMP", "SENSTEMP",
                 "TEMPERAT")  # fmt: skip
_ABSOLUTE_ZERO_C = -273.15
# No camera works at +100 °C, so that larger numbers are kelvin.
_HOTTEST_C = 100.0


def read_exposure(cards: Cards, kind: FrameKind, name: str) -> tuple[float, tuple[str, ...]]:
    """Read the exposure in seconds.

    Parameters
    ----------
    cards : Cards
        The header.
    kind : FrameKind
        Biases and flats can do without one.
    name : str
        File name, for the error.

    Returns
    -------
    exposure_s : float
        Seconds, not negative.
    notes : tuple of str
        What was assumed or contradicted.

    Raises
    ------
    HeaderError
        If it is negative or longer than a day, or missing from a dark or light.
    """
    found = cards.numbers(_EXPOSURES)
    if not found:
        return _missing_exposure(cards, kind, name)
    keyword, exposure = next(iter(found.items()))
    if not 0.0 <= exposure <= _LONGEST_EXPOSURE_S:
        raise HeaderError(
            f"{name}: {keyword} = {exposure:g} is no exposure in seconds (0 to "
            f"{_LONGEST_EXPOSURE_S:g}); correct the header"
        )
    notes = [
        f"{other} = {value:g} s contradicts {keyword} = {exposure:g} s, which was used"
        for other, value in found.items()
        if abs(value - exposure) > 1e-3 * max(exposure, 1.0)
    ]
    if kind is FrameKind.BIAS and exposure > 1.0:
        notes.append(f"a bias with an exposure of {exposure:g} s")
    if kind is FrameKind.LIGHT and exposure == 0.0:
        notes.append("a light frame with an exposure of 0 s")
    return exposure, tuple(notes)


def _missing_exposure(cards: Cards, kind: FrameKind, name: str) -> tuple[float, tuple[str, ...]]:
    begin, end = (parse_timestamp(cards.text(key) or "") for key in ("DATE-OBS", "DATE-END"))
    if begin and end and begin.clock and end.clock:
        span = (end.utc - begin.utc).total_seconds()
        if 0.0 < span <= _LONGEST_EXPOSURE_S:
            return span, ("the exposure is DATE-END less DATE-OBS, which may include read-out",)
    if kind in {FrameKind.BIAS, FrameKind.FLAT}:
        return 0.0, ("no keyword states the exposure; taken as 0 s",)
    raise HeaderError(
        f"{name}: no exposure in {', '.join(_EXPOSURES[:3])} or DATE-END, and a {kind} frame "
        "cannot be used without; add EXPTIME in seconds"
    )


def read_filter(cards: Cards) -> str | None:
    """Read the name of the filter, as spelled; of two wheels the one that is not clear.

    Examples
    --------
    >>> read_filter(Cards.of({"FILTER1": "Clear", "FILTER2": "g       "}))
    'g'
    """
    names = list(cards.texts(_FILTERS).values())
    coloured = [name for name in names if name.lower() not in _NO_FILTER]
    return next(iter(coloured or names), None)


@dataclass(frozen=True)
class DetectorReading:
    """What the header says of the detector's electronics."""

    gain_e_per_adu: float | None
    read_noise_e: float | None
    saturation_adu: float | None
    temperature_c: float | None
    notes: tuple[str, ...] = ()


def read_detector(cards: Cards, ceiling_adu: float | None) -> DetectorReading:
    """Read gain, read-out noise, saturation and temperature, believing plausible values only.

    Parameters
    ----------
    cards : Cards
        The header.
    ceiling_adu : float or None
        Largest count that the pixels' integer type holds.

    Returns
    -------
    DetectorReading
        ``None`` for what is not there or not believed; the notes say which.
    """
    notes: list[str] = []
    return DetectorReading(
        _gain(cards, notes),
        _read_noise(cards, notes),
        _saturation(cards, ceiling_adu, notes),
        _temperature(cards, notes),
        tuple(notes),
    )


def _gain(cards: Cards, notes: list[str]) -> float | None:
    for keyword, gain in cards.numbers(_GAINS).items():
        if not _GAIN_RANGE[0] < gain <= _GAIN_RANGE[1]:
            notes.append(f"{keyword} = {gain:g} is no gain in e/ADU, rather a setting; ignored")
        elif _NOT_ELECTRONS.search(cards.comment(keyword)):
            notes.append(f"{keyword} = {gain:g} is not in e/ADU by its comment; ignored")
        elif keyword == "GAIN" and _is_setting(cards, gain):
            notes.append(f"GAIN = {gain:g} beside OFFSET is a camera's setting; ignored")
        else:
            return gain
    return None


def read_gain_setting(cards: Cards) -> float | None:
    """Read the gain to which a camera was set, where ``GAIN`` is that and no number of e/ADU.

    Examples
    --------
    >>> read_gain_setting(Cards.of({"GAIN": 120, "OFFSET": 30, "EGAIN": 0.8}))
    120.0
    """
    gain = cards.number("GAIN")
    if gain is None or gain < 0.0:
        return None
    is_electrons = gain <= _GAIN_RANGE[1] and not _is_setting(cards, gain)
    return None if is_electrons else gain


def _is_setting(cards: Cards, gain: float) -> bool:
    """CMOS cameras write their dimensionless gain and offset, whole numbers both."""
    return "OFFSET" in cards.values and gain.is_integer() and gain > 1.0


def _read_noise(cards: Cards, notes: list[str]) -> float | None:
    for keyword, noise in cards.numbers(_READ_NOISES).items():
        if _READ_NOISE_RANGE_E[0] < noise <= _READ_NOISE_RANGE_E[1]:
            return noise
        notes.append(f"{keyword} = {noise:g} is no read-out noise in electrons; ignored")
    return None


def _saturation(cards: Cards, ceiling_adu: float | None, notes: list[str]) -> float | None:
    for keyword, level in cards.numbers(_SATURATIONS).items():
        if level < _LOWEST_SATURATION_ADU:
            notes.append(f"{keyword} = {level:g} is no saturation level; ignored")
        elif ceiling_adu is not None and level > ceiling_adu:
            notes.append(f"{keyword} = {level:g} is above the largest count {ceiling_adu:g}")
            return ceiling_adu
        else:
            return level
    return None


def _temperature(cards: Cards, notes: list[str]) -> float | None:
    for keyword, value in cards.numbers(_TEMPERATURES).items():
        in_kelvin = "kelvin" in cards.comment(keyword).lower() or value > _HOTTEST_C
        celsius = round(value + _ABSOLUTE_ZERO_C, 6) if in_kelvin else value
        if _ABSOLUTE_ZERO_C < celsius <= _HOTTEST_C:
            return celsius
        notes.append(f"{keyword} = {value:g} is no temperature of a camera; ignored")
    return None


def read_binning(cards: Cards) -> tuple[int, int]:
    """Read the binning along x and y; 1 where nothing is said.

    Examples
    --------
    >>> read_binning(Cards.of({"CCDSUM": "2 4"})), read_binning(Cards.of({"XBINNING": 3}))
    ((2, 4), (3, 3))
    """
    for x_key, y_key in (("XBINNING", "YBINNING"), ("CCDXBIN", "CCDYBIN"), ("BINX", "BINY")):
        factors = [int(factor) for factor in cards.numbers((x_key, y_key)).values() if factor >= 1]
        if factors:
            return factors[0], factors[-1]
    for text in cards.texts(("CCDSUM", "BINNING", "CCDBIN")).values():
        match = re.fullmatch(r"(\d{1,2})(?:\s*[xX, ]\s*(\d{1,2}))?(?:\.0)?", text, re.ASCII)
        if match and int(match[1]) and int(match[2] or 1):
            return int(match[1]), int(match[2] or match[1])
    return 1, 1


def adu_ceiling(cards: Cards) -> float | None:
    """Compute the largest count that the pixels' integer type holds, ``None`` for floats.

    A camera of 12 or 14 bits saturates far below it, which no header tells.

    Examples
    --------
    >>> adu_ceiling(Cards.of({"BITPIX": 16, "BZERO": 32768})), adu_ceiling(Cards.of({"BITPIX": 16}))
    (65535.0, 32767.0)
    """
    bits = cards.number("BITPIX")
    if bits not in {8.0, 16.0, 32.0, 64.0}:
        return None
    largest = 255.0 if bits == 8.0 else 2.0 ** (bits - 1) - 1.0
    scale, zero = cards.number("BSCALE"), cards.number("BZERO")
    ceiling = largest * (1.0 if scale is None else scale) + (zero or 0.0)
    return ceiling if math.isfinite(ceiling) and ceiling > 0.0 else None
