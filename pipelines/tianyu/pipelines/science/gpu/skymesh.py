"""The sky in all boxes of a frame at once: one histogram per box, clipped where few numbers are.

The method, and so its result, is that of the compiled mesh (``kernels.skymesh``): sorting each box
would need no guess of its scale, but a sort of four million pixels takes a device ten times as
long as counting them. The counts of all boxes come back, 1 MB for 2048² pixels, and are clipped on
the host: a thousand boxes are less work than the hundred launches that they would take.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from tianyu.pipelines.science.arrays import BoolArray, FloatArray, FloatImage, IntArray
from tianyu.pipelines.science.gpu.namespace import ArrayNamespace, DeviceArray, to_host
from tianyu.pipelines.science.kernels.boxcounts import LEVELS, PLACES, STEPS_PER_SIGMA
from tianyu.pipelines.science.kernels.meshfilter import fill_bad_boxes, median_filtered
from tianyu.pipelines.science.kernels.probes import PROBES_PER_AXIS
from tianyu.pipelines.science.kernels.skymesh import (
    CLIP_ROUNDS,
    CLIP_SIGMA,
    CONVERGED,
    LEAST_GOOD_FRACTION,
    RESCALINGS,
    SKEWED,
)
from tianyu.pipelines.science.sky import SkyModel, mesh_boxes, no_sky

GRIDS = 4
"""Sizes of frames whose boxes are kept."""


def measure_sky(
    pixels: DeviceArray, mask: DeviceArray, box_pix: int, xp: ArrayNamespace
) -> SkyModel:
    """Measure level and noise of the sky on a mesh of boxes.

    Parameters
    ----------
    pixels : array of float32, shape (ny, nx)
        Calibrated frame, ADU.
    mask : array of uint8, shape (ny, nx)
        Pixels with any bit set are left out; so are those that are no numbers.
    box_pix : int
        Wanted side of a box, pixels.
    xp : namespace

    Raises
    ------
    UnusableDataError
        If no box has half of its pixels good, or the frame is too small for a mesh.
    """
    ny, nx = pixels.shape
    boxes = mesh_boxes((ny, nx), box_pix)
    grid = _grid((ny, nx), boxes, xp)
    level, sigma = _measure_boxes(pixels, mask, grid, xp)
    if np.isnan(level).all():
        raise no_sky(float((mask != 0).mean()), boxes)
    meshes = []
    for values in (level, sigma):
        mesh = values.reshape(grid.mesh)
        fill_bad_boxes(mesh)
        meshes.append(median_filtered(mesh).astype(np.float32))
    return SkyModel(meshes[0], meshes[1], boxes, (ny, nx))


@dataclass(frozen=True, eq=False)
class _Grid:
    """The boxes of frames of one size.

    `box` (ny, nx) is the number of each pixel's box. `probes` (2, n, p) are flat indices of the
    pixels of each box that tell the scale of its histogram, and of others a row below them.
    `n_pixels` (n,) is its size, and `mesh` is (my, mx).
    """

    mesh: tuple[int, int]
    box: DeviceArray
    probes: DeviceArray
    n_pixels: IntArray


@lru_cache(maxsize=GRIDS)
def _grid(shape: tuple[int, int], boxes: tuple[int, int], xp: ArrayNamespace) -> _Grid:
    starts = [np.arange(0, size, box) for size, box in zip(shape, boxes, strict=True)]
    ends = [np.append(s[1:], size) for s, size in zip(starts, shape, strict=True)]
    (bottom, left), (height, width) = starts, (e - s for s, e in zip(starts, ends, strict=True))
    i, j = np.arange(PROBES_PER_AXIS)[:, np.newaxis], np.arange(PROBES_PER_AXIS)
    y = bottom[:, np.newaxis] + (2 * i.T + 1) * height[:, np.newaxis] // (2 * PROBES_PER_AXIS)
    # Staggered, or all would lie in the same few columns.
    along = (2 * j * PROBES_PER_AXIS + 2 * i + 1).reshape(-1)
    x = left[:, np.newaxis] + along * width[:, np.newaxis] // (2 * PROBES_PER_AXIS**2)
    rows = np.repeat(y, PROBES_PER_AXIS, axis=1)
    below = np.minimum(rows + 1, bottom[:, np.newaxis] + height[:, np.newaxis] - 1)
    both = np.stack([rows, below])[:, :, np.newaxis, :]
    probes = (both * shape[1] + x).reshape(2, -1, PROBES_PER_AXIS**2)
    mesh = len(bottom), len(left)
    numbers = np.arange(mesh[0] * mesh[1]).reshape(mesh).astype(np.int32)
    box = np.repeat(np.repeat(numbers, height, axis=0), width, axis=1)
    return _Grid(mesh, xp.asarray(box), xp.asarray(probes), np.outer(height, width).reshape(-1))


def _measure_boxes(
    pixels: DeviceArray, mask: DeviceArray, grid: _Grid, xp: ArrayNamespace
) -> tuple[FloatArray, FloatArray]:
    """Return level and noise of every box, NaN where fewer than half of its pixels are good."""
    is_good = (mask == 0) & xp.isfinite(pixels)
    centre, scale = _probe(pixels, is_good, grid, xp)
    level, sigma = np.full((2, len(scale)), np.nan)
    waiting = np.flatnonzero(scale > 0.0)
    for _ in range(RESCALINGS):
        if not waiting.size:
            break
        width = (scale / STEPS_PER_SIGMA).astype(np.float32)
        zero = (centre - 0.5 * LEVELS * width).astype(np.float32)
        histogram = _count(pixels, is_good, grid, zero, width, xp)[waiting]
        n_good = grid.n_pixels[waiting] - histogram[:, PLACES - 1]
        enough = n_good >= LEAST_GOOD_FRACTION * grid.n_pixels[waiting]
        waiting = waiting[enough]
        mode, median, spread = clipped_modes(histogram[enough, 1 : LEVELS + 1])
        step, first = width[waiting].astype(np.float64), zero[waiting].astype(np.float64)
        level[waiting], sigma[waiting] = first + step * mode, step * spread
        # A histogram that is far too narrow or too coarse is made again.
        is_coarse = (spread < 0.3 * STEPS_PER_SIGMA) & (spread > 0.0) & (median > 1.0)
        is_off = (median <= 1.0) | (median >= LEVELS - 1.0)
        is_narrow = (spread > LEVELS / 8.0) | (is_off & ~is_coarse)
        factor = np.where(is_narrow, 4.0, np.maximum(spread, 0.5) / STEPS_PER_SIGMA)
        centre[waiting], scale[waiting] = first + step * median, factor * scale[waiting]
        waiting = waiting[is_narrow | is_coarse]
    return level, sigma


def _probe(
    pixels: DeviceArray, is_good: DeviceArray, grid: _Grid, xp: ArrayNamespace
) -> tuple[FloatArray, FloatArray]:
    """Return median and half the width of the central 68 % of a few good pixels of every box.

    Few of them are good where most of the box is bad, or every other row: then those of the row
    below are taken. Where none of these is good the box has no scale, 0.
    """
    at = grid.probes
    values = xp.where(is_good.reshape(-1)[at], pixels.reshape(-1)[at], xp.float32(xp.nan))
    probes, others = np.sort(to_host(values).astype(np.float64), axis=2)
    is_poor = np.count_nonzero(~np.isnan(probes), axis=1) < PROBES_PER_AXIS
    chosen = np.where(is_poor[:, np.newaxis], others, probes)
    n = np.count_nonzero(~np.isnan(chosen), axis=1)
    last, box = np.maximum(n - 1, 0), np.arange(len(n))

    def ranked(rank: IntArray) -> FloatArray:
        values: FloatArray = chosen[box, np.minimum(rank, last)]
        return values

    centre = ranked(n // 2)
    scale = 0.5 * (ranked((0.84 * n).astype(np.int64)) - ranked((0.16 * n).astype(np.int64)))
    scale = np.where(scale > 0.0, scale, 0.25 * (ranked(last) - ranked(np.zeros_like(n))))
    # A box without any noise: a thousandth of an ADU, or what a float32 can tell apart.
    scale = np.maximum(scale, np.maximum(1e-3, 1e-5 * np.abs(centre)))
    return np.where(n > 0, centre, 0.0), np.where(n > 0, scale, 0.0)


def _count(
    pixels: DeviceArray,
    is_good: DeviceArray,
    grid: _Grid,
    zero: FloatImage,
    width: FloatImage,
    xp: ArrayNamespace,
) -> IntArray:
    """Count the pixels of every box by steps, shape (n, PLACES).

    The first place is for what lies below the steps, then these, one for what lies above, and the
    last for pixels that are not good.
    """
    # A box that nobody asks about any more may have no scale.
    per_width = (np.float32(1.0) / np.where(width > 0, width, np.float32(1.0))).astype(np.float32)
    place = (pixels - xp.asarray(zero)[grid.box]) * xp.asarray(per_width)[grid.box] + 1.0
    place = xp.where(is_good, xp.clip(place, 0.0, LEVELS + 1.0), PLACES - 1.0)
    flat = (grid.box * PLACES + place.astype(xp.int32)).reshape(-1)
    counts = xp.bincount(flat, minlength=len(zero) * PLACES)
    return to_host(counts).reshape(-1, PLACES)


def clipped_modes(histograms: IntArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Clip histograms at ±3σ about their medians until they stay, and tell where their modes are.

    Parameters
    ----------
    histograms : ndarray of int, shape (n, LEVELS)

    Returns
    -------
    mode, median, spread : ndarray, shape (n,)
        Source Extractor's mode, the median and σ of what is left, in steps from the edge of the
        first one.

    Examples
    --------
    >>> steps = np.arange(LEVELS) + 0.5
    >>> normal = np.rint(1e6 * np.exp(-0.5 * ((steps - 130.0) / 10.0) ** 2)).astype(np.int64)
    >>> [np.round(found, 1).tolist() for found in clipped_modes(normal[np.newaxis])]
    [[130.0], [130.0], [9.9]]
    """
    n_boxes = len(histograms)
    step = np.arange(LEVELS)
    sums = np.zeros((3, n_boxes, LEVELS + 1), np.int64)
    for power in range(3):
        np.cumsum(histograms * step**power, axis=1, out=sums[power, :, 1:])
    low, high = np.zeros(n_boxes, np.int64), np.full(n_boxes, LEVELS)
    mean, median = np.full((2, n_boxes), 0.5 * LEVELS)
    spread, before = np.full(n_boxes, 10.0 * LEVELS), np.ones(n_boxes)
    for _ in range(CLIP_ROUNDS):
        going = np.flatnonzero((abs(spread / before - 1.0) > CONVERGED) & (spread >= 0.1))
        if not going.size:
            break
        before[going] = spread[going]
        first, last = low[going], high[going]
        n, one, two = (s[going, last] - s[going, first] for s in sums)
        some = n > 0
        average = one / np.maximum(n, 1)
        variance = two / np.maximum(n, 1) - average**2
        spread[going] = np.where(some, np.sqrt(np.maximum(variance, 0.0)), 0.0)
        middle = np.where(some, _medians(sums[0][going], first, last), median[going])
        mean[going], median[going] = np.where(some, average + 0.5, middle), middle
        reach = CLIP_SIGMA * spread[going]
        low[going] = np.maximum(np.floor(middle - reach), 0).astype(np.int64)
        high[going] = np.minimum(np.ceil(middle + reach), LEVELS).astype(np.int64)
    return _modes(mean, median, spread), median, spread


def _modes(mean: FloatArray, median: FloatArray, spread: FloatArray) -> FloatArray:
    """Return 2.5·median − 1.5·mean, or the median where the two are far apart."""
    is_even: BoolArray = (spread > 0.0) & (abs(mean - median) < SKEWED * spread)
    modes: FloatArray = np.where(is_even, 2.5 * median - 1.5 * mean, median)
    return modes


def _medians(counts: IntArray, low: IntArray, high: IntArray) -> FloatArray:
    """Return the places within a step at which half of what lies between two edges is below."""
    box = np.arange(len(counts))
    wanted = counts[box, low] + 0.5 * (counts[box, high] - counts[box, low])
    left = np.count_nonzero(counts <= wanted[:, np.newaxis], axis=1) - 1
    left = np.clip(left, low, np.maximum(high - 1, low))
    within = counts[box, left + 1] - counts[box, left]
    part = np.where(within > 0, (wanted - counts[box, left]) / np.maximum(within, 1), 0.0)
    places: FloatArray = left + part
    return places
