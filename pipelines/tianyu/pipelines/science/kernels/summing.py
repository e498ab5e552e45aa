"""Adding a strip of a frame to an exact stack, in one sweep."""

import numpy as np

from tianyu.pipelines.science.arrays import AnyArray, FloatImage, MaskImage
from tianyu.pipelines.science.kernels.jit import compiled


@compiled
def highest_step(
    pixels: FloatImage, mask: MaskImage, ignored: int, steps_per_adu: float, limit: float
) -> float:
    """Return the largest absolute value of the good pixels of a strip, in whole steps.

    Parameters
    ----------
    pixels : ndarray of float32, shape (h, w)
    mask : ndarray of uint8, shape (h, w)
        A pixel with any bit but the ignored ones is left out, as is one that is not finite.
    ignored : int
        Bits that do not matter.
    steps_per_adu : float
    limit : float
        What exceeds it counts as it.
    """
    # Positive floats are in the order of their bits, and whole numbers are compared many at a time.
    bits, highest = pixels.view(np.int32), np.zeros(1, np.int32)
    use = np.uint8(255 ^ ignored)
    top = np.int32(0)
    for y in range(pixels.shape[0]):
        for x in range(pixels.shape[1]):
            size = bits[y, x] & np.int32(0x7FFFFFFF)
            good = (mask[y, x] & use) == 0 and size < np.int32(0x7F800000)
            top = max(top, size if good else np.int32(0))
    highest[0] = top
    value = np.float64(highest.view(np.float32)[0]) * steps_per_adu
    return min(np.rint(value), limit)


@compiled
def add_steps(
    pixels: FloatImage,
    mask: MaskImage,
    ignored: int,
    steps_per_adu: float,
    limit: float,
    sign: int,
    total: AnyArray,
    count: AnyArray,
) -> None:
    """Add the rounded pixels of a strip to the sums, and one to the counts of the good ones.

    Parameters
    ----------
    pixels, mask, ignored, steps_per_adu, limit
        As of :func:`highest_step`.
    sign : int
        1, or −1 to subtract.
    total, count : ndarray of integers, shape (h, w)
        Changed.
    """
    scale, top = np.float32(steps_per_adu), np.float32(limit)
    use = np.uint8(255 ^ ignored)
    for y in range(pixels.shape[0]):
        for x in range(pixels.shape[1]):
            steps = np.rint(pixels[y, x] * scale)
            good = mask[y, x] & use == 0 and abs(steps) < np.inf
            steps = min(max(steps, -top), top) if good else np.float32(0.0)
            total[y, x] += sign * np.int32(steps)
            count[y, x] += sign if good else 0
