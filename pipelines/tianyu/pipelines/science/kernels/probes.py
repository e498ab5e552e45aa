"""A first guess of the sky and its noise in boxes, from a few pixels of each."""

import numpy as np

from tianyu.pipelines.science.arrays import AnyArray, FloatArray, FloatImage, MaskImage
from tianyu.pipelines.science.kernels.jit import compiled
from tianyu.pipelines.science.kernels.sorting import sort_columns

PROBES_PER_AXIS = 8
"""Pixels of a box, on each axis, that are looked at."""


@compiled
def probe_row(i: int, first: int, last: int) -> int:
    """Return the row of pixels that holds the probes i of boxes from row first to last − 1."""
    return first + (2 * i + 1) * (last - first) // (2 * PROBES_PER_AXIS)


@compiled
def gather_probes(
    pixels: FloatImage,
    mask: MaskImage,
    row_edges: tuple[int, int],
    box_x: int,
    probes: FloatImage,
    counts: AnyArray,
) -> bool:
    """Gather a few good pixels of each box of a row of the mesh; only rows with probes are read.

    Parameters
    ----------
    pixels, mask : ndarray of float32 and of uint8, shape (ny, nx)
    row_edges : tuple of int
        First row of pixels of the boxes, and the row after their last.
    box_x : int
        Width of a box; the last one may be narrower.
    probes : ndarray of float32, shape (PROBES_PER_AXIS², mx)
        Written: one column for each box, infinity after its last probe. All boxes of a row at
        once: one after the other would wait for the memory each time.
    counts : ndarray of int32, shape (mx,)
        Written: how many probes there are.

    Returns
    -------
    bool
        Whether all boxes have enough of them.
    """
    first, last = row_edges
    counts[:] = 0
    probes[:] = np.inf
    for i in range(PROBES_PER_AXIS):
        y = probe_row(i, first, last)
        for box in range(counts.size):
            left, right = box * box_x, min((box + 1) * box_x, pixels.shape[1])
            for j in range(PROBES_PER_AXIS):
                # Staggered, or all would lie in the same few columns.
                x = left + (2 * j * PROBES_PER_AXIS + 2 * i + 1) * (right - left) // (
                    2 * PROBES_PER_AXIS * PROBES_PER_AXIS
                )
                if mask[y, x] == 0 and np.isfinite(pixels[y, x]):
                    probes[counts[box], box] = pixels[y, x]
                    counts[box] += 1
    return counts.min() >= PROBES_PER_AXIS


@compiled
def guess_scales(
    pixels: FloatImage,
    mask: MaskImage,
    row_edges: tuple[int, int],
    box_x: int,
    probes: FloatImage,
    counts: AnyArray,
    centre: FloatArray,
    scale: FloatArray,
) -> None:
    """Guess the median and the noise of the boxes of one row of the mesh.

    Parameters
    ----------
    pixels, mask, row_edges, box_x, probes, counts
        As of :func:`gather_probes`. Of a box with few probes all pixels are read.
    centre, scale : ndarray, shape (mx,)
        Written: the median of the probes and half the width of their central 68 %; both 0 in a box
        without any good pixel.
    """
    first, last = row_edges
    for box in range(counts.size):
        if counts[box] < PROBES_PER_AXIS:
            edges = first, last, box * box_x, min((box + 1) * box_x, pixels.shape[1])
            counts[box] = _first_good(pixels, mask, edges, probes[:, box])
    # They are sorted together.
    sort_columns(probes)
    for box in range(counts.size):
        centre[box], scale[box] = _centre_and_scale(probes[:, box], counts[box])


@compiled
def _first_good(
    pixels: FloatImage, mask: MaskImage, edges: tuple[int, int, int, int], probes: FloatImage
) -> int:
    """Gather the first good pixels of a box that has few, and return how many there are."""
    first, last, left, right = edges
    n = 0
    for y in range(first, last):
        for x in range(left, right):
            if n < probes.size and mask[y, x] == 0 and np.isfinite(pixels[y, x]):
                probes[n] = pixels[y, x]
                n += 1
    return n


@compiled
def _centre_and_scale(probes: FloatImage, n: int) -> tuple[float, float]:
    """Return the median of n sorted probes and half the width of their central 68 %."""
    if n == 0:
        return 0.0, 0.0
    low, high = probes[int(0.16 * n)], probes[min(n - 1, int(0.84 * n))]
    scale = 0.5 * (float(high) - float(low))
    if scale <= 0.0:
        scale = 0.25 * (float(probes[n - 1]) - float(probes[0]))
    # A box without any noise: a thousandth of an ADU, or what a float32 can tell apart.
    least = max(1e-3, 1e-5 * abs(float(probes[n // 2])))
    return float(probes[n // 2]), max(scale, least)
