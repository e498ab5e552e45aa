"""The fixed pattern: frames kept without their stars, and the central means of their pixels."""

import numpy as np
from numpy.typing import NDArray

from tianyu.pipelines.science.arrays import FloatArray, FloatImage, MaskImage
from tianyu.pipelines.science.fixedpattern import LEFT_OUT
from tianyu.pipelines.science.kernels.jit import compiled
from tianyu.pipelines.science.kernels.sorting import sort_columns

PIXELS = 512
"""Of a row that are sorted together: thirty frames of them stay in the first-level cache."""


@compiled
def keep(
    pixels: FloatImage,
    mask: MaskImage,
    x: FloatArray,
    y: FloatArray,
    radius: FloatArray,
    steps_per_adu: float,
    values: NDArray[np.int16],
) -> None:
    """Write a frame in whole steps without the pixels of its stars.

    Parameters
    ----------
    pixels : ndarray of float32, shape (ny, nx)
        ADU.
    mask : ndarray of uint8, shape (ny, nx)
        A pixel with any bit is left out, as is one that is not a number.
    x, y, radius : ndarray, shape (n,)
        Disks that are left out, pixels.
    steps_per_adu : float
    values : ndarray of int16, shape (ny, nx)
        Written.
    """
    scale, limit = np.float32(steps_per_adu), np.float32(LEFT_OUT - 1)
    left_out = np.int16(LEFT_OUT)
    for row in range(pixels.shape[0]):
        part, bits, steps = pixels[row], mask[row], values[row]
        for i in range(part.size):
            value = part[i] * scale
            good = (bits[i] == 0) & (value == value)
            value = value if value < limit else limit
            value = value if value > -limit else -limit
            steps[i] = np.int16(np.rint(value)) if good else left_out
    for star in range(x.size):
        _leave_out(values, x[star], y[star], radius[star])


@compiled
def _leave_out(values: NDArray[np.int16], x: float, y: float, radius: float) -> None:
    """Leave out the pixels whose centres lie within a disk."""
    ny, nx = values.shape
    if not (np.isfinite(x) and np.isfinite(y)):
        return
    # Beyond the frame nothing is to be done, and floats may be too large for whole numbers.
    if x + radius < 0.0 or y + radius < 0.0 or x - radius > nx - 1 or y - radius > ny - 1:
        return
    left, right = max(0, int(np.ceil(x - radius))), min(nx, int(np.floor(x + radius)) + 1)
    bottom, top = max(0, int(np.ceil(y - radius))), min(ny, int(np.floor(y + radius)) + 1)
    for j in range(bottom, top):
        for i in range(left, right):
            if (j - y) ** 2 + (i - x) ** 2 <= radius**2:
                values[j, i] = np.int16(LEFT_OUT)


@compiled
def correct(
    values: NDArray[np.int16], least: FloatArray, steps_per_adu: float, correction: FloatImage
) -> None:
    """Write the mean of the central half of each pixel's values where it is significant.

    Parameters
    ----------
    values : ndarray of int16, shape (n, ny, nx)
        As of :func:`keep`.
    least : ndarray, shape (n + 1,)
        A mean of so many values counts if it exceeds this, ADU.
    steps_per_adu : float
    correction : ndarray of float32, shape (ny, nx)
        Written, ADU; zero where nothing is significant.
    """
    n, ny, nx = values.shape
    ordered = np.zeros((n, PIXELS), np.int16)
    count, total = np.empty(PIXELS, np.int32), np.empty(PIXELS, np.int32)
    for row in range(ny):
        for left in range(0, nx, PIXELS):
            size = min(PIXELS, nx - left)
            for k in range(n):
                for i in range(size):
                    ordered[k, i] = values[k, row, left + i]
            sort_columns(ordered)
            _central_sums(ordered, count, total)
            for i in range(size):
                used = max(count[i] - 2 * (count[i] // 4), 1)
                mean = total[i] / (used * steps_per_adu)
                correction[row, left + i] = mean if abs(mean) > least[count[i]] else 0.0


@compiled
def _central_sums(
    ordered: NDArray[np.int16], count: NDArray[np.int32], total: NDArray[np.int32]
) -> None:
    """Write how many values each column has, and the sum of their central half."""
    n = ordered.shape[0]
    for i in range(count.size):
        count[i] = total[i] = 0
    for k in range(n):
        values = ordered[k]
        for i in range(count.size):
            count[i] += np.int32(1) if values[i] != LEFT_OUT else np.int32(0)
    for k in range(n):
        values, place = ordered[k], np.int32(k)
        for i in range(count.size):
            first = count[i] >> np.int32(2)
            is_central = (place >= first) & (place < count[i] - first)
            total[i] += np.int32(values[i]) if is_central else np.int32(0)
