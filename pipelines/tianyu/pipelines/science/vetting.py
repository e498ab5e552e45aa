"""Which detections are stars: not sharper than one, not cut by the edge, not one star twice."""

import math

import numpy as np
from scipy.spatial import cKDTree

from tianyu.pipelines.science.arrays import AnyArray, BoolArray, FloatImage
from tianyu.pipelines.science.detections import Detections
from tianyu.pipelines.science.gaussian import FWHM_PER_SIGMA

FLUX_RADIUS_FWHM = 1.0
"""Radius of the flux that ranks sources: nearly the best signal-to-noise for faint ones."""

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

MIN_SEPARATION_FWHM = 0.5
"""Two detections nearer than this are one source, split by noise."""

SAME_SOURCE_FWHM = 1.5
"""A source of one filter this near to one of the other is the same, or a blend that it is in."""


def is_stellar(sources: Detections, noise: FloatImage, fwhm: float) -> BoolArray:
    """Tell stars from the residues of hot and warm pixels, which are sharper than any star.

    Parameters
    ----------
    sources : Detections
        Of n sources, with positions on the template.
    noise : ndarray of float32, shape (ny, nx)
        Noise of the template's pixels.
    fwhm : float
        Width of its stars, pixels.

    Returns
    -------
    ndarray of bool, shape (n,)
        False for what is sharper or narrower than a star, and for a flux that is not positive.
    """
    sigma = fwhm / FWHM_PER_SIGMA
    in_centre_pixel = math.erf(0.5 / (sigma * math.sqrt(2.0))) ** 2
    in_radius = 1.0 - math.exp(-0.5 * (FLUX_RADIUS_FWHM * fwhm / sigma) ** 2)
    sharpest_star = MAX_SHARPNESS * in_centre_pixel / in_radius
    excess = sources.peak - sharpest_star * sources.flux
    too_sharp = excess > SHARPNESS_SIGMA * noise[_pixel_of(sources)]
    too_narrow = (sources.fwhm_pix < MIN_WIDTH_FWHM * fwhm) & (sources.snr > MIN_WIDTH_SNR)
    return np.asarray((sources.flux > 0.0) & ~too_sharp & ~too_narrow)


def is_covered(sources: Detections, searched: BoolArray, fwhm: float) -> BoolArray:
    """Tell the sources that the end of coverage does not cut.

    Parameters
    ----------
    sources : Detections
        Of n sources.
    searched : ndarray of bool, shape (ny, nx)
        Pixels of the template with enough frames.
    fwhm : float
        Radius about a source on which 16 points are asked for, pixels.

    Returns
    -------
    ndarray of bool, shape (n,)
        True where all of them lie in the searched area.
    """
    angle = np.linspace(0.0, 2.0 * np.pi, 16, endpoint=False)
    margin = EDGE_MARGIN_FWHM * fwhm
    column = np.rint(np.add.outer(sources.x, margin * np.cos(angle))).astype(np.int64)
    row = np.rint(np.add.outer(sources.y, margin * np.sin(angle))).astype(np.int64)
    bordered = np.pad(searched, 1)
    height, width = searched.shape
    covered = bordered[np.clip(row, -1, height) + 1, np.clip(column, -1, width) + 1]
    return np.asarray(covered.all(axis=1))


def without_twins(sources: Detections, fwhm: float) -> Detections:
    """Drop the fainter of two sources that are too near to be two.

    Parameters
    ----------
    sources : Detections
        Brightest first.
    fwhm : float
        Width of the stars, pixels; within half of it two are one.
    """
    pairs = cKDTree(np.column_stack([sources.x, sources.y])).query_pairs(
        MIN_SEPARATION_FWHM * fwhm, output_type="ndarray"
    )
    return sources[np.setdiff1d(np.arange(len(sources)), pairs[:, 1])]


def joined(sharp: Detections, broad: Detections, fwhm: float) -> Detections:
    """Return all sharp sources, and the broad ones that have none of them near.

    Parameters
    ----------
    sharp, broad : Detections
        As two filters found them.
    fwhm : float
        Width of the stars, pixels; a broad source with a sharp one within 1.5 of it is that
        one, or the blend that it was parted from.
    """
    if not len(sharp) or not len(broad):
        return sharp if len(sharp) else broad
    tree = cKDTree(np.column_stack([sharp.x, sharp.y]))
    distance, _ = tree.query(np.column_stack([broad.x, broad.y]))
    return sharp + broad[np.flatnonzero(distance > SAME_SOURCE_FWHM * fwhm)]


def _pixel_of(sources: Detections) -> tuple[AnyArray, AnyArray]:
    """Return row and column of the pixel that holds each source."""
    return np.rint(sources.y).astype(np.int64), np.rint(sources.x).astype(np.int64)
