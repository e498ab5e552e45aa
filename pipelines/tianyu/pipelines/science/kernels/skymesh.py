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
from tianyu.pipelines.science.kernels.probes import guess_scales

LEVELS = 256
"""Steps of the histogram."""

STEPS_PER_SIGMA = 10.0
"""Steps per σ of a sky pixel: the histogram reaches ±12.8σ, and its steps add 0.1 % to σ."""

PLACES = LEVELS + 3
"""Of a counter: below the first step, the steps, above the last one, and the bad pixels."""

COUNTED = 4 * PLACES
"""A box has four counters in turns: one place raised twice at once makes the processor wait."""

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
    histograms: AnyArray,
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
    histograms : ndarray of int32, shape (mx · COUNTED,)
        Working memory.
    level, sigma : ndarray, shape (mx,)
        Written; NaN for a box with fewer than half of its pixels good.
    """
    first, last = row_edges
    n_boxes, nx = level.size, pixels.shape[1]
    centre, scale = np.empty(n_boxes), np.empty(n_boxes)
    guess_scales(pixels, mask, row_edges, box_x, centre, scale)
    zero, per_width = np.empty(nx, np.float32), np.empty(nx, np.float32)
    counter, places = np.empty(nx, np.int32), np.empty(nx, np.int32)
    for box in range(n_boxes):
        edge, width = _steps(centre[box], scale[box])
        per_step = np.float32(1.0) / width if width > 0.0 else np.float32(0.0)
        for x in range(box * box_x, min((box + 1) * box_x, nx)):
            zero[x], per_width[x], counter[x] = edge, per_step, COUNTED * box + PLACES * (x & 3)
    histograms[:] = 0
    # Whole rows of pixels: 64 at a time cost more than twice as much.
    for y in range(first, last):
        _find_places(pixels[y], mask[y], zero, per_width, counter, places)
        _count_places(places, histograms)
    sums = np.empty((3, LEVELS + 1), np.int64)
    for box in range(n_boxes):
        edges = first, last, box * box_x, min((box + 1) * box_x, nx)
        histogram = histograms[COUNTED * box : COUNTED * (box + 1)]
        level[box], sigma[box] = _measure_box(
            pixels, mask, edges, centre[box], scale[box], histogram, sums
        )


@compiled
def _steps(centre: float, scale: float) -> tuple[float, float]:
    """Return the lower edge of the first step of a histogram, and the width of the steps."""
    width = np.float32(scale / STEPS_PER_SIGMA)
    return np.float32(centre - 0.5 * LEVELS * width), width


@compiled
def _measure_box(
    pixels: FloatImage,
    mask: MaskImage,
    edges: tuple[int, int, int, int],
    centre: float,
    scale: float,
    histogram: AnyArray,
    sums: AnyArray,
) -> tuple[float, float]:
    """Return sky and noise of a box whose pixels were counted by the steps of the probes' scale.

    The histogram is summed up over its four counters, and made again where it is far too narrow
    or too coarse.
    """
    first, last, left, right = edges
    n = (last - first) * (right - left)
    level, sigma = np.nan, np.nan
    for _ in range(RESCALINGS):
        if not scale > 0.0:
            break
        zero, width = _steps(centre, scale)
        _join_counters(histogram)
        if n - histogram[PLACES - 1] < LEAST_GOOD_FRACTION * n:
            break
        _accumulate(histogram, sums)
        mode, median, spread = _clipped_mode(sums)
        level = zero + width * mode
        sigma = width * spread
        middle = zero + width * median
        if spread > LEVELS / 8.0:
            centre, scale = middle, 4.0 * scale
        elif spread < 0.3 * STEPS_PER_SIGMA and spread > 0.0 and median > 1.0:
            centre, scale = middle, max(spread, 0.5) * width
        elif median <= 1.0 or median >= LEVELS - 1.0:
            centre, scale = middle, 4.0 * scale
        else:
            break
        _count_box(pixels, mask, edges, *_steps(centre, scale), histogram)
    return level, sigma


@compiled
def _find_places(
    values: FloatImage,
    bits: MaskImage,
    zero: FloatImage,
    per_width: FloatImage,
    counter: AnyArray,
    places: AnyArray,
) -> None:
    """Write for each pixel of a row the index at which the histograms count it.

    `counter` is where the counter of a pixel begins.
    """
    bottom, top = np.float32(0.0), np.float32(LEVELS + 1)
    for i in range(values.size):
        place = (values[i] - zero[i]) * per_width[i] + np.float32(1.0)
        # Not a number is neither above nor below, and so a bad pixel.
        is_good = (bits[i] == 0) & ((place > bottom) | (place <= bottom))
        place = place if place > bottom else bottom
        place = place if place < top else top
        places[i] = counter[i] + (np.int32(place) if is_good else np.int32(PLACES - 1))


@compiled
def _count_places(places: AnyArray, histograms: AnyArray) -> None:
    for i in range(places.size):
        histograms[np.uint32(places[i])] += np.int32(1)


@compiled
def _count_box(
    pixels: FloatImage,
    mask: MaskImage,
    edges: tuple[int, int, int, int],
    zero: float,
    width: float,
    histogram: AnyArray,
) -> None:
    """Count the pixels of one box by other steps, all in the first of its counters."""
    first, last, left, right = edges
    size = right - left
    zeros, per_widths = np.full(size, zero), np.full(size, np.float32(1.0) / width)
    counter, places = np.zeros(size, np.int32), np.empty(size, np.int32)
    histogram[:] = 0
    for y in range(first, last):
        part, bits = pixels[y, left:right], mask[y, left:right]
        _find_places(part, bits, zeros, per_widths, counter, places)
        _count_places(places, histogram)


@compiled
def _join_counters(histogram: AnyArray) -> None:
    """Sum the four counters of a box up in the first one."""
    for step in range(PLACES):
        for counter in range(1, 4):
            histogram[step] += histogram[counter * PLACES + step]


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
