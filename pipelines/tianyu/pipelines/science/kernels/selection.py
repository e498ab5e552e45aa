"""Order statistics of a few hundred values, by counting how many lie below a guess.

A count is one sweep that fills the processor's vectors, ten times cheaper than moving the values
about as sorting does. A few guesses close in on a handful of values, and only these are sorted.
They are kept: what is asked for next mostly lies among them.
"""

import numpy as np

from tianyu.pipelines.science.arrays import FloatImage, IntArray, MaskImage
from tianyu.pipelines.science.kernels.jit import compiled

ZONE = 16
"""Values that are sorted, at most."""

LANES = 48
"""Values that are looked through together: a whole number of the vectors of any processor."""

_WIDE = 16
"""Values that are compared together."""

_AIM = 5.0
"""Ranks by which the next guesses stand apart from where the value should be."""

_GUESSES = 16
"""A value that so many have not found has many equals."""


@compiled
def count_below(values: FloatImage, low: float, high: float) -> tuple[int, int]:
    """Return how many values are less than each of two."""
    n_low, n_high = 0, 0
    for i in range(values.size):
        n_low += 1 if values[i] < low else 0
        n_high += 1 if values[i] < high else 0
    return n_low, n_high


@compiled
def count_outside(values: FloatImage, low: float, high: float) -> tuple[int, int]:
    """Return how many values are less than the one, and how many are not more than the other."""
    n_below, n_not_above = 0, 0
    for i in range(values.size):
        n_below += 1 if values[i] < low else 0
        n_not_above += 1 if values[i] <= high else 0
    return n_below, n_not_above


@compiled
def ranked(
    values: FloatImage,
    n: int,
    rank: int,
    near: float,
    width: float,
    marks: MaskImage,
    zone: FloatImage,
    held: IntArray,
) -> float:
    """Return the value of a rank, from 0.

    Parameters
    ----------
    values : ndarray of float32, shape (m,)
        No NaN. What does not count is infinite; m is a multiple of ``LANES``.
    n : int
        Values that count: more than the rank.
    rank : int
    near, width : float
        Where the value is looked for first, and how far about it: bad guesses cost time only.
    marks : ndarray of uint8, shape (≥ m,)
        Room.
    zone : ndarray of float32, shape (ZONE + 1,)
        Sorted values that an earlier search has found; written.
    held : ndarray of int64, shape (2,)
        Rank of the first of them, and how many ranks they fill; zeros at first. Ranks beyond
        the zone's own are of its first value; written.
    """
    if not held[0] <= rank < held[0] + held[1]:
        _search(values, n, rank, np.float32(near), np.float32(width), marks, zone, held)
    place = rank - held[0]
    return zone[place if held[1] <= ZONE else 0]


@compiled
def _search(
    values: FloatImage,
    n: int,
    rank: int,
    near: float,
    width: float,
    marks: MaskImage,
    zone: FloatImage,
    held: IntArray,
) -> None:
    """Find the values about a rank."""
    low, high = np.float32(-np.inf), np.float32(np.inf)
    n_low, n_high = 0, n
    width = width if width > np.float32(0.0) else np.float32(1.0)
    a, b = near - width, near + width
    for _ in range(_GUESSES):
        if n_high - n_low <= ZONE or not a <= b:
            break
        before = n_high - n_low
        n_a, n_b = count_below(values, a, b)
        if n_a > rank:
            high, n_high = a, n_a
        elif n_b > rank:
            low, n_low, high, n_high = a, n_a, b, n_b
        else:
            low, n_low = b, n_b
        width *= np.float32(4.0)
        if low == -np.inf:
            a, b = high - width, high
        elif high == np.inf:
            a, b = low, low + width
        elif 2 * (n_high - n_low) > before:
            a = low + np.float32(0.5) * (high - low)
            b = a
        else:
            per_rank = (high - low) / np.float32(n_high - n_low)
            aim = low + (np.float32(rank - n_low) + np.float32(0.5)) * per_rank
            a = max(low, aim - np.float32(_AIM) * per_rank)
            b = min(high, aim + np.float32(_AIM) * per_rank)
    if n_high - n_low <= ZONE:
        held[0], held[1] = n_low, n_high - n_low
        zone[:] = np.float32(np.inf)
        _collect(values, low, high, marks[: values.size], zone)
        return
    value = np.partition(values, rank)[rank]
    held[0], n_not_above = count_outside(values, value, value)
    held[1] = n_not_above - held[0]
    zone[:] = value


@compiled
def _collect(
    values: FloatImage, low: float, high: float, marks: MaskImage, zone: FloatImage
) -> None:
    """Write the values from low to below high, at most ``ZONE``, sorted."""
    for i in range(values.size):
        marks[i] = 1 if (values[i] >= low) & (values[i] < high) else 0
    n = compress(values, marks, zone)
    zone[n:] = np.float32(np.inf)
    sort_few(zone, n)


@compiled
def compress(values: FloatImage, marks: MaskImage, kept: FloatImage) -> int:
    """Write the values that are marked, in their order, and tell how many.

    Quick where few are: eight marks are looked at together.

    Parameters
    ----------
    values : ndarray of float32, shape (m,)
        m is a multiple of eight.
    marks : ndarray of uint8, shape (m,)
        0 or 1.
    kept : ndarray of float32
        Written; one number longer than there are marks.
    """
    eights, n = marks.view(np.uint64), np.uint64(0)
    for k in range(eights.size):
        if eights[k] != 0:
            for i in range(np.uint64(8 * k), np.uint64(8 * k + 8)):
                kept[n] = values[i]
                n += np.uint64(marks[i])
    return np.int64(n)


@compiled
def sort_few(values: FloatImage, n: int) -> None:
    """Sort the first n of a few values: each goes where as many are less as there are.

    Quadratic, but without a branch that the processor could guess wrong.
    """
    n_padded = -(-n // _WIDE) * _WIDE
    before, place = np.empty(n_padded, np.float32), np.zeros(n_padded, np.int32)
    before[:n], before[n:] = values[:n], np.float32(np.inf)
    for j in range(n):
        value = before[j]
        for i in range(n_padded):
            place[i] += 1 if value < before[i] else 0
    # Of equal values one is written, and the places after it are filled.
    values[:n] = np.float32(-np.inf)
    for i in range(n):
        values[place[i]] = before[i]
    for i in range(1, n):
        values[i] = max(values[i], values[i - 1])
