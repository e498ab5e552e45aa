"""Curve of growth: which part of a star's light an aperture holds, frame by frame and at night.

Bright, isolated, unsaturated stars are measured in every aperture; each flux over that in the
largest one is free of the star's brightness and of cloud, so that the median over stars shows
the stellar profile of the frame alone: its changes are those of seeing, focus and guiding.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tianyu.pipelines.science.arrays import BoolArray, FloatArray, IntArray
from tianyu.pipelines.science.scatter import finite_median, mad_sigma

MIN_SNR = 50.0
"""Each flux ratio of the faintest star taken is then known to some 2 % in one frame."""

MIN_CLEAN_PART = 0.5
"""Part of the good frames in which a star must be unflagged in every aperture, so that about the
same stars make the curve all night."""

ISOLATION_RADII = 2.0
"""Least distance to another source over the largest radius: their circles do not meet."""

MAX_STARS = 50
"""The brightest suffice: the median of 50 ratios of 2 % is good to 0.4 %."""


@dataclass(frozen=True)
class GrowthCurve:
    """Flux in each of r apertures over that in the largest, in f frames and for the night.

    Attributes
    ----------
    growth, scatter : FloatArray
        Median over the stars and their robust standard deviation, shape (r, f). NaN where no
        star was measured.
    n_star : IntArray
        Stars measured, shape (f,).
    night_growth, night_scatter : FloatArray
        Median of the good frames' curves and robust standard deviation from frame to frame,
        shape (r,).
    """

    growth: FloatArray
    scatter: FloatArray
    n_star: IntArray
    night_growth: FloatArray
    night_scatter: FloatArray


def growth_stars(
    flux: FloatArray,
    flux_error: FloatArray,
    flags: NDArray[np.uint16],
    good: BoolArray,
    neighbour_pix: FloatArray,
    radius_pix: FloatArray,
) -> IntArray:
    """Choose bright, isolated, unflagged stars.

    Parameters
    ----------
    flux, flux_error : ndarray, shape (n_radius, n_star, n_frame)
        In one unit.
    flags : ndarray of uint16, same shape
        Bits of :class:`~tianyu.pipelines.science.flags.FluxFlag`; any of them, saturation among
        them, takes the star out of a frame.
    good : ndarray of bool, shape (n_frame,)
    neighbour_pix : ndarray, shape (n_star,)
        Distance to the nearest other source, pixels.
    radius_pix : ndarray, shape (n_radius,)
        Rising radii, pixels.

    Returns
    -------
    ndarray of int
        Indices of at most ``MAX_STARS`` stars, brightest first; empty where none will do.

    Raises
    ------
    ValueError
        If the shapes disagree or the radii do not rise.
    """
    _check(flux, flags, good, radius_pix)
    if not good.any():
        return np.empty(0, dtype=np.int64)
    clean = _clean(flux, flags)[:, good]
    last, error = flux[-1][:, good], flux_error[-1][:, good]
    usable = clean & (error > 0)
    snr = finite_median(np.where(usable, last / np.where(usable, error, 1.0), np.nan))
    bright = finite_median(np.where(usable, last, np.nan))
    fit = (clean.mean(axis=1) >= MIN_CLEAN_PART) & (snr >= MIN_SNR)
    fit &= neighbour_pix >= ISOLATION_RADII * radius_pix[-1]
    chosen = np.flatnonzero(fit)
    return chosen[np.argsort(-bright[chosen], kind="stable")][:MAX_STARS]


def measure_growth(
    flux: FloatArray, flags: NDArray[np.uint16], good: BoolArray, radius_pix: FloatArray
) -> GrowthCurve:
    """Measure the curve of growth of every frame and of the night.

    Parameters
    ----------
    flux : ndarray, shape (n_radius, n_star, n_frame)
        Background-subtracted fluxes of bright isolated stars, see :func:`growth_stars`.
    flags : ndarray of uint16, same shape
        A star counts in a frame when it is unflagged in all apertures and its flux in the
        largest is positive.
    good : ndarray of bool, shape (n_frame,)
        Frames that make the night's curve; the others have theirs all the same.
    radius_pix : ndarray, shape (n_radius,)
        Rising radii, pixels.

    Returns
    -------
    GrowthCurve

    Raises
    ------
    ValueError
        If the shapes disagree or the radii do not rise.

    Notes
    -----
    Light beyond the largest aperture is not seen: the curve ends at 1 by definition.

    Examples
    --------
    Two stars, of which the same part of the light lies within the smaller radius:

    >>> flux = np.array([[[60.0], [600.0]], [[100.0], [1000.0]]])
    >>> clear, radius = np.zeros(flux.shape, np.uint16), np.array([2.0, 6.0])
    >>> curve = measure_growth(flux, clear, np.array([True]), radius)
    >>> curve.night_growth.tolist(), curve.n_star.tolist()
    ([0.6, 1.0], [2])
    """
    _check(flux, flags, good, radius_pix)
    clean = _clean(flux, flags)
    ratio = np.where(clean, flux / np.where(clean, flux[-1], 1.0), np.nan)
    by_star = np.moveaxis(ratio, 1, -1)
    growth = finite_median(by_star)
    return GrowthCurve(
        growth=growth,
        scatter=mad_sigma(by_star),
        n_star=clean.sum(axis=0),
        night_growth=finite_median(growth[:, good]),
        night_scatter=mad_sigma(growth[:, good]),
    )


def _clean(flux: FloatArray, flags: NDArray[np.uint16]) -> BoolArray:
    """Tell where a star is unflagged and has light in every aperture, (n_star, n_frame)."""
    unflagged = (flags == 0).all(axis=0) & np.isfinite(flux).all(axis=0)
    return np.asarray(unflagged & (flux[-1] > 0))


def _check(
    flux: FloatArray, flags: NDArray[np.uint16], good: BoolArray, radius_pix: FloatArray
) -> None:
    if flux.ndim != 3 or flags.shape != flux.shape or good.shape != flux.shape[2:]:
        raise ValueError(
            f"flux {flux.shape} and flags {flags.shape} must be of one shape (radius, star, "
            f"frame), and good {good.shape} one per frame"
        )
    if radius_pix.shape != flux.shape[:1] or not (np.diff(radius_pix) > 0).all():
        raise ValueError(
            f"radius_pix {radius_pix.tolist()} must hold {len(flux)} rising radii, one per plane"
        )
