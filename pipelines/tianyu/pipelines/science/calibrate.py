"""Raw frames to calibrated ones: ``(S − B − t·D) / F`` and the mask that travels with them.

What depends on the calibration frames only (``B + t·D``, ``1/F`` and the fixed part of the
mask) is prepared once in a :class:`Calibrator`; a frame then costs one subtraction and one
multiplication in float32. :func:`calibrate` is the same for a single frame.
"""

import math
from copy import copy
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.arrays import AnyArray, FloatImage, MaskImage
from tianyu.pipelines.science.masks import MaskBit
from tianyu.pipelines.science.masterplanes import offset_of, offset_with, response_of

LEVEL_SAMPLES_PER_AXIS = 64
"""4096 pixels give the typical level of a frame to a few per cent of its noise."""


@dataclass(frozen=True)
class Calibrated:
    """One calibrated frame.

    Attributes
    ----------
    pixels : ndarray of float32, shape (ny, nx)
        ADU of a pixel with mean response; finite everywhere.
    mask : ndarray of uint8, shape (ny, nx)
        Bits of :class:`~tianyu.pipelines.science.masks.MaskBit`; zero is a good pixel.
    """

    pixels: FloatImage
    mask: MaskImage


class Calibrator:
    """Prepared calibration frames, to be applied to any number of raw frames.

    Every part is optional; what is not given is not applied. All images have one shape
    ``(ny, nx)``. The arguments are only read, and no later change of them is seen.

    Parameters
    ----------
    bias : ndarray, optional
        Master bias B, ADU.
    dark : ndarray, optional
        Master dark D, ADU; without its bias when `bias` is given.
    dark_scale : float
        t: exposure of the raw frames over exposure of the dark.
    flat : ndarray, optional
        Master flat F with mean 1. Where it is below `LOWEST_FLAT` or not finite the pixel is
        masked as ``NO_FLAT``.
    bad : ndarray of uint8, optional
        Mask that every frame inherits, as from :func:`~.masters.bad_pixels`.
    saturation : float, optional
        Level of the *raw* frame, ADU, at and above which a pixel is saturated.

    Raises
    ------
    UnusableDataError
        If the shapes differ, or `dark_scale` is negative or not finite.

    Attributes
    ----------
    offset, response : ndarray of float32, shape (ny, nx), or None
        ``B + t·D`` and ``1/F``, finite everywhere; None where nothing is to be done.
    fixed_mask : ndarray of uint8, shape (ny, nx), or None
        Bits that every frame has.
    saturation : float or None
    """

    def __init__(
        self,
        *,
        bias: AnyArray | None = None,
        dark: AnyArray | None = None,
        dark_scale: float = 1.0,
        flat: AnyArray | None = None,
        bad: MaskImage | None = None,
        saturation: float | None = None,
    ) -> None:
        if not (math.isfinite(dark_scale) and dark_scale >= 0):
            raise UnusableDataError(
                f"dark scale is {dark_scale}: it is the ratio of two exposure times; "
                "check both headers"
            )
        self._shape = _common_shape(bias=bias, dark=dark, flat=flat, bad=bad)
        self.saturation = saturation
        self.offset = offset_of(bias, dark, dark_scale)
        self.response = None if flat is None else response_of(flat)
        self.fixed_mask = None if self._shape is None else self._fixed_mask(self._shape, bad)
        self._holes = (
            np.flatnonzero(_unusable(self.fixed_mask)) if self.fixed_mask is not None else None
        )
        if self.offset is not None:
            self.offset[~np.isfinite(self.offset)] = 0
        self._with_pattern: tuple[FloatImage, Calibrator] | None = None

    def _fixed_mask(self, shape: tuple[int, int], bad: MaskImage | None) -> MaskImage:
        """Mask bits that are the same in every frame."""
        mask = np.zeros(shape, np.uint8) if bad is None else bad.astype(np.uint8)
        if self.offset is not None:
            mask[~np.isfinite(self.offset)] |= np.uint8(MaskBit.NOT_FINITE)
        if self.response is not None:
            mask[self.response == 0] |= np.uint8(MaskBit.NO_FLAT)
        return mask

    def apply(self, raw: AnyArray, overscan: FloatImage | None = None) -> Calibrated:
        """Calibrate one raw frame.

        Pixels that cannot have a value (no flat, not finite) get the typical level of the
        frame, so that filters and sums which look past the mask meet neither a spike nor a
        hole. Saturated and bad pixels keep what was measured.

        Parameters
        ----------
        raw : ndarray, shape (ny, nx)
            Raw frame S, ADU; any integer or float type and byte order. Only read.
        overscan : ndarray of float32, optional
            Level of this very frame to be subtracted, ADU; of a shape that spreads to that
            of `raw`. Saturation is judged before.

        Returns
        -------
        Calibrated
            New arrays.

        Raises
        ------
        UnusableDataError
            If `raw` is not an image of the shape of the calibration frames.
        """
        self.check_shape(raw)
        pixels = self._scaled(raw, overscan)
        mask = self._mask_of(raw)
        holes = self._holes
        if not np.issubdtype(raw.dtype, np.integer):  # integers cannot become non-finite
            mask[~np.isfinite(pixels)] |= np.uint8(MaskBit.NOT_FINITE)
            holes = np.flatnonzero(_unusable(mask))
        if holes is not None and holes.size:
            pixels.reshape(-1)[holes] = _typical_level(pixels, mask)
        return Calibrated(pixels, mask)

    def with_pattern(self, pattern: FloatImage) -> "Calibrator":
        """Return a calibrator that takes a fixed pattern P off as well, at no cost per frame.

        All but the offset is shared with this calibrator, which keeps the result.

        Parameters
        ----------
        pattern : ndarray of float32, shape (ny, nx)
            ADU of a pixel with mean response.

        Examples
        --------
        >>> one = np.ones((1, 1), np.float32)
        >>> prepared = Calibrator(bias=100 * one, flat=0.5 * one).with_pattern(3 * one)
        >>> float(prepared.offset[0, 0]), float(prepared.apply(200 * one).pixels[0, 0])
        (101.5, 197.0)
        """
        if self._with_pattern is None or self._with_pattern[0] is not pattern:
            offset = offset_with(pattern, self.offset, self.response)
            prepared = copy(self)
            vars(prepared).update(offset=offset, _shape=offset.shape, _with_pattern=None)
            self._with_pattern = pattern, prepared
        return self._with_pattern[1]

    def check_shape(self, raw: AnyArray) -> None:
        """Refuse a raw frame that is no image of the shape of the calibration frames.

        Raises
        ------
        UnusableDataError
        """
        if raw.ndim != 2 or (self._shape is not None and raw.shape != self._shape):
            raise UnusableDataError(
                f"raw frame has shape {raw.shape}, calibration frames {self._shape or '(ny, nx)'}: "
                "register calibration frames of the same read-out window and binning"
            )

    def fill_holes(self, pixels: FloatImage, mask: MaskImage) -> None:
        """Give the pixels that have no value in any frame the typical level of this one."""
        if self._holes is not None and self._holes.size:
            pixels.reshape(-1)[self._holes] = _typical_level(pixels, mask)

    def _mask_of(self, raw: AnyArray) -> MaskImage:
        """Join fixed mask and saturation in place: new memory is what costs here."""
        if self.saturation is None:
            return (
                np.zeros(raw.shape, np.uint8) if self.fixed_mask is None else self.fixed_mask.copy()
            )
        mask: MaskImage = _saturated(raw, self.saturation).view(np.uint8)
        mask *= np.uint8(MaskBit.SATURATED)
        if self.fixed_mask is not None:
            mask |= self.fixed_mask
        return mask

    def _scaled(self, raw: AnyArray, overscan: FloatImage | None) -> FloatImage:
        """Return ``(S − overscan − offset) · response`` in float32."""
        pixels = np.empty(raw.shape, np.float32)
        # Infinities of a float frame are masked afterwards.
        with np.errstate(invalid="ignore", over="ignore"):
            if overscan is not None:
                np.subtract(raw, overscan, out=pixels, casting="same_kind")
                if self.offset is not None:
                    np.subtract(pixels, self.offset, out=pixels)
            elif self.offset is None:
                np.copyto(pixels, raw, casting="same_kind")
            else:
                np.subtract(raw, self.offset, out=pixels, casting="same_kind")
            if self.response is not None:
                np.multiply(pixels, self.response, out=pixels)
        return pixels


def calibrate(
    raw: AnyArray,
    *,
    bias: AnyArray | None = None,
    dark: AnyArray | None = None,
    dark_scale: float = 1.0,
    flat: AnyArray | None = None,
    bad: MaskImage | None = None,
    saturation: float | None = None,
) -> Calibrated:
    """Calibrate a single frame: ``(S − B − t·D) / F`` [1]_.

    Parameters
    ----------
    raw : ndarray, shape (ny, nx)
        Raw frame, ADU.
    bias, dark, dark_scale, flat, bad, saturation
        As for :class:`Calibrator`, which is the better choice for more than one frame.

    Returns
    -------
    Calibrated
        Pixels and mask.

    Raises
    ------
    UnusableDataError
        As :class:`Calibrator` and :meth:`Calibrator.apply`.

    References
    ----------
    .. [1] S. B. Howell, *Handbook of CCD Astronomy*, 2nd ed., section 4.5.

    Examples
    --------
    >>> raw = np.array([[1300, 65535]], dtype=np.uint16)
    >>> bias, flat = np.full((1, 2), 300.0), np.array([[0.5, 1.5]])
    >>> frame = calibrate(raw, bias=bias, flat=flat, saturation=60000)
    >>> frame.pixels.tolist(), frame.mask.tolist()
    ([[2000.0, 43490.0]], [[0, 2]])
    """
    prepared = Calibrator(
        bias=bias, dark=dark, dark_scale=dark_scale, flat=flat, bad=bad, saturation=saturation
    )
    return prepared.apply(raw)


def _common_shape(**images: AnyArray | None) -> tuple[int, int] | None:
    shapes = {name: image.shape for name, image in images.items() if image is not None}
    if not shapes:
        return None
    if len(set(shapes.values())) > 1 or any(len(shape) != 2 for shape in shapes.values()):
        raise UnusableDataError(
            f"calibration frames are not images of one shape: {shapes}; "
            "use frames of the same read-out window and binning"
        )
    ny, nx = next(iter(shapes.values()))
    return ny, nx


def _unusable(mask: MaskImage) -> NDArray[np.uint8]:
    """Non-zero where a pixel has no value at all."""
    return mask & np.uint8(MaskBit.NO_FLAT | MaskBit.NOT_FINITE)


def _saturated(raw: AnyArray, saturation: float) -> NDArray[np.bool_]:
    if np.issubdtype(raw.dtype, np.integer) and math.isfinite(saturation):
        # Whole numbers are compared in their own type, not by way of float64.
        return np.asarray(raw >= math.ceil(saturation))
    return np.asarray(raw >= saturation)


def _typical_level(pixels: FloatImage, mask: MaskImage) -> float:
    """Median of the good pixels of a coarse grid; 0 when none of them is good."""
    grid = tuple(slice(None, None, max(1, n // LEVEL_SAMPLES_PER_AXIS)) for n in pixels.shape)
    good = pixels[grid][mask[grid] == 0]
    return float(np.median(good)) if good.size else 0.0
