"""How much slower the noise of a light curve averages down than white noise would.

References
----------
Pont, F., Zucker, S. & Queloz, D. 2006, MNRAS 373, 231.
Winn, J. N. et al. 2008, ApJ 683, 1076, section 4 (the factor β).
"""

import numpy as np

from tianyu.pipelines.science.arrays import FloatArray

MIN_BINS = 4
"""The scatter of fewer bin means says nothing; β is then 1."""


def red_noise_factor(
    time: FloatArray, residual: FloatArray, sigma: FloatArray, bin_width: float
) -> FloatArray:
    """Scatter of bin means over the one expected of white noise, at least 1.

    Parameters
    ----------
    time : ndarray, shape (n_frame,)
        Ascending.
    residual : ndarray, shape (n_source, n_frame)
        About zero; NaN is left out.
    sigma : ndarray, shape (n_source,)
        White noise per point, in the unit of ``residual``.
    bin_width : float
        In the unit of ``time``.

    Returns
    -------
    ndarray, shape (n_source,)
        β ≥ 1; 1 where there are fewer than four bins or sigma is not positive.

    Notes
    -----
    ``β² = mean(m²·n) / σ²`` over the bins, m and n being mean and number of the points of a
    bin: each bin is held against its own expectation, so that sparse bins do no harm.

    Examples
    --------
    White noise with a mean of zero in each bin has none; a step has all it can:

    >>> t, s = np.arange(8.0), np.ones(1)
    >>> red_noise_factor(t, np.array([[1, -1, 1, -1, 1, -1, 1, -1.0]]), s, 2.0)
    array([1.])
    >>> red_noise_factor(t, np.array([[1, 1, 1, 1, -1, -1, -1, -1.0]]), s, 2.0) ** 2
    array([2.])
    """
    if time.size == 0:
        return np.ones(residual.shape[0])
    bin_of = np.floor((time - time[0]) / bin_width).astype(np.int64)
    edges = np.flatnonzero(np.r_[True, np.diff(bin_of) > 0])
    finite = np.isfinite(residual)
    n = np.add.reduceat(finite.astype(np.float64), edges, axis=1)
    total = np.add.reduceat(np.where(finite, residual, 0.0), edges, axis=1)
    filled = n > 0
    n_bin = filled.sum(axis=1)
    square = np.where(filled, total**2 / np.maximum(n, 1.0), 0.0).sum(axis=1)
    known = (n_bin >= MIN_BINS) & (sigma > 0)
    beta2 = square / np.maximum(n_bin, 1) / np.where(known, sigma, 1.0) ** 2
    return np.where(known, np.sqrt(np.maximum(beta2, 1.0)), 1.0)
