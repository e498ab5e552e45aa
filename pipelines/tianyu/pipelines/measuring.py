"""From a raw frame to a calibrated, sky-subtracted one: what every pass begins with."""

from dataclasses import dataclass

import numpy as np

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.arrays import FloatImage, MaskImage
from tianyu.pipelines.science.calibrate import Calibrator
from tianyu.pipelines.science.masks import MaskBit
from tianyu.pipelines.science.overscan import RawFrame
from tianyu.pipelines.science.sky import SkyModel, measure_sky
from tianyu.pipelines.science.starlist import StarList
from tianyu.pipelines.science.stars import find_stars


@dataclass(frozen=True)
class MeasuredFrame:
    """A calibrated frame without its sky.

    Attributes
    ----------
    pixels : ndarray of float32, shape (ny, nx)
        Sky-subtracted, ADU.
    mask : ndarray of uint8, shape (ny, nx)
        Bits of MaskBit.
    sky : SkyModel
        The sky that was subtracted.
    """

    pixels: FloatImage
    mask: MaskImage
    sky: SkyModel

    @property
    def stack_mask(self) -> MaskImage:
        """The mask for stacking: saturated cores stay, or the template had holes in stars."""
        return self.mask & np.uint8(0xFF ^ MaskBit.SATURATED)


def measure_frame(raw: RawFrame, calibrator: Calibrator, *, sky_box_pix: int) -> MeasuredFrame:
    """Calibrate a frame and take its sky off: Ŝ = (S−B)/F − Sky((S−B)/F).

    Raises
    ------
    UnusableDataError
        If the frame does not fit the calibration, or has no sky to speak of.
    """
    calibrated = calibrator.apply(raw.pixels, raw.overscan)
    sky = measure_sky(calibrated.pixels, calibrated.mask, box_pix=sky_box_pix)
    return MeasuredFrame(calibrated.pixels - sky.image(), calibrated.mask, sky)


def remeasure_frame(
    raw: RawFrame, calibrator: Calibrator, sky: SkyModel, pattern: FloatImage | None = None
) -> MeasuredFrame:
    """Calibrate a frame and take off the sky that an earlier pass found: the same pixels.

    Parameters
    ----------
    raw : RawFrame
    calibrator : Calibrator
    sky : SkyModel
    pattern : ndarray of float32, shape (ny, nx), optional
        Fixed pattern to subtract as well, ADU.

    Raises
    ------
    UnusableDataError
        If the frame does not fit the calibration or the pattern.
    """
    calibrated = calibrator.apply(raw.pixels, raw.overscan)
    pixels = calibrated.pixels - sky.image()
    if pattern is not None:
        if pattern.shape != pixels.shape:
            raise UnusableDataError(
                f"the frame has shape {pixels.shape}, the fixed pattern {pattern.shape}; frames "
                "of one observation must have one size"
            )
        pixels -= pattern
    return MeasuredFrame(pixels, calibrated.mask, sky)


def stars_of(frame: MeasuredFrame) -> StarList:
    """Find the stars of a measured frame."""
    return find_stars(frame.pixels, frame.mask, frame.sky.rms)
