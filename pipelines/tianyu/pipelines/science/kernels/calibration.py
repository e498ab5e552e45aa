"""Calibrating rows of a raw frame: one sweep instead of five over arrays that fit no cache."""

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from tianyu.pipelines.science.arrays import AnyArray, FloatArray, FloatImage, MaskImage
from tianyu.pipelines.science.kernels.jit import compiled
from tianyu.pipelines.science.kernels.skyimage import sky_run
from tianyu.pipelines.science.masks import MaskBit

SEGMENT = 64
"""Pixels of a row that are wanted together or not at all."""

NEVER = 2**31
"""Counts that no pixel of 16 bits reaches."""

HowToCalibrate: TypeAlias = tuple[
    FloatImage, FloatImage, FloatImage, MaskImage, int, int, FloatImage, MaskImage
]
"""What is the same for all rows of a frame; see :func:`calibrate_row`."""

_NO_FLOATS = np.empty((0, 0), np.float32)
_NO_BITS = np.empty((0, 0), np.uint8)


@dataclass(frozen=True, eq=False)
class KernelCalibration:
    """What a calibrator has prepared, as kernels take it; see :func:`calibrate_row`."""

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
def neutral_rows(nx: int) -> tuple[FloatImage, MaskImage]:
    """Return rows that change nothing: three of float32, of 0, 0 and 1, and one without bits."""
    work = np.zeros((3, nx), np.float32)
    work[2] = 1.0
    return work, np.zeros(nx, np.uint8)


@compiled
def calibrate_row(
    raw: AnyArray, y: int, how: HowToCalibrate, pixels: FloatImage, mask: MaskImage
) -> None:
    """Write ``(S − overscan − offset) · response`` and the mask of one row.

    Parameters
    ----------
    raw : ndarray of integers of at most 16 bits, shape (ny, nx)
        Counts S, ADU, C-contiguous: a float32 holds them exactly.
    y : int
        Number of the row.
    how : tuple
        overscan : ndarray of float32
            Shape (ny, 1), (1, nx) or (1, 1); (0, 0): none.
        offset, response : ndarray of float32, shape (ny, nx) or (0, 0)
            What is subtracted, and what the rest is multiplied by; (0, 0): not done.
        fixed_mask : ndarray of uint8, shape (ny, nx) or (0, 0)
            Bits that every frame has.
        saturation : int
            Counts from which `saturated_bit` is set.
        saturated_bit : int
        work, no_bits : ndarray
            Of :func:`neutral_rows`; the second row of the former is written.
    pixels, mask : ndarray of float32 and of uint8, shape (ny, nx)
        Of which the row is written.
    """
    overscan, offset, response, fixed_mask, saturation, saturated_bit, work, no_bits = how
    nx = raw.shape[1]
    if overscan.size == 0 and offset.size and response.size:
        _scale_row(raw[y], offset[y], response[y], pixels[y])
    else:
        nothing, level, one = work[0], work[1], work[2]
        _fill_overscan(overscan, y, level)
        _calibrate_run(
            raw[y],
            level,
            offset[y] if offset.size else nothing,
            response[y] if response.size else one,
            nothing,
            nothing,
            pixels[y],
            0,
            nx,
        )
    fixed = fixed_mask[y] if fixed_mask.size else no_bits
    _mark_run(raw[y], fixed, saturation, saturated_bit, mask[y], 0, nx)


@compiled
def _scale_row(
    counts: AnyArray, offset: FloatImage, response: FloatImage, pixels: FloatImage
) -> None:
    """Write ``(S − offset) · response``: what :func:`_calibrate_run` does, with nothing else."""
    for x in range(np.uint64(counts.size)):
        pixels[x] = (np.float32(counts[x]) - offset[x]) * response[x]


@compiled
def _fill_overscan(overscan: FloatImage, y: int, level: FloatImage) -> None:
    """Write what is to be taken off the pixels of a row first."""
    if overscan.size == 0:
        return
    if overscan.shape[1] == 1:
        level[:] = overscan[min(y, overscan.shape[0] - 1), 0]
    else:
        level[:] = overscan[0]


@compiled
def _calibrate_run(
    counts: AnyArray,
    level: FloatImage,
    offset: FloatImage,
    response: FloatImage,
    sky: FloatImage,
    pattern: FloatImage,
    pixels: FloatImage,
    left: int,
    right: int,
) -> None:
    """Write ``(S − level − offset) · response − sky − pattern`` of pixels left to right − 1.

    All arrays are rows of nx pixels. One sweep, whatever there is to do: zero and one change
    nothing.
    """
    # Unsigned, or every index would be looked at whether it counts from the end.
    for x in range(np.uint64(left), np.uint64(right)):
        signal = np.float32(counts[x]) - level[x] - offset[x]
        pixels[x] = signal * response[x] - sky[x] - pattern[x]


@compiled
def _mark_run(
    counts: AnyArray,
    fixed: MaskImage,
    saturation: int,
    saturated_bit: int,
    bits: MaskImage,
    left: int,
    right: int,
) -> None:
    """Write the bits that every frame has, and that of saturated pixels, of a part of a row."""
    # Narrow integers: with wide ones a vector of the processor holds few pixels.
    limit, bit = np.int32(min(saturation, NEVER - 1)), np.uint8(saturated_bit)
    for x in range(np.uint64(left), np.uint64(right)):
        bits[x] = fixed[x] | (bit if np.int32(counts[x]) >= limit else np.uint8(0))


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
        As of :func:`calibrate_row`. What is not wanted may be left as it was.
    cubics, box, places
        As of :func:`~.skyimage.sky_run`, of every row.
    pattern : ndarray of float32, shape (ny, nx) or (0, 0)
        ADU.
    wanted : ndarray of uint8, shape (ny, ⌈nx / SEGMENT⌉)
        Non-zero where a segment of a row is wanted.
    """
    ny, nx = raw.shape
    n_segments = wanted.shape[1]
    nothing, level, one = (
        np.zeros(nx, np.float32),
        np.zeros(nx, np.float32),
        np.ones(nx, np.float32),
    )
    no_bits, sky = np.zeros(nx, np.uint8), np.empty(nx, np.float32)
    for y in range(ny):
        # Up to the last wanted one in one go: a row in pieces costs more than what lies between
        # them, since memory is fast only where it is read in order.
        first, last = n_segments, -1
        for segment in range(n_segments):
            if wanted[y, segment] != 0:
                first = min(first, segment)
                last = segment
        if last < 0:
            continue
        left, right = first * SEGMENT, min(nx, (last + 1) * SEGMENT)
        _fill_overscan(overscan, y, level)
        sky_run(cubics[y], box, places, left, right, sky)
        _calibrate_run(
            raw[y],
            level,
            offset[y] if offset.size else nothing,
            response[y] if response.size else one,
            sky,
            pattern[y] if pattern.size else nothing,
            pixels[y],
            left,
            right,
        )
        fixed = fixed_mask[y] if fixed_mask.size else no_bits
        _mark_run(raw[y], fixed, saturation, saturated_bit, mask[y], left, right)


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
