"""What a frame is: bias, dark, flat or light, from its header or else from its name."""

import re
from dataclasses import dataclass
from enum import StrEnum

from tianyu.pipelines.fits.cards import Cards
from tianyu.pipelines.fits.errors import HeaderError


class FrameKind(StrEnum):
    """What a frame was taken for."""

    BIAS = "bias"
    DARK = "dark"
    FLAT = "flat"
    LIGHT = "light"


class FlatKind(StrEnum):
    """What lit a flat; twilight flats hold stars, dome flats do not."""

    DOME = "dome"
    TWILIGHT = "twilight"


@dataclass(frozen=True)
class KindReading:
    """Kind of a frame, and in words what was assumed."""

    kind: FrameKind
    flat_kind: FlatKind | None = None
    notes: tuple[str, ...] = ()


KIND_KEYWORDS = (
    "IMAGETYP", "IMAGETYPE", "IMGTYPE", "IMTYPE", "OBSTYPE", "FRAMETYP", "FRAMETYPE", "FRAME",
    "EXPTYPE", "ESO DPR TYPE", "PICTTYPE",
)  # fmt: skip

# SBIG's convention, also used by CCDSoft and TheSky.
_NUMBERED = {"1": FrameKind.LIGHT, "2": FrameKind.BIAS, "3": FrameKind.DARK, "4": FrameKind.FLAT}

_LIGHT_WORDS = frozenset({
    "light", "lightframe", "lights", "object", "obj", "science", "sci", "sciobject", "target",
    "expose", "exposure", "experimental", "std", "standard", "stdstar", "image", "star", "sky",
    "acquisition", "test",
})  # fmt: skip
# Exposures of lamps through a spectrograph, and frames taken out of focus on purpose.
_UNUSABLE_WORDS = frozenset({"arc", "comp", "comparison", "focus", "wave", "lamp"})

_DOME_WORDS = ("dome", "lamp", "led", "panel", "quartz", "internal", "dflat")
_TWILIGHT_WORDS = ("sky", "twi", "dusk", "dawn", "sunset", "sunrise", "sflat")

# Only whole words of a name count: "Darkstar_001" and "biased" say nothing.
_NAME_WORD = re.compile(
    r"(?:master)?(?:"
    r"(?:dome|sky|twi|twilight|dusk|dawn|lamp|led|panel|auto|d|s|t)?flats?(?:field|frame)?s?"
    r"|(?:bias|zero|dark)(?:frame)?(?:e?s)?|flatdarks?|darkflats?)$"
)


def classify(text: str) -> FrameKind | None:
    """Tell the kind from a word of an observer or of a camera program.

    Parameters
    ----------
    text : str
        Such as ``'Light Frame'``, ``'zero'``, ``'Dome Flat'`` or ``'3'`` (SBIG's numbers).

    Returns
    -------
    FrameKind or None
        ``None`` for a word that is not known.

    Examples
    --------
    >>> classify("Dome Flat"), classify("OBJECT"), classify("flat dark"), classify("arc")
    (<FrameKind.FLAT: 'flat'>, <FrameKind.LIGHT: 'light'>, <FrameKind.DARK: 'dark'>, None)
    """
    if text.strip() in _NUMBERED:
        return _NUMBERED[text.strip()]
    word = _letters(text)
    if "dark" in word:  # before flat: a "flat dark" is a dark with the flats' exposure
        return FrameKind.DARK
    if "bias" in word or word in {"zero", "zeroframe", "offset", "offsetframe"}:
        return FrameKind.BIAS
    if "flat" in word or word in {"twilight", "dusk", "dawn"}:
        return FrameKind.FLAT
    return FrameKind.LIGHT if word in _LIGHT_WORDS else None


def classify_flat(*texts: str) -> FlatKind | None:
    """Tell what lit a flat from the first of ``texts`` that says so.

    Examples
    --------
    >>> classify_flat("FLAT", "domeflat_g_001.fits")
    <FlatKind.DOME: 'dome'>
    """
    for text in texts:
        words = _words(text)
        if any(word.startswith(_TWILIGHT_WORDS) for word in words):
            return FlatKind.TWILIGHT
        if any(word.startswith(_DOME_WORDS) for word in words):
            return FlatKind.DOME
    return None


def kind_from_name(name: str) -> FrameKind | None:
    """Tell the kind from the words of a file name, ``None`` if none of them is a kind.

    Examples
    --------
    >>> kind_from_name("Bias_BIN1_20250530.fits"), kind_from_name("Darkstar_001.fits")
    (<FrameKind.BIAS: 'bias'>, None)
    """
    return next((classify(word) for word in _words(name) if _NAME_WORD.match(word)), None)


def read_kind(cards: Cards, name: str) -> KindReading:
    """Decide the kind: from the header, else the object's name, else the file's, else light.

    Parameters
    ----------
    cards : Cards
        The header.
    name : str
        File name.

    Returns
    -------
    KindReading
        With a note where the header did not say it, or the file's name says otherwise.

    Raises
    ------
    HeaderError
        If the header names a kind that photometry cannot use, such as an arc.
    """
    kind, notes = _stated_kind(cards, name)
    from_name = kind_from_name(name)
    if kind is None:
        kind, source = _guessed_kind(cards, from_name)
        notes.append(f"no keyword states the kind of the frame; taken as {kind} {source}")
    elif from_name not in {None, kind}:
        notes.append(f"the header says {kind}, the file name says {from_name}; the header counts")
    if kind is not FrameKind.FLAT:
        return KindReading(kind, None, tuple(notes))
    texts = (*cards.texts((*KIND_KEYWORDS, "OBJECT")).values(), name)
    # Only texts that speak of flats: an object called "Skylab" lights none.
    hints = [text for text in texts if classify(text) is FrameKind.FLAT]
    return KindReading(kind, classify_flat(*hints), tuple(notes))


def _stated_kind(cards: Cards, name: str) -> tuple[FrameKind | None, list[str]]:
    notes: list[str] = []
    for keyword, text in cards.texts(KIND_KEYWORDS).items():
        if _letters(text) in _UNUSABLE_WORDS:
            raise HeaderError(
                f"{name}: {keyword} = {text!r} is no bias, dark, flat or light; leave the file "
                "out, or correct the keyword if it is one of these"
            )
        kind = classify(text)
        if kind is not None:
            return kind, notes
        notes.append(f"{keyword} = {text!r} is not a known kind of frame")
    return None, notes


def _guessed_kind(cards: Cards, from_name: FrameKind | None) -> tuple[FrameKind, str]:
    from_object = kind_from_name(cards.text("OBJECT") or "")
    if from_object is not None:
        return from_object, "from OBJECT"
    if from_name is not None:
        return from_name, "from the file name"
    return FrameKind.LIGHT, "for want of any sign of another"


def _words(text: str) -> list[str]:
    return re.findall("[a-z]+", text.lower())


def _letters(text: str) -> str:
    return "".join(character for character in text.lower() if "a" <= character <= "z")
