"""Detection of the sources of a template: the fixed positions that every frame is measured at.

The template is a mean over frames that do not all cover every pixel, so its noise differs from
place to place as 1/√count; everything here works on that noise map.
"""

import math

import numpy as np
import sep

from tianyu.pipelines.science.arrays import AnyArray, BoolArray, FloatImage
from tianyu.pipelines.science.coverage import (
    bridge,
    flat_cores,
    peaked,
    saturated_cores,
    searched_area,
)
from tianyu.pipelines.science.detections import Detections
from tianyu.pipelines.science.extraction import (
    extract,
    filtered_noise,
    lowered_filter,
    stellar_filter,
)
from tianyu.pipelines.science.gaussian import FWHM_PER_SIGMA
from tianyu.pipelines.science.stellarwidth import half_light_width, stellar_width
from tianyu.pipelines.science.vetting import (
    FLUX_RADIUS_FWHM,
    is_covered,
    is_stellar,
    joined,
    without_twins,
)

MIN_AREA_FWHM2 = 0.25
"""Area above threshold after filtering, in squared FWHM: the cap of a source just bright enough."""

PARTED_FACTOR = 2.0
"""Threshold of the filter that parts stars, in that of the matched one: what it is needed for lies
in the light of others, whose noise the map does not know, and trails and patterns of real templates
have more curvature than noise. At 1.0 it found two more of 508 simulated stars, and two more that
were none; of LPSEB35's 45 more sources in half the frames the other half showed seven."""

MAX_STEP_FWHM = 0.5
"""A windowed centroid further from the isophotal one has run to a neighbour."""

ROUNDING_RMS = 1.0 / 16.0 / math.sqrt(12.0)
"""Noise of pixels that are stacked in steps of 1/16: no template has less."""


def detect_sources(
    template: FloatImage,
    count: AnyArray,
    *,
    threshold_sigma: float = 5.0,
    min_coverage: float = 0.5,
    mesh_pix: int = 64,
    deblend_contrast: float = 0.005,
    part_stars: bool = False,
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
    part_stars : bool, optional
        Seek with a filter that sums to zero as well, which parts stars from the wings of others.

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
    searched = searched_area(template, count, min_coverage)
    pixels, noise = _subtract_background(template, count, searched, mesh_pix)
    fwhm = stellar_width(pixels, noise, searched, threshold_sigma)
    bridged = saturated_cores(searched, fwhm)
    pixels = bridge(pixels, searched, bridged)
    searched = searched | bridged
    kernel = stellar_filter(fwhm)
    # A filter that sums to zero lets no noise of this kind through.
    matched = (kernel, threshold_sigma * filtered_noise(pixels, noise, searched, kernel))
    flat, looks, raised = bridged, [matched], pixels
    if part_stars:
        flat = flat_cores(pixels, searched, bridged, fwhm)
        looks = [(lowered_filter(fwhm), PARTED_FACTOR * threshold_sigma), matched]
        raised = peaked(pixels, flat)
    sharp, *broad = (
        _vetted(
            pixels,
            noise,
            searched,
            extract(
                raised,
                noise,
                searched,
                threshold,
                minarea=max(1, round(MIN_AREA_FWHM2 * fwhm**2)),
                filter_kernel=kernel,
                deblend_cont=deblend_contrast,
            ),
            fwhm,
            fixed=flat,
        )
        for kernel, threshold in looks
    )
    sources = joined(sharp, broad[0], fwhm) if broad else sharp
    brightest_first = np.argsort(-sources.flux, kind="stable")
    return without_twins(sources[brightest_first], fwhm)


def _vetted(
    pixels: FloatImage,
    noise: FloatImage,
    searched: BoolArray,
    found: AnyArray,
    fwhm: float,
    *,
    fixed: BoolArray,
) -> Detections:
    """Return what is a star of that which was found."""
    sources = _measure(pixels, noise, searched, found, fwhm, fixed=fixed)
    real = is_stellar(sources, noise, fwhm) & is_covered(sources, searched, fwhm)
    return sources[np.flatnonzero(real)]


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

    A full core is flat, and a window would wander on it: there the barycentre stays.
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
        # Not that of a core which a peak was put on.
        peak=np.minimum(found["peak"], pixels[found["ypeak"], found["xpeak"]]).astype(np.float64),
        fwhm_pix=half_light_width(pixels, searched, x, y, fwhm),
        elongation=found["a"] / np.maximum(found["b"], np.finfo(np.float32).tiny),
        snr=flux / flux_noise,
    )
