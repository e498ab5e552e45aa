"""Lists of pixels beside images in a product's file: where they are, and what they are."""

from pathlib import Path

import numpy as np

from tianyu.pipelines.fits.pixels import read_pixels
from tianyu.pipelines.science.arrays import AnyArray
from tianyu.pipelines.science.sparse import FewPixels

_PLACES = "_AT"


def as_images(name: str, pixels: FewPixels) -> list[tuple[str, AnyArray]]:
    """Return a list as two images of one row, for a FITS file.

    Parameters
    ----------
    name : str
        Of the values' extension; that of the places is this with ``_AT``.
    pixels : FewPixels
        Of an image of less than 2³¹ pixels.
    """
    return [(name + _PLACES, pixels.places.astype(np.int32)[None]), (name, pixels.values[None])]


def read_list(path: Path, name: str) -> tuple[FewPixels, int]:
    """Read a list back; return it and the bytes that it took.

    Raises
    ------
    FitsError
        If the file holds no such list.
    MissingInputError
        If there is no file.
    """
    places, values = (read_pixels(path, extension=each) for each in (name + _PLACES, name))
    return FewPixels(places[0].astype(np.int64), values[0]), places.nbytes + values.nbytes
