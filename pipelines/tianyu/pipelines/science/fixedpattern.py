"""What the calibration left of the detector: warm and over-corrected pixels, from the frames.

A dark taken at another temperature, or no dark at all, leaves pixels that are too bright or too
dark by the same amount in every frame. A star that drifts over them changes its flux: on a night
that drifts by 270 pixels this was the largest noise of faint stars. The frames themselves show
the pattern, because a pixel that is free of stars in most of them should hold no more than noise
about the sky.
"""

import math
from dataclasses import dataclass

import numpy as np

from tianyu.pipelines.science.arrays import BoolArray, FloatArray, FloatImage

PATTERN_SIGMA = 4.0
"""Departures below this are left alone: subtracting them would add as much noise as it takes."""

FEWEST_LOOKS = 8
"""A pixel seen free of stars in fewer frames is not corrected: its mean would hold their light."""

STEPS_PER_ADU = 16
"""Pixels are summed as whole sixteenths of an ADU, so that their order does not matter."""

WING_SIGMA = 0.25
"""A star's light is left out as far as it exceeds this part of the noise of a sky pixel."""

MOFFAT_BETA = 2.5
"""Exponent of the wings: wider ones than most stars have, to be safe."""

SMALLEST_FOOTPRINT_FWHM = 1.0
LARGEST_FOOTPRINT_FWHM = 15.0


@dataclass(frozen=True)
class FixedPattern:
    """What to subtract from calibrated, sky-subtracted frames of one detector and exposure.

    Attributes
    ----------
    correction : ndarray of float32, shape (ny, nx)
        ADU; zero where nothing significant was seen.
    n_frames : int
        Frames it was made of.
    sigma : float
        Typical standard error of a pixel's mean, ADU.
    """

    correction: FloatImage
    n_frames: int
    sigma: float

    @property
    def fraction_corrected(self) -> float:
        """Fraction of the pixels that are corrected."""
        return np.count_nonzero(self.correction) / self.correction.size


class PatternSum:
    """Sums over frames of the pixels that are free of stars, in detector coordinates.

    Frame after frame is added, so that memory does not grow with their number; the highest and
    the lowest value of each pixel are kept apart and left out of its mean, which removes
    cosmic rays and satellites.

    Parameters
    ----------
    shape : (int, int)
        ``(ny, nx)`` of the frames.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self._total = np.zeros(shape, np.int32)
        self._highest = np.full(shape, np.iinfo(np.int32).min, np.int32)
        self._lowest = np.full(shape, np.iinfo(np.int32).max, np.int32)
        self._count = np.zeros(shape, np.int32)
        self._variance = 0.0
        self._n_frames = 0

    def add(self, pixels: FloatImage, use: BoolArray, sky_rms: float) -> None:
        """Add a frame.

        Parameters
        ----------
        pixels : ndarray of float32, shape (ny, nx)
            Calibrated and sky-subtracted, ADU.
        use : ndarray of bool, shape (ny, nx)
            False under stars and where a pixel has no trustworthy value.
        sky_rms : float
            Scatter of a sky pixel of this frame, ADU.
        """
        # ±16 million ADU/16 leaves room for 128 frames of the largest values in 32 bits.
        whole = np.rint(np.clip(pixels, -1e6, 1e6) * STEPS_PER_ADU).astype(np.int32)
        self._total += np.where(use, whole, 0)
        np.maximum(self._highest, whole, out=self._highest, where=use)
        np.minimum(self._lowest, whole, out=self._lowest, where=use)
        self._count += use
        self._variance += sky_rms**2
        self._n_frames += 1

    def result(self, n_sigma: float = PATTERN_SIGMA) -> FixedPattern:
        """Return the significant part of the trimmed means.

        Parameters
        ----------
        n_sigma : float
            Threshold in standard errors of the mean of a pixel.

        Returns
        -------
        FixedPattern
            All zero when fewer than `FEWEST_LOOKS` frames were added.
        """
        enough = self._count >= FEWEST_LOOKS
        kept = np.maximum(self._count - 2, 1)
        inner = self._total.astype(np.int64) - self._highest - self._lowest
        mean = inner / (kept * STEPS_PER_ADU)
        noise = math.sqrt(self._variance / max(self._n_frames, 1))
        significant = enough & (np.abs(mean) > n_sigma * noise / np.sqrt(kept))
        correction = np.where(significant, mean, 0.0).astype(np.float32)
        sigma = noise / math.sqrt(max(self._n_frames - 2, 1))
        return FixedPattern(correction, self._n_frames, sigma)


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
    (True, False, 7)
    """
    alpha = fwhm_pix / (2 * math.sqrt(2 ** (1 / MOFFAT_BETA) - 1))
    contrast = np.maximum(np.nan_to_num(peak) / (WING_SIGMA * sky_rms), 1.0)
    radius = np.clip(
        alpha * np.sqrt(contrast ** (1 / MOFFAT_BETA) - 1),
        SMALLEST_FOOTPRINT_FWHM * fwhm_pix,
        LARGEST_FOOTPRINT_FWHM * fwhm_pix,
    )
    covered = np.zeros(shape, bool)
    for star_x, star_y, reach in zip(x, y, radius, strict=True):
        _mark_disk(covered, float(star_x), float(star_y), float(reach))
    return covered


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
