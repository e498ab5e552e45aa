"""Binned light curves: what a plot shows beside the single points."""

from dataclasses import dataclass

import numpy as np

from tianyu.pipelines.science.arrays import FloatArray, IntArray

NIGHT_GAP_DAY = 0.25
"""Points farther apart than six hours belong to different nights."""
MIN_PER_BIN = 3
"""Fewer points than this are as well seen one by one."""


@dataclass(frozen=True, eq=False)
class Bins:
    """Weighted means; arrays of shape (n_bin,)."""

    time: FloatArray
    value: FloatArray
    error: FloatArray
    n_point: IntArray


def bin_points(time: FloatArray, value: FloatArray, error: FloatArray, width_day: float) -> Bins:
    """Average points in intervals of time, with weights 1/error².

    Parameters
    ----------
    time : ndarray, shape (n,)
        Days.
    value, error : ndarray, shape (n,)
        Only finite ones with a positive error count.
    width_day : float
        Width of the intervals, which begin at the first point.

    Returns
    -------
    Bins
        Intervals with at least :data:`MIN_PER_BIN` points. The error is that of the weighted
        mean by the errors of the points, ``1/sqrt(Σ 1/error²)``, or by their scatter about it,
        whichever is larger.

    Raises
    ------
    ValueError
        If the width is not positive.

    Examples
    --------
    >>> ones = np.ones(4)
    >>> bins = bin_points(np.array([0.0, 0.1, 0.2, 0.3]), ones, ones, width_day=1.0)
    >>> bins.value.tolist(), bins.error.tolist(), bins.n_point.tolist()
    ([1.0], [0.5], [4])
    """
    if not width_day > 0:
        raise ValueError(f"bins of {width_day} d are impossible; give a positive width")
    usable = np.isfinite(time) & np.isfinite(value) & np.isfinite(error) & (error > 0)
    if not usable.any():
        nothing = np.empty(0)
        return Bins(nothing, nothing, nothing, np.empty(0, np.int64))
    time, value, error = time[usable], value[usable], error[usable]
    index = np.floor((time - time.min()) / width_day).astype(np.int64)
    weight = 1.0 / error**2
    total = np.bincount(index, weight)
    n_point = np.bincount(index).astype(np.int64)
    full = n_point >= MIN_PER_BIN
    start = time.min()
    mean = np.bincount(index, weight * value) / np.where(total > 0, total, 1.0)
    chi_square = np.bincount(index, weight * (value - mean[index]) ** 2)
    # As the reduced chi square, but errors that are too large are not believed to be smaller.
    inflation = np.sqrt(np.maximum(chi_square[full] / (n_point[full] - 1), 1.0))
    return Bins(
        # About the start: a Julian date times a weight loses digits that a plot would show.
        time=start + np.bincount(index, weight * (time - start))[full] / total[full],
        value=mean[full],
        error=inflation / np.sqrt(total[full]),
        n_point=n_point[full],
    )


def nights(time: FloatArray) -> list[tuple[float, float]]:
    """Return first and last time of every night, in order; times that are not finite are left out.

    Examples
    --------
    >>> nights(np.array([1.1, 1.0, 2.0, 2.05]))
    [(1.0, 1.1), (2.0, 2.05)]
    """
    ordered = np.sort(time[np.isfinite(time)])
    if ordered.size == 0:
        return []
    cuts = np.flatnonzero(np.diff(ordered) > NIGHT_GAP_DAY) + 1
    return [(float(part[0]), float(part[-1])) for part in np.split(ordered, cuts)]
