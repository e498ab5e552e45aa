"""Medians of the rows of a table, selected instead of sorted."""

import math

import numpy as np

from tianyu.pipelines.science.arrays import FloatArray
from tianyu.pipelines.science.kernels.jit import compiled
from tianyu.pipelines.science.scatter import MAD_TO_SIGMA, Medians, RowStatistic

FEW = 24
"""So many values are sorted by insertion."""
SAMPLE = 15
"""Values among which one is chosen that divides the others."""


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
        median[row] = _median(kept, _keep_finite(values[row], 0.0, kept), here, there)
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
    centre = _median(kept, _keep_finite(values, 0.0, kept), here, there)
    n_kept = _keep_finite(values, centre, kept)
    for i in range(n_kept):
        kept[i] = abs(kept[i])
    return _median(kept, n_kept, here, there)


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
    start, stop = 0, n
    while stop - start > FEW:
        pivot = _pivot(source, start, stop, k, sample)
        size = stop - start
        # No branch depends on a value: the processor could only guess which way it goes.
        low, high = 0, size - 1
        for i in range(start, stop):
            value = source[i]
            is_below = value < pivot
            target[low] = value
            target[high] = value
            low += is_below
            high -= not is_below
        if k < low:
            start, stop = 0, low
        elif low > 0:
            start, stop, k = low, size, k - low
        else:
            n_equal, above = 0, 0
            for i in range(start, stop):
                value = source[i]
                target[above] = value
                above += value > pivot
                n_equal += value == pivot
            if k < n_equal:
                return pivot
            start, stop, k = 0, above, k - n_equal
        source, target, spare = target, spare, target
    few = here if source is there else there
    few[: stop - start] = source[start:stop]
    _sort(few, stop - start)
    return few[k]


@compiled
def _pivot(values: FloatArray, start: int, stop: int, k: int, sample: FloatArray) -> float:
    """Return a value that many others lie beyond, seen from the one that is sought."""
    size = stop - start
    for i in range(SAMPLE):
        sample[i] = values[start + (2 * i + 1) * size // (2 * SAMPLE)]
    _sort(sample, SAMPLE)
    place = k * SAMPLE // size
    if 4 * k < size:
        place += 1
    elif 4 * k > 3 * size:
        place -= 1
    return sample[place]


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
