"""Adding a frame to an exact stack in one sweep, row by row while a row is in the cache."""

import numpy as np

from tianyu.pipelines.science.arrays import AnyArray, FloatImage, MaskImage
from tianyu.pipelines.science.kernels.jit import compiled
from tianyu.pipelines.science.kernels.prefetch import ROWS_AHEAD, RUN, fetch_run

STRETCH = 8 * RUN
"""Pixels between two requests for what comes later: all of a row at once would be waited for."""


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
    width, highest = right - left, 0
    steps, ones = np.empty(width, np.int32), np.empty(width, np.int16)
    how = np.float32(steps_per_adu), np.float32(limit), np.uint8(255 ^ ignored), np.int16(sign)
    values, flags = pixels.reshape(-1), mask.reshape(-1)
    all_sums, all_counts = total.reshape(-1), count.reshape(-1)
    for k in range(last - first):
        row = last - 1 - k if flipped else first + k
        later = row - ROWS_AHEAD if flipped else row + ROWS_AHEAD
        from_pixel = later * pixels.shape[1] + left
        to_sum = (corner[0] + k + ROWS_AHEAD) * total.shape[1] + corner[1]
        peak = 0
        for start in range(0, width, STRETCH):
            end = min(width, start + STRETCH)
            for run in range(start, end, RUN):
                fetch_run(values, from_pixel + run)
                fetch_run(flags, from_pixel + run)
                fetch_run(all_sums, to_sum + run)
                fetch_run(all_counts, to_sum + run)
            part, bits = (
                pixels[row, left + start : left + end],
                mask[row, left + start : left + end],
            )
            peak = max(peak, _round(part, bits, *how, steps[start:end], ones[start:end]))
        highest = max(highest, peak)
        if peak > room:
            return k, highest
        if flipped:
            steps[:], ones[:] = steps[::-1].copy(), ones[::-1].copy()
        columns = slice(corner[1], corner[1] + width)
        _add(steps, ones, sign, total[corner[0] + k, columns], count[corner[0] + k, columns])
    return last - first, highest


@compiled
def _round(
    values: FloatImage,
    bits: MaskImage,
    scale: float,
    top: float,
    use: int,
    one: int,
    steps: AnyArray,
    ones: AnyArray,
) -> int:
    """Write rounded pixels and what each of them counts; return the largest absolute value."""
    # Whole types of one width in each loop: as many at once as the processor can.
    for x in range(np.uint64(values.size)):
        value = np.rint(values[x] * scale)
        good = ((bits[x] & use) == 0) & (abs(value) < np.float32(np.inf))
        value = value if value < top else top
        value = value if value > -top else -top
        steps[x] = np.int32(value if good else np.float32(0.0))
        ones[x] = one if good else np.int16(0)
    peak = np.int32(0)
    for x in range(np.uint64(values.size)):
        size = abs(steps[x])
        peak = size if size > peak else peak
    return peak


@compiled
def _add(steps: AnyArray, ones: AnyArray, sign: int, sums: AnyArray, counts: AnyArray) -> None:
    """Add a row to the sums, or subtract it, and what its pixels count to the counts."""
    if sign < 0:
        for x in range(np.uint64(steps.size)):
            sums[x] -= steps[x]
    else:
        for x in range(np.uint64(steps.size)):
            sums[x] += steps[x]
    for x in range(np.uint64(steps.size)):
        counts[x] += ones[x]
