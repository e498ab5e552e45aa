"""Centroids of sources under a Gaussian window."""

import numpy as np

from tianyu.pipelines.science.arrays import FloatArray, FloatImage
from tianyu.pipelines.science.kernels.jit import compiled


@compiled
def window_steps(
    cores: FloatImage,
    background: FloatArray,
    x: FloatArray,
    y: FloatArray,
    sigma: float,
    reach: float,
    rounds: int,
) -> FloatArray:
    """Return the steps to the windowed centroids: ``centroids.windowed_steps``.

    Parameters
    ----------
    cores : ndarray of float32, shape (n, c, c)
        Pixels about the sources.
    background : ndarray, shape (n,)
        To be taken off them.
    x, y : ndarray, shape (n,)
        Positions, from the middle of the cores, pixels.
    sigma : float
        Width of the window, pixels.
    reach : float
        Steps longer than this become zero, pixels.
    rounds : int

    Returns
    -------
    ndarray, shape (2, n)
        In x and in y.
    """
    n, size = x.size, cores.shape[1]
    steps = np.zeros((2, n))
    window_x, window_y = np.empty((2, size)), np.empty((2, size))
    for k in range(n):
        level = np.float32(background[k])
        at_x, at_y = x[k], y[k]
        for _ in range(rounds):
            for i in range(size):
                from_x, from_y = i - size // 2 - at_x, i - size // 2 - at_y
                window_x[0, i] = np.exp(-0.5 * (from_x / sigma) ** 2)
                window_y[0, i] = np.exp(-0.5 * (from_y / sigma) ** 2)
                window_x[1, i], window_y[1, i] = window_x[0, i] * from_x, window_y[0, i] * from_y
            total, along_x, along_y = 0.0, 0.0, 0.0
            for j in range(size):
                light, moment = 0.0, 0.0
                for i in range(size):
                    value = np.float64(cores[k, j, i] - level)
                    light += value * window_x[0, i]
                    moment += value * window_x[1, i]
                total += light * window_y[0, j]
                along_x += moment * window_y[0, j]
                along_y += light * window_y[1, j]
            if not total > 0.0:
                at_x = np.nan
                break
            # Under a window as wide as the star, the first moment is half the distance.
            at_x += 2.0 * along_x / total
            at_y += 2.0 * along_y / total
        if np.hypot(at_x - x[k], at_y - y[k]) <= reach:
            steps[0, k], steps[1, k] = at_x - x[k], at_y - y[k]
    return steps
