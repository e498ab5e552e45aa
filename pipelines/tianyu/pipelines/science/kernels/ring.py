"""The local background of one source, without sorting its ring of pixels.

The clip of :func:`~tianyu.pipelines.science.annulus.local_background` needs a few order
statistics only. Values are dealt into narrow bins once; a bin is sorted when one of its values
is asked for. What is kept is exactly what the reference keeps.
"""

import numpy as np

from tianyu.pipelines.science.annulus import (
    ANNULUS_CLIP_SIGMA,
    CLIP_ROUNDS,
    LOWER_SIGMA_QUANTILE,
    LOWER_TWO_SIGMA_QUANTILE,
)
from tianyu.pipelines.science.arrays import AnyArray, FloatImage
from tianyu.pipelines.science.kernels.jit import compiled

BINS = 128
"""Of the scale of a ring; the first and the last hold all that is beyond."""

BINS_PER_SIGMA = 12.0


@compiled
def clipped_ring(
    values: FloatImage, n: int, guess: float, dealt: FloatImage, starts: AnyArray
) -> tuple[float, float, int]:
    """Clip the values of a ring at 3σ about their median.

    Parameters
    ----------
    values : ndarray of float32
        The first n are numbers, of which there is at least one.
    n : int
    guess : float
        σ of a pixel, for the width of the bins: a bad guess costs time only.
    dealt : ndarray of float32
        Room for as many values.
    starts : ndarray of int32, shape (BINS + 2,)
        Room for where the bins start.

    Returns
    -------
    mean, rms : float
        Of the values that are left.
    n_kept : int
    """
    centre = _probe(values, n)
    per_bin = np.float32(BINS_PER_SIGMA / guess) if guess > 0.0 else np.float32(0.0)
    zero = centre - np.float32(0.5 * BINS) / per_bin if per_bin > 0.0 else centre
    _deal(values, n, zero, per_bin, dealt, starts)
    start, stop = 0, n
    low, high = np.float32(-np.inf), np.float32(np.inf)
    for _ in range(CLIP_ROUNDS):
        middle = _ranked(dealt, starts, (start + stop) // 2)
        one = middle - _ranked(
            dealt, starts, start + int(np.float64(LOWER_SIGMA_QUANTILE) * (stop - start))
        )
        two = middle - _ranked(
            dealt, starts, start + int(np.float64(LOWER_TWO_SIGMA_QUANTILE) * (stop - start))
        )
        half = two / np.float32(2.0)
        reach = np.float32(ANNULUS_CLIP_SIGMA) * (one if one > half else half)
        if middle - reach == low and middle + reach == high:
            break
        low, high = middle - reach, middle + reach
        start, stop = 0, 0
        for i in range(n):
            start += 1 if dealt[i] < low else 0
            stop += 1 if dealt[i] <= high else 0
    return _mean_and_rms(dealt, n, low, high, middle)


@compiled
def _probe(values: FloatImage, n: int) -> float:
    """Return the median of three times three values: near the middle of them all."""
    middles = np.empty(3, np.float32)
    for k in range(3):
        a = values[(2 * (3 * k) + 1) * n // 18]
        b = values[(2 * (3 * k + 1) + 1) * n // 18]
        c = values[(2 * (3 * k + 2) + 1) * n // 18]
        middles[k] = max(min(a, b), min(max(a, b), c))
    a, b, c = middles[0], middles[1], middles[2]
    return max(min(a, b), min(max(a, b), c))


@compiled
def _deal(
    values: FloatImage,
    n: int,
    zero: float,
    per_bin: float,
    dealt: FloatImage,
    starts: AnyArray,
) -> None:
    """Write the values bin by bin, and where each bin starts; a bin's sign bit marks it sorted."""
    bins = np.empty(n, np.int32)
    last = np.float32(BINS - 1)
    for i in range(n):
        place = (values[i] - zero) * per_bin
        place = place if place > np.float32(0.0) else np.float32(0.0)
        place = place if place < last else last
        bins[i] = np.int32(place)
    starts[:] = 0
    for i in range(n):
        starts[np.uint32(bins[i]) + 2] += 1
    for k in range(2, BINS + 2):
        starts[k] += starts[k - 1]
    # starts[k + 1] is where bin k starts; it moves to where the bin ends, as starts[k] did.
    for i in range(n):
        k = np.uint32(bins[i]) + 1
        dealt[starts[k]] = values[i]
        starts[k] += 1


@compiled
def _ranked(dealt: FloatImage, starts: AnyArray, rank: int) -> float:
    """Return the value of a rank from 0, sorting its bin."""
    left, right = 0, BINS
    while right - left > 1:
        middle = (left + right) // 2
        if starts[middle] <= rank:
            left = middle
        else:
            right = middle
    first, last = starts[left], starts[left + 1]
    if last - first > 64:
        dealt[first:last].sort()
        return dealt[rank]
    for i in range(first + 1, last):
        value, k = dealt[i], i
        while k > first and dealt[k - 1] > value:
            dealt[k] = dealt[k - 1]
            k -= 1
        dealt[k] = value
    return dealt[rank]


@compiled
def _mean_and_rms(
    values: FloatImage, n: int, low: float, high: float, middle: float
) -> tuple[float, float, int]:
    """Average the values from low to high, in four sums that take turns."""
    total, square, kept = np.zeros(4), np.zeros(4), 0
    for i in range(n):
        inside = (values[i] >= low) & (values[i] <= high)
        off = np.float64(values[i]) - np.float64(middle) if inside else 0.0
        total[i & 3] += off
        square[i & 3] += off * off
        kept += 1 if inside else 0
    sum1 = (total[0] + total[1]) + (total[2] + total[3])
    sum2 = (square[0] + square[1]) + (square[2] + square[3])
    mean = sum1 / kept
    variance = sum2 / kept - mean * mean
    return middle + mean, np.sqrt(variance) if variance > 0.0 else 0.0, kept
