"""The local background of one source, without sorting its ring of pixels.

The clip of :func:`~tianyu.pipelines.science.annulus.local_background` needs a few order
statistics only: the median and what is one and two σ below it. They are looked for on a short list
of the values near where they should be. What is kept is exactly what the reference keeps.
"""

import numpy as np

from tianyu.pipelines.science.annulus import (
    ANNULUS_CLIP_SIGMA,
    CLIP_ROUNDS,
    LOWER_SIGMA_QUANTILE,
    LOWER_TWO_SIGMA_QUANTILE,
)
from tianyu.pipelines.science.arrays import FloatArray, FloatImage, IntArray, MaskImage
from tianyu.pipelines.science.kernels.jit import compiled
from tianyu.pipelines.science.kernels.selection import LANES, count_below, count_outside, ranked

_REACH = (0.15, 0.2, 0.35)
"""How far about each of the three the short list reaches, σ."""


@compiled
def clipped_ring(
    values: FloatImage,
    n: int,
    guess: float,
    known: FloatImage,
    wanted: MaskImage,
    short: FloatImage,
    zones: FloatImage,
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
    wanted, short : ndarray of uint8, shape (m,), and of float32, shape (m + LANES,)
        Room for the short list.
    zones : ndarray of float32, shape (4, ZONE + 1)
        Room for what :func:`~.selection.ranked` finds.
    held : ndarray of int64, shape (4, 2)
        Room for where it was found.
    sums : ndarray, shape (LANES,)
        Room.

    Returns
    -------
    mean : float
        Of the values that are left.
    n_kept : int
    """
    held[:] = 0
    sigma = known[1] if known[1] > np.float32(0.0) else np.float32(guess)
    edges, n_short = _shorten(values, known[0], sigma, wanted, short)
    list_of = short[: -(-n_short // LANES) * LANES]
    start, stop = 0, n
    low, high, middle = np.float32(-np.inf), np.float32(np.inf), known[0]
    for _ in range(CLIP_ROUNDS):
        middle = _ranked(values, n, (start + stop) // 2, 0, edges, list_of, zones, held)
        rank = start + int(np.float64(LOWER_SIGMA_QUANTILE) * (stop - start))
        one = middle - _ranked(values, n, rank, 1, edges, list_of, zones, held)
        rank = start + int(np.float64(LOWER_TWO_SIGMA_QUANTILE) * (stop - start))
        two = middle - _ranked(values, n, rank, 2, edges, list_of, zones, held)
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


_Edges = tuple[float, float, int, int, int]
"""Of a part of the short list: from, to, how many values are below both, and, on the list, below
the first."""


@compiled
def _shorten(
    values: FloatImage, middle: float, sigma: float, wanted: MaskImage, short: FloatImage
) -> tuple[tuple[_Edges, _Edges, _Edges], int]:
    """Write the values near the median, one σ and two σ below it; tell how many."""
    a, b = middle - np.float32(_REACH[0]) * sigma, middle + np.float32(_REACH[0]) * sigma
    one, two = middle - sigma, middle - np.float32(2.0) * sigma
    c, d = one - np.float32(_REACH[1]) * sigma, one + np.float32(_REACH[1]) * sigma
    e, f = two - np.float32(_REACH[2]) * sigma, two + np.float32(_REACH[2]) * sigma
    for i in range(values.size):
        value = values[i]
        near = (value >= a) & (value < b)
        near |= (value >= c) & (value < d)
        near |= (value >= e) & (value < f)
        wanted[i] = 1 if near else 0
    n = np.uint64(0)
    for i in range(values.size):
        short[n] = values[i]
        n += np.uint64(wanted[i])
    short[n : n + np.uint64(LANES)] = np.float32(np.inf)
    n_a, n_b = count_below(values, a, b)
    n_c, n_d = count_below(values, c, d)
    n_e, n_f = count_below(values, e, f)
    n_two, n_one = n_f - n_e, n_d - n_c
    edges = (a, b, n_a, n_b, n_two + n_one), (c, d, n_c, n_d, n_two), (e, f, n_e, n_f, 0)
    return edges, np.int64(n)


@compiled
def _ranked(
    values: FloatImage,
    n: int,
    rank: int,
    which: int,
    edges: tuple[_Edges, _Edges, _Edges],
    short: FloatImage,
    zones: FloatImage,
    held: IntArray,
) -> float:
    """Return the value of a rank, from the short list if it is there."""
    low, high, n_low, n_high, before = edges[which]
    if not n_low <= rank < n_high:
        held[3] = 0
        reach = high - low
        return ranked(values, n, rank, np.float32(0.5) * (low + high), reach, zones[3], held[3])
    per_rank = (high - low) / np.float32(n_high - n_low)
    near = low + (np.float32(rank - n_low) + np.float32(0.5)) * per_rank
    place = rank - n_low + before
    return ranked(
        short, short.size, place, near, np.float32(6.0) * per_rank, zones[which], held[which]
    )


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
