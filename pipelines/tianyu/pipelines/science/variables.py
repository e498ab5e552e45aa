"""Which stars of a night vary, ranked, and what speaks for each.

Three families of tests, since each alone is fooled by something else: *amplitude* (the scatter
is larger), *coherence* (successive points agree: von Neumann's η, Stetson's J) and *event or
period* (the best box of the night with its red noise, a box that repeats, a sinusoid). Every
value is held against stars of like brightness (`likestars`). The score is the geometric mean of
the largest excesses of the two strongest families, in robust sigmas and each at least 1: a star
must stand out in more than one way. A straight line per night is taken out first: what is
slower than the night cannot be told from errors that follow airmass.

False alarms of boxes are counted in the same curves upside down, which hold the same correlated
noise and no transits: the fraction of like-bright stars whose best *brightening* is as
significant. Flares and pulsations make that rate too high, never too low.
"""

from dataclasses import dataclass

import numpy as np

from tianyu.pipelines.science.arrays import BoolArray, FloatArray, IntArray
from tianyu.pipelines.science.boxsearch import BoxEvents, BoxSearch, search_boxes
from tianyu.pipelines.science.likestars import like_star_level, like_star_sigmas, like_star_tail
from tianyu.pipelines.science.periods import PeriodPeaks, find_periods
from tianyu.pipelines.science.scatter import (
    Scatter,
    mad_sigma,
    measure_scatter,
)
from tianyu.pipelines.science.spikes import without_spikes
from tianyu.pipelines.science.stetson import stetson_indices
from tianyu.pipelines.science.transitfit import night_numbers
from tianyu.pipelines.science.trend import without_linear_trend

MIN_POINTS = 20
MIN_FRACTION = 0.5
"""Of the frames: a star seen for a part of the night shows a part of its trend."""
MAX_SCATTER = 0.3
"""Noisier light curves are those of stars that hardly are there."""
NEAR_SIGMAS = 4.0
"""Excess from which a test is named as a reason."""


@dataclass(frozen=True)
class VariabilityTests:
    """Everything measured of every light curve; arrays of shape (n_source,)."""

    mean_flux: FloatArray
    scatter: Scatter
    like_scatter: FloatArray
    """Median robust scatter of stars of like brightness."""
    stetson_j: FloatArray
    stetson_i: FloatArray
    peaks: PeriodPeaks
    event: BoxEvents
    event_false_alarm: FloatArray
    """Fraction of like-bright stars whose best brightening is as significant as this dip."""
    amplitude_sigmas: FloatArray
    eta_sigmas: FloatArray
    stetson_sigmas: FloatArray
    event_sigmas: FloatArray
    box_sigmas: FloatArray
    sinusoid_sigmas: FloatArray

    @property
    def excess_like(self) -> FloatArray:
        """Robust scatter over that of like-bright stars."""
        return np.asarray(self.scatter.mad / self.like_scatter)

    @property
    def score(self) -> FloatArray:
        """Geometric mean of the two strongest families, each at least 1; NaN: not searched."""
        families = (
            self.amplitude_sigmas,
            np.fmax(self.eta_sigmas, self.stetson_sigmas),
            np.fmax(np.fmax(self.event_sigmas, self.box_sigmas), self.sinusoid_sigmas),
        )
        logs = np.sort([np.log(np.fmax(family, 1.0)) for family in families], axis=0)
        return np.where(np.isfinite(self.scatter.mad), np.exp(logs[-2:].mean(axis=0)), np.nan)


def without_nightly_lines(time: FloatArray, flux: FloatArray) -> FloatArray:
    """Subtract from each light curve a straight line per night, shape (n_source, n_frame)."""
    rest = np.empty(flux.shape)
    night = night_numbers(time)
    for number in np.unique(night):
        here = night == number
        rest[:, here] = without_linear_trend(time[here], flux[:, here])
    return rest


def measure_variability(
    time: FloatArray,
    flux: FloatArray,
    error: FloatArray,
    mean_flux: FloatArray,
    search: BoxSearch | None = None,
) -> VariabilityTests:
    """Test all light curves of a run.

    Parameters
    ----------
    time : ndarray, shape (n_frame,)
        Days, ascending.
    flux, error : ndarray, shape (n_source, n_frame)
        Relative fluxes of good, unflagged points; NaN elsewhere. Fewer than 20 points, or than
        half of the frames, are not searched.
    mean_flux : ndarray, shape (n_source,)
        Brightness.
    search : BoxSearch, optional

    Returns
    -------
    VariabilityTests
    """
    flux = without_spikes(flux)
    flux = 1.0 + without_nightly_lines(time, flux)
    least = max(MIN_POINTS, MIN_FRACTION * time.size)
    searched = (np.isfinite(flux).sum(axis=1) >= least) & (mad_sigma(flux) < MAX_SCATTER)
    flux = np.where(searched[:, None], flux, np.nan)
    scatter = measure_scatter(flux, np.where(np.isfinite(flux), error, np.nan))
    # Errors that are too small for all stars of a brightness would make all of them variable.
    ratio = np.fmax(like_star_level(scatter.ratio, mean_flux)[0], 1.0)
    j, i = stetson_indices(time, flux, error * ratio[:, None])
    peaks = find_periods(time, flux, error)
    event = search_boxes(time, flux, search)
    inverted = search_boxes(time, 2.0 - flux, search)

    def sigmas(values: FloatArray) -> FloatArray:
        return like_star_sigmas(values, mean_flux)

    return VariabilityTests(
        mean_flux=mean_flux,
        scatter=scatter,
        like_scatter=like_star_level(scatter.mad, mean_flux)[0],
        stetson_j=j,
        stetson_i=i,
        peaks=peaks,
        event=event,
        event_false_alarm=like_star_tail(event.snr, inverted.snr, mean_flux),
        amplitude_sigmas=sigmas(np.log(np.where(scatter.mad > 0, scatter.mad, np.nan))),
        eta_sigmas=sigmas(-scatter.eta),
        stetson_sigmas=sigmas(j),
        event_sigmas=sigmas(event.snr),
        box_sigmas=sigmas(peaks.box_snr),
        sinusoid_sigmas=sigmas(peaks.power),
    )


def rank_variables(tests: VariabilityTests) -> IntArray:
    """Order the sources by score, highest first; those not searched are left out."""
    score = np.nan_to_num(tests.score, nan=-np.inf)
    order = np.argsort(-score, kind="stable")
    return np.asarray(order[np.isfinite(score[order])], dtype=np.int64)


def shared_with(
    order: IntArray,
    flux: FloatArray,
    x: FloatArray,
    y: FloatArray,
    reach_pix: float,
    least_correlation: float = 0.6,
) -> dict[int, int]:
    """Find sources whose variation is that of a higher-ranked neighbour.

    The light of a variable star falls into the apertures about it, and makes its neighbours
    vary with it.

    Parameters
    ----------
    order : ndarray of int
        Sources, most variable first.
    flux : ndarray, shape (n_source, n_frame)
    x, y : ndarray, shape (n_source,)
        Pixels.
    reach_pix : float
        How far light reaches.
    least_correlation : float
        Of the two light curves.

    Returns
    -------
    dict of int to int
        From a source to the neighbour that it echoes.
    """
    echoes: dict[int, int] = {}
    for place, i in enumerate(order):
        for j in order[:place]:
            near = np.hypot(x[i] - x[j], y[i] - y[j]) < reach_pix
            if near and int(j) not in echoes:
                both = np.isfinite(flux[i]) & np.isfinite(flux[j])
                if both.sum() >= MIN_POINTS and _correlation(flux, i, j, both) > least_correlation:
                    echoes[int(i)] = int(j)
                    break
    return echoes


def _correlation(flux: FloatArray, i: int, j: int, both: BoolArray) -> float:
    return float(np.corrcoef(flux[i, both], flux[j, both])[0, 1])


def reasons(tests: VariabilityTests, i: int) -> list[str]:
    """Say what speaks for one source, most significant first.

    Parameters
    ----------
    tests : VariabilityTests
    i : int
        Row of the source.
    """
    event, peaks = tests.event, tests.peaks
    dip = (
        f"dip of {100 * event.depth[i]:.2f} % for {24 * event.duration[i]:.1f} h at "
        f"{event.mid_time[i]:.4f}, {event.snr[i]:.1f}σ with red noise, false alarm "
        f"{tests.event_false_alarm[i]:.3f}"
    )
    said = [
        (tests.amplitude_sigmas[i], f"scatter {tests.excess_like[i]:.1f}× that of like stars"),
        (tests.eta_sigmas[i], f"von Neumann η {tests.scatter.eta[i]:.2f}"),
        (tests.stetson_sigmas[i], f"Stetson J {tests.stetson_j[i]:.2f}"),
        (
            tests.event_sigmas[i],
            dip,
        ),
        (
            tests.box_sigmas[i],
            f"box of {100 * peaks.box_depth[i]:.2f} % every {24 * peaks.box_period[i]:.2f} h",
        ),
        (
            tests.sinusoid_sigmas[i],
            f"sinusoid of {24 * peaks.period[i]:.2f} h, {100 * peaks.power[i]:.0f} % of variance",
        ),
    ]
    strong = [(sigmas, words) for sigmas, words in said if sigmas >= NEAR_SIGMAS]
    strong.sort(key=lambda item: -float(item[0]))
    return [f"{words} (+{sigmas:.0f}σ)" for sigmas, words in strong]
