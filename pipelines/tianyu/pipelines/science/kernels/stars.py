"""Light in circles and rings about all sources of a frame."""

import numpy as np

from tianyu.pipelines.science.annulus import LEAST_CLEAR_FRACTION, MIN_ANNULUS_PIXELS
from tianyu.pipelines.science.arrays import AnyArray, FloatArray, FloatImage, IntArray, MaskImage
from tianyu.pipelines.science.kernels.circle import circle_sum, touched
from tianyu.pipelines.science.kernels.jit import compiled
from tianyu.pipelines.science.kernels.ring import BINS, clipped_ring
from tianyu.pipelines.science.kernels.ringnoise import ring_noise
from tianyu.pipelines.science.kernels.stamping import cut_good, cut_stamp
from tianyu.pipelines.science.stamps import LEFT_OUT, UNDER_STAR

_LEFT_OUT, _UNDER_STAR = int(LEFT_OUT), int(UNDER_STAR)
_NOT_UNDER_STAR = 0xFF ^ _UNDER_STAR


@compiled
def light_of_frame(
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
        Flat indices of the ring's pixels in a stamp, and of those that may be the peak in a core.
    noise : ndarray, shape (n,)
        Scatter of a sky pixel, ADU.
    size : int
        Side of a stamp, odd.
    table : ndarray, shape (4, n)
        Written: background, noise of its pixels, their number, highest pixel.
    circles : ndarray, shape (2, n, r)
        Written: light and area.
    flags : ndarray of uint16, shape (n, r)
        Written.
    cores : ndarray of float32, shape (n, c, c)
        Written: the inner pixels of the stamps, zero where left out.
    """
    stamp, crowd = np.empty((size, size), np.float32), np.empty((size, size), np.float32)
    bits = np.empty((size, size), np.uint8)
    core_bits = np.empty(cores.shape[1:], np.uint8)
    room = _room(ring.size)
    lines = np.empty((3, cores.shape[1] + 1))
    places = ring.astype(np.uint64)
    # With so many pixels clear of stars it does not matter how many the stars cover.
    surely = max(LEAST_CLEAR_FRACTION * ring.size, MIN_ANNULUS_PIXELS)
    for k in range(x.size):
        column, row = int(np.rint(x[k])), int(np.rint(y[k]))
        _cut_without(pixels, mask, row, column, 0, stamp, bits)
        n_clear, is_crowded = _count(stamp, places), False
        if n_clear < surely:
            _cut_without(pixels, mask, row, column, _UNDER_STAR, crowd, bits)
            n_good = _count(crowd, places)
            is_crowded = n_clear < max(LEAST_CLEAR_FRACTION * n_good, MIN_ANNULUS_PIXELS)
        _background(crowd if is_crowded else stamp, places, noise[k], room, table[:, k])
        cut_stamp(pixels, mask, row, column, cores[k], core_bits)
        core_bits &= np.uint8(_NOT_UNDER_STAR)
        marked = _leave_out(cores[k], core_bits)
        table[3, k] = _peak(cores[k], disk)
        flags[k] = 0
        for r in range(radii.size):
            at_x, at_y = x[k] - column, y[k] - row
            light, area = circle_sum(cores[k], core_bits, at_x, at_y, radii[r], lines)
            circles[0, k, r], circles[1, k, r] = light, area
            if marked:
                flags[k, r] = touched(core_bits, at_x, at_y, radii[r])


@compiled
def _room(n: int) -> tuple[FloatImage, FloatImage, AnyArray, AnyArray]:
    """Return the room that rings of n pixels need."""
    floats = np.empty((2, n), np.float32)
    return floats[0], floats[1], np.empty(BINS + 3, np.int32), np.empty(n, np.int32)


@compiled
def _cut_without(
    pixels: FloatImage,
    mask: MaskImage,
    row: int,
    column: int,
    ignored: int,
    stamp: FloatImage,
    bits: MaskImage,
) -> None:
    """Cut a stamp with NaN where a pixel has a mark, but for those that are ignored."""
    (ny, nx), half = pixels.shape, stamp.shape[0] // 2
    if half <= row < ny - half and half <= column < nx - half:
        corner = (row - half) * nx + column - half
        cut_good(pixels.reshape(-1), mask.reshape(-1), corner, nx, ignored, stamp)
        return
    cut_stamp(pixels, mask, row, column, stamp, bits)
    flat, marks = stamp.reshape(-1), bits.reshape(-1)
    for i in range(marks.size):
        if marks[i] & (0xFF ^ ignored):
            flat[i] = np.float32(np.nan)


@compiled
def _count(stamp: FloatImage, ring: IntArray) -> int:
    """Return how many pixels of a ring are numbers."""
    flat, n = stamp.reshape(-1), 0
    for k in range(ring.size):
        n += 1 if flat[ring[k]] == flat[ring[k]] else 0
    return n


@compiled
def _background(
    stamp: FloatImage,
    ring: IntArray,
    noise: float,
    room: tuple[FloatImage, FloatImage, AnyArray, AnyArray],
    found: FloatArray,
) -> None:
    """Write level, noise and number of pixels of the ring, as ``annulus.local_background``."""
    values, dealt, starts, bins = room
    flat = stamp.reshape(-1)
    for k in range(ring.size):
        values[k] = flat[ring[k]]
    found[0], found[1], found[2] = 0.0, np.nan, 0.0
    mean, n = clipped_ring(values, noise, MIN_ANNULUS_PIXELS, dealt, starts, bins)
    if n:
        found[0], found[1], found[2] = mean, ring_noise(stamp, ring, dealt), n


@compiled
def _leave_out(core: FloatImage, bits: MaskImage) -> bool:
    """Put zeros where a pixel is to be left out, and tell whether any is marked."""
    flat, marks = core.reshape(-1), bits.reshape(-1)
    marked = np.uint8(0)
    for i in range(marks.size):
        marked |= marks[i]
    if marked & _LEFT_OUT:
        for i in range(marks.size):
            if marks[i] & _LEFT_OUT:
                flat[i] = np.float32(0.0)
    return marked != 0


@compiled
def _peak(core: FloatImage, disk: IntArray) -> float:
    flat, top = core.reshape(-1), -np.inf
    for k in range(disk.size):
        top = max(top, np.float64(flat[disk[k]]))
    return top


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
