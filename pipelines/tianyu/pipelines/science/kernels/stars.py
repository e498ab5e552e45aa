"""Light in circles and rings about all sources of a frame."""

import math

import numpy as np

from tianyu.pipelines.science.annulus import LEAST_CLEAR_FRACTION, MIN_ANNULUS_PIXELS
from tianyu.pipelines.science.arrays import AnyArray, FloatArray, FloatImage, IntArray, MaskImage
from tianyu.pipelines.science.kernels.calibration import (
    RawRows,
    RowRoom,
    calibrate_known_row,
    row_room,
)
from tianyu.pipelines.science.kernels.circle import circle_sums, touched
from tianyu.pipelines.science.kernels.jit import compiled
from tianyu.pipelines.science.kernels.ring import clipped_ring
from tianyu.pipelines.science.kernels.ringnoise import ring_noise
from tianyu.pipelines.science.kernels.ringpixels import cut_ring, spread_ring
from tianyu.pipelines.science.kernels.selection import LANES, ZONE, count_below
from tianyu.pipelines.science.kernels.stamping import cut_core, find_usable
from tianyu.pipelines.science.kernels.starcells import strike_out_stars
from tianyu.pipelines.science.stamps import UNDER_STAR

_UNDER_STAR = int(UNDER_STAR)


@compiled
def light_of_frame(
    raw: RawRows,
    pixels: FloatImage,
    mask: MaskImage,
    slots: int,
    there: IntArray,
    x: FloatArray,
    y: FloatArray,
    radii: FloatArray,
    disk: IntArray,
    noise: FloatArray,
    hole_pix: float,
    spans: IntArray,
    is_ring: MaskImage,
    is_noise: MaskImage,
    disks: FloatArray,
    starts: IntArray,
    largest: float,
    table: FloatArray,
    circles: FloatArray,
    flags: AnyArray,
    cores: FloatImage,
) -> None:
    """Measure sources on a calibrated frame, or on one that is calibrated as they come.

    Row y of the frame is kept in row y mod `slots`. A few dozen rows stay in the processor's cache,
    which a frame does not; so rows are calibrated when the first source needs them, and forgotten.

    Parameters
    ----------
    raw : RawRows
        Of rows that are still to be calibrated; no counts where all are there.
    pixels, mask : ndarray of float32 and of uint8, shape (≥ slots, nx)
        Rows of the sky-subtracted frame, C-contiguous; written where there are raw rows.
    slots : int
        Rows that are kept: all, or as many as a source needs (:func:`rows_of_source`).
    there : ndarray of int64, shape (2,)
        The first row of the frame that is there and the one after the last; written.
    x, y : ndarray, shape (n,)
        Positions on the frame, pixels; raw rows are calibrated once if they come in their order.
    radii : ndarray, shape (r,)
        Of the circles, pixels.
    disk : ndarray of int64
        Flat indices of the pixels of a core that may be the peak.
    noise : ndarray, shape (n,)
        Scatter of a sky pixel, ADU.
    hole_pix, spans, is_ring, is_noise
        Of :class:`~.ringpixels.RingLayout`.
    disks, starts, largest
        Of :class:`~.starcells.StarCells`: pixels in the disks count as marked UNDER_STAR.
    table : ndarray, shape (4, n)
        Written: background, noise of its pixels, their number, highest pixel.
    circles : ndarray, shape (2, n, r)
        Written: light and area.
    flags : ndarray of uint16, shape (n, r)
        Written.
    cores : ndarray of float32, shape (n, c, c)
        Written: the inner pixels, zero where left out.
    """
    ny = raw.counts.shape[0] if raw.counts.size else slots
    reach, room = rows_of_source(spans) // 2, row_room(raw.counts.shape[1])
    side = cores.shape[1]
    core_bits, usable = np.empty((side, side), np.uint8), np.empty((side, side), np.float32)
    ring = np.zeros(is_ring.size, np.float32)
    values, sizes = np.empty(is_ring.size, np.float32), np.empty(is_noise.size, np.float32)
    marks, window = np.empty(is_ring.size, np.uint8), np.empty(is_ring.size + 1, np.float32)
    places = np.empty((3, 3), np.int64)
    zone, held, sums = np.empty(ZONE + 1, np.float32), np.zeros(2, np.int64), np.empty(LANES)
    known = np.zeros(2, np.float32)
    lines, running = np.empty((4, side + 1)), np.empty((side + 1, side))
    infinite = np.float32(np.inf)
    n_ring = 0
    for i in range(is_ring.size):
        n_ring += is_ring[i]
    # With so many pixels clear of stars it does not matter how many the stars cover.
    surely = max(LEAST_CLEAR_FRACTION * n_ring, MIN_ANNULUS_PIXELS)
    for k in range(x.size):
        column, row = int(np.rint(x[k])), int(np.rint(y[k]))
        if raw.counts.size:
            _fetch_rows(raw, row - reach, row + reach + 1, room, pixels, mask, slots, there)
        cut_ring(pixels, mask, slots, ny, row, column, 0, spans, ring)
        strike_out_stars(disks, starts, largest, row, column, hole_pix, spans, ring)
        spread_ring(ring, is_ring, is_noise, values, sizes)
        n, _ = count_below(values, infinite, infinite)
        if n < surely:
            n_clear = n
            cut_ring(pixels, mask, slots, ny, row, column, _UNDER_STAR, spans, ring)
            spread_ring(ring, is_ring, is_noise, values, sizes)
            n, _ = count_below(values, infinite, infinite)
            if n_clear >= max(LEAST_CLEAR_FRACTION * n, MIN_ANNULUS_PIXELS):
                n = n_clear
                cut_ring(pixels, mask, slots, ny, row, column, 0, spans, ring)
                strike_out_stars(disks, starts, largest, row, column, hole_pix, spans, ring)
                spread_ring(ring, is_ring, is_noise, values, sizes)
        table[0, k], table[1, k], table[2, k] = 0.0, np.nan, 0.0
        if n >= MIN_ANNULUS_PIXELS:
            table[0, k], table[2, k] = clipped_ring(
                values, n, noise[k], known, marks, window, places, zone, held, sums
            )
            n, _ = count_below(sizes, infinite, infinite)
            table[1, k] = ring_noise(sizes, n, noise[k], marks, zone, held, sums)
        core = cores[k]
        marked = cut_core(pixels, mask, slots, ny, row, column, _UNDER_STAR, core, core_bits)
        table[3, k] = _peak(core, disk)
        at_x, at_y = x[k] - column, y[k] - row
        circle_sums(core, radii, at_x, at_y, running, lines, circles[0, k])
        for r in range(radii.size):
            circles[1, k, r], flags[k, r] = math.pi * radii[r] * radii[r], 0
        if marked:
            for r in range(radii.size):
                flags[k, r] = touched(core_bits, at_x, at_y, radii[r])
            if find_usable(core_bits, usable):
                circle_sums(usable, radii, at_x, at_y, running, lines, circles[1, k])


@compiled
def rows_of_source(spans: IntArray) -> int:
    """Return how many rows hold the ring of a source, by its layout, and so its circles."""
    return 2 * max(-spans[0, 0], spans[spans.shape[0] - 1, 0]) + 1


@compiled
def _fetch_rows(
    raw: RawRows,
    first: int,
    end: int,
    room: RowRoom,
    pixels: FloatImage,
    mask: MaskImage,
    slots: int,
    there: IntArray,
) -> None:
    """Calibrate the rows from first to before end that are not there, and forget older ones."""
    first, end = max(first, 0), min(end, raw.counts.shape[0])
    if not there[0] <= first <= there[1]:
        there[:] = first
    for y in range(there[1], end):
        slot = y % slots
        calibrate_known_row(raw, y, room, pixels[slot], mask[slot])
    there[1] = max(there[1], end)
    there[0] = max(there[0], there[1] - slots)


@compiled
def _peak(core: FloatImage, disk: IntArray) -> float:
    flat, top = core.reshape(-1), -np.inf
    for k in range(disk.size):
        top = max(top, np.float64(flat[disk[k]]))
    return top
