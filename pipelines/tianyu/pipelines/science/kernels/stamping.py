"""Squares of pixels about sources, calibrated as they are cut out of the raw frame.

A second pass needs the pixels about its sources only: two fifths of a frame with a thousand
stars, and nothing of it is written back to memory.
"""

import numpy as np

from tianyu.pipelines.science.arrays import AnyArray, FloatImage, MaskImage
from tianyu.pipelines.science.kernels.jit import compiled
from tianyu.pipelines.science.masks import MaskBit
from tianyu.pipelines.science.stamps import OFF_DETECTOR

_NOT_FINITE = int(MaskBit.NOT_FINITE)
_OFF_DETECTOR = int(OFF_DETECTOR)


@compiled
def cut_calibrated(
    pixels: FloatImage, mask: MaskImage, y: int, x: int, stamp: FloatImage, bits: MaskImage
) -> None:
    """Copy the square of pixels about (x, y) from a calibrated frame, as ``stamps.cut_stamps``.

    Parameters
    ----------
    pixels, mask : ndarray of float32 and of uint8, shape (ny, nx)
    y, x : int
        Middle of the stamp.
    stamp, bits : ndarray of float32 and of uint8, shape (s, s)
        Written. Beyond the frame the nearest pixel is repeated, and marked.
    """
    ny, nx = pixels.shape
    size = stamp.shape[0]
    top, left = y - size // 2, x - size // 2
    whole = top >= 0 and left >= 0 and top + size <= ny and left + size <= nx
    for j in range(size):
        row = min(max(top + j, 0), ny - 1)
        if whole:
            values, marks = pixels[row, left : left + size], mask[row, left : left + size]
            for i in range(size):
                finite = abs(values[i]) < np.inf
                stamp[j, i] = values[i]
                bits[j, i] = marks[i] | (0 if finite else _NOT_FINITE)
            continue
        for i in range(size):
            column = min(max(left + i, 0), nx - 1)
            off = row != top + j or column != left + i
            finite = abs(pixels[row, column]) < np.inf
            stamp[j, i] = pixels[row, column]
            bits[j, i] = (_OFF_DETECTOR if off else mask[row, column]) | (
                0 if finite else _NOT_FINITE
            )


@compiled
def cut_raw(
    raw: AnyArray,
    overscan: FloatImage,
    offset: FloatImage,
    response: FloatImage,
    fixed_mask: MaskImage,
    saturation: int,
    saturated_bit: int,
    pattern: FloatImage,
    sky: FloatImage,
    y: int,
    x: int,
    stamp: FloatImage,
    bits: MaskImage,
) -> None:
    """Calibrate the square of pixels about (x, y), and take sky and fixed pattern off.

    Parameters
    ----------
    raw, overscan, offset, response, fixed_mask, saturation, saturated_bit
        As of :func:`~.calibration.calibrate_rows`.
    pattern : ndarray of float32, shape (ny, nx) or (0, 0)
        Fixed pattern, ADU; (0, 0): none.
    sky : ndarray of float32, shape (s, s)
        Sky of the stamp's pixels, ADU; only that on the frame is used.
    y, x, stamp, bits
        As of :func:`cut_calibrated`.
    """
    ny, nx = raw.shape
    size = stamp.shape[0]
    top, left = y - size // 2, x - size // 2
    for j in range(size):
        row = min(max(top + j, 0), ny - 1)
        # The part of the row that is on the frame; what is beyond repeats its ends.
        begin, end = max(0, -left), min(size, nx - left)
        counts = raw[row, left + begin : left + end]
        part, marks = stamp[j, begin:end], bits[j, begin:end]
        level = np.float32(0.0)
        if overscan.size and overscan.shape[1] == 1:
            level = overscan[min(row, overscan.shape[0] - 1), 0]
        for i in range(part.size):
            part[i] = np.float32(counts[i]) - level
            marks[i] = saturated_bit if counts[i] >= saturation else 0
        if overscan.shape[1] > 1:
            levels = overscan[0, left + begin : left + end]
            for i in range(part.size):
                part[i] -= levels[i]
        if offset.size:
            offsets = offset[row, left + begin : left + end]
            for i in range(part.size):
                part[i] -= offsets[i]
        if response.size:
            responses = response[row, left + begin : left + end]
            for i in range(part.size):
                part[i] *= responses[i]
        row_sky = sky[row - top, begin:end]
        for i in range(part.size):
            part[i] -= row_sky[i]
        if pattern.size:
            patterns = pattern[row, left + begin : left + end]
            for i in range(part.size):
                part[i] -= patterns[i]
        if fixed_mask.size:
            fixed = fixed_mask[row, left + begin : left + end]
            for i in range(part.size):
                marks[i] |= fixed[i]
        _mark_beyond(stamp[j], bits[j], begin, end, row != top + j)


@compiled
def _mark_beyond(stamp: FloatImage, bits: MaskImage, begin: int, end: int, is_off: bool) -> None:
    """Repeat the ends of a row beyond the frame, and mark what is not on it."""
    for i in range(begin):
        stamp[i], bits[i] = stamp[begin], _OFF_DETECTOR
    for i in range(end, stamp.size):
        stamp[i], bits[i] = stamp[end - 1], _OFF_DETECTOR
    if is_off:
        bits[:] = _OFF_DETECTOR


@compiled
def sky_stamp(
    cubics: FloatImage, box: int, places: FloatImage, y: int, x: int, sky: FloatImage
) -> None:
    """Write the sky of a stamp; beyond the frame nothing is written.

    Parameters
    ----------
    cubics : ndarray of float32, shape (ny, mx, 4)
        Of :func:`~.skyimage.row_cubics`.
    box : int
        Width of a box of the mesh, pixels.
    places : ndarray of float32, shape (nx,)
        Of :func:`~.skyimage.row_places`.
    y, x : int
        Middle of the stamp.
    sky : ndarray of float32, shape (s, s)
        Written.
    """
    ny, nx = cubics.shape[0], places.size
    size = sky.shape[0]
    top, left = y - size // 2, x - size // 2
    begin, end = max(0, -left), min(size, nx - left)
    last = cubics.shape[1] - 1
    for j in range(max(0, -top), min(size, ny - top)):
        i = begin
        while i < end:
            # Pixels from here to the next node share a cubic.
            node = (left + i + box - box // 2) // box - 1
            stop = end if node >= last else min(end, (node + 1) * box + box // 2 - left)
            cubic = cubics[top + j, min(max(node, 0), last)]
            t, part = places[left + i : left + stop], sky[j, i:stop]
            a, b = cubic[0], cubic[1]
            c = cubic[2] if node >= 0 else np.float32(0.0)
            d = cubic[3] if node >= 0 else np.float32(0.0)
            for k in range(part.size):
                part[k] = a + t[k] * (b + t[k] * (c + t[k] * d))
            i = stop
