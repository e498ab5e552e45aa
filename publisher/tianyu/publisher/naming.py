"""Names of raw frames: as every platform accepts them, and as people call them."""

import re
from pathlib import PurePosixPath

from tianyu.pipelines.fits.streams import COMPRESSED_SUFFIXES, FITS_SUFFIXES
from tianyu.schema.errors import UnsafePathError
from tianyu.schema.paths import MAX_COMPONENT_BYTES, check_component

MAX_CHARACTERS = 180
"""With the prefix of a repeated name it still fits the column ``image.name``, 190 characters."""

_MARK_DIGITS = 8

MAX_BYTES = MAX_COMPONENT_BYTES - len("_") - _MARK_DIGITS - len("_")
"""Room for that prefix, and for the one of a name that belongs to a device."""

_REFUSED = re.compile(r'[<>:"/|?*\\\x00-\x1f\ud800-\udfff]')


def split_endings(name: str) -> tuple[str, str]:
    """Split a file name into its stem and its endings, that of compression included.

    Examples
    --------
    >>> split_endings("m31.001.FITS.fz"), split_endings("m31.001")
    (('m31.001', '.FITS.fz'), ('m31.001', ''))
    """
    stem = name
    for endings in (COMPRESSED_SUFFIXES, FITS_SUFFIXES):
        stem = next((stem[: -len(e)] for e in endings if stem.lower().endswith(e)), stem)
    return stem, name[len(stem) :]


def safe_name(name: str) -> str:
    """Return the name under which a frame is stored: valid on Windows, Linux and macOS.

    Cameras name files after the time with colons in it, which Windows refuses: such
    characters become underscores. A name that is fine everywhere is not changed.

    Examples
    --------
    >>> safe_name("M31_2025-05-30T03:44:00.fits"), safe_name("aux.fits"), safe_name("M31 1.fits")
    ('M31_2025-05-30T03_44_00.fits', '_aux.fits', 'M31 1.fits')
    """
    stem, endings = split_endings(_REFUSED.sub("_", name).rstrip(". "))
    while len(stem + endings) > MAX_CHARACTERS or len((stem + endings).encode()) > MAX_BYTES:
        stem, endings = (stem[:-1], endings) if stem else (endings, "")
    safe = stem + endings
    try:
        return check_component(safe)
    except UnsafePathError:
        # What is left is a name that belongs to a device, or nothing at all.
        return check_component(f"_{safe.rstrip('. ')}")


def marked_name(name: str, fingerprint: str) -> str:
    """Return the safe name of a frame whose plain name belongs to another one.

    Two folders may hold files of one name: the later gets the start of its fingerprint in
    front, so that it is called the same on every try.

    Examples
    --------
    >>> marked_name("light_0001.fits", "3f8a09c1d2e4")
    '3f8a09c1_light_0001.fits'
    """
    return f"{fingerprint[:_MARK_DIGITS]}_{safe_name(name)}"


def plain_stem(name: str) -> str:
    """Return what a person means by a frame's name: no folder, no endings, no case.

    Examples
    --------
    >>> plain_stem("night1/M31_0042.FITS"), plain_stem("M31_0042")
    ('m31_0042', 'm31_0042')
    """
    last = PurePosixPath(name.replace("\\", "/")).name
    return split_endings(safe_name(last))[0].lower()
