"""Squares of pixels about all sources of a frame."""

import numpy as np

from tianyu.pipelines.science.arrays import FloatArray, FloatImage, IntArray, MaskImage
from tianyu.pipelines.science.gpu.namespace import ArrayNamespace, DeviceArray, to_host
from tianyu.pipelines.science.masks import MaskBit
from tianyu.pipelines.science.stamps import OFF_DETECTOR


def cut_stamps(
    pixels: DeviceArray,
    mask: DeviceArray,
    x: FloatArray,
    y: FloatArray,
    half: int,
    xp: ArrayNamespace,
) -> tuple[DeviceArray, DeviceArray]:
    """Copy the square of pixels about every source, and its mask bits.

    Parameters
    ----------
    pixels, mask : array of float32 and of uint8, shape (ny, nx)
    x, y : ndarray, shape (n,)
        Positions on the frame, pixels; on the host.
    half : int
        Pixels on each side of the nearest one.
    xp : namespace

    Returns
    -------
    stamps, bits : array of float32 and of uint8, shape (n, 2·half + 1, 2·half + 1)
        As of :func:`tianyu.pipelines.science.stamps.cut_stamps`.

    Examples
    --------
    >>> pixels, clear = np.arange(6, dtype=np.float32).reshape(2, 3), np.zeros((2, 3), np.uint8)
    >>> stamps, bits = cut_stamps(pixels, clear, np.array([1.0]), np.array([0.2]), 1, np)
    >>> stamps[0].tolist(), (bits[0] == OFF_DETECTOR).any(axis=1).tolist()
    ([[0.0, 1.0, 2.0], [0.0, 1.0, 2.0], [3.0, 4.0, 5.0]], [True, False, False])
    """
    height, width = pixels.shape
    offset = xp.arange(-half, half + 1)
    rows = (xp.asarray(np.rint(y).astype(np.int64))[:, np.newaxis] + offset)[:, :, np.newaxis]
    columns = (xp.asarray(np.rint(x).astype(np.int64))[:, np.newaxis] + offset)[:, np.newaxis, :]
    row, column = xp.clip(rows, 0, height - 1), xp.clip(columns, 0, width - 1)
    stamps = pixels[row, column]
    is_beyond = (row != rows) | (column != columns)
    bits = xp.where(is_beyond, int(OFF_DETECTOR), mask[row, column]).astype(xp.uint8)
    bits |= xp.where(xp.isfinite(stamps), 0, int(MaskBit.NOT_FINITE)).astype(xp.uint8)
    return stamps, bits


def copy_squares(
    pixels: DeviceArray,
    mask: DeviceArray,
    places: IntArray,
    half: int,
    room: tuple[FloatImage, MaskImage],
    xp: ArrayNamespace,
) -> None:
    """Copy the squares about a few pixels to the host; other pixels there stay as they are.

    Parameters
    ----------
    pixels, mask : array of float32 and of uint8, shape (ny, nx)
    places : ndarray of int64, shape (n,)
        Flat indices of the pixels in the middle.
    half : int
        Pixels on each side of them.
    room : tuple of ndarray of float32 and of uint8, shape (ny, nx)
        Written, C-contiguous.
    xp : namespace
    """
    ny, nx = room[0].shape
    y, x = np.divmod(places, nx)
    offset = np.arange(-half, half + 1)
    rows, columns = (y[:, np.newaxis] + offset)[:, :, np.newaxis], x[:, np.newaxis] + offset
    columns = columns[:, np.newaxis, :]
    inside = (rows >= 0) & (rows < ny) & (columns >= 0) & (columns < nx)
    at = (rows * nx + columns)[inside]
    stamps, bits = cut_stamps(pixels, mask, x.astype(np.float64), y.astype(np.float64), half, xp)
    room[0].reshape(-1)[at] = to_host(stamps)[inside]
    room[1].reshape(-1)[at] = to_host(bits)[inside]
