"""The sky in one row of boxes: clipped mode and noise from one histogram per box.

Source Extractor clips the pixels of a box at ±3σ about their median until they stay, and takes
2.5·median − 1.5·mean of what is left, or the median where the two are far apart [1]_. Here the
histogram's sums are kept cumulated, so that a round of clipping costs nothing, and its scale comes
from a few pixels of the box instead of from two sweeps over all of them.

References
----------
.. [1] E. Bertin and S. Arnouts, 1996, A&AS 117, 393, section 2.
"""

import numpy as np

from tianyu.pipelines.science.arrays import AnyArray, FloatArray, FloatImage, MaskImage
from tianyu.pipelines.science.kernels.jit import compiled

LEVELS = 256
"""Steps of the histogram."""

STEPS_PER_SIGMA = 10.0
"""Steps per σ of a sky pixel: the histogram reaches ±12.8σ, and its steps add 0.1 % to σ."""

PLACES = LEVELS + 3
"""Of a counter: below the first step, the steps, above the last one, and the bad pixels."""

PROBES_PER_AXIS = 8
"""Pixels of a box, on each axis, that tell the scale of its histogram."""

LEAST_GOOD_FRACTION = 0.5
"""A box with fewer good pixels has no sky of its own."""

CLIP_SIGMA = 3.0
CLIP_ROUNDS = 100
CONVERGED = 1e-4
"""Relative change of σ at which clipping ends, as in Source Extractor."""

SKEWED = 0.3
"""|mean − median| / σ from which a crowded box takes its median."""

RESCALINGS = 8
"""The scale is guessed again so often at most where the probes were unlucky."""


@compiled
def measure_box_row(
    pixels: FloatImage,
    mask: MaskImage,
    row_edges: tuple[int, int],
    box_x: int,
    level: FloatArray,
    sigma: FloatArray,
) -> None:
    """Measure the boxes of one row of the mesh.

    Parameters
    ----------
    pixels : ndarray of float32, shape (ny, nx)
    mask : ndarray of uint8, shape (ny, nx)
        Pixels with any bit set are left out, as are those that are not finite.
    row_edges : tuple of int
        First row of pixels of the boxes, and the row after their last.
    box_x : int
        Width of a box; the last one may be narrower.
    level, sigma : ndarray, shape (mx,)
        Written; NaN for a box with fewer than half of its pixels good.
    """
    first, last = row_edges
    probes = np.empty(PROBES_PER_AXIS * PROBES_PER_AXIS, np.float32)
    histogram = np.empty(4 * PLACES, np.int32)
    places = np.empty(box_x, np.int32)
    sums = np.empty((3, LEVELS + 1), np.int64)
    for box in range(level.size):
        left, right = box * box_x, min((box + 1) * box_x, pixels.shape[1])
        centre, scale = _probe(pixels, mask, first, last, left, right, probes)
        level[box], sigma[box] = np.nan, np.nan
        for _ in range(RESCALINGS):
            if not scale > 0.0:
                break
            width = np.float32(scale / STEPS_PER_SIGMA)
            zero = np.float32(centre - 0.5 * LEVELS * width)
            edges = (first, last, left, right)
            n = _count(pixels, mask, edges, zero, np.float32(1.0) / width, places, histogram)
            if n - histogram[PLACES - 1] < LEAST_GOOD_FRACTION * n:
                break
            _accumulate(histogram, sums)
            mode, median, spread = _clipped_mode(sums)
            level[box] = zero + width * mode
            sigma[box] = width * spread
            # A histogram that is far too narrow or too coarse is made again.
            middle = zero + width * median
            if spread > LEVELS / 8.0:
                centre, scale = middle, 4.0 * scale
            elif spread < 0.3 * STEPS_PER_SIGMA and spread > 0.0 and median > 1.0:
                centre, scale = middle, max(spread, 0.5) * width
            elif median <= 1.0 or median >= LEVELS - 1.0:
                centre, scale = middle, 4.0 * scale
            else:
                break


@compiled
def _probe(
    pixels: FloatImage,
    mask: MaskImage,
    first: int,
    last: int,
    left: int,
    right: int,
    probes: FloatImage,
) -> tuple[float, float]:
    """Return median and half the width of the central 68 % of a few good pixels of a box."""
    n = 0
    for i in range(PROBES_PER_AXIS):
        y = first + (2 * i + 1) * (last - first) // (2 * PROBES_PER_AXIS)
        for j in range(PROBES_PER_AXIS):
            # Staggered, or all would lie in the same few columns.
            x = left + (2 * j * PROBES_PER_AXIS + 2 * i + 1) * (right - left) // (
                2 * PROBES_PER_AXIS * PROBES_PER_AXIS
            )
            if mask[y, x] == 0 and np.isfinite(pixels[y, x]):
                probes[n] = pixels[y, x]
                n += 1
    if n < PROBES_PER_AXIS:
        n = 0
        # Few good pixels: those that come first.
        for y in range(first, last):
            for x in range(left, right):
                if n < probes.size and mask[y, x] == 0 and np.isfinite(pixels[y, x]):
                    probes[n] = pixels[y, x]
                    n += 1
        if n == 0:
            return 0.0, 0.0
    chosen = np.sort(probes[:n])
    low, high = chosen[int(0.16 * n)], chosen[min(n - 1, int(0.84 * n))]
    scale = 0.5 * (float(high) - float(low))
    if scale <= 0.0:
        scale = 0.25 * (float(chosen[n - 1]) - float(chosen[0]))
    # A box without any noise: a thousandth of an ADU, or what a float32 can tell apart.
    least = max(1e-3, 1e-5 * abs(float(chosen[n // 2])))
    return float(chosen[n // 2]), max(scale, least)


@compiled
def _count(
    pixels: FloatImage,
    mask: MaskImage,
    edges: tuple[int, int, int, int],
    zero: float,
    per_width: float,
    places: AnyArray,
    histogram: AnyArray,
) -> int:
    """Count the pixels of a box by steps; return how many were looked at.

    Four counters take turns, since one that is raised twice at once makes the processor wait; the
    first one holds all of it in the end.
    """
    first, last, left, right = edges
    histogram[:] = 0
    bottom, top = np.float32(0.0), np.float32(LEVELS + 1)
    n = 0
    for y in range(first, last):
        values, bits = pixels[y, left:right], mask[y, left:right]
        for i in range(values.size):
            place = (values[i] - zero) * per_width + np.float32(1.0)
            # Not a number is neither above nor below, and so a bad pixel.
            is_good = (bits[i] == 0) & ((place > bottom) | (place <= bottom))
            place = place if place > bottom else bottom
            place = place if place < top else top
            places[i] = np.int32(place) if is_good else np.int32(PLACES - 1)
        i = 0
        while i + 3 < values.size:
            histogram[np.uint32(places[i])] += 1
            histogram[np.uint32(places[i + 1]) + PLACES] += 1
            histogram[np.uint32(places[i + 2]) + 2 * PLACES] += 1
            histogram[np.uint32(places[i + 3]) + 3 * PLACES] += 1
            i += 4
        while i < values.size:
            histogram[np.uint32(places[i])] += 1
            i += 1
        n += values.size
    for step in range(PLACES):
        for counter in range(1, 4):
            histogram[step] += histogram[counter * PLACES + step]
    return n


@compiled
def _accumulate(histogram: AnyArray, sums: AnyArray) -> None:
    """Write the cumulated counts, first and second moments in steps, from 0 to all LEVELS."""
    sums[:, 0] = 0
    for step in range(LEVELS):
        n = np.int64(histogram[step + 1])
        sums[0, step + 1] = sums[0, step] + n
        sums[1, step + 1] = sums[1, step] + n * step
        sums[2, step + 1] = sums[2, step] + n * step * step


@compiled
def _clipped_mode(sums: AnyArray) -> tuple[float, float, float]:
    """Return mode, median and σ of what the clipping leaves, in steps from the first one's edge."""
    low, high = 0, LEVELS
    mean = median = 0.5 * LEVELS
    spread, before = 10.0 * LEVELS, 1.0
    for _ in range(CLIP_ROUNDS):
        if abs(spread / before - 1.0) <= CONVERGED or spread < 0.1:
            break
        before = spread
        n = sums[0, high] - sums[0, low]
        if n == 0:
            return median, median, 0.0
        first = (sums[1, high] - sums[1, low]) / n
        variance = (sums[2, high] - sums[2, low]) / n - first * first
        spread = np.sqrt(variance) if variance > 0.0 else 0.0
        mean = first + 0.5
        median = _median(sums[0], low, high)
        low = max(0, int(np.floor(median - CLIP_SIGMA * spread)))
        high = min(LEVELS, int(np.ceil(median + CLIP_SIGMA * spread)))
    if spread > 0.0 and abs(mean - median) < SKEWED * spread:
        return 2.5 * median - 1.5 * mean, median, spread
    return median, median, spread


@compiled
def _median(counts: AnyArray, low: int, high: int) -> float:
    """Return the place within a step at which half of what lies between two edges is below."""
    wanted = counts[low] + 0.5 * (counts[high] - counts[low])
    left, right = low, high
    while right - left > 1:
        middle = (left + right) // 2
        if counts[middle] <= wanted:
            left = middle
        else:
            right = middle
    within = counts[left + 1] - counts[left]
    return left + (wanted - counts[left]) / within if within > 0 else float(left)
