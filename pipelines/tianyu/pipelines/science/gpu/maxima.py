"""The maxima of a frame: the few pixels that are looked at on the host."""

import numpy as np

from tianyu.pipelines.science.arrays import IntArray
from tianyu.pipelines.science.gpu.namespace import ArrayNamespace, DeviceArray, to_host
from tianyu.pipelines.science.masks import MaskBit
from tianyu.pipelines.science.peaks import ISOLATION_PIX

_UNFAIR = 0xFF ^ int(MaskBit.SATURATED)


def find_maxima(
    pixels: DeviceArray,
    mask: DeviceArray,
    rms: float,
    sigma: float,
    min_area: int,
    xp: ArrayNamespace,
) -> IntArray:
    """Find the isolated maxima of a frame: :func:`~tianyu.pipelines.science.peaks.find_peaks`.

    Parameters
    ----------
    pixels : array of float32, shape (ny, nx)
        Frame with the sky subtracted.
    mask : array of uint8, shape (ny, nx)
    rms : float
        Noise of the sky.
    sigma : float
        Height of a peak over it.
    min_area : int
        Pixels as high that are needed among the 3 × 3 around the peak.
    xp : namespace

    Returns
    -------
    ndarray of int64, shape (n,)
        Flat indices, rising, on the host.

    Examples
    --------
    >>> pixels, clear = np.zeros((9, 9), np.float32), np.zeros((9, 9), np.uint8)
    >>> pixels[4:6, 4:6] = [[90.0, 60.0], [60.0, 55.0]]
    >>> find_maxima(pixels, clear, 5.0, 10.0, 4, np).tolist()
    [40]
    """
    ny, nx = pixels.shape
    edge = ISOLATION_PIX
    if min(ny, nx) <= 2 * edge:
        return np.empty(0, np.int64)
    inner = pixels[edge : ny - edge, edge : nx - edge]
    row, column = xp.nonzero(inner > float(np.float32(sigma * rms)))
    peaks = (row + edge) * nx + column + edge
    values, bits = pixels.reshape(-1), mask.reshape(-1)
    # The nearest first: few pixels of a star are left for the many others.
    for reach in (1, ISOLATION_PIX):
        steps = _steps(nx, reach)
        at = peaks[:, np.newaxis] + xp.asarray(steps)
        other, height = values[at], values[peaks][:, np.newaxis]
        # Of two equal ones the first is the peak. Bad ones do not compete, saturated ones do.
        is_higher = (other > height) | ((other == height) & xp.asarray(steps < 0))
        peaks = peaks[~(is_higher & ((bits[at] & _UNFAIR) == 0)).any(axis=1)]
    block = peaks[:, np.newaxis] + xp.asarray(np.append(0, _steps(nx, 1)))
    is_above = values[block].astype(xp.float64) > sigma * rms
    ok = is_above[:, 0] & (is_above.sum(axis=1) >= min_area) & (bits[block] == 0).all(axis=1)
    return to_host(peaks[ok]).astype(np.int64)


def _steps(nx: int, reach: int) -> IntArray:
    """Flat steps to the pixels within `reach` on either axis."""
    offset = np.arange(-reach, reach + 1)
    steps: IntArray = (offset[:, np.newaxis] * nx + offset).reshape(-1)
    return steps[steps != 0]
