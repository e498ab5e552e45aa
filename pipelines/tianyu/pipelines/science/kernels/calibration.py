"""Calibrating rows of a raw frame: one sweep instead of five over arrays that fit no cache."""

import math
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np

from tianyu.pipelines.science.arrays import AnyArray, FloatImage, MaskImage
from tianyu.pipelines.science.kernels.jit import compiled
from tianyu.pipelines.science.kernels.skyimage import row_places, sky_run
from tianyu.pipelines.science.masks import MaskBit

NEVER = 2**31
"""Counts that no pixel of 16 bits reaches."""

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


class RowRoom(NamedTuple):
    """Rows of zeros and of ones where nothing is to be done, and room for two more.

    All but the last are of float32 and all of shape (nx,).
    """

    zeros: FloatImage
    ones: FloatImage
    level: FloatImage
    sky: FloatImage
    no_bits: MaskImage


@compiled
def row_room(nx: int) -> RowRoom:
    """Return the room for rows of nx pixels."""
    return RowRoom(
        np.zeros(nx, np.float32),
        np.ones(nx, np.float32),
        np.zeros(nx, np.float32),
        np.empty(nx, np.float32),
        np.zeros(nx, np.uint8),
    )


HowToCalibrate: TypeAlias = tuple[FloatImage, FloatImage, FloatImage, MaskImage, int, int, RowRoom]
"""What is the same for all rows of a frame; see :func:`calibrate_row`."""


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
        room : RowRoom
    pixels, mask : ndarray of float32 and of uint8, shape (ny, nx)
        Of which the row is written.
    """
    overscan, offset, response, fixed_mask, saturation, saturated_bit, room = how
    nx = raw.shape[1]
    if overscan.size == 0 and offset.size and response.size:
        _scale_row(raw[y], offset[y], response[y], pixels[y])
    else:
        _fill_overscan(overscan, y, room.level)
        _calibrate_run(
            raw[y],
            room.level,
            offset[y] if offset.size else room.zeros,
            response[y] if response.size else room.ones,
            room.zeros,
            pixels[y],
            0,
            nx,
        )
    fixed = fixed_mask[y] if fixed_mask.size else room.no_bits
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
    pixels: FloatImage,
    left: int,
    right: int,
) -> None:
    """Write ``(S − level − offset) · response − sky`` of pixels left to right − 1.

    All arrays are rows of nx pixels. One sweep, whatever there is to do: zero and one change
    nothing.
    """
    # Unsigned, or every index would be looked at whether it counts from the end.
    for x in range(np.uint64(left), np.uint64(right)):
        signal = np.float32(counts[x]) - level[x] - offset[x]
        pixels[x] = signal * response[x] - sky[x]


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


class RawRows(NamedTuple):
    """A raw frame, and all that makes calibrated, sky-subtracted rows of it, as kernels take it.

    Attributes
    ----------
    counts : ndarray of integers of at most 16 bits, shape (ny, nx)
        ADU, C-contiguous; (0, 0) where there is nothing left to calibrate.
    overscan, offset, response, fixed_mask, saturation, saturated_bit
        As of :func:`calibrate_row`.
    cubics, box, places
        As of :func:`~.skyimage.sky_run`, of every row.
    """

    counts: AnyArray
    overscan: FloatImage
    offset: FloatImage
    response: FloatImage
    fixed_mask: MaskImage
    saturation: int
    saturated_bit: int
    cubics: FloatImage
    box: int
    places: FloatImage


NO_RAW_ROWS = RawRows(
    np.empty((0, 0), np.uint16),
    *KernelCalibration.of(None, None, None, None).arguments(None),
    np.empty((0, 0, 4), np.float32),
    1,
    row_places(1, 1, 0),
)
"""Of a frame that has been calibrated already; of the types that most others have, for which
kernels are compiled."""


@compiled
def calibrate_known_row(
    raw: RawRows, y: int, room: RowRoom, pixels: FloatImage, bits: MaskImage
) -> None:
    """Calibrate a row of a frame, and take its known sky off.

    Parameters
    ----------
    raw : RawRows
    y : int
        Row.
    room : RowRoom
    pixels, bits : ndarray of float32 and of uint8, shape (nx,)
        Written.
    """
    nx = raw.counts.shape[1]
    _fill_overscan(raw.overscan, y, room.level)
    sky_run(raw.cubics[y], raw.box, raw.places, 0, nx, room.sky)
    _calibrate_run(
        raw.counts[y],
        room.level,
        raw.offset[y] if raw.offset.size else room.zeros,
        raw.response[y] if raw.response.size else room.ones,
        room.sky,
        pixels,
        0,
        nx,
    )
    fixed = raw.fixed_mask[y] if raw.fixed_mask.size else room.no_bits
    _mark_run(raw.counts[y], fixed, raw.saturation, raw.saturated_bit, bits, 0, nx)


@compiled
def calibrate_known(raw: RawRows, pixels: FloatImage, mask: MaskImage) -> None:
    """Calibrate a frame, and take its known sky off.

    Parameters
    ----------
    raw : RawRows
    pixels, mask : ndarray of float32 and of uint8, shape (ny, nx)
        Written.
    """
    room = row_room(raw.counts.shape[1])
    for y in range(raw.counts.shape[0]):
        calibrate_known_row(raw, y, room, pixels[y], mask[y])
