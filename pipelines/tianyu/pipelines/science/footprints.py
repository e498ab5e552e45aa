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


@dataclass(frozen=True)
class Footprints:
    """Disks on a frame that hold the light of its stars; every column is of shape (n,), pixels."""

    x: FloatArray
    y: FloatArray
    radius: FloatArray

    @classmethod
    def of_stars(
        cls, x: FloatArray, y: FloatArray, peak: FloatArray, *, fwhm_pix: float, sky_rms: float
    ) -> "Footprints":
        """Return the disks of stars; parameters are those of :func:`star_footprints`."""
        alpha = fwhm_pix / (2 * math.sqrt(2 ** (1 / MOFFAT_BETA) - 1))
        contrast = np.maximum(np.nan_to_num(peak) / (WING_SIGMA * sky_rms), 1.0)
        radius = np.clip(
            alpha * np.sqrt(contrast ** (1 / MOFFAT_BETA) - 1),
            SMALLEST_FOOTPRINT_FWHM * fwhm_pix,
            LARGEST_FOOTPRINT_FWHM * fwhm_pix,
        )
        return cls(x, y, radius)

    def covered(self, shape: tuple[int, int]) -> BoolArray:
        """Return the pixels of a frame ``(ny, nx)`` whose centres lie within a disk."""
        covered = np.zeros(shape, bool)
        for x, y, reach in zip(self.x, self.y, self.radius, strict=True):
            _mark_disk(covered, float(x), float(y), float(reach))
        return covered


def star_footprints(
    x: FloatArray,
    y: FloatArray,
    peak: FloatArray,
    *,
    fwhm_pix: float,
    sky_rms: float,
    shape: tuple[int, int],
) -> BoolArray:
    """Mark the pixels that hold light of stars.

    Each star covers a disk in which a Moffat profile of its peak exceeds a quarter of the sky's
    noise: I(r) = peak · (1 + r²/α²)^−β, α = FWHM / (2 √(2^(1/β) − 1)) [1]_.

    Parameters
    ----------
    x, y : ndarray, shape (n,)
        Positions on the frame, pixels; those off the frame are passed over.
    peak : ndarray, shape (n,)
        Central brightness above the sky, ADU; where it is not finite the disk is the smallest.
    fwhm_pix : float
        Width of the stars.
    sky_rms : float
        Scatter of a sky pixel, ADU.
    shape : (int, int)
        ``(ny, nx)`` of the frame.

    Returns
    -------
    ndarray of bool, shape (ny, nx)

    References
    ----------
    .. [1] A. F. J. Moffat, 1969, A&A 3, 455.

    Examples
    --------
    >>> star = np.array([5.0])
    >>> covered = star_footprints(star, star, star, fwhm_pix=2.0, sky_rms=1.0, shape=(11, 11))
    >>> bool(covered[5, 5]), bool(covered[0, 0]), int(covered[5].sum())
    (True, False, 5)
    """
    stars = Footprints.of_stars(x, y, peak, fwhm_pix=fwhm_pix, sky_rms=sky_rms)
    return stars.covered(shape)


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
