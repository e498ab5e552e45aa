"""Trapezoidal transit with a linear trend, fitted by least squares.

    f(t) = (c0 + c1·(t − t̄)) · (1 − depth · s(t)),
    s(t) = clip((duration/2 − |t − mid|) / ingress, 0, 1)

A trapezoid is a transit without limb darkening and the right shape for what a single
ground-based night can tell: depth, mid-time, first-to-fourth-contact duration, ingress.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.arrays import BoolArray, FloatArray
from tianyu.pipelines.science.boxsearch import BoxSearch, search_boxes

N_PARAMETER = 6
"""Baseline, slope, depth, mid-time, duration, ratio of ingress to duration."""

INGRESS_RATIO_BOUNDS = (0.01, 0.5)
"""Ingress over duration: from a box (1 %, so that derivatives exist) to a V."""

START_INGRESS_RATIOS = (0.1, 0.25, 0.45)
"""The fit starts from a box-like, a typical and a V-like shape; the best answer wins."""

MAX_CLIPPINGS = 5
"""Clipping settles in two or three rounds; the limit stops a cycle."""


def trapezoid_shape(
    time: FloatArray, mid_time: float, duration: float, ingress: float
) -> FloatArray:
    """Fraction of the full depth at each time, 0 outside and 1 between second and third contact.

    Parameters
    ----------
    time : ndarray, shape (n,)
    mid_time, duration, ingress : float
        In the unit of ``time``; ``duration`` runs from first to fourth contact.

    Examples
    --------
    >>> trapezoid_shape(np.array([0.0, 1.0, 1.5, 2.0, 3.0]), 0.0, 4.0, 1.0)
    array([1. , 1. , 0.5, 0. , 0. ])
    """
    return np.clip((0.5 * duration - np.abs(time - mid_time)) / ingress, 0.0, 1.0)


@dataclass(frozen=True)
class TrapezoidFit:
    """Best trapezoid; times in the unit of the input (days), depth relative to the baseline.

    Errors are one standard deviation from the covariance, scaled by the reduced chi².
    """

    depth: float
    depth_error: float
    mid_time: float
    mid_time_error: float
    duration: float
    duration_error: float
    ingress: float
    ingress_error: float
    baseline: float
    """Flux out of transit at ``reference_time``."""
    slope: float
    """Of the flux out of transit, per unit of time."""
    reference_time: float
    used: BoolArray
    """Shape (n,): points that entered the last fit."""
    residual_scatter: float
    """Standard deviation of (flux − model) / trend over the points used."""
    reduced_chi2: float

    def trend(self, time: FloatArray) -> FloatArray:
        """Flux without the transit at any times, shape of ``time``."""
        return self.baseline + self.slope * (time - self.reference_time)

    def model(self, time: FloatArray) -> FloatArray:
        """Flux with the transit at any times, shape of ``time``."""
        shape = trapezoid_shape(time, self.mid_time, self.duration, self.ingress)
        return self.trend(time) * (1.0 - self.depth * shape)


def fit_trapezoid(
    time: FloatArray,
    flux: FloatArray,
    flux_error: FloatArray | None = None,
    *,
    mid_time_start: float | None = None,
    duration_start: float | None = None,
    clip_sigma: float | None = None,
    search: BoxSearch | None = None,
) -> TrapezoidFit:
    """Fit a trapezoidal transit and a linear trend to one night of one star.

    Parameters
    ----------
    time : ndarray, shape (n,)
        In days, ascending.
    flux : ndarray, shape (n,)
        NaN is left out.
    flux_error : ndarray, shape (n,), optional
        Weights; equal when left out. Only their ratios matter for the errors, which are
        scaled by the reduced chi².
    mid_time_start, duration_start : float, optional
        First guess, in days; found by a scan with boxes when either is left out.
    clip_sigma : float, optional
        Points whose residual exceeds this many robust standard deviations leave.
    search : BoxSearch, optional
        Durations of the scan.

    Returns
    -------
    TrapezoidFit

    Raises
    ------
    UnusableDataError
        If too few points are finite.
    """
    order = np.isfinite(time) & np.isfinite(flux)
    error = np.ones_like(flux) if flux_error is None else flux_error
    order &= np.isfinite(error) & (error > 0)
    if order.sum() <= N_PARAMETER:
        raise UnusableDataError(
            f"{int(order.sum())} of {flux.size} points are finite; a trapezoid with a trend "
            f"needs more than its {N_PARAMETER} parameters"
        )
    starts = _starts(time, flux, order, mid_time_start, duration_start, search)
    used = order
    for _ in range(MAX_CLIPPINGS):
        fit = _best_fit(time, flux, error, used, starts)
        if clip_sigma is None:
            return fit
        residual = (flux - fit.model(time)) / error
        centre = float(np.median(residual[used]))
        spread = 1.4826 * float(np.median(np.abs(residual[used] - centre)))
        kept = order & (np.abs(residual - centre) <= clip_sigma * spread)
        if np.array_equal(kept, used) or kept.sum() <= N_PARAMETER:
            return fit
        used = kept
    return fit
