"""Centroids of sources under a Gaussian window (as XWIN_IMAGE of SExtractor)."""

import numpy as np

from tianyu.pipelines.science.arrays import AnyArray, FloatArray
from tianyu.pipelines.science.gaussian import FWHM_PER_SIGMA

CENTROID_ROUNDS = 4
"""Rounds of the windowed centroid; they end within 0.001 px of where more would."""


def windowed_steps(
    stamps: AnyArray, x: FloatArray, y: FloatArray, fwhm: float
) -> tuple[FloatArray, FloatArray]:
    """Step from given positions to the centroids of the light about them.

    The window is a product of two one-dimensional ones, so a round costs one small product
    per stamp.

    Parameters
    ----------
    stamps : ndarray of float32, shape (n, s, s)
        Background-subtracted pixels about the sources.
    x, y : ndarray, shape (n,)
        Positions, from the middle of the stamps, pixels.
    fwhm : float
        Width of the window, pixels.

    Returns
    -------
    step_x, step_y : ndarray, shape (n,)
        Zero for a centroid that leaves its star by more than one FWHM.

    Examples
    --------
    >>> row, column = np.mgrid[-9:10, -9:10]
    >>> star = np.exp(-((column - 0.3) ** 2 + (row + 0.1) ** 2) / (2 * 1.5**2))
    >>> stamps = star[np.newaxis].astype(np.float32)
    >>> np.round(windowed_steps(stamps, np.zeros(1), np.zeros(1), 3.5), 3).ravel().tolist()
    [0.3, -0.1]
    """
    sigma = fwhm / FWHM_PER_SIGMA
    offset = np.arange(stamps.shape[1], dtype=np.float32) - stamps.shape[1] // 2
    x_now, y_now = x.copy(), y.copy()
    for _ in range(CENTROID_ROUNDS):
        from_x = offset - x_now[:, np.newaxis].astype(np.float32)
        from_y = offset - y_now[:, np.newaxis].astype(np.float32)
        window_x = np.exp(-0.5 * (from_x / sigma) ** 2)
        window_y = np.exp(-0.5 * (from_y / sigma) ** 2)
        rows = stamps @ np.stack([window_x, window_x * from_x], axis=2)
        total = (rows[:, :, 0] * window_y).sum(axis=1)
        total = np.where(total > 0.0, total, np.nan)
        # Under a window as wide as the star, the first moment is half the distance.
        x_now += 2.0 * (rows[:, :, 1] * window_y).sum(axis=1) / total
        y_now += 2.0 * (rows[:, :, 0] * window_y * from_y).sum(axis=1) / total
    found = np.hypot(x_now - x, y_now - y) <= fwhm
    return np.where(found, x_now - x, 0.0), np.where(found, y_now - y, 0.0)
