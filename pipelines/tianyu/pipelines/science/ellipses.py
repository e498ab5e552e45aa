"""What ellipses about sources hold: light, area, masked pixels, by SEP.

Only what ellipses change is done here. The ring of the background, the peak and the centroid are
those of the reader of circles, plain or compiled, that stands behind.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import sep
from numpy.typing import NDArray

from tianyu.pipelines.science.aperturegeometry import ApertureGeometry
from tianyu.pipelines.science.apertureshape import ApertureShape, upright
from tianyu.pipelines.science.arrays import AnyArray, FloatArray, FloatImage, MaskImage
from tianyu.pipelines.science.circles import FLAG_OF_BITS
from tianyu.pipelines.science.light import Light, LightReader
from tianyu.pipelines.science.stamps import LEFT_OUT, UNDER_STAR, cut_stamps

TOUCHED_PIX2 = 1e-6
"""Area of a marked pixel from which an ellipse touches it: above the rounding of SEP's overlap."""

ASIDE_PIX = (6.18e-7, 4.14e-7)
"""SEP is asked this far off in x and y. Where a rim runs exactly through a corner of a pixel, as
on half pixels at 0°, its exact overlap may be no number, or up to five times the area: in 0.8 % of
30 000 such places. A millionth of a pixel aside it was right to 1e-14 in 120 000 of them."""


def ellipse_sums(
    stamps: AnyArray,
    bits: AnyArray,
    x: FloatArray,
    y: FloatArray,
    radii: FloatArray,
    shape: ApertureShape,
) -> tuple[FloatArray, FloatArray]:
    """Sum the pixels in ellipses by the exact area that an ellipse covers of each.

    Parameters
    ----------
    stamps : ndarray of float32, shape (n, s, s)
        Pixels about the sources, zero where left out.
    bits : ndarray of uint8, shape (n, s, s)
        Marks of the pixels; those of ``LEFT_OUT`` add no area.
    x, y : ndarray, shape (n,)
        Centres, from the middle of the stamps, pixels.
    radii : ndarray, shape (r,)
        Radii of the circles of the same areas, pixels; the ellipses must lie within the stamps.
    shape : ApertureShape
        Of all of them.

    Returns
    -------
    sums, areas : ndarray, shape (n, r)
        Light, and area that was summed in square pixels.

    Examples
    --------
    >>> stamps, clear = np.full((1, 19, 19), 2.0, np.float32), np.zeros((1, 19, 19), np.uint8)
    >>> sums, areas = ellipse_sums(stamps, clear, np.zeros(1), np.zeros(1), np.array([4.0]),
    ...                            ApertureShape(0.5, 30.0))
    >>> np.round(sums / np.pi, 5).tolist(), np.round(areas / np.pi, 5).tolist()
    ([[32.0]], [[16.0]])
    """
    areas = np.tile(np.pi * radii**2, (len(stamps), 1))
    cut = np.flatnonzero((bits & LEFT_OUT).any(axis=(1, 2)))
    if cut.size:
        usable = ((bits[cut] & LEFT_OUT) == 0).astype(np.float32)
        areas[cut] = _sums(usable, x[cut], y[cut], radii, shape)
    return _sums(stamps, x, y, radii, shape), areas


def ellipse_flags(
    bits: AnyArray, x: FloatArray, y: FloatArray, radii: FloatArray, shape: ApertureShape
) -> NDArray[np.uint16]:
    """Flag the ellipses that touch a masked pixel.

    Parameters
    ----------
    bits, x, y, radii, shape
        As of :func:`ellipse_sums`.

    Returns
    -------
    ndarray of uint16, shape (n, r)
        As of :func:`~tianyu.pipelines.science.circles.mask_flags`.
    """
    flags = np.zeros((len(bits), len(radii)), dtype=np.uint16)
    for bit, flag in FLAG_OF_BITS:
        i = np.flatnonzero((bits & bit).any(axis=(1, 2)))
        if i.size:
            marked = ((bits[i] & bit) != 0).astype(np.float32)
            touched = _sums(marked, x[i], y[i], radii, shape) > TOUCHED_PIX2
            flags[i] |= np.where(touched, flag, 0).astype(np.uint16)
    return flags


@dataclass(frozen=True, eq=False)
class EllipticalLight:
    """Light of a calibrated frame in ellipses.

    Parameters
    ----------
    circles : LightReader
        Of the same frame: what it reads is kept, but for what its circles hold.
    pixels : ndarray of float32, shape (ny, nx)
        Sky-subtracted frame, ADU, C-contiguous.
    mask : ndarray of uint8, shape (ny, nx)
        Bits of :class:`~tianyu.pipelines.science.masks.MaskBit`, C-contiguous.
    """

    circles: LightReader
    pixels: FloatImage
    mask: MaskImage

    @property
    def shape(self) -> tuple[int, int]:
        """Shape ``(ny, nx)`` of the frame."""
        return self.circles.shape

    def light(
        self, x: FloatArray, y: FloatArray, geometry: ApertureGeometry, sky_rms: FloatArray
    ) -> Light:
        """Read the light about positions on the frame."""
        found = self.circles.light(x, y, geometry, sky_rms)
        radii = np.array(geometry.radii_pix)
        half = math.ceil(float(geometry.reach_pix[-1]) + 0.5)
        stamps, bits = cut_stamps(self.pixels, self.mask, x, y, half)
        bits &= ~UNDER_STAR
        stamps = np.where(bits & LEFT_OUT, np.float32(0.0), stamps)
        x_in, y_in = x - np.rint(x), y - np.rint(y)
        sums, areas = ellipse_sums(stamps, bits, x_in, y_in, radii, geometry.shape)
        flags = ellipse_flags(bits, x_in, y_in, radii, geometry.shape)
        return replace(found, sums=sums, areas=areas, flags=flags)

    def steps(
        self, cores: FloatImage, background: FloatArray, x: FloatArray, y: FloatArray, fwhm: float
    ) -> FloatArray:
        """Return the steps from positions in cores to their centroids."""
        return self.circles.steps(cores, background, x, y, fwhm)


def _sums(
    images: AnyArray, x: FloatArray, y: FloatArray, radii: FloatArray, shape: ApertureShape
) -> FloatArray:
    """Sum ellipses on square images laid on one another, (n, r)."""
    n, size, _ = images.shape
    mosaic, first = np.ascontiguousarray(images).reshape(n * size, size), size // 2
    place = first + x + ASIDE_PIX[0], first + size * np.arange(n) + y + ASIDE_PIX[1]
    theta = math.radians(upright(shape.angle_deg))  # SEP refuses more than a right angle
    sums = [
        sep.sum_ellipse(mosaic, *place, *shape.semi_axes(radius), theta, subpix=0)[0]
        for radius in radii.tolist()
    ]
    return np.stack(sums, axis=1)
