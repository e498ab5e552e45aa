"""Positions, widths and fluxes of stars: moments under a Gaussian window.

The centroid is the fixed point of the Gaussian-windowed mean (``XWIN_IMAGE`` of [1]_), the
window being as wide as the frame's stars. The windowed covariance :math:`C_w` of a Gaussian
star obeys :math:`C^{-1} = C_w^{-1} - 1/σ_w^2`, which gives its true widths.

References
----------
.. [1] Bertin & Arnouts 1996, A&AS 117, 393; SExtractor manual, "Windowed positional
   parameters".
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from tianyu.pipelines.science.arrays import BoolArray, FloatArray, FloatImage, IntArray, MaskImage
from tianyu.pipelines.science.gaussian import FWHM_PER_SIGMA
from tianyu.pipelines.science.quantiles import median_of, quantile_of

MIN_FWHM_PIX = 1.0
"""Narrower than a pixel, along either axis, is no image of a star but a cosmic ray."""
MIN_WIDTH_RATIO = 0.5
"""Nor is what is narrower than this times the width of the frame's other peaks."""
MAX_ELONGATION = 4.0
"""Longer than this are trails of satellites, each dozens of peaks."""
MAX_ELONGATION_RATIO = 2.0
"""And so is what is longer than this times the rounder quarter of the frame's peaks."""

_WINDOW_SIGMA_PIX = (1.3, 4.0)  # narrower ones are sampled too coarsely: 0.02 px on sharp stars
_WINDOW_STARS = 50  # enough for the median width that sets the frame's window
FARTHEST_PIX = 12
"""Nothing farther from a peak on an axis is looked at: three σ of the widest window."""
_MAX_CENTRE_STEP_PIX = 2.0  # a centroid farther from its peak belongs to something else

CENTRINGS = 4
"""Rounds; each divides the error of a centroid by about ten."""
FARTHEST_STEP_PIX = 2.0 * _MAX_CENTRE_STEP_PIX
"""No round goes farther from the peak on an axis."""


Centring: TypeAlias = Callable[
    [FloatImage, MaskImage, IntArray, float, int], tuple[FloatArray, FloatArray, FloatArray]
]


def centre_windows(
    pixels: FloatImage, mask: MaskImage, peaks: IntArray, window: float, radius: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Centre a Gaussian window on every peak and return the moments under it.

    Parameters
    ----------
    pixels, mask, peaks
        As of :func:`measure_peaks`.
    window : float
        σ of the window, pixels.
    radius : int
        Pixels on each side of a peak that are looked at.

    Returns
    -------
    dx, dy : ndarray, shape (n,)
        Steps from the peaks to the centroids.
    moments : ndarray, shape (n, 3, 3)
        Windowed means of ``y^j x^i`` about the centres of the last round; the sum in [0, 0].
    """
    y, x = peaks // pixels.shape[1], peaks % pixels.shape[1]
    offset = np.arange(-radius, radius + 1)
    return _centre(_stamps(pixels, mask, y, x, offset), offset, window)


def measure_peaks(
    pixels: FloatImage, mask: MaskImage, peaks: IntArray, centre: Centring = centre_windows
) -> tuple[FloatArray, BoolArray]:
    """Measure the peaks of a frame and tell which of them are stars.

    Parameters
    ----------
    pixels : ndarray of float32, shape (ny, nx)
        Frame with the sky subtracted.
    mask : ndarray of uint8, shape (ny, nx)
        Zero for good pixels; the others count as sky.
    peaks : ndarray of int64, shape (n_peaks,)
        Flat indices into the frame, brightest first: the first set the width of the window.
    centre : callable, optional
        What centres the windows.

    Returns
    -------
    table : ndarray of float64, shape (6, n)
        Of the stars, in the order of the peaks: x and y (0-based pixels), flux, peak, FWHM
        (pixels) and elongation, as of :class:`~tianyu.pipelines.science.starlist.StarList`.
    is_star : ndarray of bool, shape (n_peaks,)
        Which peaks they are.

    Examples
    --------
    >>> y, x = np.mgrid[0:40, 0:50]
    >>> image = 900 * np.exp(-((x - 20.25) ** 2 + (y - 17.5) ** 2) / (2 * 1.5**2))
    >>> pixels, clear = image.astype(np.float32), np.zeros((40, 50), np.uint8)
    >>> table, is_star = measure_peaks(pixels, clear, np.array([17 * 50 + 20]))
    >>> is_star.tolist(), np.round(table[:2, 0], 3).tolist(), round(float(table[4, 0]) / 2.3548, 3)
    ([True], [20.25, 17.5], 1.5)
    """
    window = 2.0
    for _ in range(2):  # the median width of the brightest sets the window of all
        fwhm = _windowed(pixels, mask, peaks[:_WINDOW_STARS], window, centre)[0][4]
        if fwhm.size:
            window = float(np.clip(median_of(fwhm) / FWHM_PER_SIGMA, *_WINDOW_SIGMA_PIX))
    return _windowed(pixels, mask, peaks, window, centre)


def centroid_errors(fwhm_pix: FloatArray, flux: FloatArray, rms: FloatArray) -> FloatArray:
    """Return the standard error of x, and of y, from the noise of the sky alone, pixels.

    Twice the windowed mean of white noise, which is √(8π)·σ²·rms/flux when the window is as
    wide as the star; one σ, the median, for all.

    Parameters
    ----------
    fwhm_pix, flux, rms : ndarray, shape (n,)
        Widths and fluxes of the stars, noise of a sky pixel at each.

    Examples
    --------
    Stars of σ = 1 px; √(8π) = 5.0133:

    >>> centroid_errors(np.full(2, 2.3548200), np.array([1e3, 1e4]), np.ones(2)).round(6)
    array([0.005013, 0.000501])
    """
    if not fwhm_pix.size:
        return np.empty(0)
    width2 = (median_of(fwhm_pix) / FWHM_PER_SIGMA) ** 2
    errors: FloatArray = np.sqrt(8.0 * np.pi) * width2 * rms / flux
    return errors


def _windowed(
    pixels: FloatImage, mask: MaskImage, peaks: IntArray, window: float, centre: Centring
) -> tuple[FloatArray, BoolArray]:
    """Measure peaks under a Gaussian window of that σ (pixels)."""
    y, x = peaks // pixels.shape[1], peaks % pixels.shape[1]
    dx, dy, m = centre(pixels, mask, peaks, window, min(int(np.ceil(3.0 * window)), FARTHEST_PIX))
    major, minor = _axes(m, window)
    near = (m[:, 0, 0] > 0.0) & (np.hypot(dx, dy) <= _MAX_CENTRE_STEP_PIX)
    ok = _star_shaped(major, minor, near)
    if not ok.any():
        return np.empty((6, 0)), ok
    sigma = np.sqrt(major[ok] * minor[ok])
    # The window passes 1/(1 + (σ/σ_w)²) of a Gaussian; one σ for all keeps noise out of fluxes.
    flux = m[ok, 0, 0] * (1.0 + (median_of(sigma) / window) ** 2)
    columns = [(x + dx)[ok], (y + dy)[ok], flux, pixels.ravel()[peaks[ok]]]
    return np.stack([*columns, sigma * FWHM_PER_SIGMA, major[ok] / minor[ok]]), ok


def _centre(
    stamps: FloatArray, offset: IntArray, window: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the steps from the stamps' middle to the centroids, and the moments about them."""
    dx, dy, limit = np.zeros(len(stamps)), np.zeros(len(stamps)), FARTHEST_STEP_PIX
    for _ in range(CENTRINGS):
        m = _moments(stamps, offset, dx, dy, window)
        # The windowed mean goes a part of the way to the centre, half of it if σ = σ_w.
        variance = 0.5 * (m[:, 0, 2] + m[:, 2, 0] - m[:, 0, 1] ** 2 - m[:, 1, 0] ** 2)
        part = np.clip(1.0 - variance / window**2, 0.33, 1.0)
        dx = np.clip(dx + m[:, 0, 1] / part, -limit, limit)
        dy = np.clip(dy + m[:, 1, 0] / part, -limit, limit)
    return dx, dy, m


def _star_shaped(major: FloatArray, minor: FloatArray, candidate: BoolArray) -> BoolArray:
    """Tell the candidates whose axes (σ, pixels) are a star's, on this frame too."""
    ok = candidate & (minor * FWHM_PER_SIGMA >= MIN_FWHM_PIX) & (major <= MAX_ELONGATION * minor)
    if ok.any():
        ok &= major <= MAX_ELONGATION_RATIO * quantile_of(major[ok] / minor[ok], 0.25) * minor
        ok &= minor >= MIN_WIDTH_RATIO * median_of(minor[ok])
    return ok


def _stamps(
    pixels: FloatImage, mask: MaskImage, y: IntArray, x: IntArray, offset: IntArray
) -> FloatArray:
    """Cut ``(n, s, s)`` stamps; what is masked, not finite or off the frame is zero."""
    ny, nx = pixels.shape
    rows, columns = y[:, np.newaxis, np.newaxis] + offset[:, np.newaxis], x[:, np.newaxis] + offset
    columns = columns[:, np.newaxis, :]
    inside = (rows >= 0) & (rows < ny) & (columns >= 0) & (columns < nx)
    index = np.where(inside, rows * nx + columns, 0)
    values = pixels.ravel()[index].astype(np.float64)
    return np.where(inside & (mask.ravel()[index] == 0) & np.isfinite(values), values, 0.0)


def _moments(
    stamps: FloatArray, offset: IntArray, dx: FloatArray, dy: FloatArray, window: float
) -> FloatArray:
    """Return windowed means ``m[n, j, i]`` of ``y^j x^i`` about the centres, sums in [n, 0, 0]."""
    powers = []
    for centre in (dy, dx):
        distance = offset - centre[:, np.newaxis]
        weight = np.exp(-0.5 * (distance / window) ** 2)
        powers.append(np.stack([weight, weight * distance, weight * distance**2], axis=1))
    m: FloatArray = powers[0] @ stamps @ powers[1].transpose(0, 2, 1)
    total = m[:, 0, 0].copy()
    m /= np.where(total > 0.0, total, np.inf)[:, np.newaxis, np.newaxis]
    m[:, 0, 0] = total
    return m


def _axes(m: FloatArray, window: float) -> tuple[FloatArray, FloatArray]:
    """Return the σ (pixels) along both axes, the window's share taken out.

    A minor axis without width is 0, a major axis wider than the window can tell is infinite.
    """
    mean, half = 0.5 * (m[:, 0, 2] + m[:, 2, 0]), 0.5 * (m[:, 0, 2] - m[:, 2, 0])
    split = np.hypot(half, m[:, 1, 1])
    axes = []
    for variance, nothing in ((mean + split, np.inf), (mean - split, 0.0)):
        share = 1.0 - variance / window**2
        ok = (variance > 0.0) & (share > 0.0)
        axes.append(np.where(ok, np.sqrt(np.abs(variance / np.where(ok, share, 1.0))), nothing))
    return axes[0], axes[1]
