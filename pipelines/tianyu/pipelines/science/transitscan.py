"""Where a transit stands out most beside the trends: the start of a fit.

Trapezoids of several durations are tried at all times. With the trends projected out of both
trapezoid and flux, the depth is ``s⊥ · y / s⊥²`` and the gain in chi² ``(s⊥ · y)² / s⊥²``.
"""

from dataclasses import dataclass

import numpy as np

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.arrays import BoolArray, FloatArray, IntArray
from tianyu.pipelines.science.trapezoid import trapezoid_shape

INGRESS_RATIO = 0.15
N_DURATION = 10
STEP_FRACTION = 0.1
MIN_POINTS = 5
"""In the dip, before and after it in its night: without one of its edges a dip is a trend."""
MIN_INFORMATION = 0.05
"""Least part of the trapezoid that the trends leave; below, the two are one."""
MIN_CADENCES = 5
LONGEST_FRACTION = 0.7
"""Of a night: a longer event leaves nothing to compare it with."""


@dataclass(frozen=True)
class Dip:
    """A dip: mid-time and duration from first to fourth contact, in the times' unit."""

    mid_time: float
    duration: float
    depth: float = 0.01


def find_dip(
    time: FloatArray,
    flux: FloatArray,
    error: FloatArray,
    trend: FloatArray,
    night: IntArray,
    period: float | None = None,
) -> Dip:
    """Find the dip that improves a fit of trends most.

    Parameters
    ----------
    time : ndarray, shape (n,)
        Ascending.
    flux, error : ndarray, shape (n,)
    trend : ndarray, shape (n, m)
        Columns of the trends.
    night : ndarray of int, shape (n,)
        Number of the night of each point.
    period : float, optional
        Dips repeat after it.

    Returns
    -------
    Dip

    Raises
    ------
    UnusableDataError
        If nothing dips.
    """
    basis = np.linalg.qr(trend / error[:, None])[0]
    y = flux / error
    y = y - basis @ (basis.T @ y)
    level = float(np.median(flux))
    best, found = 0.0, None
    for duration in _durations(time, night):
        mids = _mids(time, night, duration)
        since = time - mids[:, None]
        if period is not None:
            since = since - period * np.round(since / period)
        shape = trapezoid_shape(since.ravel(), 0.0, duration, INGRESS_RATIO * duration)
        s = shape.reshape(since.shape) / error
        left = s - (s @ basis) @ basis.T
        norm = np.einsum("ij,ij->i", left, left)
        seen = norm > MIN_INFORMATION * np.einsum("ij,ij->i", s, s)
        drop = -np.divide(left @ y, norm, out=np.zeros_like(norm), where=seen)
        gain = np.where((drop > 0) & seen & _has_edges(since, duration, night), drop**2 * norm, 0)
        i = int(np.argmax(gain)) if gain.size else -1
        if i >= 0 and gain[i] > best:
            best = float(gain[i])
            found = Dip(float(mids[i]), float(duration), float(drop[i]) / level)
    if found is None:
        raise UnusableDataError(
            f"no dip was found among {time.size} points from {time[0]} to {time[-1]}; give its "
            "mid-time and duration"
        )
    return found


def _durations(time: FloatArray, night: IntArray) -> FloatArray:
    spans = [float(np.ptp(time[night == number])) for number in np.unique(night)]
    cadence = float(np.median(np.diff(time)))
    longest = LONGEST_FRACTION * max(spans)
    return np.geomspace(min(MIN_CADENCES * cadence, longest), longest, N_DURATION)


def _mids(time: FloatArray, night: IntArray, duration: float) -> FloatArray:
    parts = [time[night == number] for number in np.unique(night)]
    step = STEP_FRACTION * duration
    return np.concatenate([np.arange(part[0], part[-1] + step, step) for part in parts])


def _has_edges(since: FloatArray, duration: float, night: IntArray) -> BoolArray:
    """Tell which dips have points inside and on either side within some night, by counts."""
    enough = np.zeros(len(since), dtype=np.bool_)
    for number in np.unique(night):
        here = since[:, night == number]
        inside = (np.abs(here) < 0.5 * duration).sum(axis=1) >= MIN_POINTS
        before = (here <= -0.5 * duration).sum(axis=1) >= MIN_POINTS
        after = (here >= 0.5 * duration).sum(axis=1) >= MIN_POINTS
        enough |= inside & before & after
    return enough
