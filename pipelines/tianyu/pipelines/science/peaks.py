"""Local maxima of a frame: the places where stars may be."""

import numpy as np

from tianyu.pipelines.science.arrays import FloatArray, FloatImage, IntArray, MaskImage
from tianyu.pipelines.science.masks import MaskBit

ISOLATION_PIX = 3
"""A peak is the highest within this half-width: the noise in the core of a star of 6 px FWHM
does not make two stars of it. Also the margin left free at the edges."""


def find_peaks(
    pixels: FloatImage, mask: MaskImage, rms: float | FloatImage, sigma: float, min_area: int
) -> IntArray:
    """Find the isolated maxima of a frame, away from its edge and from masked cores.

    Parameters
    ----------
    pixels : ndarray of float32, shape (ny, nx)
        Frame with the sky subtracted.
    mask : ndarray of uint8, shape (ny, nx)
        Zero for good pixels. A peak has no other in its central 3 × 3. Bad pixels do not
        compete with their neighbours, saturated ones do.
    rms : float or ndarray of float32, shape (ny, nx)
        Noise of the sky, same unit as ``pixels``.
    sigma : float
        Height of a peak over ``rms``.
    min_area : int
        Pixels as high that are needed among the 3 × 3 around the peak.

    Returns
    -------
    ndarray of int64, shape (n,)
        Flat indices, rising.

    Examples
    --------
    >>> pixels, clear = np.zeros((9, 9), np.float32), np.zeros((9, 9), np.uint8)
    >>> pixels[4:6, 4:6] = [[90.0, 60.0], [60.0, 55.0]]
    >>> find_peaks(pixels, clear, 5.0, 10.0, min_area=4).tolist()
    [40]
    """
    values, bits, edge = pixels.ravel(), mask.ravel(), ISOLATION_PIX
    bright = pixels > np.float32(sigma * np.min(rms))
    bright[:edge], bright[-edge:], bright[:, :edge], bright[:, -edge:] = (False,) * 4
    peaks = np.flatnonzero(bright)
    for step in _neighbours(pixels.shape[1], ISOLATION_PIX):
        # Of two equal pixels the first is the peak. Bad pixels do not compete, saturated ones do.
        height, other = values[peaks], values[peaks + step]
        beaten = np.flatnonzero(other >= height if step < 0 else other > height)
        fair = (bits[peaks[beaten] + step] & ~np.uint8(MaskBit.SATURATED)) == 0
        peaks = np.delete(peaks, beaten[fair])
    block = peaks[:, np.newaxis] + np.array([0, *_neighbours(pixels.shape[1], 1)])
    above = values[block] > sigma * noise_at(rms, peaks)[:, np.newaxis]
    ok = above[:, 0] & (above.sum(axis=1) >= min_area) & ~bits[block].any(axis=1)
    return np.asarray(peaks[ok], dtype=np.int64)


def smooth(pixels: FloatImage, mask: MaskImage) -> FloatImage:
    """Average every 3 × 3 block into a new frame, masked pixels counting as sky."""
    clean = np.where((mask == 0) & np.isfinite(pixels), pixels / np.float32(9.0), np.float32(0.0))
    clean[1:-1] = clean[:-2] + clean[1:-1] + clean[2:]
    clean[:, 1:-1] = clean[:, :-2] + clean[:, 1:-1] + clean[:, 2:]
    return clean


def noise_at(rms: float | FloatImage, peaks: IntArray) -> FloatArray:
    """Return the noise of the sky at flat indices, from one value or from a map of it."""
    noise = np.ravel(rms)[peaks] if np.ndim(rms) else np.full(len(peaks), rms)
    return noise.astype(np.float64)


def _neighbours(nx: int, reach: int) -> list[int]:
    """Flat steps to the pixels within ``reach``, nearest first, so that few peaks go on."""
    steps = [(i, j) for i in range(-reach, reach + 1) for j in range(-reach, reach + 1) if i or j]
    return [j * nx + i for i, j in sorted(steps, key=lambda s: s[0] ** 2 + s[1] ** 2)]
