"""Light in circles about one source, by the exact area that a circle covers of each pixel.

With s(t) = √(r² − t²), the area of a disk to the left of x is 2·H(x), H(x) = ∫ s from −r to x; the
area to the left of x and below y follows for a corner within the disk from H at x and at −s(y).
A pixel on the rim is the difference of its four corners. So a circle costs one arcsine per line of
the grid that it meets, not one per pixel.
"""

import math

import numpy as np

from tianyu.pipelines.science.arrays import FloatArray, FloatImage, MaskImage
from tianyu.pipelines.science.flags import FluxFlag
from tianyu.pipelines.science.kernels.jit import compiled
from tianyu.pipelines.science.masks import MaskBit
from tianyu.pipelines.science.stamps import LEFT_OUT, UNTRUSTED

_LEFT_OUT, _UNTRUSTED = int(LEFT_OUT), int(UNTRUSTED)
_SATURATED, _SATURATED_FLAG = int(MaskBit.SATURATED), int(FluxFlag.SATURATED)
_COSMIC_RAY, _COSMIC_RAY_FLAG = int(MaskBit.COSMIC_RAY), int(FluxFlag.COSMIC_RAY)
_TRAIL, _TRAIL_FLAG = int(MaskBit.TRAIL), int(FluxFlag.TRAIL)
_MASKED_FLAG = int(FluxFlag.MASKED_PIXEL)


@compiled
def circle_sum(
    stamp: FloatImage, bits: MaskImage, x: float, y: float, radius: float, lines: FloatArray
) -> tuple[float, float]:
    """Sum a circle on a stamp: :func:`~tianyu.pipelines.science.circles.circle_sums` of one.

    Parameters
    ----------
    stamp : ndarray of float32, shape (s, s)
    bits : ndarray of uint8, shape (s, s)
        Pixels with a mark of ``LEFT_OUT`` add neither light nor area.
    x, y : float
        Centre of the circle from the middle of the stamp, pixels.
    radius : float
        The circle must lie within the stamp.
    lines : ndarray, shape (3, s + 1)
        Room for the integrals of the grid's lines.

    Returns
    -------
    light, area : float
    """
    size = stamp.shape[0]
    edge_x, edge_y = -(size // 2) - 0.5 - x, -(size // 2) - 0.5 - y
    first_row = max(0, math.floor(-radius - edge_y))
    last_row = min(size, math.floor(radius - edge_y) + 1)
    first_column = max(0, math.floor(-radius - edge_x))
    last_column = min(size, math.floor(radius - edge_x) + 1)
    for line in range(first_column, last_column + 1):
        lines[0, line] = _half_area(edge_x + line, radius)
    for line in range(first_row, last_row + 1):
        across = edge_y + line
        half_chord = radius * radius - across * across
        lines[1, line] = math.sqrt(half_chord) if half_chord > 0.0 else 0.0
        lines[2, line] = _half_area(-lines[1, line], radius)
    light, area = 0.0, 0.0
    for row in range(first_row, last_row):
        low, high = edge_y + row, edge_y + row + 1.0
        for column in range(first_column, last_column):
            left, right = edge_x + column, edge_x + column + 1.0
            far_x, far_y = max(-left, right), max(-low, high)
            if far_x * far_x + far_y * far_y <= radius * radius:
                part = 1.0
            else:
                near_x, near_y = max(left, -right, 0.0), max(low, -high, 0.0)
                if near_x * near_x + near_y * near_y >= radius * radius:
                    continue
                part = (
                    _corner(right, high, column + 1, row + 1, radius, lines)
                    - _corner(left, high, column, row + 1, radius, lines)
                    - _corner(right, low, column + 1, row, radius, lines)
                    + _corner(left, low, column, row, radius, lines)
                )
            if bits[row, column] & _LEFT_OUT == 0:
                light += part * np.float64(stamp[row, column])
                area += part
    return light, area


@compiled
def _half_area(x: float, radius: float) -> float:
    """Return H(x), half the area of the disk to the left of x."""
    if x <= -radius:
        return 0.0
    if x >= radius:
        return 0.5 * math.pi * radius * radius
    return 0.5 * (
        x * math.sqrt(radius * radius - x * x)
        + radius * radius * (math.asin(x / radius) + 0.5 * math.pi)
    )


@compiled
def _corner(x: float, y: float, column: int, row: int, radius: float, lines: FloatArray) -> float:
    """Return the area of the disk to the left of x and below y."""
    half_chord = lines[1, row]
    left_of_x, left_of_chord = lines[0, column], lines[2, row]
    if abs(y) >= radius:
        return 2.0 * left_of_x if y > 0.0 else 0.0
    if x <= -half_chord:
        # To the left of where the line y enters the disk: all of it, or nothing.
        return 2.0 * left_of_x if y > 0.0 else 0.0
    if x >= half_chord:
        right_of_chord = 0.5 * math.pi * radius * radius - left_of_chord
        below = 2.0 * left_of_chord + (right_of_chord - left_of_chord) + 2.0 * y * half_chord
        if y > 0.0:
            return below + 2.0 * (left_of_x - right_of_chord)
        # Below the line, between its ends: what the left part has less.
        return (right_of_chord - left_of_chord) + 2.0 * y * half_chord
    within = (left_of_x - left_of_chord) + y * (x + half_chord)
    return 2.0 * left_of_chord + within if y > 0.0 else within


@compiled
def touched(bits: MaskImage, x: float, y: float, radius: float) -> int:
    """Return the flags of a circle that touches masked pixels, as ``circles.mask_flags``.

    Parameters
    ----------
    bits : ndarray of uint8, shape (s, s)
    x, y, radius : float
        Circle, from the middle of the stamp, pixels.
    """
    half = bits.shape[0] // 2
    found = 0
    for row in range(bits.shape[0]):
        gap_y = max(abs(row - half - y) - 0.5, 0.0)
        for column in range(bits.shape[1]):
            if bits[row, column] != 0:
                gap_x = max(abs(column - half - x) - 0.5, 0.0)
                if math.hypot(gap_x, gap_y) < radius:
                    found |= int(bits[row, column])
    flags = _SATURATED_FLAG if found & _SATURATED else 0
    flags |= _MASKED_FLAG if found & _UNTRUSTED else 0
    flags |= _COSMIC_RAY_FLAG if found & _COSMIC_RAY else 0
    return flags | (_TRAIL_FLAG if found & _TRAIL else 0)
