"""Posterior of a limb-darkened transit in the light curves of one or several nights."""

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from scipy.optimize import minimize

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.arrays import BoolArray, FloatArray, IntArray
from tianyu.pipelines.science.limbdark import limb_darkened_flux
from tianyu.pipelines.science.rednoise import red_noise_factor
from tianyu.pipelines.science.sampling import (
    Estimate,
    Posterior,
    SamplerSettings,
    estimate,
    sample,
)
from tianyu.pipelines.science.scatter import mad_sigma
from tianyu.pipelines.science.spikes import without_spikes
from tianyu.pipelines.science.transit import (
    NAMES,
    TREND_TERMS,
    LimbDarkening,
    TransitBounds,
    TransitData,
    log_posterior,
    transit_flux,
)
from tianyu.pipelines.science.transitscan import Dip, find_dip

CLIP_SIGMA = 5.0
MAX_CLIPPINGS = 5
MIN_CADENCES = 3
"""Shortest duration that the prior allows."""
NIGHT_GAP_DAYS = 0.25
"""Points farther apart than six hours belong to different nights."""
INGRESS_DAYS = 0.02
"""Scale of correlated noise that moves a mid-time: an ingress, half an hour."""


class TrendIn(StrEnum):
    """What the quadratic trend of each night is in."""

    TIME = "time"
    AIRMASS = "airmass"


@dataclass(frozen=True)
class TransitQuestion:
    """What is assumed of a transit.

    Attributes
    ----------
    limb : LimbDarkening
    trend_in : TrendIn
    period_days : float or None
        Needed to join transits of several nights.
    start : Dip or None
        Where the transit is expected; None searches for it. The mid-time is sought within one
        duration of the start.
    sampler : SamplerSettings
    """

    limb: LimbDarkening = field(default_factory=LimbDarkening)
    trend_in: TrendIn = TrendIn.TIME
    period_days: float | None = None
    start: Dip | None = None
    sampler: SamplerSettings = field(default_factory=SamplerSettings)


@dataclass(frozen=True, eq=False)
class TransitFit:
    """Posterior of one transit; times in days, of the scale of the input."""

    question: TransitQuestion
    posterior: Posterior
    """Mid-times in it are relative to ``reference_time``."""
    best: FloatArray
    """The most probable parameters, found by maximisation."""
    reference_time: float
    folded_time: FloatArray
    """Shape (n,): times of all points, folded onto one event, minus ``reference_time``."""
    trend: FloatArray
    """Shape (n,): flux out of transit of every point, by the best parameters."""
    used: BoolArray
    """Shape (n,): points that were fitted."""
    mid_time: Estimate
    radius_ratio: Estimate
    impact: Estimate
    duration: Estimate
    """First to fourth contact."""
    area_ratio: Estimate
    """(Rp/R*)², which is what many call the depth."""
    depth: Estimate
    """1 − flux at mid-transit, limb darkening included."""
    u1: Estimate
    u2: Estimate
    residual_scatter: float
    """Standard deviation of flux / (trend · transit) − 1 over the points used."""
    red_noise_factor: float
    """β ≥ 1 on the scale of an ingress; a cautious error is the posterior's times β."""

    def flux(self, folded_time: FloatArray) -> FloatArray:
        """Relative flux of the best transit at folded times; shape of the input."""
        return np.asarray(transit_flux(folded_time, self.best[None, :], self.question.limb)[0])


def fit_transit(
    time: FloatArray,
    flux: FloatArray,
    flux_error: FloatArray | None = None,
    *,
    airmass: FloatArray | None = None,
    question: TransitQuestion | None = None,
) -> TransitFit:
    """Fit one limb-darkened transit with a quadratic trend per night.

    Parameters
    ----------
    time : ndarray, shape (n,)
        Days, ascending.
    flux : ndarray, shape (n,)
        NaN is left out.
    flux_error : ndarray, shape (n,), optional
        Only their ratios matter.
    airmass : ndarray, shape (n,), optional
        Needed for a trend in airmass.
    question : TransitQuestion, optional

    Returns
    -------
    TransitFit

    Raises
    ------
    UnusableDataError
        If there are too few points, no dip to start from, several nights without a period, or
        no airmass for a trend in it.
    """
    question = question or TransitQuestion()
    error = np.ones_like(flux) if flux_error is None else flux_error
    usable = np.isfinite(time) & np.isfinite(flux) & np.isfinite(error) & (error > 0)
    columns = _trend_columns(time, airmass, usable, question)
    usable &= np.isfinite(columns).all(axis=1)
    needed = len(NAMES) + columns.shape[1]
    if usable.sum() <= needed:
        raise UnusableDataError(
            f"{int(usable.sum())} of {flux.size} points can be used; a transit with its trends "
            f"needs more than its {needed} parameters"
        )
    # A single bad point must not pass for a short dip; the fit itself decides on it again.
    smooth = usable & np.isfinite(without_spikes(np.where(usable, flux, np.nan)[None, :])[0])
    rough = question.start or find_dip(
        time[smooth],
        flux[smooth],
        error[smooth],
        columns[smooth],
        night_numbers(time)[smooth],
        question.period_days,
    )
    reference = rough.mid_time
    folded = _fold(time, reference, question.period_days)
    whole = TransitData(folded, flux, error, columns)
    bounds = _bounds(folded[usable], rough, question.period_days)
    best, used = _clipped_best(whole, usable, smooth, bounds, rough, question.limb)
    data = _chosen(whole, used)
    posterior = sample(
        lambda p: log_posterior(p, data, bounds, question.limb),
        NAMES[: len(best)],
        best,
        _spread(best, rough),
        question.sampler,
    )
    return _describe(question, posterior, best, reference, whole, used)


def night_numbers(time: FloatArray) -> IntArray:
    """Return the number, from 0, of the night of each of ascending times, shape (n,)."""
    return np.concatenate([[0], np.cumsum(np.diff(time) > NIGHT_GAP_DAYS)]).astype(np.int64)


def _trend_columns(
    time: FloatArray, airmass: FloatArray | None, usable: BoolArray, question: TransitQuestion
) -> FloatArray:
    night = night_numbers(time)
    n_night = int(night.max(initial=0)) + 1
    if n_night > 1 and question.period_days is None:
        raise UnusableDataError(
            f"the points come from {n_night} nights; give the period to join their transits, or "
            "choose one observation"
        )
    if question.trend_in is TrendIn.AIRMASS and (airmass is None or not np.isfinite(airmass).any()):
        raise UnusableDataError("no airmass is known for these points; take a trend in time")
    of = time if question.trend_in is TrendIn.TIME or airmass is None else airmass
    columns = np.zeros((time.size, TREND_TERMS * n_night))
    for i in range(n_night):
        here = night == i
        inside = of[here & usable]
        # About the middle and in units of half the range, so that the columns stay apart.
        middle = 0.5 * (inside.max() + inside.min()) if inside.size else 0.0
        half = 0.5 * float(np.ptp(inside)) if inside.size else 0.0
        s = (of[here] - middle) / (half or 1.0)
        columns[np.ix_(here, range(TREND_TERMS * i, TREND_TERMS * (i + 1)))] = np.stack(
            [np.ones_like(s), s, s**2], axis=1
        )
    filled = np.array([np.any(columns[usable, j] != 0) for j in range(columns.shape[1])])
    return columns[:, filled]


def _fold(time: FloatArray, reference: float, period_days: float | None) -> FloatArray:
    since = time - reference
    return since if period_days is None else since - period_days * np.round(since / period_days)


def _bounds(t: FloatArray, rough: Dip, period_days: float | None) -> TransitBounds:
    cadence = float(np.median(np.diff(np.sort(t))))
    span = float(np.ptp(t))
    longest = span if period_days is None else min(span, 0.5 * period_days)
    reach = rough.duration
    return TransitBounds(
        first=max(float(t.min()), -reach),
        last=min(float(t.max()), reach),
        shortest=min(MIN_CADENCES * cadence, 0.5 * rough.duration),
        longest=max(longest, 1.5 * rough.duration),
    )


def _chosen(data: TransitData, used: BoolArray) -> TransitData:
    return TransitData(data.time[used], data.flux[used], data.error[used], data.trend[used])


def _clipped_best(
    data: TransitData,
    usable: BoolArray,
    smooth: BoolArray,
    bounds: TransitBounds,
    rough: Dip,
    limb: LimbDarkening,
) -> tuple[FloatArray, BoolArray]:
    """Return the most probable parameters, points beyond 5σ left out."""
    start, used = _start(rough, limb), smooth
    for _ in range(MAX_CLIPPINGS):
        start = _maximise(start, _chosen(data, used), bounds, limb)
        residual = (data.flux / _model(start, data, used, limb) - 1.0) / data.error
        sigma = float(mad_sigma(residual[used]))
        kept = usable & (np.abs(residual) <= CLIP_SIGMA * sigma)
        if np.array_equal(kept, used):
            break
        used = kept
    return start, used


def _start(rough: Dip, limb: LimbDarkening) -> FloatArray:
    k = float(np.sqrt(np.clip(rough.depth, 1e-5, 0.3)))
    start = np.array([0.95 * k, 0.3, rough.duration, 0.0])
    if limb.is_fixed:
        return start
    if limb.u1 is None or limb.u2 is None:
        return np.concatenate([start, [0.36, 0.3]])
    q1 = float(np.clip((limb.u1 + limb.u2) ** 2, 0.01, 0.99))
    q2 = float(np.clip(0.5 * limb.u1 / max(limb.u1 + limb.u2, 1e-6), 0.01, 0.99))
    return np.concatenate([start, [q1, q2]])


def _maximise(
    start: FloatArray, data: TransitData, bounds: TransitBounds, limb: LimbDarkening
) -> FloatArray:
    def cost(p: FloatArray) -> float:
        value = float(log_posterior(p[None, :], data, bounds, limb)[0])
        return -value if np.isfinite(value) else 1e10

    size = np.array([0.01, 0.15, 0.05 * start[2], 0.02 * start[2], 0.1, 0.1])[: len(start)]
    simplex = start + np.vstack([np.zeros(len(start)), np.diag(size)])
    found = minimize(
        cost,
        start,
        method="Nelder-Mead",
        options={"initial_simplex": simplex, "maxiter": 2000, "xatol": 1e-6, "fatol": 1e-4},
    )
    return np.asarray(found.x)


def _model(p: FloatArray, data: TransitData, used: BoolArray, limb: LimbDarkening) -> FloatArray:
    """Trend times transit at all points, the trend fitted to those used."""
    coefficients = _chosen(data, used).solve(p[None, :], limb)[0][0]
    return np.asarray((data.trend @ coefficients) * transit_flux(data.time, p[None, :], limb)[0])


def _spread(best: FloatArray, rough: Dip) -> FloatArray:
    time = 0.005 * rough.duration
    return np.array([0.02 * best[0], 0.05, 2.0 * time, time, 0.05, 0.05])[: len(best)]


def _describe(
    question: TransitQuestion,
    posterior: Posterior,
    best: FloatArray,
    reference: float,
    data: TransitData,
    used: BoolArray,
) -> TransitFit:
    limb, draws = question.limb, posterior.draws
    coefficients = _chosen(data, used).solve(best[None, :], limb)[0][0]
    trend = data.trend @ coefficients
    u1, u2 = limb.coefficients(draws)
    at_middle = limb_darkened_flux(draws[:, 1], draws[:, 0], u1, u2)
    mid = estimate(draws[:, 3])
    residual = data.flux / (trend * transit_flux(data.time, best[None, :], limb)[0]) - 1.0
    freedom = len(best) + data.trend.shape[1]
    scatter = float(np.sqrt(np.sum(residual[used] ** 2) / (used.sum() - freedom)))
    order = np.argsort(data.time[used], kind="stable")
    beta = red_noise_factor(
        data.time[used][order], residual[used][order][None, :], np.array([scatter]), INGRESS_DAYS
    )
    return TransitFit(
        question=question,
        posterior=posterior,
        best=best,
        reference_time=reference,
        folded_time=data.time,
        trend=trend,
        used=used,
        mid_time=Estimate(reference + mid.value, mid.minus, mid.plus),
        radius_ratio=estimate(draws[:, 0]),
        impact=estimate(draws[:, 1]),
        duration=estimate(draws[:, 2]),
        area_ratio=estimate(draws[:, 0] ** 2),
        depth=estimate(1.0 - at_middle),
        u1=estimate(u1),
        u2=estimate(u2),
        residual_scatter=scatter,
        red_noise_factor=float(beta[0]),
    )
