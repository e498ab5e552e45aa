"""The gain of a detector, measured from its own frames where nobody states it.

Photons obey Poisson: the variance of what differs from frame to frame grows with the level, and
the slope is one over the gain. Without a gain the photon noise of stars is unknown and their
errors are too small by a factor of two and more.

References
----------
.. [1] J. R. Janesick, *Photon Transfer*, SPIE Press 2007, chapter 5 (pairs of flats and biases).
.. [2] P. K. Sen, 1968, Journal of the American Statistical Association 63, 1379 (the robust
   slope).
"""

import math
from dataclasses import dataclass

import numpy as np

from tianyu.pipelines.science.arrays import AnyArray, FloatArray
from tianyu.pipelines.science.clipping import MAD_TO_SIGMA

BOX_PIX = 32
"""Side of the boxes in which two flats are compared: their illumination may differ slowly."""

MIN_SIGNIFICANCE = 5.0
"""A slope is believed when it is this many times its own error."""

MIN_FRAMES = 20
"""Frames from which the sky may tell the gain."""

MAX_FRAMES = 200
"""Of a longer night, frames spaced over it: pairs grow with the square of their number, and every
chunk of a run asks."""


@dataclass(frozen=True)
class MeasuredGain:
    """A gain with its error, electrons per ADU, and where it comes from, in words."""

    e_per_adu: float
    error: float
    origin: str


def read_noise_of_pair(first: AnyArray, second: AnyArray) -> float:
    """Return the read-out noise from two bias frames, ADU: the scatter of a pixel of one.

    Parameters
    ----------
    first, second : ndarray, shape (ny, nx)
        Bias frames, ADU.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> first, second = rng.normal(300, 5, (2, 200, 200))
    >>> round(read_noise_of_pair(first, second), 1)
    5.0
    """
    return math.sqrt(_variance(np.asarray(first, np.float64) - second) / 2)


def gain_of_flat_pair(
    first: AnyArray, second: AnyArray, read_noise_adu: float = 0.0
) -> MeasuredGain | None:
    """Measure the gain from two flats [1]_.

    With k the ratio of their levels, ``var(F₁ − k F₂) = (F₁ + k² F₂)/g + (1 + k²) r²`` in each
    box of 32 pixels; what the response of the pixels does cancels in the difference.

    Parameters
    ----------
    first, second : ndarray, shape (ny, nx)
        Flats of one filter without bias and dark, ADU.
    read_noise_adu : float
        Read-out noise r of one pixel.

    Returns
    -------
    MeasuredGain or None
        The median over the boxes, with its standard error. None if fewer than four boxes of
        pixels have a level and a scatter.

    Examples
    --------
    >>> rng = np.random.default_rng(2)
    >>> first, second = rng.poisson(20000.0, (2, 256, 256)) / 2.5
    >>> gain = gain_of_flat_pair(first, second)
    >>> round(gain.e_per_adu, 1), gain.error < 0.05
    (2.5, True)
    """
    a, b = (_in_boxes(np.asarray(flat, np.float64)) for flat in (first, second))
    if len(a) < 4:
        return None
    level_a, level_b = _medians(a), _medians(b)
    usable = (level_a > 0) & (level_b > 0)
    k = np.where(usable, level_a / np.where(usable, level_b, 1.0), np.nan)
    variance = _variances(a - k[:, None] * b)
    photons = variance - (1 + k**2) * read_noise_adu**2
    usable &= np.isfinite(photons) & (photons > 0)
    if np.count_nonzero(usable) < 4:
        return None
    gains = (level_a[usable] + k[usable] ** 2 * level_b[usable]) / photons[usable]
    error = 1.2533 * MAD_TO_SIGMA * np.median(np.abs(gains - np.median(gains)))
    return MeasuredGain(
        float(np.median(gains)), float(error / math.sqrt(len(gains))), "a pair of flats"
    )


def gain_of_sky(level_adu: FloatArray, rms_adu: FloatArray) -> MeasuredGain | None:
    """Measure the gain from how the sky's noise follows its level through a night.

    The slope of variance against level is the median of the slopes between pairs of frames
    [2]_; its error comes from a bootstrap over blocks of consecutive frames, since what
    disturbs one frame disturbs its neighbours.

    Parameters
    ----------
    level_adu, rms_adu : ndarray, shape (n_frame,)
        Sky level (any pedestal included) and scatter of a pixel, in the order of time.

    Returns
    -------
    MeasuredGain or None
        None for fewer than 20 frames, or when the sky hardly changed: a slope below five
        times its error.
    """
    finite = np.isfinite(level_adu) & np.isfinite(rms_adu)
    level, variance = level_adu[finite], rms_adu[finite] ** 2
    if len(level) < MIN_FRAMES or level.min() == level.max():
        return None
    if len(level) > MAX_FRAMES:
        spaced = np.linspace(0, len(level) - 1, MAX_FRAMES).round().astype(np.int64)
        level, variance = level[spaced], variance[spaced]
    slope = _median_slope(level, variance)
    error = _block_bootstrap(level, variance)
    if not (math.isfinite(slope) and error > 0 and slope > MIN_SIGNIFICANCE * error):
        return None
    origin = f"the sky's noise against its level in {len(level)} frames"
    return MeasuredGain(1 / slope, error / slope**2, origin)


def _in_boxes(image: FloatArray) -> FloatArray:
    """Whole boxes of an image as rows, shape (n_box, BOX_PIX²)."""
    ny, nx = (size // BOX_PIX for size in image.shape)
    boxes = image[: ny * BOX_PIX, : nx * BOX_PIX].reshape(ny, BOX_PIX, nx, BOX_PIX)
    return boxes.swapaxes(1, 2).reshape(-1, BOX_PIX**2)


def _medians(rows: FloatArray) -> FloatArray:
    """Median of each row without its NaN, for which there is seldom need, and no quick way."""
    medians: FloatArray = np.median(rows, axis=1)
    some = np.isnan(medians)
    if some.any():
        medians[some] = np.nanmedian(rows[some], axis=1)
    return medians


def _variances(rows: FloatArray, n_sigma: float = 5.0) -> FloatArray:
    """Variance of each row without far outliers; those without any need no second look."""
    departure = np.abs(rows - rows.mean(axis=1, keepdims=True))
    clean = (departure <= n_sigma * rows.std(axis=1, keepdims=True)).all(axis=1)
    variances: FloatArray = rows.var(axis=1, ddof=1)
    variances[~clean] = [_variance(row, n_sigma) for row in rows[~clean]]
    return variances


def _variance(values: FloatArray, n_sigma: float = 5.0) -> float:
    """Variance without far outliers; plain, since whole numbers have a coarse MAD."""
    kept = values[np.isfinite(values)]
    for _ in range(3):
        if kept.size < 2:
            return float("nan")
        departure = np.abs(kept - kept.mean())
        within = departure <= n_sigma * kept.std()
        if within.all():
            break
        kept = kept[within]
    return float(kept.var(ddof=1)) if kept.size > 1 else float("nan")


def _median_slope(x: FloatArray, y: FloatArray) -> float:
    first, second = np.triu_indices(len(x), 1)
    dx, dy = x[second] - x[first], y[second] - y[first]
    # Pairs at nearly one level tell nothing and would only blur the median.
    far = np.abs(dx) > 0.25 * (x.max() - x.min())
    return float(np.median(dy[far] / dx[far])) if far.any() else float("nan")


def _block_bootstrap(x: FloatArray, y: FloatArray, n_draws: int = 200) -> float:
    """Return the standard deviation of the slope when blocks of frames are drawn anew."""
    rng = np.random.default_rng(0)
    blocks = np.array_split(np.arange(len(x)), max(5, min(20, len(x) // 5)))
    slopes = []
    for _ in range(n_draws):
        drawn = np.concatenate([blocks[i] for i in rng.integers(len(blocks), size=len(blocks))])
        slopes.append(_median_slope(x[drawn], y[drawn]))
    known = np.array(slopes)[np.isfinite(slopes)]
    return float(known.std()) if known.size else float("nan")
