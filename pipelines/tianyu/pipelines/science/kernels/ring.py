"""The local background of one source, without sorting its ring of pixels.

The clip of :func:`~tianyu.pipelines.science.annulus.local_background` needs a few order
statistics only: the median and what is one and two σ below it. Where they must be is told by how
many values lie below those of another ring nearby; the few values there are taken out and sorted.
What is kept is exactly what the reference keeps.
"""

import math

import numpy as np

from tianyu.pipelines.science.annulus import (
    ANNULUS_CLIP_SIGMA,
    CLIP_ROUNDS,
    LOWER_SIGMA_QUANTILE,
    LOWER_TWO_SIGMA_QUANTILE,
)
from tianyu.pipelines.science.arrays import FloatArray, FloatImage, IntArray, MaskImage
from tianyu.pipelines.science.kernels.jit import compiled
from tianyu.pipelines.science.kernels.selection import (
    LANES,
    compress,
    count_outside,
    ranked,
    sort_few,
)

_DENSITY = (0.3989, 0.2420, 0.0540)
"""Of normal noise at its middle, one and two σ off, per σ."""

_MARGIN = 6
"""Ranks that are taken out beyond those that are expected to be asked for."""

_MOST = 160
"""Values that are sorted, at most: where many are equal there are more."""


@compiled
def clipped_ring(
    values: FloatImage,
    n: int,
    guess: float,
    known: FloatImage,
    marks: MaskImage,
    window: FloatImage,
    places: IntArray,
    zone: FloatImage,
    held: IntArray,
    sums: FloatArray,
) -> tuple[float, int]:
    """Clip the values of a ring at 3σ about their median.

    Parameters
    ----------
    values : ndarray of float32, shape (m,)
        Infinite for what is not to be used; m is a multiple of ``LANES``.
    n : int
        Values that are to be used, at least one.
    guess : float
        σ of a pixel. A bad guess costs time only.
    known : ndarray of float32, shape (2,)
        Median and σ of another ring nearby, zeros if there is none; those of this one are
        written.
    marks : ndarray of uint8, shape (m,)
        Room.
    window : ndarray of float32, shape (m + 1,)
        Room for the values about the order statistics.
    places : ndarray of int64, shape (3, 3)
        Room for where they stand.
    zone, held
        Room for what :func:`~.selection.ranked` finds.
    sums : ndarray, shape (LANES,)
        Room.

    Returns
    -------
    mean : float
        Of the values that are left.
    n_kept : int
    """
    sigma = known[1] if known[1] > np.float32(0.0) else np.float32(guess)
    _open_windows(values, n, known[0], sigma, marks, window, places)
    held[:] = 0
    start, stop = 0, n
    low, high, middle = np.float32(-np.inf), np.float32(np.inf), known[0]
    for _ in range(CLIP_ROUNDS):
        rank, rank_one, rank_two = _ranks(start, stop)
        middle = _value(values, n, rank, 0, sigma, marks, window, places, zone, held)
        one = middle - _value(values, n, rank_one, 1, sigma, marks, window, places, zone, held)
        two = middle - _value(values, n, rank_two, 2, sigma, marks, window, places, zone, held)
        half = two / np.float32(2.0)
        reach = np.float32(ANNULUS_CLIP_SIGMA) * (one if one > half else half)
        low, high = middle - reach, middle + reach
        before = start, stop
        start, stop = count_outside(values, low, high)
        stop = min(stop, n)
        known[0], known[1] = middle, one
        if (start, stop) == before:
            break
    return _mean(values, low, high, middle, stop - start, sums), stop - start


@compiled
def _ranks(start: int, stop: int) -> tuple[int, int, int]:
    """Return the ranks of the median and of what is one and two σ below it."""
    n = stop - start
    one = start + int(np.float64(LOWER_SIGMA_QUANTILE) * n)
    return (start + stop) // 2, one, start + int(np.float64(LOWER_TWO_SIGMA_QUANTILE) * n)


@compiled
def _open_windows(
    values: FloatImage,
    n: int,
    middle: float,
    sigma: float,
    marks: MaskImage,
    window: FloatImage,
    places: IntArray,
) -> None:
    """Sort the values about the three order statistics, as far as they are where they should be.

    Written are all of them together, and for each statistic where it may be found: from which rank
    on, how many, and at which place of `window` the first is.
    """
    one, two = middle - sigma, middle - np.float32(2.0) * sigma
    n_middle, n_one, n_two, n_high = _count_four(
        values, middle, one, two, middle + np.float32(ANNULUS_CLIP_SIGMA) * sigma
    )
    # Before anything is clipped, and about what is left after.
    first, later = _ranks(0, n), _ranks(0, min(n_high, n))
    a, b = _window(middle, sigma, n, n_middle, first[0], later[0], _DENSITY[0])
    c, d = _window(one, sigma, n, n_one, first[1], later[1], _DENSITY[1])
    e, f = _window(two, sigma, n, n_two, first[2], later[2], _DENSITY[2])
    for i in range(values.size):
        value = values[i]
        near = (value >= a) & (value < b)
        near |= (value >= c) & (value < d)
        near |= (value >= e) & (value < f)
        marks[i] = 1 if near else 0
    n_short = compress(values, marks, window)
    places[:] = 0
    if n_short > _MOST:
        return
    sort_few(window, n_short)
    places[0, 0], places[1, 0], places[2, 0], _ = _count_four(values, a, c, e, e)
    found = window[:n_short]
    places[0, 2], places[1, 2], places[2, 2], _ = _count_four(found, a, c, e, e)
    places[0, 1], places[1, 1], places[2, 1], _ = _count_four(found, b, d, f, f)
    places[:, 1] -= places[:, 2]


@compiled
def _count_four(
    values: FloatImage, a: float, b: float, c: float, d: float
) -> tuple[int, int, int, int]:
    """Return how many values are less than each of four."""
    n_a, n_b, n_c, n_d = 0, 0, 0, 0
    for i in range(values.size):
        n_a += 1 if values[i] < a else 0
        n_b += 1 if values[i] < b else 0
        n_c += 1 if values[i] < c else 0
        n_d += 1 if values[i] < d else 0
    return n_a, n_b, n_c, n_d


@compiled
def _window(
    at: float, sigma: float, n: int, n_below: int, one: int, other: int, density: float
) -> tuple[float, float]:
    """Return between which values two ranks should be, where so many of n are below one."""
    per_rank = sigma / np.float32(density * n)
    low, high = min(one, other) - n_below, max(one, other) - n_below
    # How far off a rank is from where it is reckoned to be grows as chance has it.
    low -= _MARGIN + int(math.sqrt(abs(low)))
    high += _MARGIN + int(math.sqrt(abs(high)))
    return at + np.float32(low) * per_rank, at + np.float32(high) * per_rank


@compiled
def _value(
    values: FloatImage,
    n: int,
    rank: int,
    which: int,
    sigma: float,
    marks: MaskImage,
    window: FloatImage,
    places: IntArray,
    zone: FloatImage,
    held: IntArray,
) -> float:
    """Return the value of a rank, from a window if it is there."""
    place = rank - places[which, 0]
    if 0 <= place < places[which, 1]:
        return window[places[which, 2] + place]
    near = window[places[which, 2]] if places[which, 1] else np.float32(0.0)
    return ranked(values, n, rank, near, sigma, marks, zone, held)


@compiled
def _mean(
    values: FloatImage, low: float, high: float, middle: float, n_kept: int, sums: FloatArray
) -> float:
    """Average the values from low to high, in sums that take turns."""
    centre = np.float64(middle)
    sums[:] = 0.0
    for block in range(values.size // LANES):
        part = values[LANES * block : LANES * block + LANES]
        for lane in range(LANES):
            value = part[lane]
            is_kept = (value >= low) & (value <= high)
            sums[lane] += np.float64(value) - centre if is_kept else 0.0
    total = 0.0
    for lane in range(LANES):
        total += sums[lane]
    return centre + total / n_kept
