"""Light in circles about one source, by the exact area that a circle covers of each pixel.

Of a column of pixels from x₁ to x₂, the disk covers F(y) = ∫ min(s(x), y) dx between its middle and
the line y above it, with s(x) = √(r² − x²); a pixel on the rim has the difference of two. F follows
from H(x) = ∫ s from 0 to x at x₁, at x₂ and where the line y meets the circle. So a circle costs
one arcsine per line of the grid that it meets, not one per pixel. What lies whole between the rims
of a column is one difference of running sums, whatever the radius.
"""

import math

import numpy as np

from tianyu.pipelines.science.arrays import FloatArray, FloatImage, MaskImage
from tianyu.pipelines.science.flags import FluxFlag
from tianyu.pipelines.science.kernels.arcsine import arcsine
from tianyu.pipelines.science.kernels.jit import compiled
from tianyu.pipelines.science.masks import MaskBit
from tianyu.pipelines.science.stamps import LEFT_OUT, UNTRUSTED

_LEFT_OUT, _UNTRUSTED = int(LEFT_OUT), int(UNTRUSTED)
_SATURATED, _SATURATED_FLAG = int(MaskBit.SATURATED), int(FluxFlag.SATURATED)
_COSMIC_RAY, _COSMIC_RAY_FLAG = int(MaskBit.COSMIC_RAY), int(FluxFlag.COSMIC_RAY)
_TRAIL, _TRAIL_FLAG = int(MaskBit.TRAIL), int(FluxFlag.TRAIL)
_MASKED_FLAG = int(FluxFlag.MASKED_PIXEL)


@compiled
def circle_sums(
    stamp: FloatImage,
    radii: FloatArray,
    x: float,
    y: float,
    running: FloatArray,
    lines: FloatArray,
    sums: FloatArray,
) -> None:
    """Sum circles on a stamp: :func:`~tianyu.pipelines.science.circles.circle_sums` of one.

    Parameters
    ----------
    stamp : ndarray of float32, shape (s, s)
        Pixels about the source, zero where left out.
    radii : ndarray, shape (r,)
        The circles must lie within the stamp.
    x, y : float
        Centre of the circles from the middle of the stamp, pixels.
    running : ndarray, shape (s + 1, s)
        Room for the sums of the pixels of each column above each row.
    lines : ndarray, shape (4, s + 1)
        Room for the integrals of the grid's lines.
    sums : ndarray, shape (r,)
        Written.
    """
    running[0] = 0.0
    for row in range(stamp.shape[0]):
        above, below, values = running[row], running[row + 1], stamp[row]
        for i in range(values.size):
            below[i] = above[i] + np.float64(values[i])
    for k in range(radii.size):
        sums[k] = _circle_sum(stamp, running, x, y, radii[k], lines)


@compiled
def _circle_sum(
    stamp: FloatImage, running: FloatArray, x: float, y: float, radius: float, lines: FloatArray
) -> float:
    size = stamp.shape[0]
    edge_x, edge_y = -(size // 2) - 0.5 - x, -(size // 2) - 0.5 - y
    first_row = max(0, math.floor(-radius - edge_y))
    last_row = min(size, math.floor(radius - edge_y) + 1)
    first_column = max(0, math.floor(-radius - edge_x))
    last_column = min(size, math.floor(radius - edge_x) + 1)
    _fill_columns(edge_x + first_column, radius, lines[:, first_column : last_column + 1])
    _fill_rows(edge_y + first_row, radius, lines[1:3, first_row : last_row + 1])
    light = 0.0
    for column in range(first_column, last_column):
        left, right = max(edge_x + column, -radius), min(edge_x + column + 1.0, radius)
        # How far from the middle the disk reaches in the column, and up to where it fills it.
        half_left, half_right = lines[3, column], lines[3, column + 1]
        inner, outer = min(half_left, half_right), max(half_left, half_right)
        outer = radius if left < 0.0 < right else outer
        row = max(first_row, math.floor(-outer - edge_y))
        stop = min(last_row, math.floor(outer - edge_y) + 1)
        whole, end_whole = math.ceil(-inner - edge_y), math.floor(inner - edge_y)
        at_left, at_right = lines[0, column], lines[0, column + 1]
        below = _covered(edge_y + row, left, right, at_left, at_right, lines[:, row])
        while row < stop:
            if row == whole and whole < end_whole:
                light += running[end_whole, column] - running[row, column]
                row = end_whole
                below = _covered(edge_y + row, left, right, at_left, at_right, lines[:, row])
                continue
            row += 1
            above = _covered(edge_y + row, left, right, at_left, at_right, lines[:, row])
            light += (above - below) * np.float64(stamp[row - 1, column])
            below = above
    return light


@compiled
def _fill_columns(first: float, radius: float, lines: FloatArray) -> None:
    """Write H at lines one apart, at most that at the ends of the disk, and half their chords."""
    square = radius * radius
    at_lines, half_chords = lines[0], lines[3]
    for k in range(at_lines.size):
        x = min(abs(first + k), radius)
        half_chord = math.sqrt(square - x * x)
        half = 0.5 * (x * half_chord + square * arcsine(x / radius))
        at_lines[k] = half if first + k > 0.0 else -half
        half_chords[k] = half_chord


@compiled
def _fill_rows(first: float, radius: float, lines: FloatArray) -> None:
    """Write half the chords of lines one apart, and H at their ends."""
    square = radius * radius
    half_chords, at_chords = lines[0], lines[1]
    for k in range(half_chords.size):
        y = min(abs(first + k), radius)
        half_chord = math.sqrt(square - y * y)
        half_chords[k] = half_chord
        # The angle from the middle to the end of the chord is what that of y leaves of π/2.
        at_chords[k] = 0.5 * (half_chord * y + square * (0.5 * math.pi - arcsine(y / radius)))


@compiled
def _covered(
    y: float, left: float, right: float, at_left: float, at_right: float, line: FloatArray
) -> float:
    """Return F(y), with the sign of y.

    Parameters
    ----------
    y, left, right : float
        Line, and the ends of the column, which lie within the disk.
    at_left, at_right : float
        H there.
    line : ndarray, shape (3,)
        Of which the second is half the chord of the line y, and the third H at its end.
    """
    chord, at_chord = line[1], line[2]
    end = chord if chord < right else right
    end, at_end = (
        (end, at_chord if chord < right else at_right) if chord > left else (left, at_left)
    )
    start = -chord if -chord > left else left
    start, at_start = (
        (start, -at_chord if -chord > left else at_left) if -chord < right else (right, at_right)
    )
    area = abs(y) * (end - start) + (at_right - at_end) + (at_start - at_left)
    return area if y > 0.0 else -area


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
