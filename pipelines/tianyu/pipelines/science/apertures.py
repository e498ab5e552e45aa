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
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from tianyu.pipelines.science.arrays import (
    AnyArray,
    BoolArray,
    FloatArray,
    FloatImage,
    IntArray,
    MaskImage,
)
from tianyu.pipelines.science.flags import FluxFlag
from tianyu.pipelines.science.masks import MaskBit
from tianyu.pipelines.science.noise import circle_noise_area, flux_error

UNTRUSTED = np.uint8(MaskBit.BAD | MaskBit.NO_FLAT | MaskBit.NOT_FINITE)
"""Pixels left out of a sum; a saturated pixel is summed as it is, and flagged."""

OFF_DETECTOR = np.uint8(1 << 7)
"""Mark of a stamp's pixel beyond the frame; no :class:`MaskBit` has it."""

LEFT_OUT = UNTRUSTED | OFF_DETECTOR

MIN_ANNULUS_PIXELS = 24
"""With fewer, the local background would be noisier than the mesh sky that it corrects."""

ANNULUS_CLIP_SIGMA = 3.0
"""A mean after this clip is as robust in crowded fields as a median, and less noisy."""

ANNULUS_VARIANCE_FACTOR = 1.06
"""Variance of that mean over a plain mean's, measured on normal noise (a median has 1.57)."""

CLIPPED_NORMAL_RMS = 0.9866
"""Rms of a unit normal distribution cut at ±3σ."""

CLIP_ROUNDS = 4
"""Later rounds of clipping move the level by less than a hundredth of a pixel's noise."""

LOWER_SIGMA_QUANTILE = 0.1587
"""Fraction below −1σ: stars only ever brighten pixels, so the lower half tells the noise."""

BLEND_REACH_FWHM = 0.5
"""Radius about a neighbour that holds half its light; an aperture that meets it is blended."""

MIN_CENTROID_SNR = 20.0
"""A fainter source keeps its given position: its centroid errs by more than FWHM/40."""

CENTROID_ROUNDS = 4
"""Rounds of the windowed centroid; they end within 0.001 px of where more would."""

FWHM_PER_SIGMA = 2.0 * math.sqrt(2.0 * math.log(2.0))

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
        is taken as NOT_FINITE whether marked or not.
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
        the radius plus half the FWHM. Without distances nothing is flagged so.
    fwhm_pix : float, optional
        Width of the stars, for the centroids' window and the reach of blending; by default
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
            f"pixels {pixels.shape} and mask {mask.shape} must be of one shape, "
            f"x {x.shape} and y {y.shape} of one length"
        )
    distance = np.inf if neighbour_distance_pix is None else neighbour_distance_pix
    rms, distance = np.broadcast_to(sky_rms, x.shape), np.broadcast_to(distance, x.shape)
    fwhm = geometry.radii_pix[0] if fwhm_pix is None else fwhm_pix
    pixels, mask = np.ascontiguousarray(pixels), np.ascontiguousarray(mask)
    result = _all_off_frame(len(x), len(geometry.radii_pix))
    on_frame = np.flatnonzero(_on_frame(pixels, x, y))
    for start in range(0, len(on_frame), BLOCK):
        i = on_frame[start : start + BLOCK]
        part = _measure_block(pixels, mask, x[i], y[i], geometry, rms[i], distance[i], gain, fwhm)
        for column in fields(ApertureFluxes):
            getattr(result, column.name)[i] = getattr(part, column.name)
    return result


def _all_off_frame(n: int, n_radii: int) -> ApertureFluxes:
    """Return what is said of n sources that are not on the frame."""
    flux, flux_error = np.full((2, n, n_radii), np.nan)
    flags = np.full((n, n_radii), FluxFlag.OFF_FRAME, dtype=np.uint16)
    background, rms, x, y, peak = np.full((5, n), np.nan)
    return ApertureFluxes(flux, flux_error, flags, background, rms, x, y, peak)


def _on_frame(pixels: FloatImage, x: FloatArray, y: FloatArray, margin: float = 0.0) -> BoolArray:
    """Tell which points are on the frame with a margin; it ends half a pixel beyond centres."""
    height, width = pixels.shape
    low = margin - 0.5
    inside_x = (x >= low) & (x <= width - 1 - low)
    return np.asarray(inside_x & (y >= low) & (y <= height - 1 - low))


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
    half, outer = math.ceil(radii[-1] + 0.5), math.ceil(geometry.annulus_pix[1] + 0.5)
    stamps, bits = _cut_stamps(pixels, mask, x, y, outer)
    background, rms, n_annulus = _local_background(stamps, bits, geometry.annulus_pix)
    core = (slice(None), *(slice(outer - half, outer + half + 1),) * 2)
    bits = bits[core]
    stamps = np.where(bits & LEFT_OUT, np.float32(0.0), stamps[core])
    x_in, y_in = x - np.rint(x), y - np.rint(y)
    sums, areas = _aperture_sums(stamps, bits, x_in, y_in, radii)
    flux = sums - background[:, np.newaxis] * areas
    error = flux_error(
        flux,
        areas,
        sky_rms[:, np.newaxis],
        gain,
        noise_area_pix=areas * circle_noise_area(radii) / (np.pi * radii**2),
        annulus_area_pix=np.where(n_annulus, n_annulus, np.inf)[:, np.newaxis],
        background_variance_factor=ANNULUS_VARIANCE_FACTOR,
    )
    flags = _mask_flags(bits, x_in, y_in, radii)
    for flag, applies in (
        (FluxFlag.NEAR_EDGE, ~_on_frame(pixels, x, y, geometry.annulus_pix[1])[:, np.newaxis]),
        (FluxFlag.NO_BACKGROUND, n_annulus[:, np.newaxis] == 0),
        (FluxFlag.NEGATIVE_FLUX, flux <= 0.0),
        (FluxFlag.BLENDED, neighbour_distance[:, np.newaxis] < radii + BLEND_REACH_FWHM * fwhm),
    ):
        flags |= np.where(applies, np.uint16(flag), np.uint16(0))
    bright = flux[:, 0] >= MIN_CENTROID_SNR * error[:, 0]
    above = stamps[bright] - background[bright, np.newaxis, np.newaxis].astype(np.float32)
    step_x, step_y = np.zeros_like(x), np.zeros_like(y)
    step_x[bright], step_y[bright] = _windowed_steps(above, x_in[bright], y_in[bright], fwhm)
    peak = stamps[:, _pixel_distance(2 * half + 1) <= radii[0]].max(axis=1, initial=-np.inf)
    unit = 1.0 if gain is None else gain
    return ApertureFluxes(
        flux=flux * unit,
        flux_error=error * unit,
        flags=flags,
        background=background * unit,
        background_rms=rms * unit,
        x_centroid=x + step_x,
        y_centroid=y + step_y,
        peak=peak * unit,
    )


def _pixel_distance(size: int) -> FloatArray:
    """Return the distance of every pixel of a square stamp from its middle one."""
    offset = np.arange(size) - size // 2
    return np.hypot(offset[:, np.newaxis], offset)


def _cut_stamps(
    pixels: FloatImage, mask: MaskImage, x: FloatArray, y: FloatArray, half: int
) -> tuple[AnyArray, AnyArray]:
    """Copy the square of pixels about every source and its mask bits, (n, 2·half+1, 2·half+1)."""
    height, width = pixels.shape
    offset = np.arange(-half, half + 1)
    columns = np.add.outer(np.rint(x).astype(np.int64), offset)
    rows = np.add.outer(np.rint(y).astype(np.int64), offset)
    size, whole = len(offset), _on_frame(pixels, np.rint(x), np.rint(y), half + 0.5)
    stamps = np.empty((len(x), size, size), dtype=np.float32)
    bits = np.empty((len(x), size, size), dtype=np.uint8)
    if whole.any():  # windows are copied row by row, several times faster than pixel by pixel
        corner = rows[whole, 0], columns[whole, 0]
        stamps[whole] = sliding_window_view(pixels, (size, size))[corner]
        bits[whole] = sliding_window_view(mask, (size, size))[corner]
    rows, columns = rows[~whole, :, np.newaxis], columns[~whole, np.newaxis, :]
    nearest = np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)
    beyond = (rows != nearest[0]) | (columns != nearest[1])
    stamps[~whole] = pixels[nearest]
    bits[~whole] = np.where(beyond, OFF_DETECTOR, mask[nearest])
    bits[~np.isfinite(stamps)] |= np.uint8(MaskBit.NOT_FINITE)
    return stamps, bits


def _aperture_sums(
    stamps: AnyArray, bits: AnyArray, x: FloatArray, y: FloatArray, radii: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Sum circles at (x, y) from the stamps' centres, and the area that was summed, (n, r).

    The stamps are laid on one another as a single tall image, so that SEP is called once per
    radius and reads memory in order.
    """

    def circles(images: AnyArray, x: FloatArray, y: FloatArray) -> FloatArray:
        n, size, _ = images.shape
        mosaic, first = images.reshape(n * size, size), size // 2
        y_mosaic = first + size * np.arange(n) + y
        sums = [sep.sum_circle(mosaic, first + x, y_mosaic, r, subpix=0)[0] for r in radii]
        return np.stack(sums, axis=1)

    areas = np.tile(np.pi * radii**2, (len(stamps), 1))
    cut = np.flatnonzero((bits & LEFT_OUT).any(axis=(1, 2)))
    if cut.size:
        usable = ((bits[cut] & LEFT_OUT) == 0).astype(np.float32)
        areas[cut] = circles(usable, x[cut], y[cut])
    return circles(stamps, x, y), areas


def _local_background(
    stamps: AnyArray, bits: AnyArray, annulus_pix: tuple[float, float]
) -> tuple[FloatArray, FloatArray, IntArray]:
    """Return the clipped mean of each annulus, its rms, and the pixels used; 0, NaN, 0 if few.

    Whole pixels with their centre in the ring about the source's pixel are taken, and sorted
    once: every round of clipping then only moves the ends of a range.
    """
    distance = _pixel_distance(stamps.shape[1])
    ring = np.flatnonzero((distance >= annulus_pix[0]) & (distance <= annulus_pix[1]))
    values = stamps.reshape(len(stamps), -1).take(ring, axis=1)
    values[bits.reshape(len(bits), -1).take(ring, axis=1) != 0] = np.nan
    values.sort(axis=1)  # NaN last
    source, order = np.arange(len(values)), np.arange(values.shape[1])
    stop = np.count_nonzero(~np.isnan(values), axis=1)
    start, enough = np.zeros_like(stop), stop >= MIN_ANNULUS_PIXELS
    for _ in range(CLIP_ROUNDS):
        middle = values[source, (start + stop) // 2]
        low = values[source, start + (LOWER_SIGMA_QUANTILE * (stop - start)).astype(np.int64)]
        reach = ANNULUS_CLIP_SIGMA * (middle - low)
        start = np.count_nonzero(values < (middle - reach)[:, np.newaxis], axis=1)
        stop = np.count_nonzero(values <= (middle + reach)[:, np.newaxis], axis=1)
    kept = (order >= start[:, np.newaxis]) & (order < stop[:, np.newaxis])
    n_kept = np.where(enough, stop - start, 1)
    mean = np.where(kept, values, 0.0).sum(axis=1) / n_kept
    square = np.where(kept, (values - mean[:, np.newaxis]) ** 2, 0.0).sum(axis=1) / n_kept
    rms = np.sqrt(square) / CLIPPED_NORMAL_RMS
    return np.where(enough, mean, 0.0), np.where(enough, rms, np.nan), np.where(enough, n_kept, 0)


def _mask_flags(
    bits: AnyArray, x: FloatArray, y: FloatArray, radii: FloatArray
) -> NDArray[np.uint16]:
    """Flag the apertures at (x, y) from the stamps' centres that touch a masked pixel."""
    flags = np.zeros((len(bits), len(radii)), dtype=np.uint16)
    i = np.flatnonzero(bits.any(axis=(1, 2)))
    offset = np.arange(bits.shape[1]) - bits.shape[1] // 2
    # Distance from the centre to the nearest point of every pixel.
    gap_x = np.maximum(abs(offset - x[i, np.newaxis]) - 0.5, 0.0)
    gap_y = np.maximum(abs(offset - y[i, np.newaxis]) - 0.5, 0.0)
    gap = np.hypot(gap_x[:, np.newaxis, :], gap_y[:, :, np.newaxis])
    for k, radius in enumerate(radii):
        found = np.bitwise_or.reduce(np.where(gap < radius, bits[i], 0), axis=(1, 2))
        flags[i, k] |= np.where(found & MaskBit.SATURATED, FluxFlag.SATURATED, 0).astype(np.uint16)
        flags[i, k] |= np.where(found & UNTRUSTED, FluxFlag.MASKED_PIXEL, 0).astype(np.uint16)
    return flags


def _windowed_steps(
    stamps: AnyArray, x: FloatArray, y: FloatArray, fwhm: float
) -> tuple[FloatArray, FloatArray]:
    """Return the steps from (x, y) to the centroids under a Gaussian window (as XWIN_IMAGE).

    The window is a product of two one-dimensional ones, so a round costs one small product
    per stamp. A centroid that leaves its star, by more than one FWHM, does not count.
    """
    sigma = fwhm / FWHM_PER_SIGMA
    offset = np.arange(stamps.shape[1], dtype=np.float32) - stamps.shape[1] // 2
    x_now, y_now = x.copy(), y.copy()
    for _ in range(CENTROID_ROUNDS):
        from_x = offset - x_now[:, np.newaxis].astype(np.float32)
        from_y = offset - y_now[:, np.newaxis].astype(np.float32)
        window_x = np.exp(-0.5 * (from_x / sigma) ** 2)
        window_y = np.exp(-0.5 * (from_y / sigma) ** 2)
        rows = stamps @ np.stack([window_x, window_x * from_x], axis=2)
        total = (rows[:, :, 0] * window_y).sum(axis=1)
        total = np.where(total > 0.0, total, np.nan)
        # Under a window as wide as the star, the first moment is half the distance.
        x_now += 2.0 * (rows[:, :, 1] * window_y).sum(axis=1) / total
        y_now += 2.0 * (rows[:, :, 0] * window_y * from_y).sum(axis=1) / total
    found = np.hypot(x_now - x, y_now - y) <= fwhm
    return np.where(found, x_now - x, 0.0), np.where(found, y_now - y, 0.0)
