"""Forced aperture photometry: fluxes of known positions on one sky-subtracted frame.

Apertures stand exactly where they are put and pixels are never interpolated: a pixel counts
by the exact area that the circle covers of it. A pixel without a value adds nothing to the
sum, as if it were at the local background; a hot or saturated one is summed as it is. Either
way the flux is flagged.
"""

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tianyu.pipelines.science.annulus import (
    ANNULUS_VARIANCE_FACTOR,
    local_noise_factor,
)
from tianyu.pipelines.science.aperturegeometry import ApertureGeometry
from tianyu.pipelines.science.arrays import (
    BoolArray,
    FloatArray,
    FloatImage,
    IntArray,
    MaskImage,
)
from tianyu.pipelines.science.flags import FluxFlag
from tianyu.pipelines.science.light import FrameLight, LightReader
from tianyu.pipelines.science.noise import ellipse_noise_area, flux_error
from tianyu.pipelines.science.stamps import within

BLEND_REACH_FWHM = 0.5
"""Radius about a neighbour that holds half its light; an aperture that meets it is blended."""

MIN_CENTROID_SNR = 20.0
"""A fainter source keeps its given position: its centroid errs by more than FWHM/40."""

BLOCK = 512
"""Sources measured at once: their stamps stay in the cache, however crowded the frame."""


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
    if pixels.shape != mask.shape:
        raise ValueError(f"pixels {pixels.shape} and mask {mask.shape} must be of one shape")
    return measure_light(
        FrameLight(np.ascontiguousarray(pixels), np.ascontiguousarray(mask)),
        x,
        y,
        ApertureGeometry(tuple(radii_pix), annulus_pix),
        sky_rms=sky_rms,
        gain=gain,
        noise_gain=noise_gain,
        neighbour_distance_pix=neighbour_distance_pix,
        fwhm_pix=fwhm_pix,
        tells_noise=tells_noise,
    )


def measure_light(
    reader: LightReader,
    x: FloatArray,
    y: FloatArray,
    geometry: ApertureGeometry,
    *,
    sky_rms: ArrayLike,
    gain: float | None,
    noise_gain: float | None = None,
    neighbour_distance_pix: FloatArray | None = None,
    fwhm_pix: float | None = None,
    tells_noise: BoolArray | None = None,
) -> ApertureFluxes:
    """Measure every source in every aperture of a frame whose light somebody reads.

    Parameters
    ----------
    reader : LightReader
        Of one frame, that reads apertures of the shape of the geometry.
    geometry : ApertureGeometry
    x, y, sky_rms, gain, noise_gain, neighbour_distance_pix, fwhm_pix, tells_noise
        As of :func:`measure_fluxes`.

    Raises
    ------
    ValueError
        If the positions are not two arrays of one length.
    """
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(f"x {x.shape} and y {y.shape} must be of one length")
    distance = np.inf if neighbour_distance_pix is None else neighbour_distance_pix
    rms, distance = np.broadcast_to(sky_rms, x.shape), np.broadcast_to(distance, x.shape)
    fwhm = geometry.radii_pix[0] if fwhm_pix is None else fwhm_pix
    result = _all_off_frame(len(x), len(geometry.radii_pix))
    sources = np.flatnonzero(within(reader.shape, x, y))
    # In the order of the rows: neighbours share pixels that are in the cache then.
    sources = sources[np.argsort(y[sources], kind="stable")]
    # Who has to be waited for takes more at once.
    block = getattr(reader, "block", BLOCK)
    for start in range(0, len(sources), block):
        i = sources[start : start + block]
        part = _measure_block(
            reader, x[i], y[i], geometry, rms[i], distance[i], gain, noise_gain or gain, fwhm
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
    reader: LightReader,
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
    light = reader.light(x, y, geometry, sky_rms)
    flux = light.sums - light.background[:, np.newaxis] * light.areas
    error = _errors(flux, light.areas, geometry, sky_rms, light.n_annulus, noise_gain)
    reach = geometry.reach_pix + BLEND_REACH_FWHM * fwhm
    conditions = {
        FluxFlag.NEAR_EDGE: ~within(reader.shape, x, y, geometry.annulus_pix[1])[:, np.newaxis],
        FluxFlag.NO_BACKGROUND: light.n_annulus[:, np.newaxis] == 0,
        FluxFlag.NEGATIVE_FLUX: flux <= 0.0,
        FluxFlag.BLENDED: neighbour_distance[:, np.newaxis] < reach,
    }
    steps = np.zeros((2, len(x)))
    if (bright := flux[:, 0] >= MIN_CENTROID_SNR * error[:, 0]).any():
        steps[:, bright] = reader.steps(
            light.cores[bright],
            light.background[bright],
            (x - np.rint(x))[bright],
            (y - np.rint(y))[bright],
            fwhm,
        )
    unit = 1.0 if gain is None else gain
    return ApertureFluxes(
        flux=flux * unit,
        flux_error=error * unit,
        flags=_raise_flags(light.flags, conditions),
        background=light.background * unit,
        background_rms=light.background_rms * unit,
        x_centroid=x + steps[0],
        y_centroid=y + steps[1],
        peak=light.peak * unit,
    )


def _errors(
    flux: FloatArray,
    areas: FloatArray,
    geometry: ApertureGeometry,
    sky_rms: FloatArray,
    n_annulus: IntArray,
    gain: float | None,
) -> FloatArray:
    """Return the standard errors of the fluxes, ADU, (n, r)."""
    radii = np.array(geometry.radii_pix)
    noise_area = ellipse_noise_area(radii, geometry.shape.axis_ratio)
    return flux_error(
        flux,
        areas,
        sky_rms[:, np.newaxis],
        gain,
        noise_area_pix=areas * noise_area / (np.pi * radii**2),
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
