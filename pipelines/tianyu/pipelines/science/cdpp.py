"""Combined differential photometric precision: the noise that an event of a given length meets.

Definition used here, after Gilliland et al. (2011), with a night's scales in place of
Kepler's: a Savitzky-Golay filter (local quadratic, 1 h wide) takes out slow variation; points
beyond 5 robust σ leave; what remains is averaged over every window of 0.5 h that is centred on
a point; CDPP is the robust standard deviation of those means. Unlike Kepler's cadences a
night's are uneven, so that the filter is the least-squares quadratic in time through the points
of each window, which on an even grid *is* the Savitzky-Golay filter.

The filter also takes out part of the white noise: `white_noise_response` says what CDPP white
noise of σ = 1 per point would have, so that a theoretical noise can be set beside the measured.

References
----------
Gilliland, R. L. et al. 2011, ApJS 197, 6. Savitzky, A. & Golay, M. 1964, Anal. Chem. 36, 1627.
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array
from scipy.special import erf

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.arrays import BoolArray, FloatArray
from tianyu.pipelines.science.scatter import finite_median, mad_sigma

HOUR_IN_DAYS = 1.0 / 24.0

MIN_POINTS_IN_FILTER = 5
"""A quadratic passes through three points and follows four closely."""

MIN_WINDOW_FILL = 0.5
"""A mean over fewer than half of the fullest window's points has another noise."""

WHITE_CURVES = 500
"""Their median CDPP is known to half a per cent on a night of 7 h."""

WHITE_SIGMA = 1e-3
WHITE_SEED = 1
HALF_WITHIN = 0.6744897501960817
"""σ within which half of a normal distribution lies."""

HALVINGS = 30
"""To a billionth of the range."""


@dataclass(frozen=True)
class CdppScales:
    """Time scales of the measure.

    Raises
    ------
    ValueError
        If they are not positive and in order.
    """

    detrend_days: float = HOUR_IN_DAYS
    window_days: float = 0.5 * HOUR_IN_DAYS
    clip_sigma: float = 5.0

    def __post_init__(self) -> None:
        if not 0.0 < self.window_days < self.detrend_days or self.clip_sigma <= 0.0:
            raise ValueError(
                f"{self}: the window must be positive and shorter than the filter, and "
                "clip_sigma positive"
            )


@dataclass(frozen=True)
class Cdpp:
    """Noise of each source on the scale of the window."""

    ppm: FloatArray
    """Parts per million, shape (n_source,); NaN where too few points remain."""
    white_noise_response: float
    """CDPP of white noise with σ = 1 per point, measured in all frames of the night; NaN where
    the sampling is too sparse for the filter."""


def savitzky_golay(time: FloatArray, flux: FloatArray, width: float) -> FloatArray:
    """Smooth with the local quadratic through the points within half a width of each.

    Parameters
    ----------
    time : ndarray, shape (n_frame,)
        Ascending, evenly spaced or not.
    flux : ndarray, shape (n_source, n_frame)
        NaN is left out, each source by itself.
    width : float
        Full width of the window, in the unit of ``time``.

    Returns
    -------
    ndarray, shape (n_source, n_frame)
        NaN at missing points and where the window holds fewer than five.

    Examples
    --------
    A quadratic passes unchanged:

    >>> t = np.array([0.0, 1.0, 2.5, 3.0, 4.0, 5.5, 6.0])
    >>> bool(np.allclose(savitzky_golay(t, (t**2 - t)[None, :], 20.0), t**2 - t))
    True
    """
    valid = np.isfinite(flux)
    filled = np.where(valid, flux, 0.0)
    lags = _lag_powers(time, width)
    row = _inverse_row(lags, valid)
    smooth = np.zeros(flux.shape)
    for lag, weight in zip(lags, row, strict=False):
        smooth += weight * (lag @ filled.T).T
    return np.where(valid, smooth, np.nan)


def measure_cdpp(
    time: FloatArray, relative_flux: FloatArray, scales: CdppScales | None = None
) -> Cdpp:
    """Measure the CDPP of every source over one night.

    Parameters
    ----------
    time : ndarray, shape (n_frame,)
        Days, ascending.
    relative_flux : ndarray, shape (n_source, n_frame)
        About 1, good frames only; NaN is left out.
    scales : CdppScales, optional

    Returns
    -------
    Cdpp

    Raises
    ------
    UnusableDataError
        If the times are not finite and ascending.
    """
    scales = scales or CdppScales()
    if not np.isfinite(time).all() or np.any(np.diff(time) < 0):
        raise UnusableDataError("the times of a CDPP must be finite and ascend; sort them")
    residual = relative_flux - savitzky_golay(time, relative_flux, scales.detrend_days)
    outlier = np.abs(residual) > scales.clip_sigma * mad_sigma(residual)[:, None]
    kept = np.where(outlier, np.nan, relative_flux)
    residual = kept - savitzky_golay(time, kept, scales.detrend_days)
    means, full = _window_means(time, residual, scales.window_days)
    return Cdpp(
        ppm=1e6 * mad_sigma(np.where(full, means, np.nan)),
        white_noise_response=_white_noise_response(time, scales),
    )


def expected_cdpp(
    time: FloatArray, sigma: FloatArray, scales: CdppScales | None = None
) -> FloatArray:
    """Return the CDPP that independent noise of known size in each frame would show.

    It differs from the quadratic mean of the noise times the response to white noise in two
    ways: a robust standard deviation hardly sees the noisy part of a night, and over the few
    independent windows of a night its median is low. The first is computed, as the value that
    half of a mixture of normal distributions lies within; the second measured, on curves of
    white noise with the night's own sampling.

    Parameters
    ----------
    time : ndarray, shape (n_frame,)
        Days, ascending.
    sigma : ndarray, shape (n_source, n_frame)
        Relative noise of each point; NaN counts as the source's quadratic mean.
    scales : CdppScales, optional

    Returns
    -------
    ndarray, shape (n_source,)
        Parts per million, comparable with the median of measured values; NaN without a window.
    """
    scales = scales or CdppScales()
    known = np.isfinite(sigma)
    n = known.sum(axis=1, keepdims=True)
    variance = np.where(known, sigma, 0.0) ** 2
    mean = variance.sum(axis=1, keepdims=True) / np.where(n > 0, n, np.nan)
    weights = _squared_response(time, scales) if time.size else csr_array((0, 0))
    if not weights.shape[0]:
        return np.full(len(sigma), np.nan)
    of_windows = (weights @ np.where(known, variance, mean).T).T
    white = 1.0 + WHITE_SIGMA * np.random.default_rng(WHITE_SEED).standard_normal(
        (WHITE_CURVES, time.size)
    )
    measured = measure_cdpp(time, white, scales).ppm / WHITE_SIGMA
    of_white = _mixture_sigma(np.asarray(weights.sum(axis=1), dtype=np.float64)[None, :])[0]
    return np.asarray(_mixture_sigma(of_windows) * finite_median(measured) / of_white)


def _mixture_sigma(variance: FloatArray) -> FloatArray:
    """Robust σ of an equal mixture of normal distributions about 0, along the last axis.

    Half of the mixture lies within 0.6745 times it; found by halving.
    """
    low, high = np.zeros(len(variance)), np.sqrt(variance.max(axis=-1))
    sigma = np.sqrt(np.maximum(variance, np.finfo(float).tiny))
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        within = erf(middle[:, None] * HALF_WITHIN / (sigma * np.sqrt(2.0))).mean(axis=-1)
        low, high = np.where(within < 0.5, middle, low), np.where(within < 0.5, high, middle)
    return np.asarray(0.5 * (low + high))


def _window(time: FloatArray, width: float) -> csr_array:
    """Which points lie within half a width of each, as a sparse matrix of ones."""
    reach = 0.5 * width * (1.0 + 1e-9)  # a point just on the edge is in, whatever the rounding
    first = np.searchsorted(time, time - reach, side="left")
    last = np.searchsorted(time, time + reach, side="right")
    start = np.concatenate([[0], np.cumsum(last - first)])
    column = np.arange(start[-1]) - np.repeat(start[:-1] - first, last - first)
    return csr_array((np.ones(column.size), column, start), shape=(time.size, time.size))


def _lag_powers(time: FloatArray, width: float) -> list[csr_array]:
    """Matrices of ``((t_j − t_i) / half width)^k`` within the window, k = 0 … 4."""
    window = _window(time, width)
    row = np.repeat(np.arange(time.size), np.diff(window.indptr))
    lag = (time[window.indices] - time[row]) / (0.5 * width)
    return [
        csr_array((lag**k, window.indices, window.indptr), shape=window.shape) for k in range(5)
    ]


def _inverse_row(lags: list[csr_array], valid: BoolArray) -> list[FloatArray]:
    """First row of the inverse normal matrix: a quadratic's value at the centre of its window.

    Three arrays of shape (n_source, n_frame), or (1, n_frame) when no source has gaps.
    """
    ones = (valid[:1] if valid.all() else valid).astype(np.float64)
    m0, m1, m2, m3, m4 = ((lag @ ones.T).T for lag in lags)
    c0, c1, c2 = m2 * m4 - m3**2, m2 * m3 - m1 * m4, m1 * m3 - m2**2
    determinant = m0 * c0 + m1 * c1 + m2 * c2
    # Points at fewer than three distinct times leave a determinant of rounding.
    solvable = (m0 >= MIN_POINTS_IN_FILTER) & (determinant > 1e-12 * m0**3)
    determinant = np.where(solvable, determinant, np.nan)
    return [c / determinant for c in (c0, c1, c2)]


def _window_means(
    time: FloatArray, values: FloatArray, width: float
) -> tuple[FloatArray, BoolArray]:
    """Mean in the window about each point, and whether enough points are in it."""
    valid = np.isfinite(values)
    window = _window(time, width)
    count = (window @ valid.T.astype(np.float64)).T
    total = (window @ np.where(valid, values, 0.0).T).T
    full = (count > 0) & (count >= MIN_WINDOW_FILL * count.max(axis=1, initial=1, keepdims=True))
    return total / np.maximum(count, 1.0), full & valid


def _squared_response(time: FloatArray, scales: CdppScales) -> csr_array:
    """Squared weights of (means · (1 − filter)), a row for each window that is full enough."""
    everywhere = np.ones((1, time.size), dtype=np.bool_)
    lags = _lag_powers(time, scales.detrend_days)
    row = [np.nan_to_num(weight[0])[:, None] for weight in _inverse_row(lags, everywhere)]
    smoother = sum(
        (lag * weight for lag, weight in zip(lags, row, strict=False)), csr_array(lags[0].shape)
    )
    window = _window(time, scales.window_days)
    count = window.sum(axis=1)
    usable = (count >= MIN_WINDOW_FILL * count.max(initial=1)) & (row[0][:, 0] > 0)
    squared = (window - window @ smoother).power(2).multiply(count[:, None] ** -2.0)
    chosen: csr_array = csr_array(squared)[usable]
    return chosen


def _white_noise_response(time: FloatArray, scales: CdppScales) -> float:
    """Quadratic mean, over the windows, of the norm of each row of (means · (1 − filter))."""
    if time.size == 0:
        return float("nan")
    variance = _squared_response(time, scales).sum(axis=1)
    return float(np.sqrt(variance.mean())) if variance.size else float("nan")
