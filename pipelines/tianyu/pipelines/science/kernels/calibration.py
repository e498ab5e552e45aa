"""Calibrating rows of a raw frame: one sweep instead of five over arrays that fit no cache."""

import math
from dataclasses import dataclass

import numpy as np

from tianyu.pipelines.science.arrays import AnyArray, FloatArray, FloatImage, MaskImage
from tianyu.pipelines.science.kernels.jit import compiled
from tianyu.pipelines.science.kernels.skyimage import sky_row
from tianyu.pipelines.science.masks import MaskBit

SEGMENT = 64
"""Pixels of a row that are calibrated together or not at all."""

NEVER = 2**31
"""Counts that no pixel of 16 bits reaches."""

_NO_FLOATS = np.empty((0, 0), np.float32)
_NO_BITS = np.empty((0, 0), np.uint8)


@dataclass(frozen=True, eq=False)
class KernelCalibration:
    """What a calibrator has prepared, as kernels take it; see :func:`calibrate_rows`."""

    offset: FloatImage
    response: FloatImage
    fixed_mask: MaskImage
    saturation: int

    @classmethod
    def of(
        cls,
        offset: FloatImage | None,
        response: FloatImage | None,
        fixed_mask: MaskImage | None,
        saturation: float | None,
    ) -> "KernelCalibration":
        """Put empty arrays where there is nothing to do."""
        counts = NEVER
        if saturation is not None and not math.isnan(saturation):
            counts = math.ceil(min(max(saturation, -NEVER), NEVER))
        return cls(
            _NO_FLOATS if offset is None else offset,
            _NO_FLOATS if response is None else response,
            _NO_BITS if fixed_mask is None else fixed_mask,
            counts,
        )

    def arguments(
        self, overscan: FloatImage | None
    ) -> tuple[FloatImage, FloatImage, FloatImage, MaskImage, int, int]:
        """Return the arguments of the kernels from `overscan` on."""
        level = _NO_FLOATS if overscan is None else np.ascontiguousarray(overscan)
        prepared = self.offset, self.response, self.fixed_mask, self.saturation
        return (level, *prepared, int(MaskBit.SATURATED))


@compiled
def calibrate_rows(
    raw: AnyArray,
    first: int,
    last: int,
    overscan: FloatImage,
    offset: FloatImage,
    response: FloatImage,
    fixed_mask: MaskImage,
    saturation: int,
    saturated_bit: int,
    pixels: FloatImage,
    mask: MaskImage,
) -> None:
    """Write ``(S − overscan − offset) · response`` and the mask of the rows first to last − 1.

    Parameters
    ----------
    raw : ndarray of integers of at most 16 bits, shape (ny, nx)
        Counts S, ADU, C-contiguous: a float32 holds them exactly.
    first, last : int
        Rows to calibrate.
    overscan : ndarray of float32
        Shape (ny, 1), (1, nx) or (1, 1); (0, 0): none.
    offset, response : ndarray of float32, shape (ny, nx) or (0, 0)
        What is subtracted, and what the rest is multiplied by; (0, 0): not done.
    fixed_mask : ndarray of uint8, shape (ny, nx) or (0, 0)
        Bits that every frame has.
    saturation : int
        Counts from which `saturated_bit` is set.
    saturated_bit : int
    pixels, mask : ndarray of float32 and of uint8, shape (ny, nx)
        Written.
    """
    for y in range(first, last):
        _calibrate_run(
            raw, y, 0, raw.shape[1], overscan, offset, response, fixed_mask, saturation,
            saturated_bit, pixels, mask,
        )  # fmt: skip


@compiled
def _calibrate_run(
    raw: AnyArray,
    y: int,
    left: int,
    right: int,
    overscan: FloatImage,
    offset: FloatImage,
    response: FloatImage,
    fixed_mask: MaskImage,
    saturation: int,
    saturated_bit: int,
    pixels: FloatImage,
    mask: MaskImage,
) -> None:
    """Calibrate the pixels left to right − 1 of a row; see :func:`calibrate_rows`."""
    counts, part, bits = raw[y, left:right], pixels[y, left:right], mask[y, left:right]
    if overscan.size == 0 and offset.size and response.size:
        # What most frames need, in one sweep.
        offsets, responses = offset[y, left:right], response[y, left:right]
        for x in range(part.size):
            part[x] = (np.float32(counts[x]) - offsets[x]) * responses[x]
    else:
        _scale_run(counts, y, left, right, overscan, offset, response, part)
    _mark_run(counts, y, left, right, fixed_mask, saturation, saturated_bit, bits)


@compiled
def _scale_run(
    counts: AnyArray,
    y: int,
    left: int,
    right: int,
    overscan: FloatImage,
    offset: FloatImage,
    response: FloatImage,
    part: FloatImage,
) -> None:
    """Write the pixels left to right − 1 of a row, given their counts; any part may be empty."""
    if overscan.size == 0:
        for x in range(part.size):
            part[x] = np.float32(counts[x])
    elif overscan.shape[1] == 1:
        level = overscan[min(y, overscan.shape[0] - 1), 0]
        for x in range(part.size):
            part[x] = np.float32(counts[x]) - level
    else:
        levels = overscan[0, left:right]
        for x in range(part.size):
            part[x] = np.float32(counts[x]) - levels[x]
    if offset.size:
        offsets = offset[y, left:right]
        for x in range(part.size):
            part[x] -= offsets[x]
    if response.size:
        responses = response[y, left:right]
        for x in range(part.size):
            part[x] *= responses[x]


@compiled
def _mark_run(
    counts: AnyArray,
    y: int,
    left: int,
    right: int,
    fixed_mask: MaskImage,
    saturation: int,
    saturated_bit: int,
    bits: MaskImage,
) -> None:
    """Write the mask of the pixels left to right − 1 of a row, given their counts."""
    bit, none = np.uint8(saturated_bit), np.uint8(0)
    # Counts are compared in 32 bits, not in the 64 of Python's integers.
    ceiling = np.int32(min(max(saturation, -(2**31)), 2**31 - 1))
    if fixed_mask.size:
        fixed = fixed_mask[y, left:right]
        for x in range(bits.size):
            bits[x] = fixed[x] | (bit if np.int32(counts[x]) >= ceiling else none)
    else:
        for x in range(bits.size):
            bits[x] = bit if np.int32(counts[x]) >= ceiling else none


@compiled
def calibrate_wanted(
    raw: AnyArray,
    overscan: FloatImage,
    offset: FloatImage,
    response: FloatImage,
    fixed_mask: MaskImage,
    saturation: int,
    saturated_bit: int,
    cubics: FloatImage,
    box: int,
    places: FloatImage,
    pattern: FloatImage,
    wanted: MaskImage,
    pixels: FloatImage,
    mask: MaskImage,
) -> None:
    """Calibrate the wanted parts of a frame, and take its known sky and the fixed pattern off.

    Parameters
    ----------
    raw, overscan, offset, response, fixed_mask, saturation, saturated_bit, pixels, mask
        As of :func:`calibrate_rows`. Rows of which nothing is wanted are not written.
    cubics, box, places
        As of :func:`~.skyimage.sky_row`.
    pattern : ndarray of float32, shape (ny, nx) or (0, 0)
        ADU.
    wanted : ndarray of uint8, shape (ny, ⌈nx / SEGMENT⌉)
        Non-zero where a segment of a row is wanted.
    """
    ny, nx = raw.shape
    row = np.empty(nx, np.float32)
    for y in range(ny):
        # Up to the last wanted one in one go: many short pieces of a row cost more than what lies
        # between them.
        first, last = wanted.shape[1], -1
        for segment in range(wanted.shape[1]):
            if wanted[y, segment] != 0:
                first = min(first, segment)
                last = segment
        if last < 0:
            continue
        left, right = first * SEGMENT, min(nx, (last + 1) * SEGMENT)
        _calibrate_run(
            raw, y, left, right, overscan, offset, response, fixed_mask, saturation,
            saturated_bit, pixels, mask,
        )  # fmt: skip
        sky_row(cubics[y], box, places, row)
        part, sky = pixels[y, left:right], row[left:right]
        for x in range(part.size):
            part[x] -= sky[x]
        if pattern.size:
            excess = pattern[y, left:right]
            for x in range(part.size):
                part[x] -= excess[x]


@compiled
def want_squares(x: FloatArray, y: FloatArray, half: int, nx: int, wanted: MaskImage) -> None:
    """Mark the segments of rows that squares about sources touch.

    Parameters
    ----------
    x, y : ndarray, shape (n,)
        Positions, pixels; those that are no numbers are passed over.
    half : int
        Pixels on each side of the middle one.
    nx : int
        Length of a row.
    wanted : ndarray of uint8, shape (ny, ⌈nx / SEGMENT⌉)
        Ones are written.
    """
    ny = wanted.shape[0]
    for k in range(x.size):
        if not (abs(x[k]) < 1e9 and abs(y[k]) < 1e9):
            continue
        column, row = int(np.rint(x[k])), int(np.rint(y[k]))
        if column + half < 0 or column - half >= nx:
            continue
        first, last = max(0, column - half) // SEGMENT, min(nx - 1, column + half) // SEGMENT
        for j in range(max(0, row - half), min(ny, row + half + 1)):
            for segment in range(first, last + 1):
                wanted[j, segment] = 1
