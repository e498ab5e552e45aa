"""Adding a frame to an exact stack in one sweep, row by row while a row is in the cache."""

import numpy as np

from tianyu.pipelines.science.arrays import AnyArray, FloatImage, MaskImage
from tianyu.pipelines.science.kernels.jit import compiled


@compiled
def add_rows(
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
    room: int,
) -> tuple[int, int]:
    """Add the rounded pixels of a window to the sums, and one to the counts of the good ones.

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
        What exceeds it, in steps, counts as it.
    flipped : bool
        The window is turned by 180° before.
    sign : int
        1, or −1 to subtract.
    total, count : ndarray of integers, shape (height, width)
        Changed.
    corner : tuple of int
        Row and column of the sums that the window's first pixel, or when flipped its last one,
        goes to.
    room : int
        Steps that the type of the sums has left. A row with more of them is not added.

    Returns
    -------
    rows : int
        How many rows of the sums were added to: all, or those before one that needs more room.
    highest : int
        Largest absolute value in steps, that of the row without room included.
    """
    first, last, left, right = window
    scale, top, use = np.float32(steps_per_adu), np.float32(limit), np.uint8(255 ^ ignored)
    width, highest = right - left, np.int32(0)
    steps, ones = np.empty(width, np.int32), np.empty(width, np.int16)
    one = np.int16(sign)
    for k in range(last - first):
        row = last - 1 - k if flipped else first + k
        part, bits = pixels[row, left:right], mask[row, left:right]
        peak = np.int32(0)
        # Whole types of one width in each loop: as many at once as the processor can.
        for x in range(width):
            value = np.rint(part[x] * scale)
            good = ((bits[x] & use) == 0) & (abs(value) < np.float32(np.inf))
            value = value if value < top else top
            value = value if value > -top else -top
            steps[x] = np.int32(value if good else np.float32(0.0))
            ones[x] = one if good else np.int16(0)
        for x in range(width):
            size = abs(steps[x])
            peak = size if size > peak else peak
        highest = peak if peak > highest else highest
        if peak > room:
            return k, highest
        sums = total[corner[0] + k, corner[1] : corner[1] + width]
        counts = count[corner[0] + k, corner[1] : corner[1] + width]
        if flipped:
            steps[:], ones[:] = steps[::-1].copy(), ones[::-1].copy()
        if sign < 0:
            for x in range(width):
                sums[x] -= steps[x]
        else:
            for x in range(width):
                sums[x] += steps[x]
        for x in range(width):
            counts[x] += ones[x]
    return last - first, highest
