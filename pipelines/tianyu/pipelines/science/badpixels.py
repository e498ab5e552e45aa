"""The map of pixels that calibration cannot mend, from the master frames."""

import numpy as np

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.arrays import BoolArray, FloatImage, MaskImage
from tianyu.pipelines.science.clipping import MAD_TO_SIGMA
from tianyu.pipelines.science.masks import MaskBit
from tianyu.pipelines.science.masterplanes import LOWEST_FLAT
from tianyu.pipelines.science.sky import measure_sky

HOT_SIGMA = 20.0
"""Robust sigma of the master beyond which a pixel is bad.

With the usual handful of darks, the shot noise of such a dark current reaches the read-out
noise; what is warm below it is well subtracted by the dark.
"""

LARGEST_FLAT_DEPARTURE = 0.5
"""Response relative to its surroundings: a pixel off by more than this is damaged."""


def bad_pixels(
    *,
    bias: FloatImage | None = None,
    dark: FloatImage | None = None,
    flat: FloatImage | None = None,
    n_sigma: float = HOT_SIGMA,
) -> MaskImage:
    """Map the pixels that calibration cannot mend.

    ``BAD`` where bias or dark depart from their surroundings by more than `n_sigma` robust
    standard deviations or are not finite, and where the response departs from that of the
    surroundings by more than half; ``NO_FLAT`` where the flat cannot be divided by.

    Parameters
    ----------
    bias, dark, flat : ndarray of float32, shape (ny, nx), optional
        Master frames, at least one of them; the dark without bias.
    n_sigma : float
        Threshold for bias and dark.

    Returns
    -------
    ndarray of uint8, shape (ny, nx)
        Bits of :class:`~tianyu.pipelines.science.masks.MaskBit`.

    Raises
    ------
    UnusableDataError
        If no frame is given, their shapes differ, or one holds no finite pixels.
    """
    given = [frame for frame in (bias, dark, flat) if frame is not None]
    shapes = {frame.shape for frame in given}
    if len(shapes) != 1:
        raise UnusableDataError(
            f"bad pixels need master frames of one shape, not shapes {sorted(shapes)}"
        )
    mask = np.zeros(shapes.pop(), np.uint8)
    for frame in (bias, dark):
        if frame is not None:
            mask[_outliers(frame, n_sigma)] |= np.uint8(MaskBit.BAD)
    if flat is not None:
        mask |= _flat_mask(flat)
    return mask


def _outliers(frame: FloatImage, n_sigma: float) -> BoolArray:
    """Pixels far from their surroundings in units of the robust noise of the frame."""
    # In place where it can be: a master of 61 megapixels is a quarter of a gigabyte.
    departure = measure_sky(frame).image()
    np.subtract(frame, departure, out=departure)
    np.abs(departure, out=departure)
    finite = np.isfinite(departure)
    sigma = MAD_TO_SIGMA * np.median(departure[finite], overwrite_input=True)
    outliers: BoolArray = ~finite | (departure > n_sigma * sigma)
    return outliers


def _flat_mask(flat: FloatImage) -> MaskImage:
    usable = np.isfinite(flat) & (flat > LOWEST_FLAT)
    surroundings = measure_sky(flat, np.where(usable, 0, 1).astype(np.uint8)).image()
    damaged = usable & (np.abs(flat - surroundings) > LARGEST_FLAT_DEPARTURE * surroundings)
    mask: MaskImage = np.where(usable, 0, MaskBit.NO_FLAT).astype(np.uint8)
    mask[damaged] |= np.uint8(MaskBit.BAD)
    return mask
