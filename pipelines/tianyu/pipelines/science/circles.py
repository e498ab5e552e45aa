"""What circles on stamps hold: light, area, masked pixels."""

import numpy as np
import sep
from numpy.typing import NDArray

from tianyu.pipelines.science.arrays import AnyArray, FloatArray
from tianyu.pipelines.science.flags import FluxFlag
from tianyu.pipelines.science.masks import MaskBit
from tianyu.pipelines.science.stamps import LEFT_OUT, UNTRUSTED

FLAG_OF_BITS = (
    (MaskBit.SATURATED, FluxFlag.SATURATED),
    (UNTRUSTED, FluxFlag.MASKED_PIXEL),
    (MaskBit.COSMIC_RAY, FluxFlag.COSMIC_RAY),
    (MaskBit.TRAIL, FluxFlag.TRAIL),
)
"""What an aperture is flagged with that touches a pixel so marked."""


def circle_sums(
    stamps: AnyArray, bits: AnyArray, x: FloatArray, y: FloatArray, radii: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Sum the pixels in circles by the exact area that a circle covers of each.

    Parameters
    ----------
    stamps : ndarray of float32, shape (n, s, s)
        Pixels about the sources, zero where left out.
    bits : ndarray of uint8, shape (n, s, s)
        Marks of the pixels; those of ``LEFT_OUT`` add no area.
    x, y : ndarray, shape (n,)
        Centres of the circles, from the middle of the stamps, pixels.
    radii : ndarray, shape (r,)
        Radii, pixels; the circles must lie within the stamps. SEP's areas are exact from one
        pixel on; a circle that lies within a single pixel may be given all of it.

    Returns
    -------
    sums, areas : ndarray, shape (n, r)
        Light, and area that was summed in square pixels.

    Examples
    --------
    >>> stamps, clear = np.full((1, 9, 9), 2.0, np.float32), np.zeros((1, 9, 9), np.uint8)
    >>> sums, areas = circle_sums(stamps, clear, np.zeros(1), np.zeros(1), np.array([1.0]))
    >>> np.round(sums / np.pi, 6).tolist(), np.round(areas / np.pi, 6).tolist()
    ([[2.0]], [[1.0]])
    """
    areas = np.tile(np.pi * radii**2, (len(stamps), 1))
    cut = np.flatnonzero((bits & LEFT_OUT).any(axis=(1, 2)))
    if cut.size:
        usable = ((bits[cut] & LEFT_OUT) == 0).astype(np.float32)
        areas[cut] = _sums(usable, x[cut], y[cut], radii)
    return _sums(stamps, x, y, radii), areas


def mask_flags(
    bits: AnyArray, x: FloatArray, y: FloatArray, radii: FloatArray
) -> NDArray[np.uint16]:
    """Flag the circles that touch a masked pixel.

    Parameters
    ----------
    bits : ndarray of uint8, shape (n, s, s)
        Mask bits about the sources.
    x, y : ndarray, shape (n,)
        Centres of the circles, from the middle of the stamps, pixels.
    radii : ndarray, shape (r,)
        Radii, pixels.

    Returns
    -------
    ndarray of uint16, shape (n, r)
        SATURATED, MASKED_PIXEL, COSMIC_RAY and TRAIL of
        :class:`~tianyu.pipelines.science.flags.FluxFlag`.
    """
    flags = np.zeros((len(bits), len(radii)), dtype=np.uint16)
    i = np.flatnonzero(bits.any(axis=(1, 2)))
    offset = np.arange(bits.shape[1]) - bits.shape[1] // 2
    # Distance from the centre to the nearest point of every pixel.
    gap_x = np.maximum(abs(offset - x[i, np.newaxis]) - 0.5, 0.0)
    gap_y = np.maximum(abs(offset - y[i, np.newaxis]) - 0.5, 0.0)
    gap = np.hypot(gap_x[:, np.newaxis, :], gap_y[:, :, np.newaxis])
    for k, radius in enumerate(radii):
        found = np.bitwise_or.reduce(np.where(gap < radius, bits[i], 0), axis=(1, 2))
        for bit, flag in FLAG_OF_BITS:
            flags[i, k] |= np.where(found & bit, flag, 0).astype(np.uint16)
    return flags


def _sums(images: AnyArray, x: FloatArray, y: FloatArray, radii: FloatArray) -> FloatArray:
    """Sum circles on square images, (n, r).

    The images are laid on one another as a single tall one, so that SEP is called once per
    radius and reads memory in order.
    """
    n, size, _ = images.shape
    mosaic, first = images.reshape(n * size, size), size // 2
    y_mosaic = first + size * np.arange(n) + y
    sums = [sep.sum_circle(mosaic, first + x, y_mosaic, r, subpix=0)[0] for r in radii]
    return np.stack(sums, axis=1)
