"""The width of a template's stars, from a first look at the bright ones."""

import numpy as np
import sep

from tianyu.pipelines.science.arrays import BoolArray, FloatArray, FloatImage
from tianyu.pipelines.science.extraction import extract
from tianyu.pipelines.science.gaussian import FWHM_PER_SIGMA

BRIGHT_SIGMA = 20.0
"""Pixel threshold of the first look, whose stars tell the width of the second look's filter."""

FEWEST_BRIGHT = 5
"""With fewer bright stars the first look is repeated at the wanted threshold."""

FALLBACK_FWHM_PIX = 3.0
"""Width taken where no star is bright enough to tell one."""

FWHM_RANGE_PIX = (1.0, 30.0)
"""Widths of stars that are believed: narrower is a hot pixel, wider is not a star."""

FIRST_LOOK_AREA_PIX = 5
"""Pixels above threshold that a bright star has and a hot pixel has not."""


def stellar_width(
    pixels: FloatImage, noise: FloatImage, searched: BoolArray, threshold_sigma: float
) -> float:
    """Measure the median FWHM of the template's bright stars.

    Parameters
    ----------
    pixels, noise : ndarray of float32, shape (ny, nx)
        Template without its background, and the noise of its pixels.
    searched : ndarray of bool, shape (ny, nx)
        Pixels where stars are sought.
    threshold_sigma : float
        Height of a pixel over the noise at which stars count, if too few are above 20.

    Returns
    -------
    float
        Pixels; 3 where there is no star to tell.
    """
    for threshold in (max(BRIGHT_SIGMA, threshold_sigma), threshold_sigma):
        found = extract(
            pixels,
            noise,
            searched,
            threshold,
            minarea=FIRST_LOOK_AREA_PIX,
            filter_kernel=None,
            deblend_cont=1.0,
        )
        if len(found) >= FEWEST_BRIGHT:
            break
    if len(found) == 0:
        return FALLBACK_FWHM_PIX
    guess = FWHM_PER_SIGMA * float(np.median(np.sqrt(found["a"] * found["b"])))
    widths = half_light_width(pixels, searched, found["x"], found["y"], guess)
    low, high = FWHM_RANGE_PIX
    stars = widths[(widths >= low) & (widths <= high)]
    return float(np.median(stars)) if stars.size else FALLBACK_FWHM_PIX


def half_light_width(
    pixels: FloatImage, searched: BoolArray, x: FloatArray, y: FloatArray, fwhm: float
) -> FloatArray:
    """Return twice the radius of half the light within 2.5 FWHM; exact for a Gaussian."""
    reach = np.full(len(x), 2.5 * fwhm)
    half_light, _ = sep.flux_radius(pixels, x, y, reach, 0.5, mask=~searched)
    return np.asarray(2.0 * half_light)
