"""Along which direction, and how much, the stars of a frame are drawn out."""

import math

import numpy as np

from tianyu.pipelines.science.apertureshape import ROUND, ApertureShape, shape_of_ellipticity
from tianyu.pipelines.science.arrays import FloatArray, FloatImage, IntArray, MaskImage
from tianyu.pipelines.science.gaussian import FWHM_PER_SIGMA
from tianyu.pipelines.science.scatter import mad_sigma
from tianyu.pipelines.science.stamps import within
from tianyu.pipelines.science.windowed import centre_windows

FEWEST_STARS = 8
"""Of fewer no median is trusted, and apertures stay round."""

MOST_STARS = 100
"""The brightest tell the shape to half a per cent; more would add noise and time."""

LEAST_PEAK_SIGMA = 20.0
"""Peak over the noise of the sky: fainter stars have axes of noise."""

SIGNIFICANT_SIGMA = 4.0
"""Ellipticity over its error from which stars are not round: the error of (e₁, e₂) is that of
either component, so that 3.4 in 10 000 round frames reach it."""

WINDOW_SIGMA_PIX = (1.3, 6.0)
"""Narrower windows are sampled too coarsely, wider ones take in neighbours."""

MEDIAN_ERROR = math.sqrt(math.pi / 2.0)
"""Error of a median of normal values over that of their mean."""


def frame_shape(
    pixels: FloatImage,
    mask: MaskImage,
    x: FloatArray,
    y: FloatArray,
    *,
    fwhm_pix: float,
    sky_rms: float,
) -> tuple[ApertureShape, int]:
    """Measure the shape of the stars of a frame: the median of their windowed second moments.

    The window's share is taken out, C⁻¹ = C_w⁻¹ − 1/σ_w², which is exact for Gaussian stars.
    Medians are taken of the two components of the ellipticity, which noise leaves unbiased and
    which do not wrap: an elongation is never below 1, and an angle of 1° is next to one of 179°.

    Parameters
    ----------
    pixels : ndarray of float32, shape (ny, nx)
        Frame with the sky subtracted.
    mask : ndarray of uint8, shape (ny, nx)
        Zero for good pixels. A star with any other in its core is not taken.
    x, y : ndarray, shape (n,)
        Where stars stand, pixels, brightest first.
    fwhm_pix : float
        Their width.
    sky_rms : float
        Noise of a sky pixel.

    Returns
    -------
    shape : ApertureShape
        In pixels of the frame; `ROUND` where the ellipticity is within `SIGNIFICANT_SIGMA` of
        its error of none, or stars are fewer than `FEWEST_STARS`.
    n_star : int
        Stars that it rests on.
    """
    window = float(np.clip(fwhm_pix / FWHM_PER_SIGMA, *WINDOW_SIGMA_PIX))
    reach = math.ceil(3.0 * window)
    peaks = _bright_peaks(pixels, mask, x, y, reach, LEAST_PEAK_SIGMA * sky_rms)
    if peaks.size < FEWEST_STARS:
        return ROUND, int(peaks.size)
    _, _, moments = centre_windows(pixels, mask, peaks, window, reach)
    e1, e2 = ellipticities(moments, window)
    if e1.size < FEWEST_STARS:
        return ROUND, int(e1.size)
    middle = float(np.median(e1)), float(np.median(e2))
    scatter = float(np.mean([mad_sigma(e1), mad_sigma(e2)]))
    error = MEDIAN_ERROR * scatter / math.sqrt(e1.size)
    if not math.hypot(*middle) > SIGNIFICANT_SIGMA * error:
        return ROUND, int(e1.size)
    return shape_of_ellipticity(*middle), int(e1.size)


def ellipticities(moments: FloatArray, window: float) -> tuple[FloatArray, FloatArray]:
    """Return e₁ = (Cxx−Cyy)/(Cxx+Cyy) and e₂ = 2Cxy/(Cxx+Cyy) of stars, the window taken out.

    Parameters
    ----------
    moments : ndarray, shape (n, 3, 3)
        As of :func:`~tianyu.pipelines.science.windowed.centre_windows`.
    window : float
        σ of the window, pixels.

    Returns
    -------
    e1, e2 : ndarray, shape (m,)
        Of the stars that have a width on every axis, narrower than the window can tell.
    """
    xx, yy, xy = moments[:, 0, 2], moments[:, 2, 0], moments[:, 1, 1]
    determinant = xx * yy - xy**2
    with np.errstate(divide="ignore", invalid="ignore"):
        # C⁻¹ of the star; C itself has the same shape, with the axes exchanged.
        inverse_xx, inverse_yy = yy / determinant - window**-2, xx / determinant - window**-2
        inverse_xy = -xy / determinant
        has_axes = (moments[:, 0, 0] > 0.0) & (determinant > 0.0) & (inverse_xx + inverse_yy > 0.0)
        has_axes &= inverse_xx * inverse_yy > inverse_xy**2
        total = inverse_xx + inverse_yy
        e1, e2 = (inverse_yy - inverse_xx) / total, -2.0 * inverse_xy / total
    return e1[has_axes], e2[has_axes]


def _bright_peaks(
    pixels: FloatImage,
    mask: MaskImage,
    x: FloatArray,
    y: FloatArray,
    reach: int,
    least: float,
) -> IntArray:
    """Return flat indices of the pixels that the brightest clean stars stand on."""
    inside = within((pixels.shape[0], pixels.shape[1]), x, y, reach + 0.5)
    column, row = np.rint(x[inside]).astype(np.int64), np.rint(y[inside]).astype(np.int64)
    near = np.arange(-1, 2)
    core = (
        (row[:, np.newaxis, np.newaxis] + near[:, np.newaxis]),
        (column[:, np.newaxis, np.newaxis] + near),
    )
    clean = (mask[core] == 0).all(axis=(1, 2)) & (pixels[core].max(axis=(1, 2)) >= least)
    peaks: IntArray = (row[clean] * pixels.shape[1] + column[clean])[:MOST_STARS]
    return peaks
