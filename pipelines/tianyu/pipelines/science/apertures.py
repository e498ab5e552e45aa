"""Forced aperture photometry: fluxes of known positions on one sky-subtracted frame.

Apertures stand exactly where they are put and pixels are never interpolated: a pixel counts
by the exact area that the circle covers of it. A pixel without a value adds nothing to the
sum, as if it were at the local background; a hot or saturated one is summed as it is. Either
way the flux is flagged.
"""

import math
from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tianyu.pipelines.science.annulus import (
    ANNULUS_VARIANCE_FACTOR,
    local_background,
    local_noise_factor,
)
from tianyu.pipelines.science.arrays import (
    AnyArray,
    BoolArray,
    FloatArray,
    FloatImage,
    IntArray,
    MaskImage,
)
from tianyu.pipelines.science.centroids import windowed_steps
from tianyu.pipelines.science.circles import circle_sums, mask_flags
from tianyu.pipelines.science.flags import FluxFlag
from tianyu.pipelines.science.noise import circle_noise_area, flux_error
from tianyu.pipelines.science.stamps import (
    LEFT_OUT,
    UNDER_STAR,
    cut_stamps,
    on_frame,
    pixel_distance,
)

BLEND_REACH_FWHM = 0.5
"""Radius about a neighbour that holds half its light; an aperture that meets it is blended."""

MIN_CENTROID_SNR = 20.0
"""A fainter source keeps its given position: its centroid errs by more than FWHM/40."""

BLOCK = 512
"""Sources measured at once: their stamps stay in the cache, however crowded the frame."""


@dataclass(frozen=True)
class ApertureGeometry:
    """Rising aperture radii, and the ring of the local background outside them, in pixels.

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
        inner, outer = annulus_fwhm
        radii = tuple(factor * fwhm_pix for factor in radii_fwhm)
        return cls(radii, (inner * fwhm_pix, outer * fwhm_pix))


@dataclass(frozen=True)
class ApertureFluxes:
    """Fluxes of n sources in r apertures: in electrons when the gain is known, else in ADU.

    Where the position is off the frame everything is NaN, and the flag OFF_FRAME.

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
    noise_gain: float | None = None,
    neighbour_distance_pix: FloatArray | None = None,
    fwhm_pix: float | None = None,
    tells_noise: BoolArray | None = None,
) -> ApertureFluxes:
    """Measure every source in every aperture of one frame.

    Parameters
    ----------
    pixels : FloatImage
        Sky-subtracted frame, ADU.
    mask : MaskImage
        Bits of :class:`~tianyu.pipelines.science.masks.MaskBit`; a pixel that is not finite
        is taken as NOT_FINITE whether marked or not. Pixels under known stars may be marked
        UNDER_STAR, which keeps them out of backgrounds.
    x, y : FloatArray
        Positions on this frame, 0-based pixels, shape (n,).
    radii_pix, annulus_pix : tuple of float
        See :class:`ApertureGeometry`.
    sky_rms : float or FloatArray
        Scatter of a sky pixel, ADU: one for the frame, or one per source.
    gain : float or None
        Electrons per ADU. With None, fluxes are in ADU.
    noise_gain : float, optional
        Measured gain that tells the photon noise of the sources when fluxes stay in ADU.
        Without any gain the errors lack that noise.
    neighbour_distance_pix : FloatArray, optional
        Distance to the nearest other source, shape (n,). BLENDED is set when it is less than
        the radius plus half the FWHM. Without distances nothing is flagged so.
    fwhm_pix : float, optional
        Width of the stars, for the centroids' window and the reach of blending; by default
        the smallest radius.
    tells_noise : ndarray of bool, shape (n,), optional
        Sources whose annuli tell the noise of the sky; all by default.

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
            f"pixels {pixels.shape} and mask {mask.shape} must be of one shape, "
            f"x {x.shape} and y {y.shape} of one length"
        )
    distance = np.inf if neighbour_distance_pix is None else neighbour_distance_pix
    rms, distance = np.broadcast_to(sky_rms, x.shape), np.broadcast_to(distance, x.shape)
    fwhm = geometry.radii_pix[0] if fwhm_pix is None else fwhm_pix
    pixels, mask = np.ascontiguousarray(pixels), np.ascontiguousarray(mask)
    result = _all_off_frame(len(x), len(geometry.radii_pix))
    sources = np.flatnonzero(on_frame(pixels, x, y))
    for start in range(0, len(sources), BLOCK):
        i = sources[start : start + BLOCK]
        part = _measure_block(
            pixels, mask, x[i], y[i], geometry, rms[i], distance[i], gain, noise_gain or gain, fwhm
        )
        for column in fields(ApertureFluxes):
            getattr(result, column.name)[i] = getattr(part, column.name)
    unit = 1.0 if gain is None else gain
    photons_per_unit = 0.0 if noise_gain is None and gain is None else unit / (noise_gain or unit)
    mesh_rms = unit * (rms if tells_noise is None else np.where(tells_noise, rms, np.nan))
    factor = local_noise_factor(result.background_rms, mesh_rms)
    return _with_local_noise(result, factor, photons_per_unit)


def _with_local_noise(
    fluxes: ApertureFluxes, factor: float, photons_per_unit: float
) -> ApertureFluxes:
    """Let the errors rest on the noise between the stars rather than on that of the mesh."""
    photons = np.maximum(fluxes.flux, 0.0) * photons_per_unit
    pixels = np.maximum(fluxes.flux_error**2 - photons, 0.0)
    return replace(fluxes, flux_error=np.sqrt(photons + factor**2 * pixels))


def _all_off_frame(n: int, n_radii: int) -> ApertureFluxes:
    """Return what is said of n sources that are not on the frame."""
    flux, flux_error = np.full((2, n, n_radii), np.nan)
    flags = np.full((n, n_radii), FluxFlag.OFF_FRAME, dtype=np.uint16)
    background, rms, x, y, peak = np.full((5, n), np.nan)
    return ApertureFluxes(flux, flux_error, flags, background, rms, x, y, peak)


def _measure_block(
    pixels: FloatImage,
    mask: MaskImage,
    x: FloatArray,
    y: FloatArray,
    geometry: ApertureGeometry,
    sky_rms: FloatArray,
    neighbour_distance: FloatArray,
    gain: float | None,
    noise_gain: float | None,
    fwhm: float,
) -> ApertureFluxes:
    """Measure sources that are all on the frame."""
    radii = np.array(geometry.radii_pix)
    half, outer = math.ceil(radii[-1] + 0.5), math.ceil(geometry.annulus_pix[1] + 0.5)
    stamps, bits = cut_stamps(pixels, mask, x, y, outer)
    background, rms, n_annulus = local_background(stamps, bits, geometry.annulus_pix)
    core = (slice(None), *(slice(outer - half, outer + half + 1),) * 2)
    bits = bits[core] & ~UNDER_STAR
    stamps = np.where(bits & LEFT_OUT, np.float32(0.0), stamps[core])
    x_in, y_in = x - np.rint(x), y - np.rint(y)
    sums, areas = circle_sums(stamps, bits, x_in, y_in, radii)
    flux = sums - background[:, np.newaxis] * areas
    error = _errors(flux, areas, radii, sky_rms, n_annulus, noise_gain)
    conditions = {
        FluxFlag.NEAR_EDGE: ~on_frame(pixels, x, y, geometry.annulus_pix[1])[:, np.newaxis],
        FluxFlag.NO_BACKGROUND: n_annulus[:, np.newaxis] == 0,
        FluxFlag.NEGATIVE_FLUX: flux <= 0.0,
        FluxFlag.BLENDED: neighbour_distance[:, np.newaxis] < radii + BLEND_REACH_FWHM * fwhm,
    }
    bright = flux[:, 0] >= MIN_CENTROID_SNR * error[:, 0]
    step_x, step_y = _steps_of(bright, stamps, background, x_in, y_in, fwhm)
    peak = stamps[:, pixel_distance(2 * half + 1) <= radii[0]].max(axis=1, initial=-np.inf)
    unit = 1.0 if gain is None else gain
    return ApertureFluxes(
        flux=flux * unit,
        flux_error=error * unit,
        flags=_raise_flags(mask_flags(bits, x_in, y_in, radii), conditions),
        background=background * unit,
        background_rms=rms * unit,
        x_centroid=x + step_x,
        y_centroid=y + step_y,
        peak=peak * unit,
    )


def _errors(
    flux: FloatArray,
    areas: FloatArray,
    radii: FloatArray,
    sky_rms: FloatArray,
    n_annulus: IntArray,
    gain: float | None,
) -> FloatArray:
    """Return the standard errors of the fluxes, ADU, (n, r)."""
    return flux_error(
        flux,
        areas,
        sky_rms[:, np.newaxis],
        gain,
        noise_area_pix=areas * circle_noise_area(radii) / (np.pi * radii**2),
        annulus_area_pix=np.where(n_annulus, n_annulus, np.inf)[:, np.newaxis],
        background_variance_factor=ANNULUS_VARIANCE_FACTOR,
    )


def _raise_flags(
    flags: NDArray[np.uint16], conditions: dict[FluxFlag, BoolArray]
) -> NDArray[np.uint16]:
    """Return the flags with more bits set where their conditions hold, which broadcast to them."""
    for flag, applies in conditions.items():
        flags = flags | np.where(applies, np.uint16(flag), np.uint16(0))
    return flags


def _steps_of(
    bright: BoolArray,
    stamps: AnyArray,
    background: FloatArray,
    x: FloatArray,
    y: FloatArray,
    fwhm: float,
) -> tuple[FloatArray, FloatArray]:
    """Return the steps from (x, y) to the centroids of the bright sources, zero for the others."""
    above = stamps[bright] - background[bright, np.newaxis, np.newaxis].astype(np.float32)
    steps = np.zeros((2, len(x)))
    steps[:, bright] = windowed_steps(above, x[bright], y[bright], fwhm)
    return steps[0], steps[1]
