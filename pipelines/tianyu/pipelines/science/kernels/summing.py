"""Adding a frame to an exact stack, a strip of rows in one sweep."""

import numpy as np

from tianyu.pipelines.science.arrays import AnyArray, FloatImage, MaskImage
from tianyu.pipelines.science.kernels.jit import compiled


@compiled
def highest_step(
    pixels: FloatImage,
    mask: MaskImage,
    ignored: int,
    window: tuple[int, int, int, int],
    steps_per_adu: float,
    limit: float,
) -> float:
    """Return the largest absolute value of the good pixels of a window, in whole steps.

    Parameters
    ----------
    pixels : ndarray of float32, shape (ny, nx)
    mask : ndarray of uint8, shape (ny, nx)
        A pixel with any bit but the ignored ones is left out, as is one that is not finite.
    ignored : int
        Bits that do not matter.
    window : tuple of int
        First row, row after the last, first column, column after the last.
    steps_per_adu : float
    limit : float
        What exceeds it counts as it.
    """
    first, last, left, right = window
    # Positive floats are in the order of their bits, and whole numbers are compared many at a time.
    bits, use, top = pixels.view(np.int32), np.uint8(255 ^ ignored), np.int32(0)
    # What overflows when it is put into steps is not finite.
    highest = np.empty(1, np.float32)
    highest[0] = np.float32(3.4028234663852886e38 / steps_per_adu)
    largest = highest.view(np.int32)[0]
    for y in range(first, last):
        part, marks = bits[y, left:right], mask[y, left:right]
        for x in range(part.size):
            size = part[x] & np.int32(0x7FFFFFFF)
            good = ((marks[x] & use) == 0) & (size <= largest)
            size = size if good else np.int32(0)
            top = size if size > top else top
    highest.view(np.int32)[0] = top
    return min(np.rint(np.float64(highest[0]) * steps_per_adu), limit)


@compiled
def add_steps(
    pixels: FloatImage,
    mask: MaskImage,
    ignored: int,
    window: tuple[int, int, int, int],
    steps_per_adu: float,
    limit: float,
    flipped: bool,
    sign: int,
    total: AnyArray,
    count: AnyArray,
    corner: tuple[int, int],
) -> None:
    """Add the rounded pixels of a window to the sums, and one to the counts of the good ones.

    Parameters
    ----------
    pixels, mask, ignored, window, steps_per_adu, limit
        As of :func:`highest_step`.
    flipped : bool
        The window is turned by 180° before.
    sign : int
        1, or −1 to subtract.
    total, count : ndarray of integers, shape (height, width)
        Changed.
    corner : tuple of int
        Row and column of the sums that the window's first pixel, or when flipped its last one,
        goes to.
    """
    first, last, left, right = window
    scale, top, use = np.float32(steps_per_adu), np.float32(limit), np.uint8(255 ^ ignored)
    values, marks = np.empty(right - left, np.float32), np.empty(right - left, np.uint8)
    for k in range(last - first):
        if flipped:
            part, bits = pixels[last - 1 - k, left:right], mask[last - 1 - k, left:right]
            for x in range(values.size):
                values[x], marks[x] = part[values.size - 1 - x], bits[values.size - 1 - x]
        else:
            values[:], marks[:] = pixels[first + k, left:right], mask[first + k, left:right]
        sums = total[corner[0] + k, corner[1] : corner[1] + values.size]
        counts = count[corner[0] + k, corner[1] : corner[1] + values.size]
        for x in range(values.size):
            steps = np.rint(values[x] * scale)
            good = ((marks[x] & use) == 0) & (abs(steps) < np.float32(np.inf))
            steps = steps if steps < top else top
            steps = steps if steps > -top else -top
            sums[x] += sign * np.int32(steps if good else np.float32(0.0))
            counts[x] += sign if good else 0
