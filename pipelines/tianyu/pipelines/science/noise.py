"""Noise of aperture photometry: what a measured flux carries, and what theory grants.

The measured error takes the sky's scatter as it is found in the frame, which holds the
read-out noise too; the theoretical budget builds each part from the detector's numbers, for
the comparison that diagnostics draws.

References
----------
.. [1] W. J. Merline, S. B. Howell, 1995, Experimental Astronomy 6, 163 (the CCD equation,
   with the term of the local background).
.. [2] A. T. Young, 1967, AJ 72, 747 (scintillation).
.. [3] J. Osborn, D. Föhring, V. S. Dhillon, R. W. Wilson, 2015, MNRAS 452, 1707 (Young's
   formula is low by a factor near 1.5 in the median of eleven observatories).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from tianyu.pipelines.science.arrays import FloatArray

YOUNG_COEFFICIENT = 0.09
"""Young's constant for a diameter in centimetres and an exposure in seconds."""

SCINTILLATION_CORRECTION = 1.5
"""Median ratio of measured scintillation to Young's formula [3]_."""

RIM_LOSS = 1.04
"""Noise area that a circle loses per pixel of radius, averaged over its place in the pixels:
a pixel of which the part w is inside adds w² of its variance, not w."""

ATMOSPHERE_SCALE_HEIGHT_M = 8000.0
"""Scale height of the turbulence in Young's formula, metres."""


def circle_noise_area(radius_pix: ArrayLike) -> FloatArray:
    """Return the number of whole pixels whose noise equals that of a circle's exact sum.

    It is πr² − 1.04 r: an exact sum weighs the pixels of the rim by the part inside, and
    takes in the square of that weight of their variance. At 3 px this is 11 % less than πr².

    Parameters
    ----------
    radius_pix : array_like
        Radius of the circle, at least 1 pixel.

    Examples
    --------
    >>> round(float(circle_noise_area(3.0)), 2)
    25.15
    """
    radius = np.asarray(radius_pix, dtype=np.float64)
    return np.asarray(np.pi * radius**2 - RIM_LOSS * radius)


def ellipse_noise_area(radius_pix: ArrayLike, axis_ratio: float) -> FloatArray:
    """Return the number of whole pixels whose noise equals that of an ellipse's exact sum.

    The rim loses as much per pixel of its length as that of a circle; the length is
    Ramanujan's, π(a+b)(1 + 3h/(10+√(4−3h))), h = (a−b)²/(a+b)².

    Parameters
    ----------
    radius_pix : array_like
        Radius of the circle of the same area, pixels.
    axis_ratio : float
        Minor over major axis; 1 gives :func:`circle_noise_area`.

    Examples
    --------
    >>> round(float(ellipse_noise_area(3.0, 1.0)), 2), round(float(ellipse_noise_area(3.0, 0.5)), 2)
    (25.15, 24.87)
    """
    radius = np.asarray(radius_pix, dtype=np.float64)
    major, minor = axis_ratio**-0.5, axis_ratio**0.5
    h = ((major - minor) / (major + minor)) ** 2
    rim = 0.5 * (major + minor) * (1.0 + 3.0 * h / (10.0 + math.sqrt(4.0 - 3.0 * h)))
    return np.asarray(np.pi * radius**2 - RIM_LOSS * rim * radius)


def flux_error(
    flux: ArrayLike,
    area_pix: ArrayLike,
    sky_rms: ArrayLike,
    gain_e_per_adu: float | None,
    *,
    noise_area_pix: ArrayLike | None = None,
    annulus_area_pix: ArrayLike = np.inf,
    background_variance_factor: float = 1.0,
) -> FloatArray:
    """Compute the standard error of an aperture flux from the frame's own sky noise.

    The variance is F⁺/g + A_n·s² + k·A²·s²/A_b: photons of the source (F⁺ is the flux, or
    zero where it is negative), sky of the aperture, and the uncertainty of the local
    background [1]_. The sky rms s holds sky photons, dark current and read-out noise together.

    Parameters
    ----------
    flux : array_like
        Background-subtracted flux, ADU.
    area_pix : array_like
        Area A of the aperture, pixels.
    sky_rms : array_like
        Scatter s of one sky pixel, ADU.
    gain_e_per_adu : float or None
        Gain g, electrons per ADU; 1 when flux and rms are in electrons already. Without a gain
        the photon noise of the source is unknown and left out: the error is a lower limit.
    noise_area_pix : array_like, optional
        Area A_n that tells the sky noise, as from :func:`circle_noise_area`; A by default.
    annulus_area_pix : array_like, optional
        Number of pixels A_b that the local background comes from; infinite for a background
        that has no noise of its own.
    background_variance_factor : float, optional
        Variance k of the background's estimator relative to the mean's: 1 for a mean,
        π/2 for a median of normal noise.

    Returns
    -------
    FloatArray
        Standard error in the unit of `flux`, of the broadcast shape; NaN where the flux is.

    Raises
    ------
    ValueError
        If the gain is not a positive number.

    Examples
    --------
    100 e from the source, 25 pixels of 2 e, no noise of the background:

    >>> float(flux_error(100.0, 25.0, 2.0, 1.0)) == math.sqrt(100 + 25 * 4)
    True
    """
    flux = np.asarray(flux, dtype=np.float64)
    area = np.asarray(area_pix, dtype=np.float64)
    sky_variance = np.square(np.asarray(sky_rms, dtype=np.float64))
    if gain_e_per_adu is None:
        source_variance = np.where(np.isnan(flux), np.nan, 0.0)
    else:
        source_variance = np.maximum(flux, 0.0) / _positive(gain_e_per_adu, "gain_e_per_adu")
    noise_area = area if noise_area_pix is None else np.asarray(noise_area_pix, dtype=np.float64)
    annulus = np.asarray(annulus_area_pix, dtype=np.float64)
    pixels_in_variance = noise_area + background_variance_factor * area**2 / annulus
    return np.asarray(np.sqrt(source_variance + pixels_in_variance * sky_variance))


def scintillation(
    airmass: ArrayLike,
    exposure_s: ArrayLike,
    diameter_m: float,
    altitude_m: float,
    *,
    coefficient: float = SCINTILLATION_CORRECTION,
) -> FloatArray:
    """Estimate the relative noise that the turbulence of the upper air adds to every star.

    c · 0.09 · D^(−2/3) · X^1.75 · exp(−h/8000 m) / √(2t), with D in centimetres [2]_, and
    c = 1.5 [3]_. It is common to near stars only in part, so it is kept as a separate term.

    Parameters
    ----------
    airmass, exposure_s : array_like
        Airmass X and exposure t in seconds, broadcast against each other.
    diameter_m : float
        Diameter D of the entrance pupil, metres.
    altitude_m : float
        Altitude h of the observatory, metres.
    coefficient : float, optional
        Factor c on Young's formula; 1 gives the formula as published.

    Returns
    -------
    FloatArray
        Relative standard deviation of the flux, of the broadcast shape.

    Raises
    ------
    ValueError
        If the diameter is not positive.

    Examples
    --------
    1 m at sea level, zenith, 50 s: 0.09 · 100^(−2/3) / √100.

    >>> round(float(scintillation(1.0, 50.0, 1.0, 0.0, coefficient=1.0)), 7)
    0.0004177
    """
    diameter_cm = 100.0 * _positive(diameter_m, "diameter_m")
    telescope = YOUNG_COEFFICIENT * diameter_cm ** (-2.0 / 3.0)
    site = math.exp(-altitude_m / ATMOSPHERE_SCALE_HEIGHT_M)
    path = np.asarray(airmass, dtype=np.float64) ** 1.75
    averaging = np.sqrt(2.0 * np.asarray(exposure_s, dtype=np.float64))
    return np.asarray(coefficient * telescope * site * path / averaging)


@dataclass(frozen=True)
class NoiseBudget:
    """Parts of the theoretical noise of a flux, electrons (1σ), all of one shape."""

    flux_e: FloatArray
    source_e: FloatArray
    sky_e: FloatArray
    readout_e: FloatArray
    scintillation_e: FloatArray

    @property
    def total_e(self) -> FloatArray:
        """Quadratic sum of the parts, electrons."""
        white = self.source_e**2 + self.sky_e**2 + self.readout_e**2
        return np.sqrt(white + self.scintillation_e**2)

    @property
    def relative(self) -> FloatArray:
        """Total noise over flux; NaN where the flux is not positive."""
        flux = np.where(self.flux_e > 0.0, self.flux_e, np.nan)
        return self.total_e / flux


def theoretical_noise(
    flux_e: ArrayLike,
    *,
    area_pix: ArrayLike,
    sky_e_per_pix: ArrayLike,
    readout_e: float,
    dark_e_per_pix: ArrayLike = 0.0,
    noise_area_pix: ArrayLike | None = None,
    annulus_area_pix: ArrayLike = np.inf,
    background_variance_factor: float = 1.0,
    relative_scintillation: ArrayLike = 0.0,
) -> NoiseBudget:
    """Build the noise of an aperture flux from the detector and the sky (CCD equation [1]_).

    Parameters
    ----------
    flux_e : array_like
        Expected flux of the source in the aperture, electrons.
    area_pix, noise_area_pix, annulus_area_pix, background_variance_factor
        Areas A, A_n and A_b, pixels, and k as of :func:`flux_error`: the variance of a pixel
        counts A_n + k·A²/A_b times.
    sky_e_per_pix, dark_e_per_pix : array_like
        Mean electrons of sky and of dark current in one pixel of one exposure.
    readout_e : float
        Read-out noise of one pixel, electrons.
    relative_scintillation : array_like, optional
        Relative noise as from :func:`scintillation`.

    Returns
    -------
    NoiseBudget
        The parts, of the broadcast shape; dark current counts as sky.

    Examples
    --------
    >>> budget = theoretical_noise(900.0, area_pix=10.0, sky_e_per_pix=160.0, readout_e=3.0)
    >>> float(budget.source_e), float(budget.sky_e), round(float(budget.readout_e), 3)
    (30.0, 40.0, 9.487)
    """
    noise_area = area_pix if noise_area_pix is None else noise_area_pix
    flux, area, of_noise, sky, dark, annulus, twinkle = np.broadcast_arrays(
        *(
            np.asarray(value, dtype=np.float64)
            for value in (
                flux_e,
                area_pix,
                noise_area,
                sky_e_per_pix,
                dark_e_per_pix,
                annulus_area_pix,
                relative_scintillation,
            )
        )
    )
    effective_area = of_noise + background_variance_factor * area**2 / annulus
    return NoiseBudget(
        flux_e=flux,
        source_e=np.sqrt(np.maximum(flux, 0.0)),
        sky_e=np.sqrt(effective_area * np.maximum(sky + dark, 0.0)),
        readout_e=np.sqrt(effective_area) * readout_e,
        scintillation_e=np.maximum(flux, 0.0) * twinkle,
    )


def _positive(value: float, name: str) -> float:
    """Return the value, or say that it is not a positive number."""
    if not (value > 0.0 and math.isfinite(value)):
        raise ValueError(f"{name} is {value}; it must be a positive number")
    return float(value)
