"""How large what a header declares may be; judged before anything is allocated or decompressed.

A few bytes of header can declare any size, and a few bytes of a compressed file any amount of
zeros.
"""

from functools import cache

from tianyu.pipelines.fits.errors import FitsError
from tianyu.schema.settings import load_settings

BYTES_PER_PIXEL = 8
"""Of the widest type that FITS has."""

PARTS = 4
"""Images of the largest size that one compressed file may hold, with its masks and tables: all
of it is decompressed to find what comes after it."""

MOST_EXPANSION = 1100
"""DEFLATE makes at most 1032 bytes of one; frames of a camera compress by a factor of 2 to 10."""

HARMLESS_BYTES = 2**24
"""Blank images of this size compress to nothing and harm nobody."""


@cache
def max_pixels() -> int:
    """Return the largest image that is read, pixels: the setting ``max_image_pixels``."""
    return load_settings().max_image_pixels


def check_image(name: str, width: int, height: int) -> None:
    """Refuse an image of too many pixels.

    Raises
    ------
    FitsError
    """
    if width * height > max_pixels():
        raise FitsError(
            f"{name}: declares an image of {width} × {height} pixels, above the limit of "
            f"{max_pixels()}; it is corrupt, or raise TIANYU_MAX_IMAGE_PIXELS"
        )


def check_data(name: str, data_bytes: int) -> None:
    """Refuse a unit of too many bytes.

    Raises
    ------
    FitsError
    """
    if data_bytes > max_pixels() * BYTES_PER_PIXEL:
        raise FitsError(
            f"{name}: declares {data_bytes} bytes of data, above the limit of "
            f"{max_pixels() * BYTES_PER_PIXEL}; it is corrupt, or raise TIANYU_MAX_IMAGE_PIXELS"
        )


def check_expansion(name: str, declared_bytes: int, stored_bytes: int) -> None:
    """Refuse content that would become absurdly larger than its file.

    Parameters
    ----------
    name : str
        Of the file, for the error.
    declared_bytes : int
        What there would be after decompression.
    stored_bytes : int
        Length of the file.

    Raises
    ------
    FitsError
    """
    if declared_bytes > max(HARMLESS_BYTES, MOST_EXPANSION * stored_bytes):
        raise FitsError(
            f"{name}: a file of {stored_bytes} bytes declares {declared_bytes} bytes of content; "
            "it is corrupt, or made to exhaust whoever reads it"
        )
    most = PARTS * max_pixels() * BYTES_PER_PIXEL
    if declared_bytes > most:
        raise FitsError(
            f"{name}: declares {declared_bytes} bytes of content, above the limit of {most}; "
            "split it, or raise TIANYU_MAX_IMAGE_PIXELS"
        )
