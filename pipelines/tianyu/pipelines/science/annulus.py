"""The local background of a source and the noise of its pixels, from a ring about it."""

import math

import numpy as np

from tianyu.pipelines.science.arrays import AnyArray, FloatArray, IntArray
from tianyu.pipelines.science.stamps import UNDER_STAR, pixel_distance

MIN_ANNULUS_PIXELS = 24
"""With fewer, the local background would be noisier than the mesh sky that it corrects."""

LEAST_CLEAR_FRACTION = 0.25
"""Of the good pixels of a ring: if stars cover more of it, the light under them is no worse than
the noise of the few between them."""

ANNULUS_CLIP_SIGMA = 3.0
"""A mean after this clip is as robust in crowded fields as a median, and less noisy."""

ANNULUS_VARIANCE_FACTOR = 1.06
"""Variance of that mean over a plain mean's, measured on normal noise (a median has 1.57)."""

CLIPPED_NORMAL_RMS = 0.9866
"""Rms of a unit normal distribution cut at ±3σ."""

CLIP_ROUNDS = 4
"""Later rounds of clipping move the level by less than a hundredth of a pixel's noise."""

NOISE_STEP = 2
"""Of the pixels whose differences tell the noise: the next one shares two of its three."""

UPPER_SIGMA_QUANTILE = 0.6827
"""Fraction of normal noise within ±1σ."""

LOWER_SIGMA_QUANTILE = 0.1587
"""Fraction below −1σ: stars only ever brighten pixels, so the lower half tells the noise."""

FEWEST_ANNULI = 20
"""Annuli that tell the noise of a frame's sky to about a per cent."""

LOWER_TWO_SIGMA_QUANTILE = 0.0228
"""Fraction below −2σ: where noise is hardly more than a step of the digitisation, −1σ may fall
on the middle itself, and everything but that one step would be clipped."""


def local_background(
    stamps: AnyArray, bits: AnyArray, annulus_pix: tuple[float, float]
) -> tuple[FloatArray, FloatArray, IntArray]:
    """Measure the background of every source in its annulus.

    Parameters
    ----------
    stamps : ndarray of float32, shape (n, s, s)
        Pixels about the sources, at least one, which reach beyond the annulus.
    bits : ndarray of uint8, shape (n, s, s)
        Zero for good pixels; no other is used. Those marked UNDER_STAR alone are left out as
        well, unless they are most of the ring.
    annulus_pix : tuple of float
        Inner and outer radius. Whole pixels with their centre in the ring about the source's
        pixel are taken.

    Returns
    -------
    level : ndarray, shape (n,)
        Mean of the pixels left by the clip; 0 where the annulus has too few good pixels.
    rms : ndarray, shape (n,)
        Noise of a pixel, from the differences of neighbours (:func:`pixel_noise`); NaN there.
    n_pixels : ndarray of int64, shape (n,)
        Pixels used; 0 there.

    Examples
    --------
    >>> stamps = np.full((1, 15, 15), 7.0, np.float32)
    >>> stamps[0, 7, 7] = 900.0  # the source itself
    >>> level, rms, n_pixels = local_background(stamps, np.zeros_like(stamps, np.uint8), (4.0, 6.0))
    >>> level.tolist(), rms.tolist(), n_pixels.tolist()
    ([7.0], [0.0], [68])
    """
    distance = pixel_distance(stamps.shape[1])
    ring = np.flatnonzero((distance >= annulus_pix[0]) & (distance <= annulus_pix[1]))
    bits = _clear_or_all(bits, ring)
    values = stamps.reshape(len(stamps), -1).take(ring, axis=1)
    values[bits.reshape(len(bits), -1).take(ring, axis=1) != 0] = np.nan
    values.sort(axis=1)  # NaN last: every round of clipping then only moves the ends of a range
    enough = np.count_nonzero(~np.isnan(values), axis=1) >= MIN_ANNULUS_PIXELS
    start, stop = _clipped_range(values)
    order = np.arange(values.shape[1])
    kept = (order >= start[:, np.newaxis]) & (order < stop[:, np.newaxis])
    n_kept = np.where(enough, stop - start, 1)
    mean = np.where(kept, values, 0.0).sum(axis=1) / n_kept
    rms = np.where(enough, pixel_noise(stamps, bits, ring), np.nan)
    return np.where(enough, mean, 0.0), rms, np.where(enough, n_kept, 0)


def _clear_or_all(bits: AnyArray, ring: IntArray) -> AnyArray:
    """Return the bits, without the mark of stars where these cover too much of the ring."""
    in_ring = bits.reshape(len(bits), -1).take(ring, axis=1)
    n_good = np.count_nonzero((in_ring & ~UNDER_STAR) == 0, axis=1)
    n_clear = np.count_nonzero(in_ring == 0, axis=1)
    crowded = n_clear < np.maximum(LEAST_CLEAR_FRACTION * n_good, MIN_ANNULUS_PIXELS)
    if not crowded.any():
        return bits
    return np.where(crowded[:, np.newaxis, np.newaxis], bits & ~UNDER_STAR, bits)


def pixel_noise(stamps: AnyArray, bits: AnyArray, pixels: IntArray) -> FloatArray:
    """Measure the noise of the pixels of every stamp, blind to the light that lies under them.

    The second difference along a row, a − 2b + c, has six times the variance of a pixel and
    knows nothing of levels and slopes. So the wings of stars, which fill the sky of a crowded
    field, do not count as noise: of the scatter in a ring they were 11 % there, and 6 % in a
    field half as crowded. What differs from pixel to pixel, such as warm pixels, does.

    Parameters
    ----------
    stamps : ndarray of float32, shape (n, s, s)
        Pixels that have not been interpolated, so that each has its own noise.
    bits : ndarray of uint8, shape (n, s, s)
        Zero for good pixels; a difference needs three.
    pixels : ndarray of int, shape (m,)
        Where to look, counted through the stamp; none in its first or last column.

    Returns
    -------
    ndarray, shape (n,)
        Standard deviation, of differences within ±3σ; NaN where there is not one.

    References
    ----------
    J. Immerkær, 1996, Computer Vision and Image Understanding 64, 300 (noise from second
    differences).

    Examples
    --------
    >>> slope = np.tile(np.arange(9.0, dtype=np.float32), (1, 9, 1))
    >>> pixel_noise(slope, np.zeros((1, 9, 9), np.uint8), np.arange(10, 17)).tolist()
    [0.0]
    """
    middle = pixels[::NOISE_STEP]
    before, after = middle - 1, middle + 1
    flat, marks = stamps.reshape(len(stamps), -1), bits.reshape(len(bits), -1)
    with np.errstate(invalid="ignore"):  # infinite pixels are marked
        size = abs(
            flat.take(before, axis=1) + flat.take(after, axis=1) - 2 * flat.take(middle, axis=1)
        )
    bad = marks.take(middle, axis=1) | marks.take(before, axis=1) | marks.take(after, axis=1)
    size[bad != 0] = np.nan
    size.sort(axis=1)
    n_good = np.count_nonzero(~np.isnan(size), axis=1)
    energy = np.cumsum(np.nan_to_num(size) ** 2, axis=1, dtype=np.float64)
    source = np.arange(len(size))
    sigma = size[source, (UPPER_SIGMA_QUANTILE * n_good).astype(np.int64)].astype(np.float64)
    for _ in range(CLIP_ROUNDS):
        kept = np.count_nonzero(size <= (ANNULUS_CLIP_SIGMA * sigma)[:, np.newaxis], axis=1)
        within = energy[source, np.maximum(kept, 1) - 1] / np.maximum(kept, 1)
        sigma = np.where(n_good > 0, np.sqrt(within) / CLIPPED_NORMAL_RMS, np.nan)
    return np.asarray(sigma / math.sqrt(6.0))


def local_noise_factor(annulus_rms: FloatArray, mesh_rms: FloatArray) -> float:
    """Return by how much the noise between the stars differs from that of the mesh sky.

    The mesh knows nothing of the fixed pattern that was taken off since, and takes the wings of
    stars for noise: 15 % too much on a crowded simulated field. One factor for the frame, since
    a single annulus knows the noise to a few per cent.

    Parameters
    ----------
    annulus_rms, mesh_rms : ndarray, shape (n,)
        Scatter of a pixel about each source, by its annulus and by the mesh, in one unit.

    Returns
    -------
    float
        The median ratio; 1 with fewer than `FEWEST_ANNULI` annuli.

    Examples
    --------
    >>> local_noise_factor(np.full(30, 1.9), np.full(30, 2.0)), local_noise_factor(
    ...     np.ones(3), np.full(3, 2.0))
    (0.95, 1.0)
    """
    known = np.isfinite(annulus_rms) & (annulus_rms > 0) & (mesh_rms > 0)
    if np.count_nonzero(known) < FEWEST_ANNULI:
        return 1.0
    return float(np.median(annulus_rms[known] / mesh_rms[known]))


def _clipped_range(values: AnyArray) -> tuple[IntArray, IntArray]:
    """Return where in each sorted row, NaN last, the values within 3σ start and stop."""
    source = np.arange(len(values))
    stop = np.count_nonzero(~np.isnan(values), axis=1)
    start = np.zeros_like(stop)
    for _ in range(CLIP_ROUNDS):
        middle = values[source, (start + stop) // 2]
        one, two = (
            middle - values[source, start + (quantile * (stop - start)).astype(np.int64)]
            for quantile in (LOWER_SIGMA_QUANTILE, LOWER_TWO_SIGMA_QUANTILE)
        )
        reach = ANNULUS_CLIP_SIGMA * np.maximum(one, two / 2)
        start = np.count_nonzero(values < (middle - reach)[:, np.newaxis], axis=1)
        stop = np.count_nonzero(values <= (middle + reach)[:, np.newaxis], axis=1)
    return start, stop
