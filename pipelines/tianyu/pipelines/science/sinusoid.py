"""Period, amplitude and phase of a star that varies as a sinusoid.

    f(t) = mean · [1 + amplitude · sin(2π (t − t_reference) / period + phase)]

The Lomb-Scargle periodogram gives the start, least squares the answer and its errors.

References
----------
VanderPlas, J. T. 2018, ApJS 236, 16 (the periodogram and its grid).
"""

import math
from dataclasses import dataclass

import numpy as np
from astropy.timeseries import LombScargle
from scipy.optimize import least_squares

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.arrays import FloatArray

N_PARAMETER = 4
"""Mean, two amplitudes, frequency."""

SAMPLES_PER_PEAK = 10
"""Grid of frequencies: a tenth of a peak's width, well inside the reach of least squares."""


@dataclass(frozen=True)
class SinusoidFit:
    """Best sinusoid; errors are one standard deviation, scaled by the reduced chi²."""

    period: float
    period_error: float
    amplitude: float
    """Half the peak-to-peak range, relative to the mean."""
    amplitude_error: float
    phase: float
    """Radians in [0, 2π), at ``reference_time``."""
    phase_error: float
    mean: float
    reference_time: float
    residual_scatter: float
    """Standard deviation of flux − model, relative to the mean."""

    def model(self, time: FloatArray) -> FloatArray:
        """Flux at any times; shape of ``time``."""
        angle = 2.0 * np.pi * (time - self.reference_time) / self.period + self.phase
        return np.asarray(self.mean * (1.0 + self.amplitude * np.sin(angle)))


def fit_sinusoid(
    time: FloatArray,
    flux: FloatArray,
    flux_error: FloatArray | None = None,
    *,
    min_period: float | None = None,
    max_period: float | None = None,
) -> SinusoidFit:
    """Fit one sinusoid to a light curve.

    Parameters
    ----------
    time : ndarray, shape (n,)
        Days.
    flux : ndarray, shape (n,)
        NaN is left out.
    flux_error : ndarray, shape (n,), optional
        Weights, equal when left out; only their ratios matter.
    min_period, max_period : float, optional
        Days. By default four times the median step, and the span of the data.

    Returns
    -------
    SinusoidFit

    Raises
    ------
    UnusableDataError
        If too few points are finite.
    ValueError
        If the periods are not positive and in order.
    """
    error = np.ones_like(flux) if flux_error is None else flux_error
    used = np.isfinite(time) & np.isfinite(flux) & np.isfinite(error) & (error > 0)
    if used.sum() <= N_PARAMETER:
        raise UnusableDataError(
            f"{int(used.sum())} of {flux.size} points can be used; a sinusoid needs more than "
            f"its {N_PARAMETER} parameters"
        )
    t, f, e = time[used], flux[used], error[used]
    span = float(np.ptp(t))
    shortest = min_period or 4.0 * float(np.median(np.diff(np.sort(t))))
    longest = max_period or span
    if not 0.0 < shortest < longest:
        raise ValueError(f"periods from {shortest} to {longest} days; give positive ones in order")
    reference = float(t.mean())
    n_grid = math.ceil(SAMPLES_PER_PEAK * span * (1.0 / shortest - 1.0 / longest)) + 2
    grid = np.linspace(1.0 / longest, 1.0 / shortest, n_grid)
    power = LombScargle(t - reference, f, e, fit_mean=True).power(grid, method="slow")
    return _least_squares(t - reference, f, e, float(grid[int(np.argmax(power))]), reference)


def _least_squares(
    t: FloatArray, f: FloatArray, e: FloatArray, frequency: float, reference: float
) -> SinusoidFit:
    angle = 2.0 * np.pi * frequency * t
    design = np.column_stack([np.ones_like(t), np.sin(angle), np.cos(angle)])
    start = np.linalg.lstsq(design / e[:, None], f / e, rcond=None)[0]

    # The sine and cosine amplitudes have no singular point where the amplitude vanishes.
    def weighted_residual(p: FloatArray) -> FloatArray:
        return (_model(p, t) - f) / e

    def jacobian(p: FloatArray) -> FloatArray:
        return _jacobian(p, t) / e[:, None]

    first = np.array([*start, frequency])
    solution = least_squares(weighted_residual, first, jac=jacobian, x_scale="jac")
    mean, sine, cosine, frequency = (float(v) for v in solution.x)
    chi2 = 2.0 * float(solution.cost) / (f.size - N_PARAMETER)
    slopes = jacobian(np.asarray(solution.x))
    covariance = np.linalg.pinv(slopes.T @ slopes) * chi2
    size = math.hypot(sine, cosine)
    to_amplitude = np.array([0.0, sine, cosine, 0.0]) / (size or 1.0)
    to_phase = np.array([0.0, -cosine, sine, 0.0]) / (size**2 or 1.0)
    residual = f - _model(solution.x, t)
    return SinusoidFit(
        period=1.0 / frequency,
        period_error=math.sqrt(covariance[3, 3]) / frequency**2,
        amplitude=size / mean,
        amplitude_error=math.sqrt(to_amplitude @ covariance @ to_amplitude) / abs(mean),
        phase=math.atan2(cosine, sine) % (2.0 * math.pi),
        phase_error=math.sqrt(to_phase @ covariance @ to_phase),
        mean=mean,
        reference_time=reference,
        residual_scatter=float(np.std(residual, ddof=N_PARAMETER)) / abs(mean),
    )


def _model(p: FloatArray, t: FloatArray) -> FloatArray:
    angle = 2.0 * np.pi * p[3] * t
    return np.asarray(p[0] + p[1] * np.sin(angle) + p[2] * np.cos(angle))


def _jacobian(p: FloatArray, t: FloatArray) -> FloatArray:
    angle = 2.0 * np.pi * p[3] * t
    by_frequency = 2.0 * np.pi * t * (p[1] * np.cos(angle) - p[2] * np.sin(angle))
    return np.column_stack([np.ones_like(t), np.sin(angle), np.cos(angle), by_frequency])
