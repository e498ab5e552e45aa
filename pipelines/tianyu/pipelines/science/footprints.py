"""Which pixels hold the light of known stars."""

import math
from dataclasses import dataclass

import numpy as np

from tianyu.pipelines.science.arrays import BoolArray, FloatArray

WING_SIGMA = 0.25
"""A star's light is left out as far as it exceeds this part of the noise of a sky pixel."""

MOFFAT_BETA = 2.5
"""Exponent of the wings: wider ones than most stars have, to be safe."""

SMALLEST_FOOTPRINT_FWHM = 1.0
LARGEST_FOOTPRINT_FWHM = 15.0


@dataclass(frozen=True, eq=False)
class Footprints:
    """Disks that hold the light of stars.

    Attributes
    ----------
    x, y, radius_pix : ndarray of float64, shape (n,)
        Centres on the frame and radii, pixels. Those with a centre that is no number cover
        nothing.
    """

    x: FloatArray
    y: FloatArray
    radius_pix: FloatArray

    def mask(self, shape: tuple[int, int]) -> BoolArray:
        """Return which pixels of a frame have their centres in a disk, shape ``(ny, nx)``."""
        covered = np.zeros(shape, bool)
        for x, y, reach in zip(self.x, self.y, self.radius_pix, strict=True):
            _mark_disk(covered, float(x), float(y), float(reach))
        return covered


def footprints(
    x: FloatArray, y: FloatArray, peak: FloatArray, *, fwhm_pix: float, sky_rms: float
) -> Footprints:
    """Return the disks in which the light of stars exceeds a quarter of the sky's noise.

    Each is where a Moffat profile of the star's peak does: I(r) = peak · (1 + r²/α²)^−β,
    α = FWHM / (2 √(2^(1/β) − 1)) [1]_.

    Parameters
    ----------
    x, y : ndarray, shape (n,)
        Positions on the frame, pixels.
    peak : ndarray, shape (n,)
        Central brightness above the sky, ADU; where it is not finite the disk is the smallest.
    fwhm_pix : float
        Width of the stars.
    sky_rms : float
        Scatter of a sky pixel, ADU.

    References
    ----------
    .. [1] A. F. J. Moffat, 1969, A&A 3, 455.

    Examples
    --------
    >>> star = np.array([5.0])
    >>> footprints(star, star, star, fwhm_pix=2.0, sky_rms=1.0).radius_pix.round(2).tolist()
    [2.66]
    """
    alpha = fwhm_pix / (2 * math.sqrt(2 ** (1 / MOFFAT_BETA) - 1))
    contrast = np.maximum(np.nan_to_num(peak) / (WING_SIGMA * sky_rms), 1.0)
    radius = np.clip(
        alpha * np.sqrt(contrast ** (1 / MOFFAT_BETA) - 1),
        SMALLEST_FOOTPRINT_FWHM * fwhm_pix,
        LARGEST_FOOTPRINT_FWHM * fwhm_pix,
    )
    return Footprints(np.asarray(x, np.float64), np.asarray(y, np.float64), radius)


def star_footprints(
    x: FloatArray,
    y: FloatArray,
    peak: FloatArray,
    *,
    fwhm_pix: float,
    sky_rms: float,
    shape: tuple[int, int],
) -> BoolArray:
    """Mark the pixels that hold light of stars: the disks of :func:`footprints`.

    Parameters
    ----------
    x, y, peak, fwhm_pix, sky_rms
        As of :func:`footprints`; stars off the frame are passed over.
    shape : (int, int)
        ``(ny, nx)`` of the frame.

    Returns
    -------
    ndarray of bool, shape (ny, nx)

    Examples
    --------
    >>> star = np.array([5.0])
    >>> covered = star_footprints(star, star, star, fwhm_pix=2.0, sky_rms=1.0, shape=(11, 11))
    >>> bool(covered[5, 5]), bool(covered[0, 0]), int(covered[5].sum())
    (True, False, 5)
    """
    return footprints(x, y, peak, fwhm_pix=fwhm_pix, sky_rms=sky_rms).mask(shape)


def _mark_disk(covered: BoolArray, x: float, y: float, radius: float) -> None:
    """Set the pixels whose centres lie within a radius; in place."""
    if not (math.isfinite(x) and math.isfinite(y)):
        return
    ny, nx = covered.shape
    left, right = max(0, math.ceil(x - radius)), min(nx, math.floor(x + radius) + 1)
    bottom, top = max(0, math.ceil(y - radius)), min(ny, math.floor(y + radius) + 1)
    if left >= right or bottom >= top:
        return
    dx2 = (np.arange(left, right) - x) ** 2
    dy2 = (np.arange(bottom, top) - y) ** 2
    covered[bottom:top, left:right] |= dy2[:, None] + dx2[None, :] <= radius**2
