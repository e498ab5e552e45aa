"""Bad pixels of a master frame: found when it is made, kept in its file as a list.

Whoever calibrates with it needs them, and finding them takes a child of a consumer longer than
reading the masters.
"""

import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.lists import as_images, read_list
from tianyu.pipelines.science.arrays import AnyArray, FloatImage, MaskImage
from tianyu.pipelines.science.badpixels import bad_pixels
from tianyu.pipelines.science.sparse import FewPixels

EXTENSION = "BAD"

CARD = "has_bad_pixels"
"""In the header of a master that has the list; those of earlier versions have none."""

logger = logging.getLogger(__name__)


def bad_pixel_list(kind: str, pixels: FloatImage) -> list[tuple[str, AnyArray]]:
    """Return the bad pixels of a master frame, for its file.

    Parameters
    ----------
    kind : str
        ``bias``, ``dark`` or ``flat``.
    pixels : ndarray of float32, shape (ny, nx)

    Returns
    -------
    list of (name, array)
        Empty for a frame that none can be told of; whoever calibrates with it is told why.
    """
    try:
        mask = _judged({kind: pixels})
    except UnusableDataError as error:
        logger.warning("no list of bad pixels is kept with the master %s: %s", kind, error)
        return []
    return as_images(EXTENSION, FewPixels.of(mask, mask))


def bad_pixels_of(masters: Mapping[str, FloatImage], listed_in: Mapping[str, Path]) -> MaskImage:
    """Return the mask of the pixels that masters cannot mend.

    Parameters
    ----------
    masters : mapping of str to ndarray of float32, shape (ny, nx)
        By kind, at least one.
    listed_in : mapping of str to Path
        Files that hold the list of their own; the pixels of others are looked at.

    Returns
    -------
    ndarray of uint8, shape (ny, nx)
        Bits of :class:`~tianyu.pipelines.science.masks.MaskBit`.

    Raises
    ------
    UnusableDataError
        If shapes differ, or nothing can be told of a master.
    """
    unlisted = {kind: pixels for kind, pixels in masters.items() if kind not in listed_in}
    shapes = {pixels.shape for pixels in masters.values()}
    if len(shapes) != 1:
        return _judged(masters)  # says what is wrong
    mask = _judged(unlisted) if unlisted else np.zeros(shapes.pop(), np.uint8)
    for path in listed_in.values():
        bad, _ = read_list(path, EXTENSION)
        mask.reshape(-1)[bad.places] |= bad.values
    return mask


def _judged(masters: Mapping[str, FloatImage]) -> MaskImage:
    bias, dark, flat = (masters.get(kind) for kind in ("bias", "dark", "flat"))
    return bad_pixels(bias=bias, dark=dark, flat=flat)
