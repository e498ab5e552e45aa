"""Linear trends in time of many light curves at once, gaps included."""

import numpy as np

from tianyu.pipelines.science.arrays import BoolArray, FloatArray


def time_moments(time: FloatArray, valid: BoolArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return number, mean and summed squared deviation of the times at which each row is valid.

    Parameters
    ----------
    time : ndarray, shape (n_frame,)
    valid : ndarray of bool, shape (n_source, n_frame)

    Returns
    -------
    number, mean, spread : ndarray, shape (n_source, 1)
        At least 1 the first, and infinite the last where all times are equal, so that both
        can be divided by.
    """
    number = np.maximum(valid.sum(axis=1, keepdims=True), 1).astype(np.float64)
    mean = (valid @ time)[:, None] / number
    spread = np.where(valid, (time - mean) ** 2, 0.0).sum(axis=1, keepdims=True)
    return number, mean, np.where(spread > 0, spread, np.inf)


def without_linear_trend(time: FloatArray, flux: FloatArray) -> FloatArray:
    """Subtract from each light curve its straight line of least squares.

    Parameters
    ----------
    time : ndarray, shape (n_frame,)
    flux : ndarray, shape (n_source, n_frame)
        NaN is left out, each source by itself.

    Returns
    -------
    ndarray, shape (n_source, n_frame)
        Residuals, NaN where the flux is.

    Examples
    --------
    >>> without_linear_trend(np.arange(4.0), np.array([[1.0, 3.0, np.nan, 7.0]]))
    array([[ 0.,  0., nan,  0.]])
    """
    valid = np.isfinite(flux)
    number, mean_time, spread = time_moments(time, valid)
    x = np.where(valid, time - mean_time, 0.0)
    f = np.where(valid, flux, 0.0)
    f = f - f.sum(axis=1, keepdims=True) / number
    slope = (x * f).sum(axis=1, keepdims=True) / spread
    return np.where(valid, f - slope * x, np.nan)
