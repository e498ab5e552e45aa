"""Detection of the sources of a template: the fixed positions that every frame is measured at.

The template is a mean over frames that do not all cover every pixel, so its noise differs from
place to place as 1/√count; everything here works on that noise map.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields

import numpy as np
import sep
from scipy import ndimage
from scipy.spatial import cKDTree

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.arrays import AnyArray, BoolArray, FloatArray, FloatImage

FWHM_PER_SIGMA = 2.0 * math.sqrt(2.0 * math.log(2.0))

BRIGHT_SIGMA = 20.0
"""Pixel threshold of the first look, whose stars tell the width of the second look's filter."""

FEWEST_BRIGHT = 5
"""With fewer bright stars the first look is repeated at the wanted threshold."""

FALLBACK_FWHM_PIX = 3.0
"""Width taken where no star is bright enough to tell one."""

FWHM_RANGE_PIX = (1.0, 30.0)
"""Widths of stars that are believed: narrower is a hot pixel, wider is not a star."""

FIRST_LOOK_AREA_PIX = 5
"""Pixels above threshold that a bright star has and a hot pixel has not."""

MIN_AREA_FWHM2 = 0.25
"""Area above threshold after filtering, in squared FWHM: the cap of a source just bright enough."""

MAX_SHARPNESS = 1.6
"""Peak over flux, relative to a star centred on a pixel; hot pixels have twice as much."""

SHARPNESS_SIGMA = 3.0
"""The peak's excess must also stand out of the noise, or faint stars would be lost."""

MIN_WIDTH_FWHM = 0.6
"""Narrower light, relative to the stars, is a residue of warm pixels in drifting frames."""

MIN_WIDTH_SNR = 15.0
"""Fainter sources are not judged by their width, which is too uncertain."""

EDGE_MARGIN_FWHM = 1.0
"""A source nearer to the end of coverage is cut, and its position is wrong."""

MAX_HOLE_FWHM = 8.0
"""Uncovered holes up to this width are bridged: cores of stars that saturate in every frame."""

MAX_STEP_FWHM = 0.5
"""A windowed centroid further from the isophotal one has run to a neighbour."""

MIN_SEPARATION_FWHM = 0.5
"""Two detections nearer than this are one source, split by noise."""

FLUX_RADIUS_FWHM = 1.0
"""Radius of the flux that ranks sources: nearly the best signal-to-noise for faint ones."""

ROUNDING_RMS = 1.0 / 16.0 / math.sqrt(12.0)
"""Noise of pixels that are stacked in steps of 1/16: no template has less."""


@dataclass(frozen=True)
class Detections:
    """Sources of one template, brightest first; every column is of shape (n,).

    Attributes
    ----------
    x, y : FloatArray
        Windowed centroids, 0-based pixels of the template.
    flux : FloatArray
        Sum within one FWHM of the centroid, in the unit of the template.
    peak : FloatArray
        Highest pixel above the background.
    fwhm_pix : FloatArray
        Twice the radius of half the light: the FWHM of a Gaussian.
    elongation : FloatArray
        Major over minor axis of the second moments.
    snr : FloatArray
        Flux over its background noise.
    """

    x: FloatArray
    y: FloatArray
    flux: FloatArray
    peak: FloatArray
    fwhm_pix: FloatArray
    elongation: FloatArray
    snr: FloatArray

    def __len__(self) -> int:
        """Return the number of sources."""
        return len(self.x)

    @property
    def fwhm_pix_median(self) -> float:
        """Median width of the brighter half; NaN without sources."""
        brighter = self.fwhm_pix[: (len(self) + 1) // 2]
        return float(np.median(brighter)) if len(brighter) else math.nan


def detect_sources(
    template: FloatImage,
    count: AnyArray,
    *,
    threshold_sigma: float = 5.0,
    min_coverage: float = 0.5,
    mesh_pix: int = 64,
    deblend_contrast: float = 0.005,
) -> Detections:
    """Find the sources of a template.

    The background is taken off, the noise is mapped, and sources are pixels above the
    threshold after a matched filter of the stars' own width, found in a first look.

    Parameters
    ----------
    template : FloatImage
        Mean of the aligned frames, NaN where none contributed.
    count : AnyArray
        Frames that contributed to each pixel, same shape.
    threshold_sigma : float, optional
        Height of a source above the background after the filter, in its noise.
    min_coverage : float, optional
        Least fraction of the largest count that a pixel needs to be searched.
    mesh_pix : int, optional
        Box of the background and noise mesh.
    deblend_contrast : float, optional
        Least fraction of a blend's light that makes a source of its own.

    Returns
    -------
    Detections
        Possibly of length zero.

    Raises
    ------
    ValueError
        If the shapes differ, or the threshold or coverage is out of range.
    UnusableDataError
        If no pixel of the template is covered.
    """
    if template.ndim != 2 or template.shape != count.shape:
        raise ValueError(f"template {template.shape} and count {count.shape} must be one image")
    if not threshold_sigma > 0.0 or not 0.0 <= min_coverage <= 1.0:
        raise ValueError(
            f"threshold_sigma {threshold_sigma} must be positive and min_coverage "
            f"{min_coverage} between 0 and 1"
        )
    searched = _searched_area(template, count, min_coverage)
    pixels, noise = _subtract_background(template, count, searched, mesh_pix)
    fwhm = _stellar_width(pixels, noise, searched, threshold_sigma)
    bridged = _saturated_cores(searched, fwhm)
    pixels = _bridge(pixels, searched, bridged)
    searched = searched | bridged
    found = _extract(
        pixels,
        noise,
        searched,
        threshold_sigma,
        minarea=max(1, round(MIN_AREA_FWHM2 * fwhm**2)),
        filter_kernel=_gaussian(fwhm),
        deblend_cont=deblend_contrast,
    )
    sources = _measure(pixels, noise, searched, found, fwhm, fixed=bridged)
    real = _is_stellar(sources, noise, fwhm) & _is_covered(sources, searched, fwhm)
    brightest_first = np.argsort(np.where(real, -sources.flux, np.inf), kind="stable")
    return _without_twins(_take(sources, brightest_first[: np.count_nonzero(real)]), fwhm)


def _searched_area(template: FloatImage, count: AnyArray, min_coverage: float) -> BoolArray:
    """Return the pixels with enough frames."""
    searched = np.isfinite(template) & (count > 0) & (count >= min_coverage * count.max(initial=0))
    if not searched.any():
        raise UnusableDataError("no frame covers any pixel of the template; nothing to detect on")
    return np.asarray(searched)


def _subtract_background(
    template: FloatImage, count: AnyArray, searched: BoolArray, mesh_pix: int
) -> tuple[FloatImage, FloatImage]:
    """Return the template less its background, zero where not finite, and its noise map."""
    box = {"bw": min(mesh_pix, template.shape[1]), "bh": min(mesh_pix, template.shape[0])}
    finite = np.where(np.isfinite(template), template, np.float32(0.0)).astype(np.float32)
    background = sep.Background(finite, mask=~searched, **box).back()
    pixels = np.where(np.isfinite(template), finite - background, np.float32(0.0))
    # Scaled by the root of the count, the noise is even and one mesh can measure it.
    depth = np.sqrt(np.maximum(count, 1).astype(np.float32))
    even_rms = sep.Background(pixels * depth, mask=~searched, **box).rms()
    return pixels, np.maximum(even_rms, np.float32(ROUNDING_RMS)) / depth


def _stellar_width(
    pixels: FloatImage, noise: FloatImage, searched: BoolArray, threshold_sigma: float
) -> float:
    """Return the median FWHM of the template's bright stars, pixels."""
    for threshold in (max(BRIGHT_SIGMA, threshold_sigma), threshold_sigma):
        found = _extract(
            pixels,
            noise,
            searched,
            threshold,
            minarea=FIRST_LOOK_AREA_PIX,
            filter_kernel=None,
            deblend_cont=1.0,
        )
        if len(found) >= FEWEST_BRIGHT:
            break
    if len(found) == 0:
        return FALLBACK_FWHM_PIX
    guess = FWHM_PER_SIGMA * float(np.median(np.sqrt(found["a"] * found["b"])))
    widths = _half_light_width(pixels, searched, found["x"], found["y"], guess)
    low, high = FWHM_RANGE_PIX
    stars = widths[(widths >= low) & (widths <= high)]
    return float(np.median(stars)) if stars.size else FALLBACK_FWHM_PIX


def _half_light_width(
    pixels: FloatImage, searched: BoolArray, x: FloatArray, y: FloatArray, fwhm: float
) -> FloatArray:
    """Return twice the radius of half the light within 2.5 FWHM; exact for a Gaussian."""
    reach = np.full(len(x), 2.5 * fwhm)
    half_light, _ = sep.flux_radius(pixels, x, y, reach, 0.5, mask=~searched)
    return np.asarray(2.0 * half_light)


def _saturated_cores(searched: BoolArray, fwhm: float) -> BoolArray:
    """Return the small holes of the coverage: pixels that saturate in every frame.

    Left open, such a core would break its star into a ring of false sources.
    """
    labels, _ = ndimage.label(~searched)
    holes = np.zeros_like(searched)
    for label, box in enumerate(ndimage.find_objects(labels), start=1):
        inner = all(s.start > 0 and s.stop < n for s, n in zip(box, searched.shape, strict=True))
        if inner and max(s.stop - s.start for s in box) <= MAX_HOLE_FWHM * fwhm:
            holes[box] |= labels[box] == label
    return holes


def _bridge(pixels: FloatImage, searched: BoolArray, holes: BoolArray) -> FloatImage:
    """Fill holes with the nearest searched pixel: one source, centred well enough."""
    if not holes.any():
        return pixels
    row, column = ndimage.distance_transform_edt(
        ~searched, return_distances=False, return_indices=True
    )
    return np.where(holes, pixels[row, column], pixels)


@contextmanager
def _roomy_extraction(n_pixels: int) -> Iterator[None]:
    """Lend SEP's extractor room for a crowded template, and take it back."""
    stack, limit = sep.get_extract_pixstack(), sep.get_sub_object_limit()
    sep.set_extract_pixstack(max(stack, n_pixels))
    sep.set_sub_object_limit(max(limit, 8192))
    try:
        yield
    finally:
        sep.set_extract_pixstack(stack)
        sep.set_sub_object_limit(limit)


def _extract(
    pixels: FloatImage,
    noise: FloatImage,
    searched: BoolArray,
    threshold_sigma: float,
    *,
    minarea: int,
    filter_kernel: FloatArray | None,
    deblend_cont: float,
) -> AnyArray:
    """Run SEP's extraction on the searched pixels.

    Its cleaning stays off: on a crowded real field it took away five hundred of two thousand
    sources, most of which an independent stack confirms.
    """
    with _roomy_extraction(pixels.size):
        found: AnyArray = sep.extract(
            pixels,
            threshold_sigma,
            err=noise,
            mask=~searched,
            minarea=minarea,
            filter_kernel=filter_kernel,
            deblend_cont=deblend_cont,
            clean=False,
        )
    return found


def _gaussian(fwhm: float) -> FloatArray:
    """Return the matched filter of a Gaussian star, out to one FWHM: 6 % of its height."""
    half = math.ceil(fwhm)
    profile = np.exp(-0.5 * (np.arange(-half, half + 1) * FWHM_PER_SIGMA / fwhm) ** 2)
    kernel = np.outer(profile, profile)
    return np.asarray(kernel / kernel.sum())


def _measure(
    pixels: FloatImage,
    noise: FloatImage,
    searched: BoolArray,
    found: AnyArray,
    fwhm: float,
    *,
    fixed: BoolArray,
) -> Detections:
    """Centre the found sources and measure them there, in the order of SEP.

    A bridged core is flat, and a window would wander on it: there the barycentre stays.
    """
    x, y = found["x"].astype(np.float64), found["y"].astype(np.float64)
    window = np.full(len(x), fwhm / FWHM_PER_SIGMA)
    x_window, y_window, _ = sep.winpos(pixels, x, y, window, mask=~searched)
    moved = np.hypot(x_window - x, y_window - y) <= MAX_STEP_FWHM * fwhm
    moved &= ~fixed[np.rint(y).astype(np.int64), np.rint(x).astype(np.int64)]
    x, y = np.where(moved, x_window, x), np.where(moved, y_window, y)
    radius = FLUX_RADIUS_FWHM * fwhm
    flux, flux_noise, _ = sep.sum_circle(pixels, x, y, radius, err=noise, mask=~searched, subpix=0)
    return Detections(
        x=x,
        y=y,
        flux=flux,
        peak=found["peak"].astype(np.float64),
        fwhm_pix=_half_light_width(pixels, searched, x, y, fwhm),
        elongation=found["a"] / np.maximum(found["b"], np.finfo(np.float32).tiny),
        snr=flux / flux_noise,
    )


def _is_stellar(sources: Detections, noise: FloatImage, fwhm: float) -> BoolArray:
    """Tell stars from the residues of hot and warm pixels, which are sharper than any star."""
    sigma = fwhm / FWHM_PER_SIGMA
    in_centre_pixel = math.erf(0.5 / (sigma * math.sqrt(2.0))) ** 2
    in_radius = 1.0 - math.exp(-0.5 * (FLUX_RADIUS_FWHM * fwhm / sigma) ** 2)
    sharpest_star = MAX_SHARPNESS * in_centre_pixel / in_radius
    excess = sources.peak - sharpest_star * sources.flux
    too_sharp = excess > SHARPNESS_SIGMA * noise[_pixel_of(sources)]
    too_narrow = (sources.fwhm_pix < MIN_WIDTH_FWHM * fwhm) & (sources.snr > MIN_WIDTH_SNR)
    return np.asarray((sources.flux > 0.0) & ~too_sharp & ~too_narrow)


def _is_covered(sources: Detections, searched: BoolArray, fwhm: float) -> BoolArray:
    """Tell the sources about which a circle of points lies wholly in the searched area."""
    angle = np.linspace(0.0, 2.0 * np.pi, 16, endpoint=False)
    margin = EDGE_MARGIN_FWHM * fwhm
    column = np.rint(np.add.outer(sources.x, margin * np.cos(angle))).astype(np.int64)
    row = np.rint(np.add.outer(sources.y, margin * np.sin(angle))).astype(np.int64)
    bordered = np.pad(searched, 1)
    height, width = searched.shape
    covered = bordered[np.clip(row, -1, height) + 1, np.clip(column, -1, width) + 1]
    return np.asarray(covered.all(axis=1))


def _pixel_of(sources: Detections) -> tuple[AnyArray, AnyArray]:
    """Return row and column of the pixel that holds each source."""
    return np.rint(sources.y).astype(np.int64), np.rint(sources.x).astype(np.int64)


def _take(sources: Detections, index: AnyArray) -> Detections:
    """Return some of the sources, in the order of the index."""
    return Detections(*(getattr(sources, column.name)[index] for column in fields(Detections)))


def _without_twins(sources: Detections, fwhm: float) -> Detections:
    """Drop the fainter of two sources that are too near to be two (brightest first in)."""
    pairs = cKDTree(np.column_stack([sources.x, sources.y])).query_pairs(
        MIN_SEPARATION_FWHM * fwhm, output_type="ndarray"
    )
    return _take(sources, np.setdiff1d(np.arange(len(sources)), pairs[:, 1]))
