"""The noise of the pixels of one ring, from the differences of neighbours, without sorting."""

import math

import numpy as np

from tianyu.pipelines.science.annulus import (
    ANNULUS_CLIP_SIGMA,
    CLIP_ROUNDS,
    CLIPPED_NORMAL_RMS,
    UPPER_SIGMA_QUANTILE,
)
from tianyu.pipelines.science.arrays import FloatArray, FloatImage, IntArray, MaskImage
from tianyu.pipelines.science.kernels.jit import compiled
from tianyu.pipelines.science.kernels.selection import LANES, count_outside, ranked

_SIX = 6.0
"""Variance of a − 2b + c over that of a pixel."""


@compiled
def ring_noise(
    sizes: FloatImage,
    n: int,
    guess: float,
    marks: MaskImage,
    zone: FloatImage,
    held: IntArray,
    sums: FloatArray,
) -> float:
    """Measure the noise of a pixel: :func:`~tianyu.pipelines.science.annulus.pixel_noise` of one.

    Parameters
    ----------
    sizes : ndarray of float32, shape (m,)
        Of second differences; infinite for what is not to be used. m is a multiple of ``LANES``.
    n : int
        Differences that are to be used.
    guess : float
        σ of a pixel: a bad guess costs time only.
    marks, zone, held
        Room for what :func:`~.selection.ranked` finds.
    sums : ndarray, shape (LANES,)
        Room.

    Returns
    -------
    float
        Standard deviation; NaN where there is no difference of three good pixels.
    """
    if n == 0:
        return np.nan
    held[:] = 0
    rank = int(np.float64(UPPER_SIGMA_QUANTILE) * n)
    near = np.float32(math.sqrt(_SIX) * guess)
    sigma = np.float64(ranked(sizes, n, rank, near, np.float32(0.15) * near, marks, zone, held))
    kept = -1
    for _ in range(CLIP_ROUNDS):
        reach = _not_above(ANNULUS_CLIP_SIGMA * sigma)
        before = kept
        _, kept = count_outside(sizes, reach, reach)
        kept = min(kept, n)
        if kept == before:
            break
        energy = _energy(sizes, reach, sums)
        sigma = math.sqrt(energy / max(kept, 1)) / CLIPPED_NORMAL_RMS
    return sigma / math.sqrt(_SIX)


@compiled
def _not_above(bound: float) -> float:
    """Return the highest float32 that is not above a number."""
    nearest = np.float32(bound)
    if np.float64(nearest) > bound:
        return np.float32(np.nextafter(nearest, np.float32(-np.inf)))
    return nearest


@compiled
def _energy(sizes: FloatImage, reach: float, sums: FloatArray) -> float:
    """Sum the squares of what is within reach, in sums that take turns."""
    sums[:] = 0.0
    for block in range(sizes.size // LANES):
        part = sizes[LANES * block : LANES * block + LANES]
        for lane in range(LANES):
            square = part[lane] * part[lane]
            sums[lane] += np.float64(square) if part[lane] <= reach else 0.0
    total = 0.0
    for lane in range(LANES):
        total += sums[lane]
    return total
