"""Squares of pixels about sources, with the mask bits that say which of them count."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from tianyu.pipelines.science.arrays import BoolArray, FloatArray, FloatImage, MaskImage
from tianyu.pipelines.science.masks import MaskBit

UNTRUSTED = np.uint8(MaskBit.BAD | MaskBit.NO_FLAT | MaskBit.NOT_FINITE)
"""Pixels that say nothing about the local background, and that are flagged in a sum."""

UNREADABLE = np.uint8(MaskBit.NO_FLAT | MaskBit.NOT_FINITE)
"""Pixels without a value of their own. A saturated or hot pixel has one: it is summed as it is,
since leaving it out would take its share of the star's light away for as long as the star stays
there (0.6 % over a third of a night in the simulated one)."""

PASSING = np.uint8(MaskBit.COSMIC_RAY | MaskBit.TRAIL)
"""Pixels with light of a single frame, which its neighbours in a stack do not have."""

OFF_DETECTOR = np.uint8(1 << 7)
"""Mark of a stamp's pixel beyond the frame; no :class:`MaskBit` has it."""

UNDER_STAR = np.uint8(1 << 6)
"""Mark of a pixel in the light of a known star, which no background is made of where there are
others; no :class:`MaskBit` has it."""

LEFT_OUT = UNREADABLE | OFF_DETECTOR
"""Pixels that add nothing to a sum, as if they were at the local background."""


def on_frame(pixels: FloatImage, x: FloatArray, y: FloatArray, margin: float = 0.0) -> BoolArray:
    """Tell which points are on the frame with a margin; it ends half a pixel beyond centres."""
    return within((pixels.shape[0], pixels.shape[1]), x, y, margin)


def within(shape: tuple[int, int], x: FloatArray, y: FloatArray, margin: float = 0.0) -> BoolArray:
    """Tell which points are on a frame of shape ``(ny, nx)`` with a margin; see `on_frame`."""
    height, width = shape
    low = margin - 0.5
    inside_x = (x >= low) & (x <= width - 1 - low)
    return np.asarray(inside_x & (y >= low) & (y <= height - 1 - low))


def cut_stamps(
    pixels: FloatImage, mask: MaskImage, x: FloatArray, y: FloatArray, half: int
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Copy the square of pixels about every source, and its mask bits.

    Parameters
    ----------
    pixels : ndarray of float32, shape (ny, nx)
        Frame, C-contiguous.
    mask : ndarray of uint8, shape (ny, nx)
        Bits of :class:`~tianyu.pipelines.science.masks.MaskBit`, C-contiguous.
    x, y : ndarray, shape (n,)
        Positions on the frame; the stamp is centred on the nearest pixel.
    half : int
        Pixels on each side of that one.

    Returns
    -------
    stamps : ndarray of float32, shape (n, 2·half + 1, 2·half + 1)
        Beyond the frame the nearest pixel is repeated.
    bits : ndarray of uint8, same shape
        As of the mask; OFF_DETECTOR beyond the frame, NOT_FINITE wherever a stamp is not.

    Examples
    --------
    >>> pixels, clear = np.arange(6, dtype=np.float32).reshape(2, 3), np.zeros((2, 3), np.uint8)
    >>> stamps, bits = cut_stamps(pixels, clear, np.array([1.0]), np.array([0.2]), 1)
    >>> stamps[0].tolist()
    [[0.0, 1.0, 2.0], [0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    >>> (bits[0] == OFF_DETECTOR).any(axis=1).tolist()
    [True, False, False]
    """
    height, width = pixels.shape
    offset = np.arange(-half, half + 1)
    columns = np.add.outer(np.rint(x).astype(np.int64), offset)
    rows = np.add.outer(np.rint(y).astype(np.int64), offset)
    size, whole = len(offset), on_frame(pixels, np.rint(x), np.rint(y), half + 0.5)
    stamps = np.empty((len(x), size, size), dtype=np.float32)
    bits = np.empty((len(x), size, size), dtype=np.uint8)
    if whole.any():  # windows are copied row by row, several times faster than pixel by pixel
        corner = rows[whole, 0], columns[whole, 0]
        stamps[whole] = sliding_window_view(pixels, (size, size))[corner]
        bits[whole] = sliding_window_view(mask, (size, size))[corner]
    rows, columns = rows[~whole, :, np.newaxis], columns[~whole, np.newaxis, :]
    nearest = np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)
    beyond = (rows != nearest[0]) | (columns != nearest[1])
    stamps[~whole] = pixels[nearest]
    bits[~whole] = np.where(beyond, OFF_DETECTOR, mask[nearest])
    bits[~np.isfinite(stamps)] |= np.uint8(MaskBit.NOT_FINITE)
    return stamps, bits


def pixel_distance(size: int) -> FloatArray:
    """Return the distance of every pixel of a square stamp from its middle one."""
    offset = np.arange(size) - size // 2
    return np.hypot(offset[:, np.newaxis], offset)
