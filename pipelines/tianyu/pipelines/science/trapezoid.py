"""Trapezoidal transit with a linear trend, fitted by least squares.

    f(t) = (c0 + c1·(t − t̄)) · (1 − depth · s(t))
    s(t) = clip((duration/2 − |t − mid|) / ingress, 0, 1)

A trapezoid is a transit without limb darkening, and the right shape for what one night from
the ground can tell: depth, mid-time, duration from first to fourth contact, ingress. For given
mid-time, duration and shape the model is linear in the rest, so that the search for a start
costs one small linear solution per trial.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.arrays import BoolArray, FloatArray
from tianyu.pipelines.science.boxsearch import BoxSearch, search_boxes
from tianyu.pipelines.science.scatter import finite_median, mad_sigma

N_PARAMETER = 6
"""Baseline, slope, depth, mid-time, duration, ratio of ingress to duration."""

MIN_INGRESS_RATIO, MAX_INGRESS_RATIO = 0.01, 0.5
"""Ingress over duration: from nearly a box (a true one has no derivatives) to a V."""

START_INGRESS_RATIOS = (0.1, 0.25, 0.45)
"""The fit starts box-like, typical and V-like: the kinks of the model make local minima."""

MAX_CLIPPINGS = 5
"""Clipping settles in two or three rounds; the limit stops a cycle."""


@dataclass(frozen=True)
class TrapezoidFit:
    """Best trapezoid; times in the unit of the input (days), depth relative to the baseline.

    Errors are one standard deviation from the covariance, scaled by the reduced chi²; infinite
    where the data do not bound the parameter.
    """

    depth: float
    depth_error: float
    mid_time: float
    mid_time_error: float
    duration: float
    """First to fourth contact."""
    duration_error: float
    ingress: float
    """First to second contact."""
    ingress_error: float
    baseline: float
    """Flux out of transit at ``reference_time``."""
    slope: float
    """Of the flux out of transit, per unit of time."""
    reference_time: float
    residual_scatter: float
    """Standard deviation of (flux − model) / trend over the points used."""
    reduced_chi2: float
    used: BoolArray
    """Shape (n,): points that entered the last fit."""

    def trend(self, time: FloatArray) -> FloatArray:
        """Flux without the transit at any times; shape of ``time``."""
        return self.baseline + self.slope * (time - self.reference_time)

    def model(self, time: FloatArray) -> FloatArray:
        """Flux with the transit at any times; shape of ``time``."""
        shape = trapezoid_shape(time, self.mid_time, self.duration, self.ingress)
        return self.trend(time) * (1.0 - self.depth * shape)


def trapezoid_shape(
    time: FloatArray, mid_time: float, duration: float, ingress: float
) -> FloatArray:
    """Fraction of the full depth: 0 outside, 1 between second and third contact.

    Parameters
    ----------
    time : ndarray, shape (n,)
    mid_time, duration, ingress : float
        In the unit of ``time``; duration from first to fourth contact.

    Returns
    -------
    ndarray, shape (n,)

    Examples
    --------
    >>> trapezoid_shape(np.array([0.0, 1.0, 1.5, 2.0, 3.0]), 0.0, 4.0, 1.0)
    array([1. , 1. , 0.5, 0. , 0. ])
    """
    return np.clip((0.5 * duration - np.abs(time - mid_time)) / ingress, 0.0, 1.0)


def fit_trapezoid(
    time: FloatArray,
    flux: FloatArray,
    flux_error: FloatArray | None = None,
    *,
    start: tuple[float, float] | None = None,
    clip_sigma: float | None = None,
    search: BoxSearch | None = None,
) -> TrapezoidFit:
    """Fit a trapezoidal transit and a linear trend to one night of one star.

    Parameters
    ----------
    time : ndarray, shape (n,)
        Days, ascending.
    flux : ndarray, shape (n,)
        NaN is left out.
    flux_error : ndarray, shape (n,), optional
        Weights, equal when left out. Only their ratios matter: the errors of the result are
        scaled by the reduced chi².
    start : (float, float), optional
        First guess of mid-time and of duration, days; by default a scan with boxes.
    clip_sigma : float, optional
        Points with residuals beyond this many robust standard deviations leave.
    search : BoxSearch, optional
        Durations of the scan.

    Returns
    -------
    TrapezoidFit

    Raises
    ------
    UnusableDataError
        If too few points are finite, or the scan finds no dip.
    """
    error = np.ones_like(flux) if flux_error is None else flux_error
    usable = np.isfinite(time) & np.isfinite(flux) & np.isfinite(error) & (error > 0)
    if usable.sum() <= N_PARAMETER:
        raise UnusableDataError(
            f"{int(usable.sum())} of {flux.size} points can be used; a trapezoid with a trend "
            f"needs more than its {N_PARAMETER} parameters"
        )
    start = _scan(time[usable], flux[usable], search) if start is None else start
    fit = _best_of_starts(time, flux, error, usable, start)
    for _ in range(MAX_CLIPPINGS if clip_sigma is not None else 0):
        used = _unclipped((flux - fit.model(time)) / error, usable, float(clip_sigma or np.inf))
        if np.array_equal(used, fit.used) or used.sum() <= N_PARAMETER:
            break
        fit = _best_of_starts(time, flux, error, used, (fit.mid_time, fit.duration - fit.ingress))
    return fit


def trapezoid_fisher_errors(
    time: FloatArray, depth: float, mid_time: float, duration: float, ingress: float, sigma: float
) -> tuple[float, float, float]:
    """Smallest errors that any unbiased fit can have (Cramér-Rao), trend and shape free.

    Parameters
    ----------
    time : ndarray, shape (n,)
        When the points are.
    depth, mid_time, duration, ingress : float
        The true trapezoid.
    sigma : float
        White noise per point, relative.

    Returns
    -------
    depth, mid_time, duration : float
        One standard deviation each; infinite where no point tells.
    """
    reference = float(time.mean())
    p = np.array([1.0, 0.0, depth, mid_time - reference, duration, ingress / duration])
    errors = sigma * np.sqrt(np.diag(_covariance(_jacobian(p, time - reference))))
    return float(errors[2]), float(errors[3]), float(errors[4])


def _scan(time: FloatArray, flux: FloatArray, search: BoxSearch | None) -> tuple[float, float]:
    event = search_boxes(time, (flux / finite_median(flux))[None, :], search)
    if not np.isfinite(event.depth[0]):
        raise UnusableDataError(
            f"no dip was found among {time.size} points from {time[0]} to {time[-1]}; give a "
            "start, or shorter durations to search"
        )
    return float(event.mid_time[0]), float(event.duration[0])


def _unclipped(residual: FloatArray, usable: BoolArray, clip_sigma: float) -> BoolArray:
    centre, sigma = finite_median(residual[usable]), mad_sigma(residual[usable])
    return usable & (np.abs(residual - centre) <= clip_sigma * sigma)


def _best_of_starts(
    time: FloatArray,
    flux: FloatArray,
    error: FloatArray,
    used: BoolArray,
    start: tuple[float, float],
) -> TrapezoidFit:
    """Least squares from several shapes; the box's width is the trapezoid's at half depth."""
    f, e = flux[used], error[used]
    reference = float(time[used].mean())
    t = time[used] - reference
    mid, width = start[0] - reference, start[1]
    fits = [
        _least_squares(t, f, e, mid, width / (1.0 - ratio), ratio) for ratio in START_INGRESS_RATIOS
    ]
    return _describe(min(fits, key=lambda fit: fit[1])[0], t, f, e, reference, used)


def _least_squares(
    t: FloatArray, f: FloatArray, e: FloatArray, mid: float, duration: float, ratio: float
) -> tuple[FloatArray, float]:
    """Best parameters (c0, c1, depth, mid, duration, ratio) from one start, and chi²/2."""
    span = float(np.ptp(t))
    shape = trapezoid_shape(t, mid, duration, ratio * duration)
    design = np.column_stack([np.ones_like(t), t, shape]) / e[:, None]
    c0, c1, drop = np.linalg.lstsq(design, f / e, rcond=None)[0]
    # A depth of exactly zero would leave the fit without a direction in time and duration.
    depth = -drop / c0 if drop != 0 else 1e-6
    step = float(np.median(np.diff(np.sort(t)))) or span / t.size
    lower = [-np.inf, -np.inf, -np.inf, t.min(), step, MIN_INGRESS_RATIO]
    upper = [np.inf, np.inf, np.inf, t.max(), 2.0 * span, MAX_INGRESS_RATIO]
    first = np.clip([c0, c1, depth, mid, duration, ratio], lower, upper)
    scale = [abs(c0) or 1.0, (abs(c0) or 1.0) / span, 0.01, 0.1 * duration, 0.1 * duration, 0.1]

    def residual(p: FloatArray) -> FloatArray:
        return (_model(p, t) - f) / e

    def jacobian(p: FloatArray) -> FloatArray:
        return _jacobian(p, t) / e[:, None]

    solution = least_squares(residual, first, jac=jacobian, bounds=(lower, upper), x_scale=scale)
    return np.asarray(solution.x), float(solution.cost)


def _model(p: FloatArray, t: FloatArray) -> FloatArray:
    c0, c1, depth, mid, duration, ratio = p
    shape = trapezoid_shape(t, mid, duration, ratio * duration)
    return np.asarray((c0 + c1 * t) * (1.0 - depth * shape))


def _jacobian(p: FloatArray, t: FloatArray) -> FloatArray:
    """Differentiate the model by its parameters, shape (n, 6)."""
    c0, c1, depth, mid, duration, ratio = p
    ingress = ratio * duration
    s = trapezoid_shape(t, mid, duration, ingress)
    sloping = (s > 0.0) & (s < 1.0)
    trend = c0 + c1 * t
    by_shape = -depth * trend * sloping
    dip = 1.0 - depth * s
    return np.column_stack(
        [
            dip,
            t * dip,
            -trend * s,
            by_shape * np.sign(t - mid) / ingress,
            by_shape * (0.5 - ratio * s) / ingress,
            by_shape * -s / ratio,
        ]
    )


def _describe(
    p: FloatArray,
    t: FloatArray,
    f: FloatArray,
    e: FloatArray,
    reference: float,
    used: BoolArray,
) -> TrapezoidFit:
    c0, c1, depth, mid, duration, ratio = (float(v) for v in p)
    residual = f - _model(p, t)
    chi2 = float(((residual / e) ** 2).sum()) / (f.size - N_PARAMETER)
    covariance = _covariance(_jacobian(p, t) / e[:, None]) * chi2
    sigma = np.sqrt(np.diag(covariance))
    # ingress = ratio · duration; the product of the two is propagated with their covariance.
    by_ingress = np.array([ratio, duration])
    ingress_variance = by_ingress @ covariance[4:, 4:] @ by_ingress
    return TrapezoidFit(
        depth=depth,
        depth_error=float(sigma[2]),
        mid_time=reference + mid,
        mid_time_error=float(sigma[3]),
        duration=duration,
        duration_error=float(sigma[4]),
        ingress=ratio * duration,
        ingress_error=float(np.sqrt(ingress_variance)),
        baseline=c0,
        slope=c1,
        reference_time=reference,
        residual_scatter=float(np.std(residual / (c0 + c1 * t), ddof=N_PARAMETER)),
        reduced_chi2=chi2,
        used=used,
    )


def _covariance(jacobian: FloatArray) -> FloatArray:
    """Inverse of JᵀJ; infinite variances for parameters that no point constrains."""
    free = np.abs(jacobian).max(axis=0) > 0
    covariance = np.diag(np.where(free, 0.0, np.inf))
    j = jacobian[:, free]
    scale = np.linalg.norm(j, axis=0)
    inverse = np.linalg.pinv((j / scale).T @ (j / scale)) / np.outer(scale, scale)
    covariance[np.ix_(free, free)] = inverse
    return covariance
