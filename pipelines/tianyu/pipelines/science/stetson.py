"""Stetson's J and Welch & Stetson's I from one filter: pairs of neighbouring epochs.

Both indices multiply the residuals of two measurements that a variable star must share. They
were made for nearly simultaneous pairs in two filters; with one filter, each epoch is paired
with the next (every epoch in at most one pair) where the two are no farther apart than twice
the median cadence. Faster variation is not seen, and correlated noise counts as variation:
compare with stars of like brightness, which share it.

References
----------
Welch, D. L. & Stetson, P. B. 1993, AJ 105, 1813 (I). Stetson, P. B. 1996, PASP 108, 851 (J).
"""

import numpy as np

from tianyu.pipelines.science.arrays import FloatArray, IntArray
from tianyu.pipelines.science.scatter import finite_median

MAX_CADENCES = 2.0


def neighbouring_pairs(time: FloatArray) -> tuple[IntArray, IntArray]:
    """Pair each epoch with the next, none in two pairs, across no gap.

    Parameters
    ----------
    time : ndarray, shape (n_frame,)
        Ascending.

    Returns
    -------
    first, second : ndarray of int, shape (n_pair,)

    Examples
    --------
    >>> first, second = neighbouring_pairs(np.array([0.0, 1.0, 2.0, 3.0, 10.0, 11.0]))
    >>> list(zip(first.tolist(), second.tolist()))
    [(0, 1), (2, 3), (4, 5)]
    """
    if time.size < 2:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    step = np.diff(time)
    near = step <= MAX_CADENCES * float(np.median(step))
    first, i = [], 0
    while i < len(near):
        if near[i]:
            first.append(i)
        i += 2 if near[i] else 1
    index = np.array(first, dtype=np.int64)
    return index, index + 1


def stetson_indices(
    time: FloatArray, flux: FloatArray, error: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Compute Stetson's J and Welch & Stetson's I of many light curves.

    Parameters
    ----------
    time : ndarray, shape (n_frame,)
        Ascending.
    flux, error : ndarray, shape (n_source, n_frame)
        NaN is left out.

    Returns
    -------
    j, i : ndarray, shape (n_source,)
        About 0 for white noise of the stated errors; NaN with fewer than three pairs.

    Notes
    -----
    ``δ = √(n/(n−1)) (f − median) / σ``; ``J = Σ sgn(P) √|P| / n_pair`` with ``P = δ₁δ₂`` for
    pairs; ``I = Σ δ₁δ₂ / √(n_pair (n_pair − 1))``.
    """
    first, second = neighbouring_pairs(time)
    n = np.maximum(np.isfinite(flux).sum(axis=1, keepdims=True), 2)
    delta = np.sqrt(n / (n - 1.0)) * (flux - finite_median(flux)[:, None]) / error
    product = delta[:, first] * delta[:, second]
    counted = np.isfinite(product)
    n_pair = counted.sum(axis=1)
    product = np.where(counted, product, 0.0)
    enough = n_pair >= 3
    pairs = np.maximum(n_pair, 3)
    j = (np.sign(product) * np.sqrt(np.abs(product))).sum(axis=1) / pairs
    i = product.sum(axis=1) / np.sqrt(pairs * (pairs - 1.0))
    return np.where(enough, j, np.nan), np.where(enough, i, np.nan)
