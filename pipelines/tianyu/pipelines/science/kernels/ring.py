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

BINS = 256
"""Of the scale of a ring; the first and the last hold all that is beyond."""

BINS_PER_SIGMA = 24.0


@compiled
def clipped_ring(
    values: FloatImage,
    guess: float,
    fewest: int,
    dealt: FloatImage,
    starts: AnyArray,
    bins: AnyArray,
) -> tuple[float, int]:
    """Clip the values of a ring at 3σ about their median.

    Parameters
    ----------
    values : ndarray of float32, shape (m,)
        NaN for what is not to be used.
    guess : float
        σ of a pixel, for the width of the bins: a bad guess costs time only.
    fewest : int
        Values that are needed.
    dealt : ndarray of float32, shape (m,)
        Room for the values.
    starts : ndarray of int32, shape (BINS + 3,)
        Room for where the bins start.
    bins : ndarray of int32, shape (m,)
        Room for their numbers.

    Returns
    -------
    mean : float
        Of the values that are left.
    n_kept : int
        0 if there were too few.
    """
    per_bin = np.float32(BINS_PER_SIGMA / guess) if guess > 0.0 else np.float32(0.0)
    zero = _probe(values)
    if per_bin > 0.0:
        zero -= np.float32(0.5 * BINS) / per_bin
    n = _deal(values, zero, per_bin, dealt, starts, bins)
    if n < fewest:
        return 0.0, 0
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
    return _mean(dealt, n, low, high, middle)


@compiled
def _probe(values: FloatImage) -> float:
    """Return the median of three medians of three values: near the middle of them all."""
    middles = np.empty(3, np.float32)
    for k in range(3):
        a = values[(6 * k + 1) * values.size // 18]
        b = values[(6 * k + 3) * values.size // 18]
        c = values[(6 * k + 5) * values.size // 18]
        middles[k] = max(min(a, b), min(max(a, b), c))
    a, b, c = middles[0], middles[1], middles[2]
    middle = max(min(a, b), min(max(a, b), c))
    return middle if abs(middle) < np.inf else np.float32(0.0)


@compiled
def _deal(
    values: FloatImage,
    zero: float,
    per_bin: float,
    dealt: FloatImage,
    starts: AnyArray,
    bins: AnyArray,
) -> int:
    """Write the values bin by bin, and where each bin starts; return how many are numbers."""
    first, last = np.float32(0.0), np.float32(BINS - 1)
    for i in range(values.size):
        place = (values[i] - zero) * per_bin
        is_number = place == place
        place = place if place > first else first
        place = place if place < last else last
        bins[i] = np.int32(place) if is_number else np.int32(BINS)
    starts[:] = 0
    for i in range(values.size):
        starts[np.uint32(bins[i]) + np.uint32(2)] += 1
    for k in range(2, BINS + 3):
        starts[k] += starts[k - 1]
    # starts[k + 1] is where bin k starts; it moves to where the bin ends, as starts[k] did.
    for i in range(values.size):
        k = np.uint32(bins[i]) + np.uint32(1)
        dealt[np.uint32(starts[k])] = values[i]
        starts[k] += 1
    return starts[BINS]


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
def _mean(values: FloatImage, n: int, low: float, high: float, middle: float) -> tuple[float, int]:
    """Average the values from low to high, in eight sums that take turns."""
    sums = np.zeros(8)
    centre, kept = np.float64(middle), 0
    n_blocks = n // 8
    for block in range(n_blocks):
        part = values[8 * block : 8 * block + 8]
        for lane in range(8):
            value = part[lane]
            sums[lane] += np.float64(value) - centre if (value >= low) & (value <= high) else 0.0
    for i in range(8 * n_blocks, n):
        off = np.float64(values[i]) - centre if (values[i] >= low) & (values[i] <= high) else 0.0
        sums[0] += off
    for i in range(n):
        kept += 1 if (values[i] >= low) & (values[i] <= high) else 0
    total = 0.0
    for lane in range(8):
        total += sums[lane]
    return centre + total / kept, kept
