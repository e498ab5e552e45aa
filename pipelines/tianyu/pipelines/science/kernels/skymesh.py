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

from tianyu.pipelines.science.arrays import AnyArray, BoolArray, FloatArray, FloatImage, MaskImage
from tianyu.pipelines.science.kernels.boxcounts import (
    COUNTED,
    LEVELS,
    PLACES,
    STEPS_PER_SIGMA,
    count_box,
    count_places,
    find_places,
    join_counters,
    lay_out,
    steps_about,
)
from tianyu.pipelines.science.kernels.calibration import HowToCalibrate, calibrate_row, row_room
from tianyu.pipelines.science.kernels.jit import compiled
from tianyu.pipelines.science.kernels.prefetch import ROWS_AHEAD
from tianyu.pipelines.science.kernels.probes import (
    PROBES_PER_AXIS,
    gather_probes,
    guess_scales,
    probe_row,
)

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
def calibrate_and_measure(
    raw: AnyArray,
    overscan: FloatImage,
    offset: FloatImage,
    response: FloatImage,
    fixed_mask: MaskImage,
    saturation: int,
    saturated_bit: int,
    pixels: FloatImage,
    mask: MaskImage,
    box: tuple[int, int],
    level: FloatArray,
    sigma: FloatArray,
) -> None:
    """Calibrate a frame, and measure its sky meanwhile.

    Each row of pixels is counted as soon as it is calibrated: a row of boxes does not fit the
    nearer cache.

    Parameters
    ----------
    raw, overscan, offset, response, fixed_mask, saturation, saturated_bit, pixels, mask
        As of :func:`~.calibration.calibrate_row`. Pixels with any bit set are not measured, nor
        are those that are not finite.
    box : tuple of int
        Height and width of a box; the last ones of a row and a column may be smaller.
    level, sigma : ndarray, shape (my, mx)
        Written; NaN for a box with fewer than half of its pixels good.
    """
    (ny, nx), (box_y, box_x) = raw.shape, box
    n_boxes = level.shape[1]
    how = overscan, offset, response, fixed_mask, saturation, saturated_bit, row_room(nx)
    ahead = (
        raw.reshape(-1),
        offset.reshape(-1),
        response.reshape(-1),
        fixed_mask.reshape(-1),
        pixels.reshape(-1),
        mask.reshape(-1),
    )
    is_done = np.zeros(box_y, np.bool_)
    centre, scale = np.empty(n_boxes), np.empty(n_boxes)
    zero, per_width = np.empty(nx, np.float32), np.empty(nx, np.float32)
    counter, places = np.empty(nx, np.uint16), np.empty(nx, np.uint16)
    histograms, sums = np.empty(COUNTED * n_boxes, np.int32), np.empty((3, LEVELS + 1), np.int64)
    for k in range(level.shape[0]):
        first, last = k * box_y, min(ny, (k + 1) * box_y)
        is_done[:] = False
        _probe(raw, (first, last), how, pixels, mask, box_x, is_done, centre, scale)
        lay_out(centre, scale, box_x, zero, per_width, counter)
        histograms[:] = 0
        for y in range(first, last):
            if not is_done[y - first]:
                calibrate_row(raw, y, how, pixels, mask)
            # Whole rows of pixels: 64 at a time cost more than twice as much.
            find_places(pixels[y], mask[y], zero, per_width, counter, places)
            count_places(places, box_x, histograms, ahead, (y + ROWS_AHEAD) * nx)
        for i in range(n_boxes):
            edges = first, last, i * box_x, min((i + 1) * box_x, nx)
            histogram = histograms[COUNTED * i : COUNTED * (i + 1)]
            level[k, i], sigma[k, i] = _measure_box(
                pixels, mask, edges, centre[i], scale[i], histogram, sums
            )


@compiled
def _probe(
    raw: AnyArray,
    row_edges: tuple[int, int],
    how: HowToCalibrate,
    pixels: FloatImage,
    mask: MaskImage,
    box_x: int,
    is_done: BoolArray,
    centre: FloatArray,
    scale: FloatArray,
) -> None:
    """Guess the sky of a row of boxes from a few rows of pixels, which are calibrated first."""
    first, last = row_edges
    for i in range(PROBES_PER_AXIS):
        y = probe_row(i, first, last)
        if not is_done[y - first]:
            calibrate_row(raw, y, how, pixels, mask)
            is_done[y - first] = True
    probes = np.empty((PROBES_PER_AXIS * PROBES_PER_AXIS, centre.size), np.float32)
    n_probes = np.empty(centre.size, np.int32)
    if not gather_probes(pixels, mask, row_edges, box_x, probes, n_probes):
        # Others are needed for a guess.
        for y in range(first, last):
            if not is_done[y - first]:
                calibrate_row(raw, y, how, pixels, mask)
                is_done[y - first] = True
    guess_scales(pixels, mask, row_edges, box_x, probes, n_probes, centre, scale)


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
        zero, width = steps_about(centre, scale)
        join_counters(histogram)
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
        count_box(pixels, mask, edges, *steps_about(centre, scale), histogram)
    return level, sigma


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
