"""The noise of the pixels of one ring, from the differences of neighbours, without sorting."""

import math

import numpy as np

from tianyu.pipelines.science.annulus import (
    ANNULUS_CLIP_SIGMA,
    CLIP_ROUNDS,
    CLIPPED_NORMAL_RMS,
    NOISE_STEP,
    UPPER_SIGMA_QUANTILE,
)
from tianyu.pipelines.science.arrays import FloatImage, IntArray
from tianyu.pipelines.science.kernels.jit import compiled


@compiled
def ring_noise(stamp: FloatImage, ring: IntArray, sizes: FloatImage) -> float:
    """Measure the noise of a pixel: :func:`~tianyu.pipelines.science.annulus.pixel_noise` of one.

    Parameters
    ----------
    stamp : ndarray of float32, shape (s, s)
        NaN for what is not to be used.
    ring : ndarray of uint64, shape (m,)
        Flat indices of the ring's pixels, none in the first or last column.
    sizes : ndarray of float32, shape (m,)
        Room for the differences.

    Returns
    -------
    float
        Standard deviation; NaN where there is no difference of three good pixels.
    """
    flat, n, one = stamp.reshape(-1), 0, np.uint64(1)
    for k in range(0, ring.size, NOISE_STEP):
        i = ring[k]
        size = abs(flat[i - one] + flat[i + one] - np.float32(2.0) * flat[i])
        if size == size:
            sizes[n] = size
            n += 1
    if n == 0:
        return np.nan
    rank = int(np.float64(UPPER_SIGMA_QUANTILE) * n)
    sigma = np.float64(np.partition(sizes[:n], rank)[rank])
    for _ in range(CLIP_ROUNDS):
        reach, energy, kept = ANNULUS_CLIP_SIGMA * sigma, 0.0, 0
        for k in range(n):
            is_within = np.float64(sizes[k]) <= reach
            energy += np.float64(sizes[k] * sizes[k]) if is_within else 0.0
            kept += 1 if is_within else 0
        sigma = math.sqrt(energy / max(kept, 1)) / CLIPPED_NORMAL_RMS
    return sigma / math.sqrt(6.0)
