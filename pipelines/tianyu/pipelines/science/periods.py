"""Periods of many light curves: Lomb-Scargle for smooth variation, BLS for boxes that repeat.

False-alarm levels are stated in two ways. The analytic one of the Lomb-Scargle peak (Baluev)
holds for white noise only, and light curves from the ground have none: it is a lower limit. A
level that holds for correlated noise comes from shuffling whole blocks of a light curve, which
keeps what is correlated within a block (`shuffled_peaks`), or from the field (`likestars`).

References
----------
Baluev, R. V. 2008, MNRAS 385, 1279. VanderPlas, J. T. 2018, ApJS 236, 16.
Kovács, G., Zucker, S. & Mazeh, T. 2002, A&A 391, 369 (BLS).
"""

from dataclasses import dataclass

import numpy as np
from astropy.timeseries import BoxLeastSquares, LombScargle

from tianyu.pipelines.science.arrays import BoolArray, FloatArray

MIN_POINTS = 20
SAMPLES_PER_PEAK = 5
BLS_DURATIONS_DAYS = (0.02, 0.04, 0.08)
BLS_PERIODS_PER_OCTAVE = 60
MAX_FREQUENCIES = 20_000
MAX_BLS_PERIODS = 2_000


@dataclass(frozen=True)
class PeriodGrid:
    """What is searched: frequencies of sinusoids (1/day), periods of boxes (days)."""

    frequency: FloatArray
    box_period: FloatArray
    box_duration: tuple[float, ...]


@dataclass(frozen=True)
class PeriodPeaks:
    """Highest peaks of many light curves; arrays of shape (n_source,), NaN where none."""

    period: FloatArray
    power: FloatArray
    """Lomb-Scargle, standard normalisation: part of the variance that a sinusoid explains."""
    white_false_alarm: FloatArray
    """Baluev's probability of such a peak in white noise: a lower limit."""
    box_period: FloatArray
    box_depth: FloatArray
    box_snr: FloatArray
    """Depth over its error in white noise."""


def period_grid(time: FloatArray) -> PeriodGrid:
    """Choose periods that these times can tell.

    Sinusoids from four cadences to the span; boxes to half the span, so that two are seen.

    Parameters
    ----------
    time : ndarray, shape (n_frame,)
        Days, ascending.
    """
    span, cadence = float(np.ptp(time)), float(np.median(np.diff(time)))
    lowest, highest = 1.0 / span, 0.25 / cadence
    n = int(np.ceil(SAMPLES_PER_PEAK * span * (highest - lowest))) + 1
    durations = tuple(d for d in BLS_DURATIONS_DAYS if d < 0.15 * span)
    shortest = 2.5 * max(durations, default=0.05 * span)
    longest = max(0.5 * span, shortest)
    octaves = np.log2(max(longest / shortest, 1.01))
    # A box of long data needs finer periods, or it drifts out of phase.
    fine = octaves * BLS_PERIODS_PER_OCTAVE * max(1.0, span / 1.0)
    return PeriodGrid(
        frequency=np.linspace(lowest, highest, min(max(n, 10), MAX_FREQUENCIES)),
        box_period=1.0
        / np.linspace(1.0 / longest, 1.0 / shortest, max(int(min(fine, MAX_BLS_PERIODS)), 10)),
        box_duration=durations,
    )


def find_periods(
    time: FloatArray, flux: FloatArray, error: FloatArray, grid: PeriodGrid | None = None
) -> PeriodPeaks:
    """Search many light curves for sinusoids and for boxes that repeat.

    Parameters
    ----------
    time : ndarray, shape (n_frame,)
        Days, ascending.
    flux, error : ndarray, shape (n_source, n_frame)
        NaN is left out; fewer than 20 points are not searched.
    grid : PeriodGrid, optional

    Returns
    -------
    PeriodPeaks
    """
    grid = grid or period_grid(time)
    n = flux.shape[0]
    columns = [np.full(n, np.nan) for _ in range(6)]
    for i in range(n):
        used = np.isfinite(flux[i]) & np.isfinite(error[i]) & (error[i] > 0)
        if used.sum() >= MIN_POINTS and np.ptp(flux[i, used]) > 0:
            found = (*_sinusoid(time, flux[i], error[i], used, grid),
                     *_boxes(time, flux[i], error[i], used, grid))  # fmt: skip
            for column, value in zip(columns, found, strict=True):
                column[i] = value
    return PeriodPeaks(*columns)


def _sinusoid(
    time: FloatArray, flux: FloatArray, error: FloatArray, used: BoolArray, grid: PeriodGrid
) -> tuple[float, float, float]:
    # Squares of Julian dates lose the digits that Baluev's formula needs.
    search = LombScargle(time[used] - time[0], flux[used], error[used])
    power = search.power(grid.frequency, assume_regular_frequency=True)
    best = int(np.argmax(power))
    alarm = search.false_alarm_probability(
        power[best], method="baluev", maximum_frequency=grid.frequency[-1]
    )
    return 1.0 / float(grid.frequency[best]), float(power[best]), float(alarm)


def _boxes(
    time: FloatArray, flux: FloatArray, error: FloatArray, used: BoolArray, grid: PeriodGrid
) -> tuple[float, float, float]:
    if not grid.box_duration:
        return np.nan, np.nan, np.nan
    search = BoxLeastSquares(time[used] - time[0], flux[used], error[used])
    found = search.power(grid.box_period, list(grid.box_duration), objective="snr", oversample=5)
    snr = np.where(np.isfinite(found.depth_snr) & (found.depth > 0), found.depth_snr, -np.inf)
    best = int(np.argmax(snr))
    if not np.isfinite(snr[best]):
        return np.nan, np.nan, np.nan
    return float(found.period[best]), float(found.depth[best]), float(snr[best])


def shuffled_peaks(
    time: FloatArray,
    flux: FloatArray,
    error: FloatArray,
    grid: PeriodGrid,
    *,
    block_days: float,
    n_shuffle: int,
    rng: np.random.Generator,
) -> FloatArray:
    """Highest Lomb-Scargle peaks of a light curve whose blocks are put in another order.

    Parameters
    ----------
    time, flux, error : ndarray, shape (n_frame,)
        NaN is left out.
    grid : PeriodGrid
    block_days : float
        Correlation within a block survives, longer is destroyed: a period much shorter than a
        block survives as well, and its false-alarm rate comes out too high.
    n_shuffle : int
    rng : numpy.random.Generator

    Returns
    -------
    ndarray, shape (n_shuffle,)
    """
    used = np.isfinite(flux) & np.isfinite(error) & (error > 0)
    t, f, e = time[used], flux[used], error[used]
    blocks = np.split(
        np.arange(t.size), np.flatnonzero(np.diff(np.floor((t - t[0]) / block_days)) > 0) + 1
    )
    peaks = np.empty(n_shuffle)
    for i in range(n_shuffle):
        order = np.concatenate([blocks[j] for j in rng.permutation(len(blocks))])
        order = np.roll(order, int(rng.integers(t.size)))
        search = LombScargle(t, f[order], e[order])
        peaks[i] = float(np.max(search.power(grid.frequency, assume_regular_frequency=True)))
    return peaks
