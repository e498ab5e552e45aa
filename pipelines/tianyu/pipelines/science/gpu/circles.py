"""Light in circles about all sources, by the exact area that a circle covers of each pixel.

As in ``kernels.circle``: with s(t) = √(r² − t²) the area of a disk to the left of x is 2·H(x),
H(x) = ∫ s from −r to x. The disk's area to the left of x and below y follows from H at x and at
the two ends ±h = ±s(y) of the chord at y. H rises, so H at the nearer of two places is the lesser
of two values of H: only the lines of a pixel grid need roots and arcsines, its corners need none,
and the area of a pixel is the difference of four corners.
"""

import math

import numpy as np

from tianyu.pipelines.science.arrays import FloatArray
from tianyu.pipelines.science.circles import FLAG_OF_BITS
from tianyu.pipelines.science.gpu.namespace import ArrayNamespace, DeviceArray
from tianyu.pipelines.science.stamps import LEFT_OUT


def covered_areas(
    x: DeviceArray, y: DeviceArray, radius: float, size: int, xp: ArrayNamespace
) -> DeviceArray:
    """Return which part of every pixel of a stamp a circle covers, array, shape (n, size, size).

    Parameters
    ----------
    x, y : array, shape (n,)
        Centres of the circles, from the middle of the stamps, pixels.
    radius : float
        Pixels.
    size : int
        Side of the stamps, odd.
    xp : namespace

    Examples
    --------
    >>> origin = np.zeros(1)
    >>> areas = covered_areas(origin, origin, 2.0, 5, np)
    >>> round(float(areas.sum() / np.pi), 9), round(float(areas[0, 2, 2]), 9)
    (4.0, 1.0)
    """
    lines = xp.arange(size + 1, dtype=xp.float64) - (size // 2 + 0.5)
    line_x = xp.clip(lines - x[:, np.newaxis], -radius, radius)[:, np.newaxis, :]
    line_y = xp.clip(lines - y[:, np.newaxis], -radius, radius)[:, :, np.newaxis]
    chord = xp.sqrt(xp.maximum(radius**2 - line_y**2, 0.0))
    left_of_x, left_of_chord = (_half_area(at, radius, xp) for at in (line_x, -chord))
    left_of_end = 0.5 * math.pi * radius**2 - left_of_chord
    # Between the ends of the chord: what lies between it and the lower rim.
    corner = line_y * (xp.minimum(xp.maximum(line_x, -chord), chord) + chord)
    corner += xp.minimum(xp.maximum(left_of_x, left_of_chord), left_of_end) - left_of_chord
    # Above the centre whole columns lie below the line, on both sides of the chord.
    beside = xp.minimum(left_of_x, left_of_chord) + xp.maximum(left_of_x - left_of_end, 0.0)
    corner += xp.where(line_y > 0.0, 2.0 * beside, 0.0)
    return xp.diff(xp.diff(corner, axis=1), axis=2)


def circle_sums(
    cores: DeviceArray,
    bits: DeviceArray,
    x: FloatArray,
    y: FloatArray,
    radii: FloatArray,
    xp: ArrayNamespace,
) -> tuple[DeviceArray, DeviceArray, DeviceArray]:
    """Sum the pixels in circles, and flag the circles that touch masked ones.

    Parameters
    ----------
    cores : array of float32, shape (n, c, c)
        Pixels about the sources, zero where left out.
    bits : array of uint8, shape (n, c, c)
        Marks of the pixels; those of ``LEFT_OUT`` add neither light nor area.
    x, y : ndarray, shape (n,)
        Centres of the circles, from the middle of the cores, pixels.
    radii : ndarray, shape (r,)
        Pixels; the circles must lie within the cores.
    xp : namespace

    Returns
    -------
    sums, areas : array of float64, shape (n, r)
        As of :func:`~tianyu.pipelines.science.circles.circle_sums`.
    flags : array of uint16, shape (n, r)
        As of :func:`~tianyu.pipelines.science.circles.mask_flags`.
    """
    size = cores.shape[1]
    at_x, at_y = xp.asarray(x), xp.asarray(y)
    light, usable = cores.astype(xp.float64), (bits & int(LEFT_OUT)) == 0
    gap = _gaps(at_x, at_y, size, xp)
    sums, areas, flags = [], [], []
    # One radius after the other: all of them would take as many times the memory.
    for radius in radii.tolist():
        part = covered_areas(at_x, at_y, radius, size, xp) * usable
        sums.append((part * light).sum(axis=(1, 2)))
        areas.append(part.sum(axis=(1, 2)))
        flags.append(_flags(xp.where(gap < radius, bits, 0), xp))
    return tuple(xp.stack(found, axis=1) for found in (sums, areas, flags))


def _half_area(at: DeviceArray, radius: float, xp: ArrayNamespace) -> DeviceArray:
    """Return H, half the area of the disk to the left of places from −radius to radius."""
    rise = at * xp.sqrt(xp.maximum(radius**2 - at**2, 0.0))
    angle = xp.arcsin(xp.clip(at / radius, -1.0, 1.0)) + 0.5 * math.pi
    return 0.5 * (rise + radius**2 * angle)


def _gaps(x: DeviceArray, y: DeviceArray, size: int, xp: ArrayNamespace) -> DeviceArray:
    """Distance from the centre to the nearest point of every pixel, shape (n, size, size)."""
    offset = xp.arange(size, dtype=xp.float64) - size // 2
    gap_x, gap_y = (xp.maximum(abs(offset - centre[:, np.newaxis]) - 0.5, 0.0) for centre in (x, y))
    return xp.hypot(gap_x[:, np.newaxis, :], gap_y[:, :, np.newaxis])


def _flags(bits: DeviceArray, xp: ArrayNamespace) -> DeviceArray:
    """Return the flags of circles from the marks of the pixels that they touch."""
    flags = xp.zeros(len(bits), xp.uint16)
    for bit, flag in FLAG_OF_BITS:
        is_touched = ((bits & int(bit)) != 0).any(axis=(1, 2))
        flags |= is_touched.astype(xp.uint16) * int(flag)
    return flags
