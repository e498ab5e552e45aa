"""Find the stars of one frame: for alignment, seeing and the count that judges the frame.

Stars are local maxima above a threshold. Only pixels above it are looked at twice, so the cost
is one pass over the image; positions, widths and fluxes are Gaussian-windowed moments. This is
no catalogue: a few hundred clean stars are wanted, not all of them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from tianyu.pipelines.science.arrays import FloatImage, IntArray, MaskImage
from tianyu.pipelines.science.peaks import find_peaks, noise_at, smooth
from tianyu.pipelines.science.starlist import THRESHOLD_SIGMA, StarList
from tianyu.pipelines.science.windowed import (
    Centring,
    centre_windows,
    centroid_errors,
    measure_peaks,
)

PeakFinder: TypeAlias = Callable[
    [FloatImage, MaskImage, "float | FloatImage", float, int], IntArray
]

DEEP_THRESHOLD_SIGMA = 5.0
"""Second threshold, for frames with too few stars to align: below it noise peaks appear."""
SMOOTHED_THRESHOLD_SIGMA = 4.5
"""Last threshold, on the frame smoothed by a 3 × 3 box, in units of the smoothed noise."""
ENOUGH_STARS = 100
"""With 100 stars a shift never fails when half of them are lost in each list (with 50 in 1 %)."""
MAX_STARS = 200
"""More stars add nothing to an alignment but time."""
MIN_AREA_PIX = 4
"""Pixels above the threshold in the 3 × 3 around a peak. A star on the corner of four pixels
lights all of them; a hot pixel lights one, a one-pixel-wide cosmic-ray track three."""


@dataclass(frozen=True)
class StarMethod:
    """How stars are found: the plain functions, or compiled ones that give the same.

    Attributes
    ----------
    find_peaks : callable
        As :func:`~tianyu.pipelines.science.peaks.find_peaks`.
    centre : callable
        As :func:`~tianyu.pipelines.science.windowed.centre_windows`.
    """

    find_peaks: PeakFinder = find_peaks
    centre: Centring = centre_windows


def find_stars(
    pixels: FloatImage,
    mask: MaskImage,
    rms: float | FloatImage,
    *,
    threshold_sigma: float = THRESHOLD_SIGMA,
    min_area: int = MIN_AREA_PIX,
    max_stars: int = MAX_STARS,
    enough_stars: int = ENOUGH_STARS,
    method: StarMethod = StarMethod(),
) -> StarList:
    """Find the brightest unsaturated stars of a sky-subtracted frame.

    Parameters
    ----------
    pixels : ndarray of float32, shape (ny, nx)
        Frame with the sky subtracted.
    mask : ndarray of uint8, shape (ny, nx)
        Zero for good pixels. A star with a masked pixel in its central 3 × 3 is left out: it
        is saturated, or its centroid cannot be trusted.
    rms : float or ndarray of float32, shape (ny, nx)
        Noise of the sky, same unit as ``pixels``.
    threshold_sigma : float, optional
        Height of the peak over ``rms`` from which a star counts. Keep it the same for all
        frames whose counts are compared.
    min_area : int, optional
        Pixels above the threshold needed among the 3 × 3 around the peak.
    max_stars : int, optional
        Length of the list at most.
    enough_stars : int, optional
        With fewer, the list (not the count) is filled from 5σ; with fewer than half of it
        also from the frame smoothed by a 3 × 3 box.
    method : StarMethod, optional
        What finds peaks and centres windows on them.

    Returns
    -------
    StarList
        Empty when there is no star: a frame through thick cloud is no error here.

    Raises
    ------
    ValueError
        If the shapes differ or the noise is not positive.

    Notes
    -----
    Centroids, widths and fluxes are those of :mod:`tianyu.pipelines.science.windowed`.

    Examples
    --------
    >>> y, x = np.mgrid[0:40, 0:50]
    >>> image = 900 * np.exp(-((x - 20.25) ** 2 + (y - 17.5) ** 2) / (2 * 1.5**2))
    >>> stars = find_stars(image.astype(np.float32), np.zeros((40, 50), np.uint8), rms=5.0)
    >>> stars.count, round(float(stars.x[0]), 3), round(float(stars.y[0]), 3)
    (1, 20.25, 17.5)
    """
    _check(pixels, mask, rms)
    counted = peaks = method.find_peaks(pixels, mask, rms, threshold_sigma, min_area)
    if len(peaks) < enough_stars and threshold_sigma > DEEP_THRESHOLD_SIGMA:
        peaks = method.find_peaks(pixels, mask, rms, DEEP_THRESHOLD_SIGMA, min_area)
    if len(peaks) < enough_stars / 2:
        sigma = SMOOTHED_THRESHOLD_SIGMA / 3.0  # the mean of nine has a third of the noise
        faint = method.find_peaks(smooth(pixels, mask), mask, rms, sigma, min_area)
        peaks = np.union1d(peaks, faint)
    peaks = peaks[np.argsort(-pixels.ravel()[peaks], kind="stable")[:max_stars]]
    columns, is_star = measure_peaks(pixels, mask, peaks, method.centre)
    error = centroid_errors(columns[4], columns[2], noise_at(rms, peaks[is_star]))
    table = np.stack([*columns, error])[:, np.argsort(-columns[2], kind="stable")]
    n_detected = len(np.setdiff1d(counted, peaks[~is_star], assume_unique=True))
    return StarList.from_columns(table, n_detected, threshold_sigma)


def _check(pixels: FloatImage, mask: MaskImage, rms: float | FloatImage) -> None:
    if pixels.ndim != 2 or mask.shape != pixels.shape or np.shape(rms) not in {(), pixels.shape}:
        raise ValueError(
            "pixels, mask and an image of the rms must have one 2-d shape, got "
            f"{pixels.shape}, {mask.shape} and {np.shape(rms)}"
        )
    if not np.min(rms) > 0.0:
        raise ValueError("the rms of the sky must be positive everywhere; mask pixels instead")
