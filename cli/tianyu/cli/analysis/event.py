"""One transit from every side: the paper's quartic, a limb-darkened disc, another's curve."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tianyu.cli.curves.binning import bin_points
from tianyu.cli.curves.foreign import ForeignCurve
from tianyu.cli.curves.light_curve import LightCurve
from tianyu.pipelines.science.quartic import QuarticTransit, fit_quartic, magnitudes
from tianyu.pipelines.science.sampling import Estimate, Posterior, estimate
from tianyu.pipelines.science.transit import scaled_orbit
from tianyu.pipelines.science.transitfit import (
    TransitFit,
    TransitQuestion,
    fit_transit,
    night_numbers,
)
from tianyu.pipelines.science.transitscan import Dip

BIN_DAYS = 10.0 / 1440.0


@dataclass(frozen=True, eq=False)
class FittedCurve:
    """A light curve and the limb-darkened transit in it."""

    name: str
    time: Any
    flux: Any
    error: Any
    fit: TransitFit


@dataclass(frozen=True, eq=False)
class EventAnalysis:
    """What is known of an event.

    Attributes
    ----------
    curve : LightCurve
        The good points.
    quartic : QuarticTransit or None
        None where several nights are joined: it describes one.
    fitted : list of FittedCurve
        This curve, and the one that it is compared with.
    """

    curve: LightCurve
    quartic: QuarticTransit | None
    fitted: list[FittedCurve]


def analyse_event(
    curve: LightCurve, question: TransitQuestion, other: ForeignCurve | None = None
) -> EventAnalysis:
    """Fit the models to a light curve, and the same disc to another's curve.

    Raises
    ------
    UnusableDataError
        If the curve cannot be fitted; the text says why.
    """
    time, flux, error = curve.time, curve.value, curve.error
    airmass = np.asarray(curve["airmass"], dtype=np.float64)
    fit = fit_transit(time, flux, error, airmass=airmass, question=question)
    fitted = [FittedCurve("tianyu", time, flux, error, fit)]
    is_one_night = night_numbers(time).max() == 0
    quartic = fit_quartic(time, flux, question.sampler) if is_one_night else None
    if other is not None:
        # From the same start, so that both fits are of the same event.
        start = question.start or Dip(fit.mid_time.value, fit.duration.value, fit.depth.value)
        theirs = fit_transit(
            other.time, other.flux, other.error, question=replace(question, start=start)
        )
        # Without errors of its own, a curve shows those that its residuals tell.
        told = theirs.residual_scatter * theirs.trend
        error = told if other.error is None else other.error
        fitted.append(FittedCurve(other.name, other.time, other.flux, error, theirs))
    return EventAnalysis(curve, quartic, fitted)


def event_answer(analysis: EventAnalysis) -> dict[str, Any]:
    """Return everything found as plain values, for JSON."""
    curve, quartic = analysis.curve, analysis.quartic
    answer: dict[str, Any] = {
        "source": curve.how,
        "time_scale": "BJD_TDB" if curve.has_bjd else "JD_UTC",
        "n_point": len(curve),
        "radius_pix": float(np.median(curve["radius_pix"])),
        "limb_darkened": {of.name: transit_answer(of.fit) for of in analysis.fitted},
    }
    if quartic is not None:
        answer["quartic"] = {
            "mid_time": quartic.mid_time,
            "duration_day": quartic.duration,
            "depth": quartic.depth,
            "depth_mag": quartic.depth_mag,
            "sigma_mag": quartic.sigma_mag,
            "ln_bayes_factor": quartic.log_bayes_factor,
            "ln_bayes_factor_is": "posterior-averaged likelihoods, log-sum-exp",
            "delta_bic": quartic.delta_bic,
            "residual_scatter_mag": quartic.residual_scatter,
            "n_used": int(quartic.used.sum()),
            "sampling": sampling_answer(quartic.posterior),
            "sampling_baseline": sampling_answer(quartic.baseline),
        }
    return answer


def transit_answer(fit: TransitFit) -> dict[str, Any]:
    """Return a limb-darkened fit as plain values; times in days."""
    names = ("mid_time", "duration", "depth", "area_ratio", "radius_ratio", "impact", "u1", "u2")
    answer: dict[str, Any] = {name: getattr(fit, name) for name in names}
    answer |= {
        "residual_scatter": fit.residual_scatter,
        "red_noise_factor": fit.red_noise_factor,
        "mid_time_error_with_red_noise": fit.mid_time.error * fit.red_noise_factor,
        "n_used": int(fit.used.sum()),
        "trend_in": fit.question.trend_in.value,
        "sampling": sampling_answer(fit.posterior),
    }
    if fit.question.period_days is not None:
        answer["circular_orbit"] = _orbit(fit, fit.question.period_days)
    return answer


def _orbit(fit: TransitFit, period_days: float) -> dict[str, Estimate | float]:
    draws = fit.posterior
    found = scaled_orbit(
        draws.of("radius_ratio"), draws.of("impact"), draws.of("duration"), period_days
    )
    names = ("scaled_axis", "inclination_deg", "stellar_density_g_cm3")
    orbit = {name: estimate(values) for name, values in zip(names, found, strict=True)}
    return {"period_day": period_days, **orbit}


def sampling_answer(posterior: Posterior) -> dict[str, Any]:
    """Return how well a posterior was sampled."""
    return {
        "steps": posterior.n_step,
        "autocorrelation_steps": posterior.autocorrelation_steps,
        "independent_draws": posterior.n_independent,
        "acceptance": posterior.acceptance,
        "converged": posterior.problem is None,
        "problem": posterior.problem,
    }


def write_event(analysis: EventAnalysis, folder: Path) -> list[Path]:
    """Write detrended and binned curves and the draws, as ECSV.

    Returns
    -------
    list of Path
        ``detrended.ecsv``, ``binned.ecsv``, ``posterior.ecsv`` and, for one night,
        ``quartic_detrended.ecsv``, ``quartic_binned.ecsv`` and ``quartic_posterior.ecsv``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ours = analysis.fitted[0]
    fit = ours.fit
    flat, error = ours.flux / fit.trend, ours.error / fit.trend
    curve = {
        "time": ours.time, "folded_time": fit.folded_time, "flux": flat, "error": error,
        "model": fit.flux(fit.folded_time), "is_used": fit.used,
    }  # fmt: skip
    meta = {"reference_time": fit.reference_time, "flux": "relative to the trend out of transit"}
    written = [
        _write(folder / "detrended.ecsv", curve, meta),
        _write(folder / "binned.ecsv", _binned(fit.folded_time, flat, error, fit.used), meta),
        _write(folder / "posterior.ecsv", _draws(fit.posterior), meta),
    ]
    quartic = analysis.quartic
    if quartic is not None:
        magnitude, error = magnitudes(ours.flux, ours.error)
        trend, model = quartic.trend(ours.time), quartic.model(ours.time)
        curve = {
            "time": ours.time, "magnitude": magnitude - trend, "error": error,
            "model": model - trend, "is_used": quartic.used,
        }  # fmt: skip
        meta = {"reference_time": quartic.reference_time, "magnitude": "0 out of transit"}
        since = ours.time - quartic.reference_time
        written += [
            _write(folder / "quartic_detrended.ecsv", curve, meta),
            _write(
                folder / "quartic_binned.ecsv",
                _binned(since, magnitude - trend, error, quartic.used),
                meta,
            ),
            _write(folder / "quartic_posterior.ecsv", _draws(quartic.posterior), meta),
        ]
    return written


def _binned(time: Any, value: Any, error: Any, used: Any) -> dict[str, Any]:
    bins = bin_points(time[used], value[used], error[used], BIN_DAYS)
    return {
        "time_from_reference": bins.time,
        "value": bins.value,
        "error": bins.error,
        "n_point": bins.n_point,
    }


def _draws(posterior: Posterior) -> dict[str, Any]:
    columns = {name: posterior.of(name) for name in posterior.names}
    return {**columns, "log_probability": posterior.log_probability}


def _write(path: Path, columns: dict[str, Any], meta: dict[str, Any]) -> Path:
    from astropy.table import Table  # noqa: PLC0415 - slow to import

    Table(columns, meta=meta).write(path, format="ascii.ecsv", overwrite=True)
    return path
