"""Order statistics of a few hundred values, by counting how many lie below a guess.

A count is one sweep that fills the processor's vectors, ten times cheaper than moving the values
about as sorting does. A few guesses close in on a handful of values, and only these are sorted.
They are kept: what is asked for next mostly lies among them.
"""

import numpy as np

from tianyu.pipelines.science.arrays import FloatImage, IntArray
from tianyu.pipelines.science.kernels.jit import compiled

ZONE = 16
"""Values that are sorted, at most."""

LANES = 48
"""Values that are looked through together: a whole number of the vectors of any processor."""

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
    zone : ndarray of float32, shape (ZONE + 1,)
        Sorted values that an earlier search has found; written.
    held : ndarray of int64, shape (2,)
        Rank of the first of them, and how many ranks they fill; zeros at first. Ranks beyond
        the zone's own are of its first value; written.
    """
    if not held[0] <= rank < held[0] + held[1]:
        _search(values, n, rank, np.float32(near), np.float32(width), zone, held)
    place = rank - held[0]
    return zone[place if held[1] <= ZONE else 0]


@compiled
def _search(
    values: FloatImage,
    n: int,
    rank: int,
    near: float,
    width: float,
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
        _collect(values, low, high, zone)
        return
    value = np.partition(values, rank)[rank]
    held[0], n_not_above = count_outside(values, value, value)
    held[1] = n_not_above - held[0]
    zone[:] = value


@compiled
def _collect(values: FloatImage, low: float, high: float, zone: FloatImage) -> None:
    """Write the values from low to below high, at most ``ZONE``, sorted."""
    n = 0
    for block in range(values.size // LANES):
        part = values[LANES * block : LANES * block + LANES]
        hits = 0
        for k in range(LANES):
            hits += 1 if (part[k] >= low) & (part[k] < high) else 0
        if hits:
            for k in range(LANES):
                zone[n] = part[k]
                n += 1 if (part[k] >= low) & (part[k] < high) else 0
    for i in range(1, n):
        value, k = zone[i], i
        while k > 0 and zone[k - 1] > value:
            zone[k] = zone[k - 1]
            k -= 1
        zone[k] = value
