"""Calibrating a whole frame of counts where it lies."""

import math
from dataclasses import dataclass

import numpy as np

from tianyu.pipelines.science.calibrate import LEVEL_SAMPLES_PER_AXIS, Calibrator
from tianyu.pipelines.science.gpu.namespace import ArrayNamespace, DeviceArray
from tianyu.pipelines.science.masks import MaskBit
from tianyu.pipelines.science.stamps import UNREADABLE

BEYOND_COUNTS = 2**20
"""More than any count of 16 bits, and within the integers that counts are compared in."""


@dataclass(frozen=True, eq=False)
class DeviceCalibration:
    """What a calibrator has prepared, on the device: uploaded once, used for many frames.

    Attributes
    ----------
    offset, response : array of float32, shape (ny, nx), or None
        What is subtracted, and what the rest is multiplied by; None: not done.
    fixed_mask : array of uint8, shape (ny, nx), or None
        Bits that every frame has.
    holes : array of int64, shape (n,), or None
        Flat indices of pixels that have no value in any frame.
    saturation : int or None
        Counts from which a pixel is saturated.
    """

    offset: DeviceArray | None
    response: DeviceArray | None
    fixed_mask: DeviceArray | None
    holes: DeviceArray | None
    saturation: int | None

    @classmethod
    def of(cls, calibrator: Calibrator, xp: ArrayNamespace) -> "DeviceCalibration":
        """Upload what a calibrator has prepared."""
        images = calibrator.offset, calibrator.response, calibrator.fixed_mask
        offset, response, mask = (None if i is None else xp.asarray(i) for i in images)
        fixed = calibrator.fixed_mask
        holes = np.empty(0, np.int64) if fixed is None else np.flatnonzero(fixed & UNREADABLE)
        at_holes = xp.asarray(holes) if holes.size else None
        return cls(offset, response, mask, at_holes, _counts(calibrator.saturation))


def calibrate(
    counts: DeviceArray,
    overscan: DeviceArray | None,
    calibration: DeviceCalibration,
    xp: ArrayNamespace,
) -> tuple[DeviceArray, DeviceArray]:
    """Return ``(S − overscan − offset) · response`` and the mask of a frame.

    Parameters
    ----------
    counts : array of integers of at most 16 bits, shape (ny, nx)
        Counts S, ADU: a float32 holds them exactly.
    overscan : array of float32 or None
        Of a shape that spreads to that of the counts.
    calibration : DeviceCalibration
    xp : namespace

    Returns
    -------
    pixels, mask : array of float32 and of uint8, shape (ny, nx)
        As of :meth:`~tianyu.pipelines.science.calibrate.Calibrator.apply`.

    Examples
    --------
    >>> prepared = DeviceCalibration.of(Calibrator(bias=np.full((1, 2), 300.0), saturation=5e3), np)
    >>> pixels, mask = calibrate(np.array([[1300, 9000]], np.uint16), None, prepared, np)
    >>> pixels.tolist(), mask.tolist()
    ([[1000.0, 8700.0]], [[0, 2]])
    """
    pixels = counts.astype(xp.float32)
    if overscan is not None:
        pixels -= overscan
    if calibration.offset is not None:
        pixels -= calibration.offset
    if calibration.response is not None:
        pixels *= calibration.response
    if calibration.saturation is None:
        mask = xp.zeros(counts.shape, xp.uint8)
    else:
        is_saturated = counts.astype(xp.int32) >= calibration.saturation
        mask = is_saturated.astype(xp.uint8) * int(MaskBit.SATURATED)
    if calibration.fixed_mask is not None:
        mask |= calibration.fixed_mask
    if calibration.holes is not None:
        pixels.reshape(-1)[calibration.holes] = _typical_level(pixels, mask, xp)
    return pixels, mask


def _typical_level(pixels: DeviceArray, mask: DeviceArray, xp: ArrayNamespace) -> DeviceArray:
    """Median of the good pixels of a coarse grid, shape (1,); 0 when none of them is good."""
    grid = tuple(slice(None, None, max(1, n // LEVEL_SAMPLES_PER_AXIS)) for n in pixels.shape)
    is_good = (mask[grid] == 0).reshape(-1)
    values = xp.sort(xp.where(is_good, pixels[grid].reshape(-1), xp.inf))
    n = xp.count_nonzero(is_good).reshape(1)
    middle = values[xp.maximum(n - 1, 0) // 2] + values[n // 2]
    return xp.where(n > 0, middle / 2, 0).astype(xp.float32)


def _counts(saturation: float | None) -> int | None:
    if saturation is None or math.isnan(saturation):
        return None
    return math.ceil(min(max(saturation, -BEYOND_COUNTS), BEYOND_COUNTS))
