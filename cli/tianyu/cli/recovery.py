"""Injected against recovered: what a reduction made of the signals of a simulated night."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import curve_fit
from sqlalchemy import text

from tianyu.pipelines.science.arrays import FloatArray
from tianyu.pipelines.science.sinusoid import fit_sinusoid
from tianyu.pipelines.science.trapezoid import fit_trapezoid
from tianyu.pipelines.simulation import Eclipse, NightTruth, Pulsation, Transit
from tianyu.schema.database import Database
from tianyu.schema.errors import NotFoundError

MATCH_ARCSEC = 1.5
CLIP_SIGMA = 5.0
MAGNITUDE_FACTOR = 2.5 / np.log(10.0)
"""Relative error of a flux to error in magnitudes."""


@dataclass(frozen=True)
class Recovered:
    """One injected quantity and what was measured of it."""

    star: str
    quantity: str
    unit: str
    injected: float
    measured: float
    error: float

    @property
    def sigmas(self) -> float:
        """Difference in units of the stated error."""
        return (self.measured - self.injected) / self.error


@dataclass(frozen=True)
class StarCurve:
    """Default light curve of one star over the good frames."""

    name: str
    source_id: int
    time: FloatArray
    flux: FloatArray
    error: FloatArray
    is_good: FloatArray
    model_time: FloatArray
    model_flux: FloatArray


def recover(database: Database, truth: NightTruth) -> tuple[list[Recovered], list[StarCurve]]:
    """Measure every injected signal in the light curves of a database.

    Returns
    -------
    (list of Recovered, list of StarCurve)
        The comparison, and the curves with the injected model for plotting.
    """
    rows: list[Recovered] = []
    curves: list[StarCurve] = []
    fits = {Transit: _fit_transit, Pulsation: _fit_pulsation, Eclipse: _fit_eclipse}
    for signal in truth.signals:
        star = signal.star
        name = f"{signal.kind} (star {star})"
        curve = _curve(database, name, truth.stars.ra_deg[star], truth.stars.dec_deg[star], signal)
        good = curve.is_good.astype(bool)
        fit = fits[type(signal)]
        rows += fit(name, signal, curve.time[good], curve.flux[good], curve.error[good])  # type: ignore[operator]  # by kind
        curves.append(curve)
    return rows, curves


def _curve(
    database: Database,
    name: str,
    ra_deg: float,
    dec_deg: float,
    signal: Transit | Pulsation | Eclipse,
) -> StarCurve:
    """Read the light curve at a position of the sky."""
    reach = MATCH_ARCSEC / 3600.0
    values = {
        "ra_low": ra_deg - reach / np.cos(np.radians(dec_deg)),
        "ra_high": ra_deg + reach / np.cos(np.radians(dec_deg)),
        "dec_low": dec_deg - reach,
        "dec_high": dec_deg + reach,
    }
    query = text(
        "SELECT source_id, bjd_tdb_mid, relative_flux, relative_flux_error, frame_is_good "
        "FROM light_curve WHERE is_default_radius = 1 AND relative_flux IS NOT NULL "
        "AND ra BETWEEN :ra_low AND :ra_high AND `dec` BETWEEN :dec_low AND :dec_high "
        "ORDER BY bjd_tdb_mid"
    )
    with database.read() as connection:
        rows = connection.execute(query, {k: float(v) for k, v in values.items()}).all()
    if not rows:
        raise NotFoundError(
            f"the {name} injected at RA {ra_deg:.5f}, Dec {dec_deg:.5f} has no light curve"
        )
    table = np.array([tuple(row) for row in rows], dtype=float)
    grid = np.linspace(table[0, 1], table[-1, 1], 500)
    return StarCurve(
        name=name,
        source_id=int(table[0, 0]),
        time=table[:, 1],
        flux=table[:, 2],
        error=table[:, 3],
        is_good=table[:, 4],
        model_time=grid,
        model_flux=signal.relative_flux(grid),
    )


def _fit_transit(
    name: str, signal: Transit, time: FloatArray, flux: FloatArray, error: FloatArray
) -> list[Recovered]:
    start = float(np.floor(time[0]))
    fit = fit_trapezoid(time - start, flux, error, clip_sigma=CLIP_SIGMA)
    return [
        Recovered(name, "depth", "%", 100 * signal.depth, 100 * fit.depth, 100 * fit.depth_error),
        Recovered(
            name, "mid-time", "BJD_TDB", signal.mid_bjd_tdb, start + fit.mid_time,
            fit.mid_time_error,
        ),
        Recovered(
            name, "duration", "h", 24 * signal.duration_d, 24 * fit.duration,
            24 * fit.duration_error,
        ),
    ]  # fmt: skip


def _fit_pulsation(
    name: str, signal: Pulsation, time: FloatArray, flux: FloatArray, error: FloatArray
) -> list[Recovered]:
    # The fit gives the amplitude in units of the mean, so the mean must not be near zero.
    magnitude = 1.0 - 2.5 * np.log10(flux)
    fit = fit_sinusoid(time, magnitude, MAGNITUDE_FACTOR * error / flux)
    amplitude_mag, error_mag = fit.amplitude * fit.mean, fit.amplitude_error * fit.mean
    return [
        Recovered(
            name, "period", "h", 24 * signal.period_d, 24 * fit.period, 24 * fit.period_error
        ),
        Recovered(name, "amplitude", "mag", signal.amplitude_mag, amplitude_mag, error_mag),
    ]


def _fit_eclipse(
    name: str, signal: Eclipse, time: FloatArray, flux: FloatArray, error: FloatArray
) -> list[Recovered]:
    """Fit the shape of the injected eclipse with a free linear trend."""
    start = float(np.floor(time[0]))

    def model(
        t: FloatArray, depth: float, mid: float, duration: float, level: float, slope: float
    ) -> FloatArray:
        shape = Eclipse(signal.star, mid, duration, depth).relative_flux(t)
        return np.asarray(shape * (level + slope * (t - t.mean())), dtype=np.float64)

    deepest = float(time[np.argmin(flux)] - start)
    guess = (1.0 - float(flux.min()), deepest, 0.05, 1.0, 0.0)
    best, covariance = curve_fit(model, time - start, flux, guess, error)
    residual = (flux - model(time - start, *best)) / error
    scale = np.sqrt(max(1.0, float(np.sum(residual**2)) / max(1, len(time) - len(best))))
    errors = scale * np.sqrt(np.diag(covariance))
    return [
        Recovered(name, "depth", "%", 100 * signal.depth, 100 * best[0], 100 * errors[0]),
        Recovered(name, "mid-time", "BJD_TDB", signal.mid_bjd_tdb, start + best[1], errors[1]),
        Recovered(name, "duration", "h", 24 * signal.duration_d, 24 * best[2], 24 * errors[2]),
    ]
