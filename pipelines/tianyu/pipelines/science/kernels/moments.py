"""Windowed moments of the peaks of a frame, star by star instead of stamp array by stamp array."""

import numpy as np

from tianyu.pipelines.science.arrays import FloatArray, FloatImage, IntArray, MaskImage
from tianyu.pipelines.science.kernels.jit import compiled
from tianyu.pipelines.science.windowed import CENTRINGS, FARTHEST_STEP_PIX


@compiled
def centred_moments(
    pixels: FloatImage,
    mask: MaskImage,
    peaks: IntArray,
    window: float,
    radius: int,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Centre a Gaussian window on every peak and return the moments under it.

    The reference is :func:`~tianyu.pipelines.science.windowed.centre_windows`.

    Parameters
    ----------
    pixels : ndarray of float32, shape (ny, nx)
        Frame with the sky subtracted.
    mask : ndarray of uint8, shape (ny, nx)
        Zero for good pixels; the others count as sky.
    peaks : ndarray of int64, shape (n,)
        Flat indices.
    window : float
        σ of the window, pixels.
    radius : int
        Half the side of a stamp, less half a pixel.

    Returns
    -------
    dx, dy : ndarray, shape (n,)
        Steps from the peaks to the centroids.
    moments : ndarray, shape (n, 3, 3)
        Windowed means of ``y^j x^i`` about the centres of the last round; the sum in [0, 0].
    """
    nx = pixels.shape[1]
    n, size = peaks.size, 2 * radius + 1
    dx, dy = np.zeros(n), np.zeros(n)
    moments = np.zeros((n, 3, 3))
    stamp = np.empty((size, size))
    weight_x, weight_y = np.empty((3, size)), np.empty((3, size))
    for star in range(n):
        _cut(pixels, mask, peaks[star] // nx, peaks[star] % nx, radius, stamp)
        m = moments[star]
        for _ in range(CENTRINGS):
            _weigh(dx[star], window, radius, weight_x)
            _weigh(dy[star], window, radius, weight_y)
            _moments_of(stamp, weight_y, weight_x, m)
            # The windowed mean goes a part of the way to the centre, half of it if σ = σ_w.
            variance = 0.5 * (m[0, 2] + m[2, 0] - m[0, 1] ** 2 - m[1, 0] ** 2)
            part = min(max(1.0 - variance / window**2, 0.33), 1.0)
            far = FARTHEST_STEP_PIX
            dx[star] = min(max(dx[star] + m[0, 1] / part, -far), far)
            dy[star] = min(max(dy[star] + m[1, 0] / part, -far), far)
    return dx, dy, moments


@compiled
def _cut(
    pixels: FloatImage, mask: MaskImage, y: int, x: int, radius: int, stamp: FloatArray
) -> None:
    """Copy a stamp; what is masked, not finite or off the frame is zero."""
    ny, nx = pixels.shape
    for j in range(2 * radius + 1):
        for i in range(2 * radius + 1):
            row, column = y + j - radius, x + i - radius
            value = 0.0
            if 0 <= row < ny and 0 <= column < nx and mask[row, column] == 0:
                value = np.float64(pixels[row, column])
            stamp[j, i] = value if np.isfinite(value) else 0.0


@compiled
def _weigh(centre: float, window: float, radius: int, weights: FloatArray) -> None:
    """Write a Gaussian about the centre, and that times the distance and its square."""
    for i in range(2 * radius + 1):
        distance = i - radius - centre
        weights[0, i] = np.exp(-0.5 * (distance / window) ** 2)
        weights[1, i] = weights[0, i] * distance
        weights[2, i] = weights[0, i] * distance**2


@compiled
def _moments_of(
    stamp: FloatArray, weight_y: FloatArray, weight_x: FloatArray, m: FloatArray
) -> None:
    """Write the windowed means ``m[j, i]``, and the sum of the light in ``m[0, 0]``."""
    size = stamp.shape[0]
    m[:] = 0.0
    for row in range(size):
        s0, s1, s2 = 0.0, 0.0, 0.0
        for column in range(size):
            value = stamp[row, column]
            s0 += value * weight_x[0, column]
            s1 += value * weight_x[1, column]
            s2 += value * weight_x[2, column]
        for j in range(3):
            m[j, 0] += weight_y[j, row] * s0
            m[j, 1] += weight_y[j, row] * s1
            m[j, 2] += weight_y[j, row] * s2
    total = m[0, 0]
    for j in range(3):
        for i in range(3):
            m[j, i] = m[j, i] / total if total > 0.0 else 0.0
    m[0, 0] = total
