"""Forced aperture photometry: fluxes of known positions on one sky-subtracted frame.

Apertures stand exactly where they are put and pixels are never interpolated: a pixel counts
by the exact area that the circle covers of it. A pixel that cannot be trusted adds nothing to
the sum, as if it were at the local background, and the flux is flagged.
"""

import math
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import sep
from numpy.typing import ArrayLike, NDArray

from tianyu.pipelines.science.arrays import FloatArray, FloatImage, IntArray, MaskImage
from tianyu.pipelines.science.flags import FluxFlag
from tianyu.pipelines.science.masks import MaskBit
from tianyu.pipelines.science.noise import flux_error

UNUSABLE = MaskBit.BAD | MaskBit.NO_FLAT | MaskBit.NOT_FINITE
"""Pixels left out of a sum; a saturated pixel is summed as it is, and flagged."""

OFF_DETECTOR = 1 << 7
"""Bit of a stamp's pixel beyond the frame; no :class:`MaskBit` uses it."""

MIN_ANNULUS_PIXELS = 24
"""With fewer, the local background would be noisier than the mesh sky that it corrects."""

ANNULUS_CLIP_SIGMA = 3.0
"""The mean after this clip has 6 % more variance than a plain mean (a median 57 %); in crowded
fields it strays from the sky no more than a median does."""

ANNULUS_VARIANCE_FACTOR = 1.06
"""Variance of that clipped mean relative to a plain mean, measured on normal noise."""

CLIP_ROUNDS = 4
"""Later rounds of clipping move the level by less than a hundredth of a pixel's noise."""

LOWER_SIGMA_QUANTILE = 0.1587
"""Fraction below −1σ: stars only ever brighten pixels, so the lower half gives the noise."""

BLEND_REACH_FWHM = 0.5
"""Radius about a neighbour that holds half its light; an aperture that meets it is blended."""

MIN_CENTROID_SNR = 20.0
"""A fainter star keeps its given position: its centroid errs by more than FWHM/40."""

CENTROID_ROUNDS = 6
"""Rounds of the windowed centroid, each of which leaves at most half the remaining error."""

FWHM_PER_SIGMA = 2.0 * math.sqrt(2.0 * math.log(2.0))

BLOCK = 512
"""Sources measured at once: their stamps stay in the cache, whatever the crowd."""


@dataclass(frozen=True)
class ApertureGeometry:
    """Circles around every source, in pixels.

    Attributes
    ----------
    radii_pix : tuple of float
        Aperture radii, rising.
    annulus_pix : (float, float)
        Inner and outer radius of the local background, outside the largest aperture.

    Raises
    ------
    ValueError
        If the radii are not positive and rising, or the annulus reaches into an aperture.
    """

    radii_pix: tuple[float, ...]
    annulus_pix: tuple[float, float]

    def __post_init__(self) -> None:
        inner, outer = self.annulus_pix
        steps = zip((0.0, *self.radii_pix), self.radii_pix, strict=False)
        if not self.radii_pix or not all(smaller < larger for smaller, larger in steps):
            raise ValueError(f"the radii {self.radii_pix} pix are not positive and rising")
        if not self.radii_pix[-1] <= inner < outer < math.inf:
            raise ValueError(
                f"the annulus of {inner} to {outer} pix must be a ring outside the largest "
                f"aperture of {self.radii_pix[-1]} pix"
            )

    @classmethod
    def from_fwhm(
        cls,
        fwhm_pix: float,
        *,
        radii_fwhm: tuple[float, ...] = (1.0, 1.5, 2.0),
        annulus_fwhm: tuple[float, float] = (3.5, 5.5),
    ) -> Self:
        """Scale the circles, given in multiples of the stars' FWHM, to pixels."""
        inner, outer = (factor * fwhm_pix for factor in annulus_fwhm)
        return cls(tuple(factor * fwhm_pix for factor in radii_fwhm), (inner, outer))


@dataclass(frozen=True)
class ApertureFluxes:
    """Fluxes of n sources in r apertures: in electrons when the gain is known, else in ADU.

    Attributes
    ----------
    flux, flux_error : FloatArray
        Background-subtracted sum and its standard error, shape (n, r).
    flags : ndarray of uint16
        Bits of :class:`~tianyu.pipelines.science.flags.FluxFlag`, shape (n, r).
    background, background_rms : FloatArray
        Level that the mesh sky left, and scatter of a pixel, shape (n,); 0 and NaN where the
        annulus has too few good pixels.
    x_centroid, y_centroid : FloatArray
        Windowed centroids of bright sources, the given positions of the others, shape (n,).
        For the record only: no aperture follows them.
    peak : FloatArray
        Highest pixel of the smallest aperture, above the mesh sky, shape (n,).

    Everything is NaN, and the flag OFF_FRAME, where the position is off the frame.
    """

    flux: FloatArray
    flux_error: FloatArray
    flags: NDArray[np.uint16]
    background: FloatArray
    background_rms: FloatArray
    x_centroid: FloatArray
    y_centroid: FloatArray
    peak: FloatArray


def measure_fluxes(
    pixels: FloatImage,
    mask: MaskImage,
    x: FloatArray,
    y: FloatArray,
    radii_pix: tuple[float, ...],
    *,
    annulus_pix: tuple[float, float],
    sky_rms: ArrayLike,
    gain: float | None,
    neighbour_distance_pix: FloatArray | None = None,
    fwhm_pix: float | None = None,
) -> ApertureFluxes:
    """Measure every source in every aperture of one frame.

    Parameters
    ----------
    pixels : FloatImage
        Sky-subtracted frame, ADU.
    mask : MaskImage
        Bits of :class:`~tianyu.pipelines.science.masks.MaskBit`; a pixel that is not finite
        is treated as NOT_FINITE whether marked or not.
    x, y : FloatArray
        Positions on this frame, 0-based pixels, shape (n,).
    radii_pix, annulus_pix : tuple of float
        See :class:`ApertureGeometry`.
    sky_rms : float or FloatArray
        Scatter of a sky pixel, ADU: one for the frame, or one per source.
    gain : float or None
        Electrons per ADU. With None, fluxes are in ADU and their errors lack the photon noise
        of the source.
    neighbour_distance_pix : FloatArray, optional
        Distance to the nearest other source, shape (n,). BLENDED is set when it is less than
        the radius plus half the FWHM, that is when half the neighbour's light may touch the
        aperture. Without distances nothing is flagged so.
    fwhm_pix : float, optional
        Width of the stars, for the window of centroids and the reach of blending; by default
        the smallest radius.

    Returns
    -------
    ApertureFluxes
        In the order of the positions.

    Raises
    ------
    ValueError
        If shapes disagree, or the radii are unusable.

    Examples
    --------
    A star of 1000 ADU in one pixel, on a background of 2 ADU:

    >>> pixels, clear = np.full((41, 41), 2.0, np.float32), np.zeros((41, 41), np.uint8)
    >>> pixels[20, 20] += 1000.0
    >>> centre = np.array([20.0])
    >>> found = measure_fluxes(pixels, clear, centre, centre, (3.0,), annulus_pix=(8.0, 12.0),
    ...                        sky_rms=1.0, gain=None)
    >>> round(float(found.flux[0, 0]), 3), float(found.background[0])
    (1000.0, 2.0)
    """
    geometry = ApertureGeometry(tuple(radii_pix), annulus_pix)
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if pixels.shape != mask.shape or x.ndim != 1 or x.shape != y.shape:
        raise ValueError(
            f"pixels {pixels.shape} and mask {mask.shape}, x {x.shape} and y {y.shape} must "
            "be of one shape each, the latter one-dimensional"
        )
    distance = np.inf if neighbour_distance_pix is None else neighbour_distance_pix
    sky_rms, distance = (np.broadcast_to(per_source, x.shape) for per_source in (sky_rms, distance))
    fwhm = geometry.radii_pix[0] if fwhm_pix is None else fwhm_pix
    result = _off_frame(len(x), len(geometry.radii_pix))
    height, width = pixels.shape
    on_frame = np.flatnonzero((abs(2 * x + 1 - width) <= width) & (abs(2 * y + 1 - height) <= height))
    for start in range(0, len(on_frame), BLOCK):
        block = on_frame[start : start + BLOCK]
        measured = _measure_block(
            pixels, mask, x[block], y[block], geometry, sky_rms[block], distance[block], gain, fwhm
        )
        for field in fields(ApertureFluxes):
            getattr(result, field.name)[block] = getattr(measured, field.name)
    return result


def _off_frame(n: int, n_radii: int) -> ApertureFluxes:
    """Return the result of n sources that are not on the frame."""
    table = np.full((2, n, n_radii), np.nan)
    columns = np.full((5, n), np.nan)
    return ApertureFluxes(*table, np.full((n, n_radii), FluxFlag.OFF_FRAME, np.uint16), *columns)


def _measure_block(
    pixels: FloatImage,
    mask: MaskImage,
    x: FloatArray,
    y: FloatArray,
    geometry: ApertureGeometry,
    sky_rms: FloatArray,
    neighbour_distance: FloatArray,
    gain: float | None,
    fwhm: float,
) -> ApertureFluxes:
    """Measure sources that are all on the frame."""
    radii = np.array(geometry.radii_pix)
    column, row = np.rint(x).astype(np.int64), np.rint(y).astype(np.int64)
    half = math.ceil(radii[-1] + 0.5)
    dy, dx = np.mgrid[-half : half + 1, -half : half + 1]
    values, bits = _gather(pixels, mask, column, row, dx, dy)
    values = np.where(bits & (UNUSABLE | OFF_DETECTOR), np.float32(0.0), values)
    level, rms, n_annulus = _local_background(pixels, mask, column, row, geometry.annulus_pix)
    sums, areas = _aperture_sums(values, bits, x - column, y - row, radii)
    flux = sums - level[:, np.newaxis] * areas
    error = flux_error(
        flux,
        areas,
        sky_rms[:, np.newaxis],
        gain,
        annulus_area_pix=np.where(n_annulus > 0, n_annulus, np.inf)[:, np.newaxis],
        background_variance_factor=ANNULUS_VARIANCE_FACTOR,
    )
    return flux, error
