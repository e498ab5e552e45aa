"""A slow trend fitted together with the most significant event of the same light curve."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from tianyu.pipelines.science.arrays import FloatArray
from tianyu.pipelines.science.scatter import mad_sigma, point_to_point_sigma
from tianyu.pipelines.science.transitfit import night_numbers

EVENT_SIGMA = 4.0
"""Among some hundred trials noise alone seldom reaches it."""
CLIP_SIGMA = 4.0
MAX_ROUNDS = 8
INGRESSES = (0.0, 0.15, 0.5)
"""Fractions of the duration: box, trapezoid, triangle."""
FINE_INGRESSES = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)
MIN_CADENCES = 5.0
N_DURATIONS = 10
LONGEST = 0.7
"""Of the longest night: what lasts longer has no outside."""
LEAST_OWN = 0.02
"""Of an event's squares that the trend cannot imitate; below it the two cannot be told apart."""

Trial = tuple[FloatArray, float, float]
"""Middles, a duration and an ingress."""


@dataclass(frozen=True)
class TrendEvent:
    """A dip (positive depth) or brightening; days, relative flux."""

    mid_time: float
    duration: float
    ingress: float
    """Fraction of the duration."""
    depth: float
    snr: float


def fit_with_event(
    time: FloatArray,
    change: FloatArray,
    design: FloatArray,
    prior: FloatArray,
    prior_sigma: FloatArray,
) -> tuple[FloatArray, TrendEvent | None]:
    """Fit the coefficients of a trend, with an event beside it where there is one.

    Points beyond 4σ of trend and event leave, and the fit is repeated.

    Parameters
    ----------
    time : ndarray, shape (n,)
        Days, ascending.
    change : ndarray, shape (n,)
        Relative flux less 1.
    design : ndarray, shape (n, n_column)
        Columns of the trend, centred.
    prior, prior_sigma : ndarray, shape (n_column,)
        Gaussian prior of the coefficients.

    Returns
    -------
    coefficients : ndarray, shape (n_column,)
    event : TrendEvent or None
    """
    used = np.ones(time.shape, dtype=np.bool_)
    sigma = float(point_to_point_sigma(change))
    for _ in range(MAX_ROUNDS):
        event = find_event(time[used], change[used], design[used], sigma)
        shape = _profiles(time, event) if event is not None else np.empty((time.size, 0))
        columns = np.concatenate([np.ones((time.size, 1)), shape, design], axis=1)
        free = columns.shape[1] - design.shape[1]
        fit = _maximum_a_posteriori(
            columns[used], change[used], sigma,
            np.r_[np.zeros(free), prior], np.r_[np.full(free, np.inf), prior_sigma],
        )  # fmt: skip
        rest = change - columns @ fit
        sigma = float(mad_sigma(rest[used]))
        kept = np.abs(rest) <= CLIP_SIGMA * sigma
        if np.array_equal(kept, used) or not sigma > 0:
            break
        used = kept
    return fit[free:], event


def _maximum_a_posteriori(
    columns: FloatArray, change: FloatArray, sigma: float, prior: FloatArray, width: FloatArray
) -> FloatArray:
    # Narrower than any star could tell is as good as exact, and keeps the matrix well-conditioned.
    precision = (sigma / np.maximum(width, 1e-3 * sigma)) ** 2
    matrix = columns.T @ columns + np.diag(precision)
    return np.asarray(np.linalg.lstsq(matrix, columns.T @ change + precision * prior)[0])


def find_event(
    time: FloatArray, change: FloatArray, design: FloatArray, sigma: float
) -> TrendEvent | None:
    """Return the most significant event that the columns of the trend do not explain.

    Parameters
    ----------
    time, change : ndarray, shape (n,)
    design : ndarray, shape (n, n_column)
    sigma : float
        White noise per point.

    Returns
    -------
    TrendEvent or None
        None below 4σ.
    """
    q = np.linalg.qr(np.concatenate([np.ones((time.size, 1)), design], axis=1))[0]
    rest = change - q @ (q.T @ change)
    rough = _best(_trials(time), time, rest, q, sigma)
    if rough is None:
        return None
    return _best(_about(rough), time, rest, q, sigma) or rough


def _best(
    trials: Iterable[Trial], time: FloatArray, rest: FloatArray, q: FloatArray, sigma: float
) -> TrendEvent | None:
    """Most significant of the trials; ``q`` spans the trend, ``rest`` is what it leaves."""
    best: TrendEvent | None = None
    for mid, duration, ingress in trials:
        profile = _trapezoid(time[None, :], mid[:, None], duration, ingress)
        squares = (profile**2).sum(axis=1)
        own = squares - ((profile @ q) ** 2).sum(axis=1)
        apart = own > np.maximum(LEAST_OWN * squares, 1.0)
        across = profile @ rest
        snr = np.where(apart, np.abs(across) / np.sqrt(np.where(apart, own, 1.0)), 0.0) / sigma
        at = int(np.argmax(snr))
        if snr[at] > (EVENT_SIGMA if best is None else best.snr):
            depth = -float(across[at] / own[at])
            best = TrendEvent(float(mid[at]), duration, ingress, depth, float(snr[at]))
    return best


def _about(rough: TrendEvent) -> Iterator[Trial]:
    """Finer trials about a found event: a wrong shape would leave a part of it to the trend."""
    mid = rough.mid_time + rough.duration * np.linspace(-0.1, 0.1, 11)
    for duration in rough.duration * np.linspace(0.8, 1.25, 19):
        for ingress in FINE_INGRESSES:
            yield mid, float(duration), ingress


def _trials(time: FloatArray) -> Iterator[Trial]:
    """Yield all durations, middles a tenth of them apart."""
    night = night_numbers(time)
    nights = [time[night == number] for number in np.unique(night)]
    cadence = float(np.median(np.diff(time)))
    longest = LONGEST * max(float(np.ptp(of)) for of in nights)
    if not longest > MIN_CADENCES * cadence > 0:
        return
    for duration in np.geomspace(MIN_CADENCES * cadence, longest, N_DURATIONS):
        step = max(duration / 10.0, cadence)
        mid = np.concatenate([np.arange(of[0], of[-1], step) for of in nights])
        for ingress in INGRESSES:
            yield mid, float(duration), ingress


def _trapezoid(
    time: FloatArray, mid: FloatArray | float, duration: float, ingress: float
) -> FloatArray:
    """1 in the middle, 0 outside, straight between."""
    inside = 0.5 - np.abs(time - mid) / duration
    return np.asarray(np.clip(inside / max(ingress, 1e-9), 0.0, 1.0))


def _profiles(time: FloatArray, event: TrendEvent) -> FloatArray:
    shape = _trapezoid(time, event.mid_time, event.duration, event.ingress)
    return np.asarray(shape[:, None])
