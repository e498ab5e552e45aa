"""The compiled way to find the stars of a frame."""

import numpy as np

from tianyu.pipelines.science.arrays import FloatImage, IntArray, MaskImage
from tianyu.pipelines.science.kernels.maxima import find_maxima
from tianyu.pipelines.science.kernels.moments import centred_moments
from tianyu.pipelines.science.peaks import find_peaks
from tianyu.pipelines.science.starlist import THRESHOLD_SIGMA
from tianyu.pipelines.science.stars import MIN_AREA_PIX, StarMethod


def star_method(known: IntArray | None) -> StarMethod:
    """Return compiled functions for :func:`~tianyu.pipelines.science.stars.find_stars`.

    Parameters
    ----------
    known : ndarray of int64 or None
        Maxima that were found at the usual threshold when the sky was taken off.
    """

    def maxima(
        pixels: FloatImage, mask: MaskImage, rms: float | FloatImage, sigma: float, min_area: int
    ) -> IntArray:
        if isinstance(rms, np.ndarray) or min(pixels.shape) == 0:
            return find_peaks(pixels, mask, rms, sigma, min_area)
        if known is not None and sigma == THRESHOLD_SIGMA and min_area == MIN_AREA_PIX:
            return known
        least = sigma * rms
        height = np.array([least], np.float32)
        return find_maxima(np.ascontiguousarray(pixels), mask, height, least, min_area)

    return StarMethod(maxima, centred_moments)
