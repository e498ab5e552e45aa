"""Pixels about sources: squares of them, and rings."""

import numpy as np

from tianyu.pipelines.science.arrays import FloatImage, MaskImage
from tianyu.pipelines.science.kernels.jit import compiled
from tianyu.pipelines.science.masks import MaskBit
from tianyu.pipelines.science.stamps import OFF_DETECTOR

_NOT_FINITE = int(MaskBit.NOT_FINITE)
_OFF_DETECTOR = int(OFF_DETECTOR)


@compiled
def cut_stamp(
    pixels: FloatImage, mask: MaskImage, y: int, x: int, stamp: FloatImage, bits: MaskImage
) -> None:
    """Copy the square of pixels about (x, y) from a calibrated frame, as ``stamps.cut_stamps``.

    Parameters
    ----------
    pixels, mask : ndarray of float32 and of uint8, shape (ny, nx)
    y, x : int
        Middle of the stamp.
    stamp, bits : ndarray of float32 and of uint8, shape (s, s)
        Written. Beyond the frame the nearest pixel is repeated, and marked.
    """
    ny, nx = pixels.shape
    size = stamp.shape[0]
    top, left = y - size // 2, x - size // 2
    whole = top >= 0 and left >= 0 and top + size <= ny and left + size <= nx
    for j in range(size):
        row = min(max(top + j, 0), ny - 1)
        if whole:
            values, marks = pixels[row, left : left + size], mask[row, left : left + size]
            for i in range(size):
                finite = abs(values[i]) < np.inf
                stamp[j, i] = values[i]
                bits[j, i] = marks[i] | (0 if finite else _NOT_FINITE)
            continue
        for i in range(size):
            column = min(max(left + i, 0), nx - 1)
            off = row != top + j or column != left + i
            finite = abs(pixels[row, column]) < np.inf
            stamp[j, i] = pixels[row, column]
            bits[j, i] = (_OFF_DETECTOR if off else mask[row, column]) | (
                0 if finite else _NOT_FINITE
            )


@compiled
def cut_good(
    values: FloatImage, marks: MaskImage, corner: int, nx: int, ignored: int, stamp: FloatImage
) -> None:
    """Copy a square that lies on the frame, NaN for pixels that are masked or infinite.

    Parameters
    ----------
    values, marks : ndarray of float32 and of uint8, shape (ny · nx,)
        Pixels of the frame and their mask.
    corner : int
        Flat index of the first pixel of the square.
    nx : int
        Length of a row of the frame.
    ignored : int
        Bits of the mask that do no harm.
    stamp : ndarray of float32, shape (s, s)
        Written.
    """
    # Unsigned, or every index would be looked at whether it counts from the end.
    size, nan = np.uint64(stamp.shape[0]), np.float32(np.nan)
    harmful = np.uint8(0xFF ^ ignored)
    for j in range(size):
        start = np.uint64(corner) + j * np.uint64(nx)
        for i in range(size):
            value = values[start + i]
            good = ((marks[start + i] & harmful) == 0) & (abs(value) < np.float32(np.inf))
            stamp[j, i] = value if good else nan
