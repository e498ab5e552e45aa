"""The local background of all sources and the noise of its pixels.

As :mod:`tianyu.pipelines.science.annulus`, where the method is described.
"""

import math

import numpy as np

from tianyu.pipelines.science.annulus import (
    ANNULUS_CLIP_SIGMA,
    CLIP_ROUNDS,
    CLIPPED_NORMAL_RMS,
    LEAST_CLEAR_FRACTION,
    LOWER_SIGMA_QUANTILE,
    LOWER_TWO_SIGMA_QUANTILE,
    MIN_ANNULUS_PIXELS,
    NOISE_STEP,
    UPPER_SIGMA_QUANTILE,
)
from tianyu.pipelines.science.gpu.namespace import ArrayNamespace, DeviceArray
from tianyu.pipelines.science.stamps import UNDER_STAR, pixel_distance

_UNDER_STAR = int(UNDER_STAR)
_NOT_UNDER_STAR = 0xFF ^ _UNDER_STAR


def local_background(
    stamps: DeviceArray, bits: DeviceArray, annulus_pix: tuple[float, float], xp: ArrayNamespace
) -> tuple[DeviceArray, DeviceArray, DeviceArray]:
    """Measure the background of every source in its annulus.

    Parameters
    ----------
    stamps, bits : array of float32 and of uint8, shape (n, s, s)
    annulus_pix : tuple of float
    xp : namespace

    Returns
    -------
    level, rms, n_pixels : array, shape (n,)
        As of :func:`tianyu.pipelines.science.annulus.local_background`.

    Examples
    --------
    >>> stamps = np.full((1, 15, 15), 7.0, np.float32)
    >>> found = local_background(stamps, np.zeros_like(stamps, np.uint8), (4.0, 6.0), np)
    >>> [values.tolist() for values in found]
    [[7.0], [0.0], [68]]
    """
    distance = pixel_distance(stamps.shape[1])
    on_ring = (distance >= annulus_pix[0]) & (distance <= annulus_pix[1])
    ring = xp.asarray(np.flatnonzero(on_ring))
    flat, marks = stamps.reshape(len(stamps), -1), bits.reshape(len(bits), -1)
    marks = _clear_or_all(marks, ring, xp)
    is_bad = marks[:, ring] != 0
    n_good = (~is_bad).sum(axis=1)
    enough = n_good >= MIN_ANNULUS_PIXELS
    # Infinity is last whoever sorts; of what is no number that cannot be said.
    values = xp.sort(xp.where(is_bad, math.inf, flat[:, ring]), axis=1)
    with np.errstate(invalid="ignore"):  # where no pixel is good
        middle, reach = _clip(values, n_good, xp)
        is_kept = (values >= middle - reach) & (values <= middle + reach)
        # From the middle, in double precision: the order of a sum does not matter then.
        about = xp.where(is_kept, values - middle, 0.0).astype(xp.float64)
    n_kept = xp.where(enough, is_kept.sum(axis=1), 1)
    mean = middle[:, 0].astype(xp.float64) + about.sum(axis=1) / xp.maximum(n_kept, 1)
    rms = xp.where(enough, _pixel_noise(flat, marks, ring, xp), math.nan)
    return xp.where(enough, mean, 0.0), rms, xp.where(enough, n_kept, 0)


def _clear_or_all(marks: DeviceArray, ring: DeviceArray, xp: ArrayNamespace) -> DeviceArray:
    """Return the marks, without that of stars where these cover too much of the ring."""
    in_ring = marks[:, ring]
    n_good = ((in_ring & _NOT_UNDER_STAR) == 0).sum(axis=1)
    n_clear = (in_ring == 0).sum(axis=1)
    is_crowded = n_clear < xp.maximum(LEAST_CLEAR_FRACTION * n_good, MIN_ANNULUS_PIXELS)
    return xp.where(is_crowded[:, np.newaxis], marks & _NOT_UNDER_STAR, marks)


def _ranked(values: DeviceArray, rank: DeviceArray, xp: ArrayNamespace) -> DeviceArray:
    """Return the value of a rank in each row, shape (n, 1)."""
    last = values.shape[1] - 1
    places = xp.clip(rank.astype(xp.int64), 0, last)
    return xp.take_along_axis(values, places[:, np.newaxis], axis=1)


def _clip(
    values: DeviceArray, n_good: DeviceArray, xp: ArrayNamespace
) -> tuple[DeviceArray, DeviceArray]:
    """Return middle and reach of the last clip of sorted rows, the good ones first, (n, 1)."""
    start, stop = xp.zeros_like(n_good), n_good
    for _ in range(CLIP_ROUNDS):
        n = stop - start
        middle = _ranked(values, (start + stop) // 2, xp)
        one = middle - _ranked(values, start + (LOWER_SIGMA_QUANTILE * n).astype(xp.int64), xp)
        two = middle - _ranked(values, start + (LOWER_TWO_SIGMA_QUANTILE * n).astype(xp.int64), xp)
        reach = ANNULUS_CLIP_SIGMA * xp.maximum(one, two / 2)
        start = (values < middle - reach).sum(axis=1)
        stop = (values <= middle + reach).sum(axis=1)
    return middle, reach


def _pixel_noise(
    flat: DeviceArray, marks: DeviceArray, ring: DeviceArray, xp: ArrayNamespace
) -> DeviceArray:
    """Measure the noise of the ring's pixels: ``annulus.pixel_noise``; NaN where nothing tells."""
    middle = ring[::NOISE_STEP]
    before, after = middle - 1, middle + 1
    with np.errstate(invalid="ignore"):  # infinite pixels are marked
        size = abs(flat[:, before] + flat[:, after] - 2 * flat[:, middle])
    is_bad = (marks[:, middle] | marks[:, before] | marks[:, after]) != 0
    size = xp.sort(xp.where(is_bad, math.inf, size), axis=1)
    n_good = (~is_bad).sum(axis=1)
    sigma = _ranked(size, UPPER_SIGMA_QUANTILE * n_good, xp).astype(xp.float64)
    energy = (size**2).astype(xp.float64)
    for _ in range(CLIP_ROUNDS):
        is_kept = size <= ANNULUS_CLIP_SIGMA * sigma
        n_kept = xp.maximum(is_kept.sum(axis=1), 1)
        within = xp.where(is_kept, energy, 0.0).sum(axis=1) / n_kept
        sigma = (xp.sqrt(within) / CLIPPED_NORMAL_RMS)[:, np.newaxis]
    return xp.where(n_good > 0, sigma[:, 0] / math.sqrt(6.0), math.nan)
