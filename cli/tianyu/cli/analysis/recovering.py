"""Searching reduced frames for the events that were injected, and measuring them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from scipy.optimize import curve_fit
from scipy.spatial import cKDTree

from tianyu.cli.queries.run_curves import RunCurves
from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.arrays import FloatArray
from tianyu.pipelines.science.boxsearch import search_boxes
from tianyu.pipelines.science.completeness import Completeness, measure_completeness
from tianyu.pipelines.science.periods import find_periods
from tianyu.pipelines.science.scatter import mad_sigma
from tianyu.pipelines.science.sinusoid import fit_sinusoid
from tianyu.pipelines.science.transform import AffineTransform
from tianyu.pipelines.science.transitfit import night_numbers
from tianyu.pipelines.science.transitscan import find_dip
from tianyu.pipelines.science.trapezoid import fit_trapezoid, trapezoid_fisher_errors
from tianyu.pipelines.simulation.signals import Eclipse, Pulsation, Signal, Transit

MATCH_PIX = 1.5
CLIP_SIGMA = 5.0
MAGNITUDE_FACTOR = 2.5 / np.log(10.0)


@dataclass(frozen=True)
class InjectedEvent:
    """One injected signal and what became of it; NaN where it was not measured."""

    round: int
    kind: str
    size: float
    """Depth, or half range in magnitudes."""
    length_h: float
    """Duration, or period."""
    mid_time: float
    source_id: int
    """In the reduction that the frames came from."""
    mean_flux: float
    scatter: float
    """Robust, of the same star before the injection."""
    has_curve: bool
    snr: float
    """Of the blind search: box with red noise; for pulsations −log₁₀ of Baluev's probability."""
    is_recovered: bool
    measured_size: float
    size_error: float
    measured_length_h: float
    time_error_days: float
    """Measured minus injected mid-time; of a pulsation NaN."""
    fisher_days: float
    """Smallest error that the mid-time can have, with the scatter before the injection."""


@dataclass(frozen=True)
class RecoveryLimits:
    """What counts as recovered.

    Attributes
    ----------
    snr : float
        Of a box, red noise included, whose middle is within half a duration of the truth.
    false_alarm : float
        Of a period in white noise, that is within its resolution of the truth.
    """

    snr: float = 7.0
    false_alarm: float = 1e-6


def recover_events(
    signals: Sequence[Signal],
    before: RunCurves,
    after: RunCurves,
    maps: tuple[AffineTransform, AffineTransform],
    limits: RecoveryLimits,
    number: int,
) -> list[InjectedEvent]:
    """Search the light curves of a reduction for the signals that went into its frames.

    Parameters
    ----------
    signals : sequence of Signal
        ``star`` counts the rows of ``before``.
    before, after : RunCurves
        Of the untouched frames and of those with signals.
    maps : (AffineTransform, AffineTransform)
        From the reference pixels of both to the pixels of one frame.
    limits : RecoveryLimits
    number : int
        Of the round.
    """
    there = np.stack(maps[1].apply(after.x, after.y), axis=1)
    tree = cKDTree(there)
    events = []
    for signal in signals:
        i = signal.star
        place = maps[0].apply(before.x[i : i + 1], before.y[i : i + 1])
        distance, nearest = tree.query([float(place[0][0]), float(place[1][0])])
        row = int(nearest) if distance <= MATCH_PIX else None
        sigma = float(mad_sigma(before.flux[i] - _trend(before.time, before.flux[i])))
        found = _recover(signal, after, row, limits)
        fisher = float("nan")
        if not isinstance(signal, Pulsation):
            fisher = _fisher(signal, after, row, sigma)
        events.append(
            InjectedEvent(
                round=number,
                kind=signal.kind,
                size=signal.amplitude_mag if isinstance(signal, Pulsation) else signal.depth,
                length_h=24.0
                * (signal.period_d if isinstance(signal, Pulsation) else signal.duration_d),
                mid_time=signal.epoch_bjd_tdb
                if isinstance(signal, Pulsation)
                else signal.mid_bjd_tdb,
                source_id=int(before.source_id[i]),
                mean_flux=float(before.mean_flux[i]),
                scatter=sigma,
                has_curve=row is not None,
                fisher_days=fisher,
                **vars(found),
            )
        )
    return events


@dataclass(frozen=True)
class _Found:
    """What became of one signal."""

    snr: float = np.nan
    is_recovered: bool = False
    measured_size: float = np.nan
    size_error: float = np.nan
    measured_length_h: float = np.nan
    time_error_days: float = np.nan


def _trend(time: FloatArray, flux: FloatArray) -> FloatArray:
    used = np.isfinite(flux)
    if used.sum() < 3:
        return np.full(flux.shape, np.nan)
    t = time - time.mean()
    return np.asarray(np.polyval(np.polyfit(t[used], flux[used], 1), t))


def _recover(signal: Signal, after: RunCurves, row: int | None, limits: RecoveryLimits) -> _Found:
    if row is None or np.isfinite(after.flux[row]).sum() < 20:
        return _Found()
    if isinstance(signal, Pulsation):
        return _recover_pulsation(signal, after, row, limits)
    event = search_boxes(after.time, after.flux[row : row + 1])
    snr = float(event.snr[0])
    near = abs(float(event.mid_time[0]) - signal.mid_bjd_tdb) < 0.5 * signal.duration_d
    found = _Found(snr, bool(near and snr >= limits.snr))
    if not near:
        return found
    try:
        measure = _fit_transit if isinstance(signal, Transit) else _fit_eclipse
        size, size_error, days, mid = measure(after, row)
    except (UnusableDataError, RuntimeError):
        # What cannot be fitted was not recovered; it is counted as such.
        return replace(found, is_recovered=False)
    return replace(
        found,
        measured_size=size,
        size_error=size_error,
        measured_length_h=24.0 * days,
        time_error_days=mid - signal.mid_bjd_tdb,
    )


def _fit_transit(after: RunCurves, row: int) -> tuple[float, float, float, float]:
    """Return depth, its error, duration and mid-time of the best trapezoid."""
    used = np.isfinite(after.flux[row])
    time, flux, error = after.time[used], after.flux[row, used], after.error[row, used]
    start = float(np.floor(time[0]))
    t = time - start
    columns = np.stack([np.ones_like(t), t - t.mean()], axis=1)
    # The search knows nothing of the truth.
    dip = find_dip(t, flux, error, columns, night_numbers(t))
    fit = fit_trapezoid(t, flux, error, start=(dip.mid_time, 0.85 * dip.duration),
                        clip_sigma=CLIP_SIGMA)  # fmt: skip
    return fit.depth, fit.depth_error, fit.duration, start + fit.mid_time


def _fit_eclipse(after: RunCurves, row: int) -> tuple[float, float, float, float]:
    """Fit a cosine bell and a line, from where the best box is."""
    used = np.isfinite(after.flux[row])
    time, flux, error = after.time[used], after.flux[row, used], after.error[row, used]
    start = float(np.floor(time[0]))
    box = search_boxes(time, after.flux[row : row + 1, used])

    def model(
        t: FloatArray, depth: float, mid: float, duration: float, level: float, slope: float
    ) -> FloatArray:
        shape = Eclipse(0, mid, duration, depth).relative_flux(t)
        return np.asarray(shape * (level + slope * (t - t.mean())), dtype=np.float64)

    guess = (
        1.5 * float(box.depth[0]), float(box.mid_time[0]) - start, 1.5 * float(box.duration[0]),
        float(np.median(flux)), 0.0,
    )  # fmt: skip
    best, covariance = curve_fit(model, time - start, flux, guess, error)
    residual = (flux - model(time - start, *best)) / error
    scale = np.sqrt(max(1.0, float(np.sum(residual**2)) / max(1, len(time) - len(best))))
    return (
        float(best[0]), float(scale * np.sqrt(covariance[0, 0])), abs(float(best[2])),
        start + float(best[1]),
    )  # fmt: skip


def _recover_pulsation(
    signal: Pulsation, after: RunCurves, row: int, limits: RecoveryLimits
) -> _Found:
    used = np.isfinite(after.flux[row]) & (after.flux[row] > 0)
    time = after.time[used]
    magnitude = 1.0 - 2.5 * np.log10(after.flux[row, used])
    error = MAGNITUDE_FACTOR * after.error[row, used] / after.flux[row, used]
    peaks = find_periods(time, magnitude[None, :], error[None, :])
    alarm = float(peaks.white_false_alarm[0])
    # A period is known to a frequency of one over the span.
    off = abs(1.0 / float(peaks.period[0]) - 1.0 / signal.period_d) * float(np.ptp(time))
    found = _Found(
        float(-np.log10(max(alarm, 1e-300))), bool(off < 1.0 and alarm <= limits.false_alarm)
    )
    if off >= 1.0:
        return found
    fit = fit_sinusoid(time, magnitude, error)
    return replace(
        found,
        measured_size=abs(fit.amplitude * fit.mean),
        size_error=abs(fit.amplitude_error * fit.mean),
        measured_length_h=24.0 * fit.period,
    )


def _fisher(signal: Transit | Eclipse, after: RunCurves, row: int | None, sigma: float) -> float:
    """Cramér-Rao error of the mid-time, at the points that the star has."""
    if row is None:
        return float("nan")
    time = after.time[np.isfinite(after.flux[row])]
    if isinstance(signal, Transit):
        ingress = signal.ingress_fraction * signal.duration_d
        return trapezoid_fisher_errors(
            time, signal.depth, signal.mid_bjd_tdb, signal.duration_d, ingress, sigma
        )[1]
    step = 1e-5 * signal.duration_d

    def shape(mid: float, duration: float, depth: float) -> FloatArray:
        return Eclipse(0, mid, duration, depth).relative_flux(time)

    mid, duration, depth = signal.mid_bjd_tdb, signal.duration_d, signal.depth
    base = shape(mid, duration, depth)
    columns = np.stack(
        [
            (shape(mid + step, duration, depth) - shape(mid - step, duration, depth)) / (2 * step),
            (shape(mid, duration + step, depth) - base) / step,
            (base - 1.0) / depth,
            base,
            base * (time - time.mean()),
        ],
        axis=1,
    )
    scale = np.linalg.norm(columns, axis=0)
    inverse = np.linalg.pinv((columns / scale).T @ (columns / scale))
    return float(sigma * np.sqrt(inverse[0, 0]) / scale[0])


@dataclass(frozen=True)
class RecoveryBin:
    """Completeness of one kind, size, length and third of brightness."""

    kind: str
    size: float
    """NaN: all sizes together; their completeness says little, their biases and errors much."""
    length_h: float | None
    """None: all lengths together."""
    brightness: str
    result: Completeness


def tabulate_recovery(events: Sequence[InjectedEvent]) -> list[RecoveryBin]:
    """Summarise the events by kind and size, for thirds of brightness and for all together."""
    if not events:
        return []
    columns = {
        f.name: np.array([getattr(e, f.name) for e in events]) for f in fields(InjectedEvent)
    }
    ranks = np.argsort(np.argsort(-columns["mean_flux"], kind="stable"), kind="stable")
    third = np.array(["bright", "middle", "faint"])[ranks * 3 // len(events)]
    bins = []
    for kind in dict.fromkeys(e.kind for e in events):
        for size in sorted({e.size for e in events if e.kind == kind}):
            of_size = (columns["kind"] == kind) & np.isclose(columns["size"], size)
            for name in ("bright", "middle", "faint", "all"):
                here = of_size if name == "all" else of_size & (third == name)
                if here.any():
                    bins.append(RecoveryBin(kind, size, None, name, _summary(columns, here)))
            for length in sorted(set(columns["length_h"][of_size].tolist())):
                here = of_size & np.isclose(columns["length_h"], length)
                bins.append(RecoveryBin(kind, size, length, "all", _summary(columns, here)))
        here = columns["kind"] == kind
        bins.append(RecoveryBin(kind, np.nan, None, "all", _summary(columns, here)))
    return bins


def _summary(columns: dict[str, FloatArray], here: FloatArray) -> Completeness:
    part: Callable[[str], FloatArray] = lambda name: columns[name][here]  # noqa: E731
    return measure_completeness(
        part("is_recovered").astype(bool), part("size"), part("measured_size"),
        part("size_error"), part("time_error_days"), part("fisher_days"),
    )  # fmt: skip
