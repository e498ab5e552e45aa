"""Sections of the detector: where light falls, and where the overscan is read."""

import re
from dataclasses import dataclass

from tianyu.pipelines.fits.cards import Cards

Section = tuple[int, int, int, int]
"""First column, column after the last, first row, row after the last; 0-based."""

_SECTION = re.compile(r"\[\s*(\d+)\s*:\s*(\d+)\s*,\s*(\d+)\s*:\s*(\d+)\s*\]")

# What IRAF's ccdproc leaves in the header when it has done it.
_DONE = ("OVERSCAN", "TRIM")


@dataclass(frozen=True)
class Readout:
    """How the image of a file is divided; None where nothing is to be cut or subtracted."""

    data: Section | None = None
    overscan: Section | None = None
    notes: tuple[str, ...] = ()


def parse_section(text: str) -> Section | None:
    """Read a section as IRAF writes it: columns first, from 1, both ends included.

    Examples
    --------
    >>> parse_section("[33:2080,1:2048]")
    (32, 2080, 0, 2048)
    """
    match = _SECTION.fullmatch(text.strip())
    if match is None:
        return None
    x1, x2, y1, y2 = (int(number) for number in match.groups())
    x1, x2, y1, y2 = min(x1, x2), max(x1, x2), min(y1, y2), max(y1, y2)
    return (x1 - 1, x2, y1 - 1, y2) if x1 >= 1 and y1 >= 1 else None


def read_sections(cards: Cards, shape: tuple[int, int]) -> Readout:
    """Read ``TRIMSEC`` (else ``DATASEC``) and ``BIASSEC``.

    Programs that cut frames often leave these cards behind, so that what does not fit the
    image is not believed.

    Parameters
    ----------
    cards : Cards
        The header.
    shape : tuple of int
        ``(ny, nx)`` of the image in the file.

    Returns
    -------
    Readout
        With the part that sees light, and the overscan, where there are any.
    """
    notes: list[str] = []
    if any(cards.text(keyword) for keyword in _DONE):
        return Readout()
    data = _within(cards, ("TRIMSEC", "DATASEC"), shape, notes)
    overscan = _within(cards, ("BIASSEC",), shape, notes)
    if overscan is not None and data is None:
        data = _beside(overscan, shape)
    if overscan is not None and (data is None or _overlap(overscan, data)):
        notes.append(f"BIASSEC = {cards.text('BIASSEC')!r} lies in the image itself; ignored")
        return Readout(None if data == _whole(shape) else data, None, tuple(notes))
    return Readout(None if data == _whole(shape) else data, overscan, tuple(notes))


def _within(
    cards: Cards, keywords: tuple[str, ...], shape: tuple[int, int], notes: list[str]
) -> Section | None:
    for keyword, text in cards.texts(keywords).items():
        section = parse_section(text)
        if section is not None and section[1] <= shape[1] and section[3] <= shape[0]:
            return section
        notes.append(
            f"{keyword} = {text!r} is no section of the {shape[1]}×{shape[0]} pixels of this "
            "image; ignored"
        )
    return None


def _whole(shape: tuple[int, int]) -> Section:
    return 0, shape[1], 0, shape[0]


def _overlap(one: Section, other: Section) -> bool:
    is_x = one[0] < other[1] and other[0] < one[1]
    return is_x and one[2] < other[3] and other[2] < one[3]


def _beside(overscan: Section, shape: tuple[int, int]) -> Section | None:
    """Return what is left when a strip along one edge is cut off."""
    x1, x2, y1, y2 = overscan
    height, width = shape
    if x1 == 0 and x2 < width:
        return x2, width, 0, height
    if x2 == width and x1 > 0:
        return 0, x1, 0, height
    if y1 == 0 and y2 < height:
        return 0, width, y2, height
    return (0, width, 0, y1) if y2 == height and y1 > 0 else None
