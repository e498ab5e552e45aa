"""The pixels of the ring about one source, row by row, and which of them stars cover."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from tianyu.pipelines.science.annulus import NOISE_STEP
from tianyu.pipelines.science.arrays import FloatImage, IntArray, MaskImage
from tianyu.pipelines.science.kernels.jit import compiled
from tianyu.pipelines.science.kernels.selection import LANES
from tianyu.pipelines.science.stamps import pixel_distance

_BLOCK = 32
"""Pixels that are copied together."""


@dataclass(frozen=True, eq=False)
class RingLayout:
    """Where the pixels of a ring stand in a row of m numbers, m a multiple of 2 ``LANES``.

    Every second pixel of the ring stands at an even place: those whose differences tell the noise.

    Attributes
    ----------
    hole_pix : float
        No pixel is nearer to the middle.
    spans : ndarray of int64, shape (s, 4)
        Pieces of the rows of the ring, each with one pixel more on either side: row and column of
        the first pixel from the middle of the ring, its place, and how many there are.
    is_ring : ndarray of uint8, shape (m,)
        1 for pixels that belong to the ring.
    is_noise : ndarray of uint8, shape (m / 2,)
        1 for the pixels, at every second place, whose differences tell the noise.
    """

    hole_pix: float
    spans: IntArray
    is_ring: MaskImage
    is_noise: MaskImage

    @property
    def arguments(self) -> tuple[float, IntArray, MaskImage, MaskImage]:
        """The kernels' arguments that describe a ring."""
        return self.hole_pix, self.spans, self.is_ring, self.is_noise


@lru_cache(maxsize=64)
def ring_layout(annulus_pix: tuple[float, float], half: int) -> RingLayout:
    """Lay out a ring, as :func:`~tianyu.pipelines.science.annulus.local_background` takes it.

    Parameters
    ----------
    annulus_pix : (float, float)
        Inner and outer radius, pixels.
    half : int
        More than the outer radius.

    Examples
    --------
    >>> layout = ring_layout((1.0, 1.0), 2)
    >>> layout.spans.tolist()
    [[-1, -1, 1, 3], [0, -2, 4, 3], [0, 0, 7, 3], [1, -1, 10, 3]]
    >>> np.flatnonzero(layout.is_ring).tolist(), np.flatnonzero(layout.is_noise).tolist()
    ([2, 5, 8, 11], [1, 4])
    """
    distance = pixel_distance(2 * half + 1)
    inside = (distance >= annulus_pix[0]) & (distance <= annulus_pix[1])
    edges = np.diff(np.pad(inside, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, first = np.nonzero(edges == 1)
    _, end = np.nonzero(edges == -1)
    length = end - first + 2
    start = _places(length)
    spans = np.stack([rows - half, first - 1 - half, start, length], axis=1).astype(np.int64)
    size = -(-(int(start[-1] + length[-1]) + _BLOCK) // (2 * LANES)) * 2 * LANES
    is_ring = np.zeros(size, np.uint8)
    place = np.concatenate(
        [np.arange(s + 1, s + n - 1) for s, n in zip(start, length, strict=True)]
    )
    is_ring[place] = 1
    is_noise = is_ring[::NOISE_STEP].copy()
    for array in (spans, is_ring, is_noise):
        array.setflags(write=False)
    return RingLayout(max(annulus_pix[0] - 1.0, 0.0), spans, is_ring, is_noise)


def _places(lengths: IntArray) -> IntArray:
    """Return where pieces start, one after the other: every second pixel at an even place."""
    places, end, n_ring = [], 0, 0
    for length in lengths.tolist():
        places.append(end + (end + n_ring + 1) % NOISE_STEP)
        end, n_ring = places[-1] + length, n_ring + length - 2
    return np.array(places)


@compiled
def cut_ring(
    pixels: FloatImage,
    mask: MaskImage,
    slots: int,
    ny: int,
    row: int,
    column: int,
    ignored: int,
    spans: IntArray,
    ring: FloatImage,
) -> None:
    """Copy the pixels of a ring, NaN for those that are masked, infinite or off the frame.

    Parameters
    ----------
    pixels, mask, slots, ny
        As of :func:`~.stars.light_of_frame`.
    row, column : int
        Middle of the ring.
    ignored : int
        Bits of the mask that do no harm.
    spans : ndarray of int64, shape (s, 4)
        Of :class:`RingLayout`.
    ring : ndarray of float32, shape (m,)
        Written, but for what lies beyond the spans.
    """
    nx = pixels.shape[1]
    values, marks = pixels.reshape(-1), mask.reshape(-1)
    harmful, nan = np.uint8(0xFF ^ ignored), np.float32(np.nan)
    last = spans.shape[0] - 1
    # The first and the last row of a ring are the farthest, and it is as wide as it is high.
    reach = max(-spans[0, 0], spans[last, 0]) + 1
    # One row more, for blocks that end beyond the last piece.
    whole = reach <= row < ny - reach - 1 and reach <= column < nx - reach and nx >= _BLOCK
    first = row + spans[0, 0]
    # Of the slot of a row: how much less it is than the row.
    turn = first - first % slots
    for s in range(spans.shape[0]):
        y, x, place, n = row + spans[s, 0], column + spans[s, 1], spans[s, 2], spans[s, 3]
        if whole:
            slot = y - turn if y - turn < slots else y - turn - slots
            # In blocks of one size, which fill the processor's vectors: what is written beyond the
            # end of a piece is overwritten by the next one.
            start, end = slot * nx + x, place + n
            while place < end:
                these, bits = values[start : start + _BLOCK], marks[start : start + _BLOCK]
                to = ring[place : place + _BLOCK]
                for k in range(_BLOCK):
                    good = ((bits[k] & harmful) == 0) & (abs(these[k]) < np.float32(np.inf))
                    to[k] = these[k] if good else nan
                start += _BLOCK
                place += _BLOCK
            continue
        slot = y % slots
        for i in range(n):
            at = x + i
            ring[place + i] = nan
            if 0 <= y < ny and 0 <= at < nx and marks[slot * nx + at] & harmful == 0:
                value = values[slot * nx + at]
                ring[place + i] = value if abs(value) < np.inf else nan


@compiled
def strike_out(
    spans: IntArray, ring: FloatImage, row: int, column: int, x: float, y: float, radius: float
) -> None:
    """Put NaN for the pixels of a ring that the disk of a star covers.

    Parameters
    ----------
    spans, ring, row, column
        As of :func:`cut_ring`.
    x, y : float
        Star, pixels.
    radius : float
        Pixels whose centres lie within it are covered.
    """
    for s in range(spans.shape[0]):
        dy = row + spans[s, 0] - y
        if abs(dy) > radius:
            continue
        first, n = column + spans[s, 1], spans[s, 3]
        # A pixel too many at both ends: each is looked at as the reference does.
        chord = math.sqrt(max(radius * radius - dy * dy, 0.0)) + 1.0
        left = max(first, math.ceil(x - chord))
        right = min(first + n, math.floor(x + chord) + 1)
        for k in range(left, right):
            if dy * dy + (k - x) * (k - x) <= radius * radius:
                ring[spans[s, 2] + k - first] = np.float32(np.nan)


@compiled
def spread_ring(
    ring: FloatImage,
    is_ring: MaskImage,
    is_noise: MaskImage,
    values: FloatImage,
    sizes: FloatImage,
) -> None:
    """Write the values of a ring and the sizes of its second differences, infinite where none is.

    Parameters
    ----------
    ring : ndarray of float32, shape (m,)
        Of :func:`cut_ring`.
    is_ring, is_noise : ndarray of uint8, shape (m,) and (m / 2,)
        Of :class:`RingLayout`.
    values, sizes : ndarray of float32, shape (m,) and (m / 2,)
        Written.
    """
    infinite = np.float32(np.inf)
    for i in range(ring.size):
        value = ring[i]
        values[i] = value if (value == value) & (is_ring[i] != 0) else infinite
    sizes[0] = infinite
    # Unsigned, or every index would be looked at whether it counts from the end.
    for i in range(np.uint64(1), np.uint64(sizes.size)):
        at = np.uint64(2) * i
        around = ring[at - np.uint64(1)] + ring[at + np.uint64(1)]
        size = abs(around - np.float32(2.0) * ring[at])
        sizes[i] = size if (size == size) & (is_noise[i] != 0) else infinite
