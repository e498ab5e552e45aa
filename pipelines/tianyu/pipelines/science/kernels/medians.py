"""Medians of the rows of a table, selected instead of sorted."""

import math

import numpy as np

from tianyu.pipelines.science.arrays import FloatArray
from tianyu.pipelines.science.kernels.jit import compiled
from tianyu.pipelines.science.scatter import MAD_TO_SIGMA, Medians, RowStatistic

FEW = 24
"""So many values are sorted by insertion."""
SAMPLE = 15
"""Values among which two are chosen that enclose the one that is sought."""
MARGIN = 3
"""How far they are from its place in the sample: it seldom lies beyond."""


@compiled
def finite_medians(values: FloatArray) -> FloatArray:
    """Return the median of the finite values of each row.

    The reference is :func:`~tianyu.pipelines.science.scatter.finite_median`.

    Parameters
    ----------
    values : ndarray, shape (n_row, n)

    Returns
    -------
    ndarray, shape (n_row,)
        NaN where a row holds no finite value.
    """
    n_row, n = values.shape
    median = np.empty(n_row)
    kept, here, there = np.empty(n), np.empty(n), np.empty(n)
    for row in range(n_row):
        median[row] = _finite_median(values[row], kept, here, there)
    return median


@compiled
def median_deviations(values: FloatArray) -> FloatArray:
    """Return the median absolute deviation from the median of each row.

    The reference is :func:`~tianyu.pipelines.science.scatter.mad_sigma`.

    Parameters
    ----------
    values : ndarray, shape (n_row, n)
        What is not finite is left out.

    Returns
    -------
    ndarray, shape (n_row,)
        NaN where a row holds no finite value.
    """
    n_row, n = values.shape
    deviation = np.empty(n_row)
    kept, here, there = np.empty(n), np.empty(n), np.empty(n)
    for row in range(n_row):
        deviation[row] = median_deviation(values[row], kept, here, there)
    return deviation


@compiled
def median_deviation(
    values: FloatArray, kept: FloatArray, here: FloatArray, there: FloatArray
) -> float:
    """Return the median absolute deviation of one row; the other arrays are memory as long."""
    centre = _finite_median(values, kept, here, there)
    # Differences of what is finite may be too large for a number; then they are left out.
    n = 0
    for i in range(values.size):
        difference = abs(values[i] - centre)
        kept[i] = difference
        n += difference < np.inf
    if n < values.size:
        n = _keep_finite(values, centre, kept)
        for i in range(n):
            kept[i] = abs(kept[i])
    return _median(kept, n, here, there)


@compiled
def _finite_median(
    values: FloatArray, kept: FloatArray, here: FloatArray, there: FloatArray
) -> float:
    """Return the median of the finite values of one row, which mostly are all."""
    n = 0
    for i in range(values.size):
        n += np.isfinite(values[i])
    if n == values.size:
        return _median(values, n, here, there)
    return _median(kept, _keep_finite(values, 0.0, kept), here, there)


@compiled
def _keep_finite(values: FloatArray, centre: float, kept: FloatArray) -> int:
    """Copy what is finite less a centre, and return how many values that are."""
    n = 0
    for i in range(values.size):
        difference = values[i] - centre
        kept[n] = difference
        n += np.isfinite(difference)
    return n


@compiled
def _median(values: FloatArray, n: int, here: FloatArray, there: FloatArray) -> float:
    """Return the median of the first values; the two other arrays are memory."""
    if n == 0:
        return np.nan
    low = _select(values, n, (n - 1) // 2, here, there)
    if n % 2 == 1:
        return low
    # The next one up is as large where there are enough as small as the one below.
    not_above, high = 0, np.inf
    for i in range(n):
        is_above = values[i] > low
        not_above += not is_above
        high = min(high, values[i] if is_above else np.inf)
    return 0.5 * (low + (low if not_above > n // 2 else high))


@compiled
def _select(values: FloatArray, n: int, k: int, here: FloatArray, there: FloatArray) -> float:
    """Return the value before which ``k`` of the first ``n`` values come in order."""
    source, target, spare = values, here, there
    sample = np.empty(SAMPLE)
    size, margin = n, MARGIN
    while size > FEW:
        for i in range(SAMPLE):
            sample[i] = source[(2 * i + 1) * size // (2 * SAMPLE)]
        _sort(sample, SAMPLE)
        place = k * SAMPLE // size
        low = sample[place - margin] if place >= margin else -np.inf
        high = sample[place + margin] if place + margin < SAMPLE else np.inf
        below = 0
        for i in range(size):
            below += source[i] < low
        within = _keep_between(source, size, low, high, target)
        if k < below:
            size = _keep_between(source, size, -np.inf, np.nextafter(low, -np.inf), target)
        elif k >= below + within:
            size = _keep_between(source, size, np.nextafter(high, np.inf), np.inf, target)
            k -= below + within
        elif low == high:
            return low
        elif within == size:
            # Many are equal: in the end both are the value itself.
            margin -= 1
            continue
        else:
            size, k = within, k - below
        source, target, spare = target, spare, target
    few = here if source is there else there
    few[:size] = source[:size]
    _sort(few, size)
    return few[k]


@compiled
def _keep_between(values: FloatArray, n: int, low: float, high: float, kept: FloatArray) -> int:
    """Copy those of the first values that lie between two, and return how many they are."""
    # No branch depends on a value: the processor could only guess which way it goes.
    n_kept = 0
    for i in range(n):
        value = values[i]
        kept[n_kept] = value
        n_kept += (value >= low) & (value <= high)
    return n_kept


@compiled
def _sort(values: FloatArray, n: int) -> None:
    """Sort the first values by insertion."""
    for i in range(1, n):
        value, j = values[i], i
        while j > 0 and values[j - 1] > value:
            values[j] = values[j - 1]
            j -= 1
        values[j] = value


def _along_last_axis(of_rows: RowStatistic) -> RowStatistic:
    """Return a function of arrays of any shape and order, as the plain ones are."""

    def statistic(values: FloatArray) -> FloatArray:
        shape = math.prod(values.shape[:-1]), values.shape[-1]
        rows = np.ascontiguousarray(values, np.float64).reshape(shape)
        return of_rows(rows).reshape(values.shape[:-1])

    return statistic


COMPILED = Medians(
    median=_along_last_axis(finite_medians),
    mad=_along_last_axis(lambda values: MAD_TO_SIGMA * median_deviations(values)),
)
