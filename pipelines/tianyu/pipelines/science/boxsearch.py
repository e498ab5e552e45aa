"""Blind search of one night for single events: boxes of all durations at all times.

No period is assumed. Each light curve is fitted with a linear trend and a box; the
signal-to-noise ratio counts correlated ("red") noise, without which every slow wiggle of a
ground-based night passes for a transit.

References
----------
Kovács, G., Zucker, S. & Mazeh, T. 2002, A&A 391, 369 (fitting boxes).
Pont, F., Zucker, S. & Queloz, D. 2006, MNRAS 373, 231 (red noise).
Winn, J. N. et al. 2008, ApJ 683, 1076 (the factor β).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.arrays import BoolArray, FloatArray, IntArray
from tianyu.pipelines.science.rednoise import red_noise_factor
from tianyu.pipelines.science.scatter import mad_sigma
from tianyu.pipelines.science.trend import time_moments, without_linear_trend

SOURCES_PER_BLOCK = 256
"""Light curves searched at once: some 10 MB per array, which stays near the cache."""

MIN_INFORMATION = 0.05
"""Least part of the box's points that the trend leaves; below, box and trend are one."""


@dataclass(frozen=True)
class BoxSearch:
    """Which boxes are tried.

    Raises
    ------
    ValueError
        If the numbers describe no box.
    """

    min_duration_days: float = 0.02
    """Half an hour: shorter dips are flares, clouds or cosmic rays."""
    max_duration_days: float = 0.25
    """Longer events leave no night around them."""
    n_duration: int = 12
    """Geometric steps; 25 % apart, a box loses less than 2 % of the signal."""
    step_fraction: float = 0.1
    """Step of the mid-time in units of the duration."""
    min_points_inside: int = 5
    min_points_each_side: int = 5
    """Before and after the box: an event without one of its edges is a trend."""
    red_noise_scale_days: float = 0.02
    """Width of the bins in which correlated noise is sought: an ingress, half an hour."""

    def __post_init__(self) -> None:
        if not 0.0 < self.min_duration_days <= self.max_duration_days:
            raise ValueError(
                f"durations from {self.min_duration_days} to {self.max_duration_days} days; "
                "they must be positive and in order"
            )
        counts = (self.n_duration, self.min_points_inside, self.min_points_each_side)
        if min(counts) < 1 or self.step_fraction <= 0 or self.red_noise_scale_days <= 0:
            raise ValueError(f"{self}: counts must be at least 1, step and scale positive")


@dataclass(frozen=True)
class BoxEvents:
    """Best dip of every light curve; all arrays have shape (n_source,), NaN if none was found."""

    depth: FloatArray
    """Relative to the flux outside."""
    depth_error: FloatArray
    """One standard deviation, red noise included."""
    mid_time: FloatArray
    duration: FloatArray
    red_noise_factor: FloatArray
    """β ≥ 1: binned residuals over what white noise would leave."""
    n_inside: IntArray
    """Points in the box."""

    @property
    def snr(self) -> FloatArray:
        """Depth over its error."""
        return self.depth / self.depth_error

    def ranking(self) -> IntArray:
        """Order the sources with an event, most significant first (ties: lower index first)."""
        order = np.argsort(-np.nan_to_num(self.snr, nan=-np.inf), kind="stable")
        return np.asarray(order[np.isfinite(self.snr[order])])


@dataclass(frozen=True)
class RankedEvent:
    """One event of a night."""

    source: int
    """Row of the cube."""
    snr: float
    depth: float
    depth_error: float
    mid_time: float
    duration: float
    red_noise_factor: float


@dataclass(frozen=True)
class _Windows:
    """Boxes as ranges of points, ``first ≤ i < last``; arrays of shape (n_box,)."""

    first: IntArray
    last: IntArray
    mid_time: FloatArray
    duration: FloatArray


def rank_events(
    time: FloatArray,
    relative_flux: FloatArray,
    good: BoolArray,
    *,
    usable: BoolArray | None = None,
    search: BoxSearch | None = None,
    n_event: int | None = None,
) -> tuple[RankedEvent, ...]:
    """Rank all light curves of a night by the significance of their best dip.

    Parameters
    ----------
    time : ndarray, shape (n_frame,)
        Days, ascending.
    relative_flux : ndarray, shape (n_source, n_frame)
        NaN is left out.
    good : ndarray of bool, shape (n_frame,)
        Frames to be searched.
    usable : ndarray of bool, shape (n_source, n_frame), optional
        Points to be searched, e.g. the unflagged ones.
    search : BoxSearch, optional
    n_event : int, optional
        How many to return; all by default.

    Returns
    -------
    tuple of RankedEvent
        The most significant first.
    """
    flux = relative_flux if usable is None else np.where(usable, relative_flux, np.nan)
    events = search_boxes(time[good], flux[:, good], search)
    snr = events.snr
    return tuple(
        RankedEvent(
            source=int(i),
            snr=float(snr[i]),
            depth=float(events.depth[i]),
            depth_error=float(events.depth_error[i]),
            mid_time=float(events.mid_time[i]),
            duration=float(events.duration[i]),
            red_noise_factor=float(events.red_noise_factor[i]),
        )
        for i in events.ranking()[:n_event]
    )


def search_boxes(time: FloatArray, flux: FloatArray, search: BoxSearch | None = None) -> BoxEvents:
    """Find the best dip of each light curve beside a linear trend.

    With the trend projected out of both box and flux, the depth of a box is
    ``−Σ b r / Σ b⊥²`` and the gain in chi² ``(Σ b r)² / Σ b⊥² / σ²``; cumulative sums give
    every box of every light curve without a loop over its points.

    Parameters
    ----------
    time : ndarray, shape (n_frame,)
        Days, ascending.
    flux : ndarray, shape (n_source, n_frame)
        About 1 outside the event; NaN is left out.
    search : BoxSearch, optional

    Returns
    -------
    BoxEvents

    Raises
    ------
    UnusableDataError
        If times do not ascend.
    """
    search = search or BoxSearch()
    if np.any(np.diff(time) < 0) or not np.isfinite(time).all():
        raise UnusableDataError("the times of a box search must be finite and ascend; sort them")
    windows = _windows(time, search)
    blocks = [
        _search_block(time, flux[i : i + SOURCES_PER_BLOCK], windows, search)
        for i in range(0, flux.shape[0], SOURCES_PER_BLOCK)
    ]
    names = ("depth", "depth_error", "mid_time", "duration", "red_noise_factor")
    columns = {n: np.concatenate([[], *(getattr(b, n) for b in blocks)]) for n in names}
    inside = np.concatenate([np.zeros(0, np.int64), *(b.n_inside for b in blocks)])
    return BoxEvents(**columns, n_inside=inside)


def _windows(time: FloatArray, search: BoxSearch) -> _Windows:
    """Every distinct range of points that some box of the search covers."""
    boxes = np.array(list(_boxes(time, search))).reshape(-1, 2)
    mid, duration = boxes[:, 0], boxes[:, 1]
    first = np.searchsorted(time, mid - 0.5 * duration, side="left")
    last = np.searchsorted(time, mid + 0.5 * duration, side="right")
    allowed = np.flatnonzero(
        (last - first >= search.min_points_inside)
        & (first >= search.min_points_each_side)
        & (time.size - last >= search.min_points_each_side)
    )
    key = first[allowed] * (time.size + 1) + last[allowed]
    chosen = allowed[np.unique(key, return_index=True)[1]]
    return _Windows(first[chosen], last[chosen], mid[chosen], duration[chosen])


def _boxes(time: FloatArray, search: BoxSearch) -> Iterator[tuple[float, float]]:
    if time.size == 0:
        return
    for duration in np.geomspace(
        search.min_duration_days, search.max_duration_days, search.n_duration
    ):
        for mid in np.arange(time[0], time[-1], search.step_fraction * duration):
            yield float(mid), float(duration)


def _search_block(
    time: FloatArray, flux: FloatArray, windows: _Windows, search: BoxSearch
) -> BoxEvents:
    rows = np.arange(flux.shape[0])
    valid = np.isfinite(flux)
    if windows.first.size == 0:
        nothing = np.full(rows.size, np.nan)
        return BoxEvents(*(nothing,) * 5, n_inside=np.zeros(rows.size, dtype=np.int64))
    norm = np.broadcast_to(
        _box_norms(time, valid, windows, search), (rows.size, windows.first.size)
    )
    signal = -_window_sums(np.nan_to_num(without_linear_trend(time, flux)), windows)
    # −1 for boxes that are not allowed (norm 0) and for brightenings.
    gain = np.where((norm > 0) & (signal > 0), signal**2 / np.where(norm > 0, norm, 1.0), -1.0)
    best = gain.argmax(axis=1)
    found = gain[rows, best] > 0
    best_norm = np.where(found, norm[rows, best], np.nan)
    depth = signal[rows, best] / best_norm
    point = np.arange(time.size)
    box = (point >= windows.first[best][:, None]) & (point < windows.last[best][:, None])
    rest = without_linear_trend(time, flux + np.nan_to_num(depth)[:, None] * box)
    sigma = mad_sigma(rest)
    beta = red_noise_factor(time, rest, sigma, search.red_noise_scale_days)
    return BoxEvents(
        depth=depth,
        depth_error=beta * sigma / np.sqrt(best_norm),
        mid_time=np.where(found, windows.mid_time[best], np.nan),
        duration=np.where(found, windows.duration[best], np.nan),
        red_noise_factor=np.where(found, beta, np.nan),
        n_inside=np.where(found, (box & valid).sum(axis=1), 0),
    )


def _box_norms(
    time: FloatArray, valid: BoolArray, windows: _Windows, search: BoxSearch
) -> FloatArray:
    """``Σ b⊥²`` of each box beside the trend; 0 where the box has too few points or sides."""
    valid = valid[:1] if valid.all() else valid  # without gaps all light curves share one row
    n, mean_time, spread = time_moments(time, valid)
    inside = _window_sums(valid.astype(np.float64), windows)
    lever = _window_sums(np.where(valid, time - mean_time, 0.0), windows)
    norm = inside - inside**2 / n - lever**2 / spread
    before = np.cumsum(valid, axis=1)[:, windows.first - 1]
    after = n - before - inside
    allowed = (inside >= search.min_points_inside) & (norm > MIN_INFORMATION * inside)
    allowed &= (before >= search.min_points_each_side) & (after >= search.min_points_each_side)
    return np.where(allowed, norm, 0.0)


def _window_sums(values: FloatArray, windows: _Windows) -> FloatArray:
    """Sum of each row over each box, shape (n_source, n_box), by differences of a running sum."""
    running = np.zeros((values.shape[0], values.shape[1] + 1))
    np.cumsum(values, axis=1, out=running[:, 1:])
    return np.asarray(running[:, windows.last] - running[:, windows.first])
