"""From a raw frame to a calibrated, sky-subtracted one: what every pass begins with.

Each function takes the compiled way where the settings want it and the frame's counts fit it, else
the plain one.
"""

import math
from dataclasses import dataclass, field, replace

import numpy as np

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.gpu import find_gpu
from tianyu.pipelines.kernels import compiled_kernels, gpu_kernels
from tianyu.pipelines.science.apertureshape import ROUND, ApertureShape
from tianyu.pipelines.science.arrays import (
    AnyArray,
    BoolArray,
    FloatImage,
    IntArray,
    MaskImage,
)
from tianyu.pipelines.science.blank import plain_extremes, refuse_blank
from tianyu.pipelines.science.calibrate import Calibrator
from tianyu.pipelines.science.cosmics import find_cosmic_rays
from tianyu.pipelines.science.ellipses import EllipticalLight
from tianyu.pipelines.science.footprints import Footprints, star_footprints
from tianyu.pipelines.science.gaussian import FWHM_PER_SIGMA
from tianyu.pipelines.science.light import FrameLight, LightReader
from tianyu.pipelines.science.masks import MaskBit
from tianyu.pipelines.science.overscan import RawFrame
from tianyu.pipelines.science.sky import SkyModel, measure_sky
from tianyu.pipelines.science.stamps import UNDER_STAR
from tianyu.pipelines.science.starlist import StarList
from tianyu.pipelines.science.stars import StarMethod, find_stars
from tianyu.pipelines.science.trails import find_trails

WORD_BYTES = 2
"""Widest integers that kernels take: a float32 holds all of their values."""


@dataclass(eq=False)
class FrameBuffers:
    """Memory for one frame, used again for the next: new memory would cost its first touch.

    A frame that was measured into buffers is gone with the next one.
    """

    pixels: FloatImage = field(default_factory=lambda: np.empty((0, 0), np.float32))
    mask: MaskImage = field(default_factory=lambda: np.empty((0, 0), np.uint8))

    def of_shape(self, shape: tuple[int, int]) -> tuple[FloatImage, MaskImage]:
        """Return pixels and mask of a shape ``(ny, nx)``, with whatever is in them."""
        if self.pixels.shape != shape:
            self.pixels, self.mask = np.empty(shape, np.float32), np.empty(shape, np.uint8)
        return self.pixels, self.mask


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
    maxima : ndarray of int64, shape (n,), or None
        Flat indices of the maxima at the threshold at which stars are counted, where known.
    """

    pixels: FloatImage
    mask: MaskImage
    sky: SkyModel
    maxima: IntArray | None = None

    def with_mask(self, mask: MaskImage) -> "MeasuredFrame":
        """Return the frame with another mask, shape ``(ny, nx)``."""
        return replace(self, mask=mask)

    def about_stars(self) -> tuple[FloatImage, MaskImage]:
        """Return pixels and mask of which at least those about the brightest maxima hold."""
        return self.pixels, self.mask

    @property
    def shape(self) -> tuple[int, int]:
        """Shape ``(ny, nx)``."""
        return self.pixels.shape[0], self.pixels.shape[1]

    def reader(self, stars: Footprints | None, shape: ApertureShape = ROUND) -> LightReader:
        """Return what reads the light about its sources; see :func:`light_reader`."""
        return light_reader(self.pixels, self.mask, stars, shape)


def light_reader(
    pixels: FloatImage,
    mask: MaskImage,
    stars: Footprints | None = None,
    shape: ApertureShape = ROUND,
) -> LightReader:
    """Return what reads the light about sources of a sky-subtracted frame.

    Parameters
    ----------
    pixels, mask : ndarray of float32 and of uint8, shape (ny, nx)
        Only read.
    stars : Footprints, optional
        Disks whose pixels are kept out of the backgrounds, as far as others are left.
    shape : ApertureShape, optional
        Of the apertures; ellipses are summed by SEP whatever the settings want.
    """
    pixels, mask = np.ascontiguousarray(pixels, np.float32), np.ascontiguousarray(mask)
    circles = _reader_of_circles(pixels, mask, stars)
    return circles if shape.is_round else EllipticalLight(circles, pixels, mask)


def _reader_of_circles(
    pixels: FloatImage, mask: MaskImage, stars: Footprints | None
) -> LightReader:
    if compiled_kernels():
        from tianyu.pipelines.science.kernels.light import CompiledLight  # noqa: PLC0415 - slow

        return CompiledLight.of(pixels, mask, stars)
    if stars is not None:
        mask = mask | stars.covered((mask.shape[0], mask.shape[1])) * UNDER_STAR
    return FrameLight(pixels, mask)


STACK_IGNORES = MaskBit.SATURATED
"""Saturated cores stay in stacks, or the template would have holes in stars."""


def measure_frame(
    raw: RawFrame, calibrator: Calibrator, *, sky_box_pix: int, buffers: FrameBuffers | None = None
) -> MeasuredFrame:
    """Calibrate a frame and take its sky off: Ŝ = (S−B)/F − Sky((S−B)/F).

    Parameters
    ----------
    raw : RawFrame
    calibrator : Calibrator
    sky_box_pix : int
        Wanted side of a box of the sky's mesh, pixels.
    buffers : FrameBuffers, optional
        Memory for the result; by default new memory.

    Raises
    ------
    UnusableDataError
        If the frame does not fit the calibration, or has no sky to speak of.
    """
    if _fits_kernels(raw.pixels):
        calibrator.check_shape(raw.pixels)
        if gpu_kernels():
            return find_gpu().measure_frame(raw, calibrator, sky_box_pix)
        from tianyu.pipelines.science.kernels.frames import measure  # noqa: PLC0415 - slow

        memory = (buffers or FrameBuffers()).of_shape(_shape(raw.pixels))
        sky, maxima = measure(raw, calibrator, sky_box_pix, *memory)
        return MeasuredFrame(*memory, sky, maxima)
    calibrated = calibrator.apply(raw.pixels, raw.overscan)
    sky = measure_sky(calibrated.pixels, calibrated.mask, box_pix=sky_box_pix)
    return MeasuredFrame(calibrated.pixels - sky.image(), calibrated.mask, sky)


def remeasure_frame(
    raw: RawFrame,
    calibrator: Calibrator,
    sky: SkyModel,
    pattern: FloatImage | None = None,
    *,
    buffers: FrameBuffers | None = None,
    whole: bool = True,
) -> MeasuredFrame:
    """Calibrate a frame and take off the sky that an earlier pass found: the same pixels.

    Parameters
    ----------
    raw : RawFrame
    calibrator : Calibrator
    sky : SkyModel
    pattern : ndarray of float32, shape (ny, nx), optional
        Fixed pattern to subtract as well, ADU.
    buffers : FrameBuffers, optional
        Memory for the result; by default new memory.
    whole : bool, optional
        False where only the light about its sources is wanted: the frame is then made, where it
        pays, row by row while they are measured, and `raw` must stay as it is until then.

    Raises
    ------
    UnusableDataError
        If the frame does not fit the calibration or the pattern.
    """
    if pattern is not None and pattern.shape != raw.pixels.shape:
        raise UnusableDataError(
            f"the frame has shape {raw.pixels.shape}, the fixed pattern {pattern.shape}; frames "
            "of one observation must have one size"
        )
    calibrator = calibrator if pattern is None else calibrator.with_pattern(pattern)
    if _fits_kernels(raw.pixels):
        calibrator.check_shape(raw.pixels)
        if gpu_kernels():
            return find_gpu().remeasure_frame(raw, calibrator, sky)
        from tianyu.pipelines.frames_in_rows import FrameInRows  # noqa: PLC0415 - slow

        frame = FrameInRows(raw, calibrator, sky, buffers or FrameBuffers())
        return frame.made() if whole else frame
    calibrated = calibrator.apply(raw.pixels, raw.overscan)
    return MeasuredFrame(calibrated.pixels - sky.image(), calibrated.mask, sky)


def refuse_blank_frame(raw: RawFrame, name: str) -> None:
    """Refuse a light frame without any information.

    Raises
    ------
    UnusableDataError
        As :func:`~tianyu.pipelines.science.blank.refuse_blank` says.
    """
    find_extremes = plain_extremes
    if _fits_kernels(raw.pixels) and raw.pixels.flags.c_contiguous:
        from tianyu.pipelines.science.kernels.blankness import extremes  # noqa: PLC0415 - slow

        find_extremes = extremes
    refuse_blank(raw.pixels, name, sees_light=True, extremes=find_extremes)


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
    return image.with_mask(mask)


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


def mark_cosmic_rays(image: MeasuredFrame, gain_e_per_adu: float) -> MeasuredFrame:
    """Return a frame with COSMIC_RAY in its mask where rays have hit it.

    Parameters
    ----------
    image : MeasuredFrame
        Whose stars are wide enough:
        see :func:`~tianyu.pipelines.science.cosmics.check_possible`.
    gain_e_per_adu : float
        For the photon noise of stars.
    """
    hit = find_cosmic_rays(
        image.pixels, image.mask, sky_rms=image.sky.rms, gain_e_per_adu=gain_e_per_adu
    )
    return image.with_mask(image.mask | hit * np.uint8(MaskBit.COSMIC_RAY))


def stars_of(frame: MeasuredFrame) -> StarList:
    """Find the stars of a measured frame."""
    method = StarMethod()
    if compiled_kernels():
        from tianyu.pipelines.science.kernels.stellar import star_method  # noqa: PLC0415 - slow

        method = star_method(frame.maxima)
    return find_stars(*frame.about_stars(), frame.sky.rms, method=method)


def _fits_kernels(counts: AnyArray) -> bool:
    """Tell whether compiled kernels are wanted, and a float32 holds every count of a frame."""
    is_short = counts.dtype.kind in "ui" and counts.dtype.itemsize <= WORD_BYTES
    return is_short and counts.ndim == 2 and compiled_kernels()


def _shape(counts: AnyArray) -> tuple[int, int]:
    return counts.shape[0], counts.shape[1]
