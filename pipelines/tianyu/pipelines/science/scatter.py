"""How noisy a light curve is, whatever few outliers and events it holds.

Two robust measures tell different stories. The median absolute deviation (MAD) counts slow
wandering as noise; the point-to-point scatter sees only what changes from one epoch to the
next. Both equal the standard deviation for white Gaussian noise.
"""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.arrays import FloatArray, IntArray

MAD_TO_SIGMA = 1.0 / NormalDist().inv_cdf(0.75)
"""Standard deviation of a Gaussian over its median absolute deviation, 1.4826."""

N_BRIGHTNESS_CLASSES = 3
"""The table gives bright, middle and faint sources: thirds, so that each has enough stars."""


def finite_median(values: FloatArray) -> FloatArray:
    """Median along the last axis over the finite values.

    Like :func:`numpy.nanmedian`, but silent on rows without a finite value and an order of
    magnitude faster on many short rows.

    Parameters
    ----------
    values : ndarray, shape (..., n)

    Returns
    -------
    ndarray, shape (...)
        NaN where a row holds no finite value.

    Examples
    --------
    >>> finite_median(np.array([[3.0, np.nan, 1.0], [np.nan, np.nan, np.nan]]))
    array([ 2., nan])
    """
    if values.shape[-1] == 0:
        return np.full(values.shape[:-1], np.nan)
    finite = np.isfinite(values)
    if finite.all():
        return np.asarray(np.median(values, axis=-1))
    # NaN sorts to the end, so the n finite values lead their row.
    ordered = np.sort(np.where(finite, values, np.nan), axis=-1)
    n = finite.sum(axis=-1)[..., None]
    low = np.take_along_axis(ordered, np.maximum(n - 1, 0) // 2, axis=-1)
    high = np.take_along_axis(ordered, np.minimum(n // 2, values.shape[-1] - 1), axis=-1)
    median: FloatArray = np.where(n > 0, 0.5 * (low + high), np.nan)[..., 0]
    return median


def mad_sigma(values: FloatArray) -> FloatArray:
    """Estimate the standard deviation from the median absolute deviation, along the last axis.

    Parameters
    ----------
    values : ndarray, shape (..., n)
        NaN is left out.

    Returns
    -------
    ndarray, shape (...)
        ``1.4826 × median(|v − median(v)|)``, in the unit of ``values``.

    Examples
    --------
    One outlier does not move it:

    >>> bool(mad_sigma(np.array([-1.0, 0.0, 1.0, 1000.0, np.nan])) < 1.5)
    True
    """
    centre = finite_median(values)[..., None]
    return np.asarray(MAD_TO_SIGMA * finite_median(np.abs(values - centre)))


RowStatistic = Callable[[FloatArray], FloatArray]


@dataclass(frozen=True)
class Medians:
    """How medians along the last axis are found: by default plainly.

    Most of the arithmetic of relative photometry is this; compiled functions give the same
    numbers, to the last bit, in less time.
    """

    median: RowStatistic = finite_median
    mad: RowStatistic = mad_sigma


PLAIN = Medians()


def point_to_point_sigma(values: FloatArray, medians: Medians = PLAIN) -> FloatArray:
    """White noise per point from the differences of successive points, along the last axis.

    Parameters
    ----------
    values : ndarray, shape (..., n)
        In order of time. A difference with a NaN is left out.
    medians : Medians, optional

    Returns
    -------
    ndarray, shape (...)
        ``mad_sigma(v[i+1] − v[i]) / sqrt(2)``: blind to any variation slower than the
        sampling.
    """
    return np.asarray(medians.mad(np.diff(values, axis=-1)) / np.sqrt(2.0))


def expected_sigma(errors: FloatArray) -> FloatArray:
    """Scatter that the errors predict: their quadratic mean along the last axis, NaN left out."""
    finite = np.isfinite(errors)
    n = finite.sum(axis=-1)
    total = np.where(finite, errors, 0.0) ** 2
    mean = total.sum(axis=-1) / np.maximum(n, 1)
    return np.where(n > 0, np.sqrt(mean), np.nan)


def von_neumann_eta(values: FloatArray) -> FloatArray:
    """Mean square successive difference over the variance, along the last axis.

    Parameters
    ----------
    values : ndarray, shape (..., n)
        In order of time. NaN is left out; a difference spans only neighbouring points.

    Returns
    -------
    ndarray, shape (...)
        About 2 for white noise, near 0 for smooth variation, NaN with fewer than two
        points or none that differ.

    References
    ----------
    von Neumann, J. 1941, Annals of Mathematical Statistics 12, 367.

    Examples
    --------
    >>> ramp, zigzag = np.arange(6.0), np.array([1.0, -1.0, 1.0, -1.0, 1.0, -1.0])
    >>> [round(float(von_neumann_eta(v)), 2) for v in (ramp, zigzag)]
    [0.29, 3.33]
    """
    steps = _mean_and_count(np.diff(values, axis=-1) ** 2)
    mean, n = _mean_and_count(values)
    spread = _mean_and_count((values - mean[..., None]) ** 2)[0] * n / np.maximum(n - 1, 1)
    defined = (n > 1) & (steps[1] > 0) & (spread > 0)
    eta: FloatArray = np.where(defined, steps[0] / np.where(spread > 0, spread, 1.0), np.nan)
    return eta


def _mean_and_count(values: FloatArray) -> tuple[FloatArray, IntArray]:
    finite = np.isfinite(values)
    n = finite.sum(axis=-1)
    mean = np.where(finite, values, 0.0).sum(axis=-1) / np.maximum(n, 1)
    return np.where(n > 0, mean, np.nan), n


@dataclass(frozen=True)
class Scatter:
    """Noise of many light curves; every array has shape ``(n_source,)``, fluxes are relative."""

    n_point: IntArray
    mad: FloatArray
    point_to_point: FloatArray
    expected: FloatArray
    eta: FloatArray

    @property
    def ratio(self) -> FloatArray:
        """Robust scatter over the expected one: 1 at the theoretical limit."""
        positive = self.expected > 0
        return np.where(positive, self.mad / np.where(positive, self.expected, 1.0), np.nan)


def measure_scatter(
    relative_flux: FloatArray, relative_flux_error: FloatArray, medians: Medians = PLAIN
) -> Scatter:
    """Measure the noise of every light curve.

    Parameters
    ----------
    relative_flux, relative_flux_error : ndarray, shape (n_source, n_frame)
        Good frames only, in order of time; NaN where not measured.
    medians : Medians, optional

    Returns
    -------
    Scatter
    """
    return Scatter(
        n_point=np.isfinite(relative_flux).sum(axis=-1),
        mad=medians.mad(relative_flux),
        point_to_point=point_to_point_sigma(relative_flux, medians),
        expected=expected_sigma(relative_flux_error),
        eta=von_neumann_eta(relative_flux),
    )


@dataclass(frozen=True)
class BrightnessClass:
    """Typical noise of the sources in one range of brightness (medians over sources)."""

    n_source: int
    brightest: float
    faintest: float
    mad: float
    point_to_point: float
    expected: float
    ratio: float
    eta: float


def tabulate_scatter(
    scatter: Scatter, mean_flux: FloatArray, n_class: int = N_BRIGHTNESS_CLASSES
) -> tuple[BrightnessClass, ...]:
    """Summarise the noise in classes of brightness with equal numbers of sources.

    Parameters
    ----------
    scatter : Scatter
    mean_flux : ndarray, shape (n_source,)
        Sources whose mean flux or scatter is not positive and finite are left out.
    n_class : int
        Fewer come back when there are fewer sources.

    Returns
    -------
    tuple of BrightnessClass
        Brightest first.

    Raises
    ------
    UnusableDataError
        If no source has a finite scatter.
    """
    usable = np.flatnonzero((mean_flux > 0) & np.isfinite(mean_flux) & np.isfinite(scatter.mad))
    if usable.size == 0:
        raise UnusableDataError(
            f"none of {mean_flux.size} sources has a positive mean flux and a finite scatter; "
            "check that the night has good frames and references"
        )
    order = usable[np.argsort(-mean_flux[usable], kind="stable")]
    parts = [part for part in np.array_split(order, n_class) if part.size]
    return tuple(_summarise(scatter, mean_flux, part) for part in parts)


def _summarise(scatter: Scatter, mean_flux: FloatArray, part: IntArray) -> BrightnessClass:
    columns = (scatter.mad, scatter.point_to_point, scatter.expected, scatter.ratio, scatter.eta)
    mad, point_to_point, expected, ratio, eta = (float(finite_median(c[part])) for c in columns)
    return BrightnessClass(
        n_source=int(part.size),
        brightest=float(mean_flux[part].max()),
        faintest=float(mean_flux[part].min()),
        mad=mad,
        point_to_point=point_to_point,
        expected=expected,
        ratio=ratio,
        eta=eta,
    )
