"""Noise that every star of a frame suffers in proportion to its flux."""

import math

import numpy as np
from numpy.typing import ArrayLike

from tianyu.pipelines.science.arrays import FloatArray
from tianyu.pipelines.science.noise import scintillation


def proportional_noise(
    airmass: ArrayLike,
    exposure_s: ArrayLike,
    *,
    diameter_m: float | None,
    altitude_m: float | None,
    flat_noise: float | None = None,
    fwhm_pix: ArrayLike = np.nan,
) -> FloatArray:
    """Combine scintillation and the noise of the flat, relative to the flux of a star.

    A flat whose pixels are uncertain by σ_F makes the flux of a Gaussian star that drifts over
    them uncertain by σ_F / √(4π s²), s being the Gaussian's width: the star averages over that
    many pixels.

    Parameters
    ----------
    airmass, exposure_s : array_like, shape (n_frame,)
        NaN where not known.
    diameter_m : float or None
        Of the telescope; without it there is no scintillation term.
    altitude_m : float or None
        Of the site; sea level when not known, which is cautious.
    flat_noise : float, optional
        Relative noise σ_F of one pixel of the master flat.
    fwhm_pix : array_like, shape (n_frame,), optional
        Width of the stars.

    Returns
    -------
    ndarray, shape (n_frame,)
        Relative standard deviation; zero for what is not known.

    Examples
    --------
    A flat good to 1 % per pixel under stars of 2.355 pixels, which cover 4π pixels:

    >>> noise = proportional_noise([1.0], [60.0], diameter_m=None, altitude_m=None,
    ...                            flat_noise=0.01, fwhm_pix=[2.3548])
    >>> round(float(noise[0] * math.sqrt(4 * math.pi)), 4)
    0.01
    """
    mass = np.asarray(airmass, dtype=np.float64)
    exposure = np.asarray(exposure_s, dtype=np.float64)
    variance = np.zeros(np.broadcast(mass, exposure, fwhm_pix).shape)
    if diameter_m is not None:
        known = np.isfinite(mass) & (exposure > 0)
        twinkle = scintillation(
            np.where(known, mass, 1.0),
            np.where(known, exposure, 1.0),
            diameter_m,
            altitude_m or 0.0,
        )
        variance += np.where(known, twinkle, 0.0) ** 2
    if flat_noise is not None:
        width = np.asarray(fwhm_pix, dtype=np.float64) / math.sqrt(8 * math.log(2))
        pixels = 4 * math.pi * width**2
        variance += np.where(pixels > 0, flat_noise**2 / np.where(pixels > 0, pixels, 1.0), 0.0)
    return np.asarray(np.sqrt(variance))
