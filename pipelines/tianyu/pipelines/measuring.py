"""From a raw frame to a calibrated, sky-subtracted one: what every pass begins with."""

import math
from dataclasses import dataclass, replace

import numpy as np

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.arrays import BoolArray, FloatImage, MaskImage
from tianyu.pipelines.science.calibrate import Calibrator
from tianyu.pipelines.science.footprints import star_footprints
from tianyu.pipelines.science.gaussian import FWHM_PER_SIGMA
from tianyu.pipelines.science.masks import MaskBit
from tianyu.pipelines.science.overscan import RawFrame
from tianyu.pipelines.science.sky import SkyModel, measure_sky
from tianyu.pipelines.science.starlist import StarList
from tianyu.pipelines.science.stars import find_stars
from tianyu.pipelines.science.trails import find_trails


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


def mark_trails(image: MeasuredFrame, under_stars: BoolArray, fwhm_pix: float) -> MeasuredFrame:
    """Return a frame with TRAIL in its mask where trails of satellites cross it.

    Parameters
    ----------
    image : MeasuredFrame
    under_stars : ndarray of bool, shape (ny, nx)
        Pixels with light of stars, which are not looked at.
    fwhm_pix : float
        Width of the stars.
    """
    usable = (image.mask == 0) & ~under_stars
    trails = find_trails(image.pixels, usable, sky_rms=image.sky.rms, fwhm_pix=fwhm_pix)
    if not trails:
        return image
    mask = image.mask.copy()
    for trail in trails:
        mask[trail.mask((mask.shape[0], mask.shape[1]))] |= np.uint8(MaskBit.TRAIL)
    return replace(image, mask=mask)


def mark_trails_between(image: MeasuredFrame, stars: StarList) -> MeasuredFrame:
    """Return a frame with its trails marked, found between its own stars."""
    fwhm = stars.fwhm_pix_median
    if not fwhm > 0.0:
        return image
    under_stars = star_footprints(
        stars.x,
        stars.y,
        stars.flux * (FWHM_PER_SIGMA**2 / (2.0 * math.pi * fwhm**2)),
        fwhm_pix=fwhm,
        sky_rms=image.sky.rms,
        shape=(image.mask.shape[0], image.mask.shape[1]),
    )
    return mark_trails(image, under_stars, fwhm)


def stars_of(frame: MeasuredFrame) -> StarList:
    """Find the stars of a measured frame."""
    return find_stars(frame.pixels, frame.mask, frame.sky.rms)
