"""What circles and rings about sources hold, before it becomes fluxes and errors."""

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tianyu.pipelines.science.annulus import local_background
from tianyu.pipelines.science.aperturegeometry import ApertureGeometry
from tianyu.pipelines.science.arrays import AnyArray, FloatArray, FloatImage, IntArray, MaskImage
from tianyu.pipelines.science.centroids import windowed_steps
from tianyu.pipelines.science.circles import circle_sums, mask_flags
from tianyu.pipelines.science.stamps import LEFT_OUT, UNDER_STAR, cut_stamps, pixel_distance


@dataclass(frozen=True, eq=False)
class Light:
    """Light of n sources in r circles, ADU.

    Attributes
    ----------
    sums, areas : ndarray, shape (n, r)
        Light, and the area that was summed, square pixels.
    flags : ndarray of uint16, shape (n, r)
        SATURATED, MASKED_PIXEL, COSMIC_RAY and TRAIL of the circles.
    background, background_rms : ndarray, shape (n,)
        Level of the ring and noise of its pixels; 0 and NaN with too few good ones.
    n_annulus : ndarray of int64, shape (n,)
        Pixels that the level rests on.
    peak : ndarray, shape (n,)
        Highest pixel of the smallest circle.
    cores : ndarray of float32, shape (n, c, c)
        Pixels about the sources, zero where left out.
    """

    sums: FloatArray
    areas: FloatArray
    flags: NDArray[np.uint16]
    background: FloatArray
    background_rms: FloatArray
    n_annulus: IntArray
    peak: FloatArray
    cores: FloatImage


class LightReader(Protocol):
    """One sky-subtracted frame of which the light about sources is wanted."""

    @property
    def shape(self) -> tuple[int, int]:
        """Shape ``(ny, nx)`` of the frame."""

    def light(
        self, x: FloatArray, y: FloatArray, geometry: ApertureGeometry, sky_rms: FloatArray
    ) -> Light:
        """Read the light about positions on the frame, shape (n,), pixels.

        The scatter of a sky pixel at each, ADU, helps to find the level of the rings quickly.
        """

    def steps(
        self, cores: FloatImage, background: FloatArray, x: FloatArray, y: FloatArray, fwhm: float
    ) -> FloatArray:
        """Return the steps from positions in cores to their centroids, shape (2, n)."""


def half_sides(geometry: ApertureGeometry) -> tuple[int, int]:
    """Return half the sides, less half a pixel, of the squares that hold the circles, the ring."""
    return math.ceil(geometry.radii_pix[-1] + 0.5), math.ceil(geometry.annulus_pix[1] + 0.5)


@dataclass(frozen=True, eq=False)
class FrameLight:
    """Light of a calibrated frame, by NumPy and SEP: the reference of the compiled readers.

    Parameters
    ----------
    pixels : ndarray of float32, shape (ny, nx)
        Sky-subtracted frame, ADU, C-contiguous.
    mask : ndarray of uint8, shape (ny, nx)
        Bits of :class:`~tianyu.pipelines.science.masks.MaskBit`, C-contiguous.
    """

    pixels: FloatImage
    mask: MaskImage

    @property
    def shape(self) -> tuple[int, int]:
        """Shape ``(ny, nx)`` of the frame."""
        return self.pixels.shape[0], self.pixels.shape[1]

    def light(
        self,
        x: FloatArray,
        y: FloatArray,
        geometry: ApertureGeometry,
        sky_rms: FloatArray,  # noqa: ARG002 - sorting needs no guess
    ) -> Light:
        """Read the light about positions on the frame."""
        radii = np.array(geometry.radii_pix)
        half, outer = half_sides(geometry)
        stamps, bits = cut_stamps(self.pixels, self.mask, x, y, outer)
        background, rms, n_annulus = local_background(stamps, bits, geometry.annulus_pix)
        core = (slice(None), *(slice(outer - half, outer + half + 1),) * 2)
        bits = bits[core] & ~UNDER_STAR
        cores: AnyArray = np.where(bits & LEFT_OUT, np.float32(0.0), stamps[core])
        x_in, y_in = x - np.rint(x), y - np.rint(y)
        sums, areas = circle_sums(cores, bits, x_in, y_in, radii)
        flags = mask_flags(bits, x_in, y_in, radii)
        peak = cores[:, pixel_distance(2 * half + 1) <= radii[0]].max(axis=1, initial=-np.inf)
        return Light(sums, areas, flags, background, rms, n_annulus, peak, cores)

    def steps(
        self, cores: FloatImage, background: FloatArray, x: FloatArray, y: FloatArray, fwhm: float
    ) -> FloatArray:
        """Return the steps from positions in cores to their centroids."""
        above = cores - background[:, np.newaxis, np.newaxis].astype(np.float32)
        return np.stack(windowed_steps(above, x, y, fwhm))
