"""Taking the sky off a frame and finding its maxima, while its rows are in the cache."""

import numpy as np

from tianyu.pipelines.science.arrays import AnyArray, FloatImage, IntArray, MaskImage
from tianyu.pipelines.science.kernels.jit import compiled
from tianyu.pipelines.science.kernels.prefetch import ROWS_AHEAD, RUN, fetch_run
from tianyu.pipelines.science.kernels.skyimage import sky_run
from tianyu.pipelines.science.masks import MaskBit
from tianyu.pipelines.science.peaks import ISOLATION_PIX

SEGMENT = RUN
"""Pixels of a row whose highest is found at once: those without a star are not looked at again."""

_COMPETES = int(MaskBit.SATURATED)


@compiled
def subtract_sky(
    pixels: FloatImage,
    mask: MaskImage,
    cubics: FloatImage,
    box: int,
    places: FloatImage,
    threshold: FloatImage,
    least: float,
    min_area: int,
) -> IntArray:
    """Take the sky off every pixel, and find the maxima of what is left.

    Parameters
    ----------
    pixels : ndarray of float32, shape (ny, nx)
        Changed.
    mask : ndarray of uint8, shape (ny, nx)
    cubics : ndarray of float32, shape (ny, mx, 4)
        Of :func:`~.skyimage.row_cubics`.
    box : int
        Width of a box of the mesh, pixels.
    places : ndarray of float32, shape (nx,)
        Of :func:`~.skyimage.row_places`.
    threshold, least, min_area
        As of :func:`find_maxima`.

    Returns
    -------
    ndarray of int64, shape (n,)
        Flat indices of the maxima, rising.
    """
    ny, nx = pixels.shape
    values, bits = pixels.reshape(-1), mask.reshape(-1)
    row = np.empty(nx, np.float32)
    # Of the last rows: those about a maximum must be without their sky before it is looked for.
    tops = np.empty((2 * ISOLATION_PIX, -(-nx // SEGMENT)), np.int32)
    found, n = np.empty(2 * nx, np.int64), 0
    for y in range(ny):
        sky_run(cubics[y], box, places, 0, row.size, row)
        _subtract_row(values, y * nx, row, tops[y % len(tops)])
        if y >= 2 * ISOLATION_PIX:
            done = y - ISOLATION_PIX
            top = tops[done % len(tops)]
            n += _search_row(values, bits, nx, done, top, threshold, least, min_area, found[n:])
            found = _with_room(found, n, nx)
    return found[:n].copy()


@compiled
def _subtract_row(values: FloatImage, first: int, row: FloatImage, tops: AnyArray) -> None:
    """Take the sky off a row that begins at that flat index, and find the tops of its segments."""
    nx, ordered = row.size, values.view(np.int32)
    for start in range(0, nx, SEGMENT):
        fetch_run(values, first + ROWS_AHEAD * nx + start)
        # Without a sign, which an index that counts from the end has.
        for x in range(np.uint64(start), np.uint64(min(nx, start + SEGMENT))):
            values[np.uint64(first) + x] -= row[x]
        tops[start // SEGMENT] = _highest(ordered, first + start, first + min(nx, start + SEGMENT))


@compiled
def _highest(ordered: AnyArray, first: int, last: int) -> int:
    """Return the highest of some pixels as the whole number of its bits, 0 if none is positive.

    Positive floats are in the order of their bits, and whole numbers are compared many at a time;
    what is not a number may come out as high and is looked at.
    """
    top = np.int32(0)
    for i in range(np.uint64(first), np.uint64(last)):
        top = ordered[i] if ordered[i] > top else top
    return top


@compiled
def find_maxima(
    pixels: FloatImage, mask: MaskImage, threshold: FloatImage, least: float, min_area: int
) -> IntArray:
    """Find the isolated maxima of a frame: :func:`~tianyu.pipelines.science.peaks.find_peaks`.

    Parameters
    ----------
    pixels : ndarray of float32, shape (ny, nx)
        Frame with the sky subtracted.
    mask : ndarray of uint8, shape (ny, nx)
    threshold : ndarray of float32, shape (1,)
        Height of a peak.
    least : float
        The same as a float64: the reference compares the peaks by the former, and them and their
        neighbours by the latter.
    min_area : int
        Pixels above it that are needed among the 3 × 3 around the peak.

    Returns
    -------
    ndarray of int64, shape (n,)
        Flat indices, rising.
    """
    ny, nx = pixels.shape
    values, bits = pixels.reshape(-1), mask.reshape(-1)
    top = np.empty(-(-nx // SEGMENT), np.int32)
    found, n = np.empty(2 * nx, np.int64), 0
    for y in range(ISOLATION_PIX, ny - ISOLATION_PIX):
        for start in range(0, nx, SEGMENT):
            first, last = y * nx + start, y * nx + min(nx, start + SEGMENT)
            top[start // SEGMENT] = _highest(values.view(np.int32), first, last)
        n += _search_row(values, bits, nx, y, top, threshold, least, min_area, found[n:])
        found = _with_room(found, n, nx)
    return found[:n].copy()


@compiled
def _with_room(found: IntArray, n: int, more: int) -> IntArray:
    """Return a list of which n places are taken, longer if there are not so many more."""
    if found.size - n >= more:
        return found
    return np.concatenate((found, np.empty(found.size, np.int64)))


@compiled
def _search_row(
    values: FloatImage,
    bits: MaskImage,
    nx: int,
    y: int,
    tops: AnyArray,
    threshold: FloatImage,
    least: float,
    min_area: int,
    found: IntArray,
) -> int:
    """Write the flat indices of the maxima of a row, and return how many there are.

    `tops` are the highest of its segments, as :func:`_highest` says.
    """
    height, height_bits = threshold[0], threshold.view(np.int32)[0]
    n = 0
    for start in range(0, nx, SEGMENT):
        if tops[start // SEGMENT] <= height_bits:
            continue
        first = y * nx + max(ISOLATION_PIX, start)
        last = y * nx + min(nx - ISOLATION_PIX, start + SEGMENT)
        for place in range(first, last):
            if values[place] > height and _is_peak(values, bits, place, nx, least, min_area):
                found[n] = place
                n += 1
    return n


@compiled
def _is_peak(
    values: FloatImage, bits: MaskImage, place: int, nx: int, least: float, min_area: int
) -> bool:
    """Tell whether no fair neighbour beats a pixel, and enough of the nearest ones are high."""
    # The nearest first: most pixels of a star are beaten by one of them.
    if (
        _is_beaten(values, bits, place, 1)
        or _is_beaten(values, bits, place, -1)
        or _is_beaten(values, bits, place, nx)
        or _is_beaten(values, bits, place, -nx)
    ):
        return False
    for j in range(-ISOLATION_PIX, ISOLATION_PIX + 1):
        for i in range(-ISOLATION_PIX, ISOLATION_PIX + 1):
            if _is_beaten(values, bits, place, j * nx + i):
                return False
    n = 0
    for j in range(-1, 2):
        for i in range(-1, 2):
            near = place + j * nx + i
            if bits[near] != 0:
                return False
            n += 1 if np.float64(values[near]) > least else 0
    return np.float64(values[place]) > least and n >= min_area


@compiled
def _is_beaten(values: FloatImage, bits: MaskImage, place: int, step: int) -> bool:
    """Tell whether a neighbour beats a pixel; bad ones do not compete, saturated ones do."""
    other, height = values[place + step], values[place]
    # Of two equal ones the first is the peak.
    if other > height or (step < 0 and other == height):
        return (bits[place + step] & ~_COMPETES) == 0
    return False
