"""The error of a flux by its terms, as far as they are known."""

import math
from dataclasses import dataclass

from tianyu.pipelines.science.noise import ellipse_noise_area, scintillation


@dataclass(frozen=True)
class Circumstances:
    """What the terms of an error are worked out from; None is not known."""

    flux_unit: str
    gain_e_per_adu: float | None
    """Of the photon noise: stated, or measured where nobody states it."""
    sky_rms_adu: float | None
    read_noise_e: float | None
    airmass: float | None
    exposure_s: float | None
    aperture_m: float | None
    altitude_m: float | None


@dataclass(frozen=True)
class ErrorTerms:
    """1 σ of a flux and its terms, in the unit of the flux; None where one is not known.

    Attributes
    ----------
    total : float or None
        As stored.
    source : float or None
        Photons of the source itself: the root of the electrons.
    sky : float or None
        Scatter of the sky over the noise area of the aperture, read-out included.
    read_out : float or None
        Its part that is read-out noise.
    background : float or None
        What is left: the uncertainty of the local background, and of pixels left out.
    scintillation : float or None
        Expected of the air; **not** in this error, but in that of the relative flux.
    """

    total: float | None
    source: float | None
    sky: float | None
    read_out: float | None
    background: float | None
    scintillation: float | None


def error_terms(
    flux: float | None,
    error: float | None,
    radius_pix: float,
    around: Circumstances,
    axis_ratio: float = 1.0,
) -> ErrorTerms:
    """Take a stored error apart: σ² = F·[electrons] + A_n s² + (the rest).

    See :func:`tianyu.pipelines.science.noise.flux_error`, whose A_n is that of an aperture without
    a pixel left out: πr² − 1.04 r of a circle.

    Parameters
    ----------
    flux, error : float or None
        In the unit of the run.
    radius_pix : float
    around : Circumstances
    axis_ratio : float, optional
        Minor over major axis of the aperture.
    """
    if flux is None or error is None:
        return ErrorTerms(error, None, None, None, None, None)
    in_electrons = around.flux_unit == "electron"
    unit = around.gain_e_per_adu if in_electrons else 1.0
    area = float(ellipse_noise_area(radius_pix, axis_ratio))
    source = _photon_noise(flux, around.gain_e_per_adu, in_electrons=in_electrons)
    sky = None
    if around.sky_rms_adu is not None and unit is not None:
        sky = math.sqrt(area) * around.sky_rms_adu * unit
    read_out = None
    if around.read_noise_e is not None and around.gain_e_per_adu:
        per_pixel = around.read_noise_e * (1.0 if in_electrons else 1.0 / around.gain_e_per_adu)
        read_out = math.sqrt(area) * per_pixel
    rest = None
    # Without a gain the stored error holds no photon noise of the source either.
    if sky is not None:
        rest = math.sqrt(max(error**2 - (source or 0.0) ** 2 - sky**2, 0.0))
    return ErrorTerms(error, source, sky, read_out, rest, _scintillation(flux, around))


def _photon_noise(flux: float, gain: float | None, *, in_electrons: bool) -> float | None:
    """Return the root of the electrons, in electrons or ADU."""
    if in_electrons:
        return math.sqrt(max(flux, 0.0))
    return None if gain is None else math.sqrt(max(flux, 0.0) / gain)


def _scintillation(flux: float, around: Circumstances) -> float | None:
    airmass, exposure_s = around.airmass, around.exposure_s
    diameter, altitude = around.aperture_m, around.altitude_m
    if airmass is None or exposure_s is None or diameter is None or altitude is None:
        return None
    return max(flux, 0.0) * float(scintillation(airmass, exposure_s, diameter, altitude))
