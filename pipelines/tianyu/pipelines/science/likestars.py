"""How unusual a star is among stars of its brightness.

Noise, and all that follows from it, depends on brightness above all; the systematic errors of a
night are shared by its stars. A value is therefore held against the same value of the stars
that are next in brightness, and counted in their robust standard deviations.
"""

import numpy as np

from tianyu.pipelines.science.arrays import FloatArray
from tianyu.pipelines.science.scatter import MAD_TO_SIGMA

N_LIKE = 60
"""Neighbours in brightness: their scatter is then known to a tenth."""


def like_star_level(
    values: FloatArray, mean_flux: FloatArray, n_like: int = N_LIKE
) -> tuple[FloatArray, FloatArray]:
    """Return median and robust standard deviation of the stars next in brightness.

    Parameters
    ----------
    values : ndarray, shape (n_source,)
        NaN is left out, and has a level all the same.
    mean_flux : ndarray, shape (n_source,)
        Sources without a positive one have no level.
    n_like : int
        How many neighbours count, the star itself among none of them.

    Returns
    -------
    level, sigma : ndarray, shape (n_source,)
        NaN where fewer than five neighbours have a value.

    Examples
    --------
    >>> level, sigma = like_star_level(np.array([1.0, 2, 3, 4, 5, 99]), np.arange(1.0, 7.0))
    >>> level.tolist()[-1]  # of the five others
    3.0
    """
    level, sigma = np.full(values.shape, np.nan), np.full(values.shape, np.nan)
    known = np.flatnonzero((mean_flux > 0) & np.isfinite(values))
    order = known[np.argsort(mean_flux[known], kind="stable")]
    for i in np.flatnonzero(mean_flux > 0):
        place = int(np.searchsorted(mean_flux[order], mean_flux[i]))
        first = min(max(0, place - n_like // 2), max(0, len(order) - n_like - 1))
        near = order[first : first + n_like + 1]
        of = values[near[near != i]]
        if of.size >= 5:
            level[i] = np.median(of)
            sigma[i] = MAD_TO_SIGMA * np.median(np.abs(of - level[i]))
    return level, sigma


def like_star_sigmas(values: FloatArray, mean_flux: FloatArray, n_like: int = N_LIKE) -> FloatArray:
    """Return by how many robust standard deviations each star exceeds those like it.

    Shape (n_source,); NaN where it is not known.
    """
    level, sigma = like_star_level(values, mean_flux, n_like)
    nothing = np.full(values.shape, np.nan)
    return np.asarray(np.divide(values - level, sigma, out=nothing, where=sigma > 0))


def like_star_tail(
    values: FloatArray, others: FloatArray, mean_flux: FloatArray, n_like: int = N_LIKE
) -> FloatArray:
    """Return the fraction of ``others`` of like brightness that reach each value.

    A false-alarm rate, where ``others`` hold noise alone: (1 + number that reach it) over
    (1 + number), so that it is never zero.

    Parameters
    ----------
    values, others : ndarray, shape (n_source,)
        Of the same sources, such as events in the curves and in the inverted ones.
    mean_flux : ndarray, shape (n_source,)
    n_like : int

    Returns
    -------
    ndarray, shape (n_source,)
        NaN where the value is.
    """
    tail = np.full(values.shape, np.nan)
    known = np.flatnonzero((mean_flux > 0) & np.isfinite(others))
    order = known[np.argsort(mean_flux[known], kind="stable")]
    for i in np.flatnonzero(np.isfinite(values) & (mean_flux > 0)):
        place = int(np.searchsorted(mean_flux[order], mean_flux[i]))
        first = min(max(0, place - n_like // 2), max(0, len(order) - n_like - 1))
        near = order[first : first + n_like + 1]
        of = others[near[near != i]]
        tail[i] = (1.0 + np.count_nonzero(of >= values[i])) / (1.0 + of.size)
    return tail
