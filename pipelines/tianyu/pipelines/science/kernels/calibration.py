"""Calibrating rows of a raw frame: one sweep instead of five over arrays that fit no cache."""

import math
from dataclasses import dataclass

import numpy as np

from tianyu.pipelines.science.arrays import AnyArray, FloatImage, MaskImage
from tianyu.pipelines.science.kernels.jit import compiled
from tianyu.pipelines.science.masks import MaskBit

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
        is_known = saturation is not None and math.isfinite(saturation)
        return cls(
            _NO_FLOATS if offset is None else offset,
            _NO_FLOATS if response is None else response,
            _NO_BITS if fixed_mask is None else fixed_mask,
            min(NEVER, math.ceil(saturation)) if is_known and saturation is not None else NEVER,
        )

    def arguments(
        self, overscan: FloatImage | None
    ) -> tuple[FloatImage, FloatImage, FloatImage, MaskImage, int, int]:
        """Return the arguments of the kernels from `overscan` on."""
        level = _NO_FLOATS if overscan is None else np.ascontiguousarray(overscan)
        prepared = self.offset, self.response, self.fixed_mask, self.saturation
        return (level, *prepared, int(MaskBit.SATURATED))


def is_exact(raw: AnyArray) -> bool:
    """Tell whether a float32 holds every count of a frame, as the kernels need it."""
    return raw.dtype.kind in "ui" and raw.dtype.itemsize <= 2 and raw.dtype.isnative


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
    nx = raw.shape[1]
    for y in range(first, last):
        if overscan.size == 0:
            for x in range(nx):
                pixels[y, x] = np.float32(raw[y, x])
        elif overscan.shape[1] == 1:
            level = overscan[min(y, overscan.shape[0] - 1), 0]
            for x in range(nx):
                pixels[y, x] = np.float32(raw[y, x]) - level
        else:
            for x in range(nx):
                pixels[y, x] = np.float32(raw[y, x]) - overscan[0, x]
        if offset.size:
            for x in range(nx):
                pixels[y, x] -= offset[y, x]
        if response.size:
            for x in range(nx):
                pixels[y, x] *= response[y, x]
        for x in range(nx):
            mask[y, x] = saturated_bit if raw[y, x] >= saturation else 0
        if fixed_mask.size:
            for x in range(nx):
                mask[y, x] |= fixed_mask[y, x]
