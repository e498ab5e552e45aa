"""Light in circles and rings about all sources of a frame, from calibrated or from raw pixels."""

import numpy as np

from tianyu.pipelines.science.annulus import CLIPPED_NORMAL_RMS, MIN_ANNULUS_PIXELS
from tianyu.pipelines.science.arrays import AnyArray, FloatArray, FloatImage, IntArray, MaskImage
from tianyu.pipelines.science.kernels.circle import circle_sum, touched
from tianyu.pipelines.science.kernels.jit import compiled
from tianyu.pipelines.science.kernels.ring import BINS, clipped_ring
from tianyu.pipelines.science.kernels.stamping import cut_calibrated, cut_raw, sky_stamp
from tianyu.pipelines.science.stamps import LEFT_OUT

_LEFT_OUT = int(LEFT_OUT)


@compiled
def light_of_calibrated(
    pixels: FloatImage,
    mask: MaskImage,
    x: FloatArray,
    y: FloatArray,
    radii: FloatArray,
    ring: IntArray,
    disk: IntArray,
    noise: FloatArray,
    size: int,
    table: FloatArray,
    circles: FloatArray,
    flags: AnyArray,
    cores: FloatImage,
) -> None:
    """Measure sources on a calibrated frame.

    Parameters
    ----------
    pixels, mask : ndarray of float32 and of uint8, shape (ny, nx)
        Sky-subtracted frame.
    x, y : ndarray, shape (n,)
        Positions on the frame, pixels.
    radii : ndarray, shape (r,)
        Of the circles, pixels.
    ring, disk : ndarray of int64
        Flat indices of the ring's pixels in a stamp, and of the peak's in a core.
    noise : ndarray, shape (n,)
        Scatter of a sky pixel, ADU.
    size : int
        Side of a stamp, odd.
    table : ndarray, shape (4, n)
        Written: background, its rms, number of its pixels, highest pixel.
    circles : ndarray, shape (2, n, r)
        Written: light and area.
    flags : ndarray of uint16, shape (n, r)
        Written.
    cores : ndarray of float32, shape (n, c, c)
        Written: the inner pixels of the stamps, zero where left out.
    """
    stamp, bits = np.empty((size, size), np.float32), np.empty((size, size), np.uint8)
    core_bits = np.empty(cores.shape[1:], np.uint8)
    room = _room(ring.size)
    lines = np.empty((3, cores.shape[1] + 1))
    for k in range(x.size):
        column, row = int(np.rint(x[k])), int(np.rint(y[k]))
        cut_calibrated(pixels, mask, row, column, stamp, bits)
        _background(stamp, bits, ring, noise[k], room, table[:, k])
        _core(stamp, bits, cores[k], core_bits)
        table[3, k] = _peak(cores[k], disk)
        for r in range(radii.size):
            light, area = circle_sum(
                cores[k], core_bits, x[k] - column, y[k] - row, radii[r], lines
            )
            circles[0, k, r], circles[1, k, r] = light, area
        _flag(core_bits, x[k] - column, y[k] - row, radii, flags[k])


@compiled
def light_of_raw(
    raw: AnyArray,
    overscan: FloatImage,
    offset: FloatImage,
    response: FloatImage,
    fixed_mask: MaskImage,
    saturation: int,
    saturated_bit: int,
    pattern: FloatImage,
    cubics: FloatImage,
    box: int,
    places: FloatImage,
    x: FloatArray,
    y: FloatArray,
    radii: FloatArray,
    ring: IntArray,
    disk: IntArray,
    noise: FloatArray,
    size: int,
    table: FloatArray,
    circles: FloatArray,
    flags: AnyArray,
    cores: FloatImage,
) -> None:
    """Measure sources on a raw frame, of which only the pixels about them are calibrated.

    Parameters are those of :func:`~.stamping.cut_raw`, :func:`~.stamping.sky_stamp` and
    :func:`light_of_calibrated`.
    """
    stamp, bits = np.empty((size, size), np.float32), np.empty((size, size), np.uint8)
    sky = np.zeros((size, size), np.float32)
    core_bits = np.empty(cores.shape[1:], np.uint8)
    room = _room(ring.size)
    lines = np.empty((3, cores.shape[1] + 1))
    for k in range(x.size):
        column, row = int(np.rint(x[k])), int(np.rint(y[k]))
        sky_stamp(cubics, box, places, row, column, sky)
        cut_raw(
            raw, overscan, offset, response, fixed_mask, saturation, saturated_bit, pattern, sky,
            row, column, stamp, bits,
        )  # fmt: skip
        _background(stamp, bits, ring, noise[k], room, table[:, k])
        _core(stamp, bits, cores[k], core_bits)
        table[3, k] = _peak(cores[k], disk)
        for r in range(radii.size):
            light, area = circle_sum(
                cores[k], core_bits, x[k] - column, y[k] - row, radii[r], lines
            )
            circles[0, k, r], circles[1, k, r] = light, area
        _flag(core_bits, x[k] - column, y[k] - row, radii, flags[k])


@compiled
def _room(n: int) -> tuple[FloatImage, FloatImage, AnyArray]:
    """Return the room that rings of n pixels need."""
    return np.empty(n, np.float32), np.empty(n, np.float32), np.empty(BINS + 2, np.int32)


@compiled
def _background(
    stamp: FloatImage,
    bits: MaskImage,
    ring: IntArray,
    noise: float,
    room: tuple[FloatImage, FloatImage, AnyArray],
    found: FloatArray,
) -> None:
    """Write level, scatter and number of pixels of the ring, as ``annulus.local_background``."""
    values, dealt, starts = room
    flat, marks = stamp.reshape(-1), bits.reshape(-1)
    n = 0
    for k in range(ring.size):
        place = np.uint64(ring[k])
        values[n] = flat[place]
        n += 1 if marks[place] == 0 else 0
    found[0], found[1], found[2] = 0.0, np.nan, 0.0
    if n >= MIN_ANNULUS_PIXELS:
        mean, rms, n_kept = clipped_ring(values, n, noise, dealt, starts)
        found[0], found[1], found[2] = mean, rms / CLIPPED_NORMAL_RMS, n_kept


@compiled
def _core(stamp: FloatImage, bits: MaskImage, core: FloatImage, core_bits: MaskImage) -> None:
    """Copy the inner pixels of a stamp, zero where they are left out."""
    margin = (stamp.shape[0] - core.shape[0]) // 2
    for j in range(core.shape[0]):
        for i in range(core.shape[0]):
            mark = bits[margin + j, margin + i]
            core_bits[j, i] = mark
            core[j, i] = stamp[margin + j, margin + i] if mark & _LEFT_OUT == 0 else np.float32(0)


@compiled
def _peak(core: FloatImage, disk: IntArray) -> float:
    flat, top = core.reshape(-1), -np.inf
    for k in range(disk.size):
        top = max(top, np.float64(flat[disk[k]]))
    return top


@compiled
def _flag(
    bits: MaskImage, x: float, y: float, radii: FloatArray, flags: AnyArray
) -> None:
    flags[:] = 0
    any_marked = 0
    for j in range(bits.shape[0]):
        for i in range(bits.shape[1]):
            any_marked |= int(bits[j, i])
    if any_marked:
        for r in range(radii.size):
            flags[r] = touched(bits, x, y, radii[r])


@compiled
def window_steps(
    cores: FloatImage,
    background: FloatArray,
    x: FloatArray,
    y: FloatArray,
    sigma: float,
    reach: float,
    rounds: int,
) -> FloatArray:
    """Return the steps to the windowed centroids: ``centroids.windowed_steps``.

    Parameters
    ----------
    cores : ndarray of float32, shape (n, c, c)
        Pixels about the sources.
    background : ndarray, shape (n,)
        To be taken off them.
    x, y : ndarray, shape (n,)
        Positions, from the middle of the cores, pixels.
    sigma : float
        Width of the window, pixels.
    reach : float
        Steps longer than this become zero, pixels.
    rounds : int

    Returns
    -------
    ndarray, shape (2, n)
        In x and in y.
    """
    n, size = x.size, cores.shape[1]
    steps = np.zeros((2, n))
    window_x, window_y = np.empty((2, size)), np.empty((2, size))
    for k in range(n):
        level = np.float32(background[k])
        at_x, at_y = x[k], y[k]
        for _ in range(rounds):
            for i in range(size):
                from_x, from_y = i - size // 2 - at_x, i - size // 2 - at_y
                window_x[0, i] = np.exp(-0.5 * (from_x / sigma) ** 2)
                window_y[0, i] = np.exp(-0.5 * (from_y / sigma) ** 2)
                window_x[1, i], window_y[1, i] = window_x[0, i] * from_x, window_y[0, i] * from_y
            total, along_x, along_y = 0.0, 0.0, 0.0
            for j in range(size):
                light, moment = 0.0, 0.0
                for i in range(size):
                    value = np.float64(cores[k, j, i] - level)
                    light += value * window_x[0, i]
                    moment += value * window_x[1, i]
                total += light * window_y[0, j]
                along_x += moment * window_y[0, j]
                along_y += light * window_y[1, j]
            if not total > 0.0:
                at_x = np.nan
                break
            # Under a window as wide as the star, the first moment is half the distance.
            at_x += 2.0 * along_x / total
            at_y += 2.0 * along_y / total
        if np.hypot(at_x - x[k], at_y - y[k]) <= reach:
            steps[0, k], steps[1, k] = at_x - x[k], at_y - y[k]
    return steps
