"""Find the stars of one frame: for alignment, seeing and the count that judges the frame.

Stars are local maxima above a threshold. Only pixels above it are looked at, so the cost is
one pass over the image; positions, widths and fluxes come from Gaussian-windowed moments.
This is not the catalogue: a few hundred clean stars are wanted, not all of them.
"""

import struct
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from scipy.ndimage import uniform_filter

from tianyu.pipelines.science.arrays import AnyArray, FloatArray, FloatImage, IntArray, MaskImage
from tianyu.pipelines.science.masks import MaskBit

THRESHOLD_SIGMA = 10.0
"""Peak over sky noise at which stars are counted; deep enough for small telescopes, and
shallow enough that noise contributes nothing to the count."""
DEEP_THRESHOLD_SIGMA = 5.0
"""Second threshold, for frames with too few stars to align: below it noise peaks appear."""
SMOOTHED_THRESHOLD_SIGMA = 4.5
"""Last threshold, on the image smoothed by a 3 × 3 box, in units of the smoothed noise."""
ENOUGH_STARS = 100
"""With 100 stars a shift never fails when half of them are lost in each list; with 50, 1 %."""
MAX_STARS = 300
"""More stars add nothing to an alignment but time."""
MIN_AREA_PIX = 4
"""Pixels above the threshold in the 3 × 3 around a peak. A star centred on the corner of four
pixels lights all of them; a hot pixel lights one, a one-pixel-wide cosmic-ray track three."""
MIN_FWHM_PIX = 1.0
"""Narrower than a pixel, along either axis, is no image of a star but a cosmic ray."""
ISOLATION_PIX = 3
"""A peak is the highest within this half-width: noise in the core of a star seen at 6 px FWHM
does not make two stars of it."""
BRIGHTEST_FOR_SHAPE = 100
"""The frame's FWHM and elongation are medians over so many stars, the rest being noisier."""

_FWHM_PER_SIGMA = 2.0 * np.sqrt(2.0 * np.log(2.0))
_WINDOW_SIGMA_PIX = (1.0, 4.0)  # sums over pixels stand for integrals from 1 pixel upwards
_WINDOW_STARS = 50  # enough for the median width that sets the frame's window
_MAX_CENTRE_STEP_PIX = 2.0  # a centroid farther from its peak belongs to something else
_ITERATIONS = 4  # each divides the error of a centroid by about ten
_COLUMNS = ("x", "y", "flux", "peak", "fwhm_pix", "elongation")
_HEADER = struct.Struct("<4sHIId")
_MAGIC, _VERSION = b"TYSL", 1


@dataclass(frozen=True, eq=False)
class StarList:
    """Stars of one frame, brightest first; saturated ones are left out.

    Parameters
    ----------
    x, y : ndarray, shape (n,)
        Windowed centroids, 0-based pixels.
    flux : ndarray, shape (n,)
        Flux under a Gaussian of the frame's width, in the image's unit. Good for comparing
        frames with each other, whatever their seeing; not for light curves.
    peak : ndarray, shape (n,)
        Value of the highest pixel, above the sky.
    fwhm_pix : ndarray, shape (n,)
        Full width at half maximum of the Gaussian with the star's second moments, geometric
        mean of both axes, pixels.
    elongation : ndarray, shape (n,)
        Major over minor axis, ≥ 1.
    n_detected : int
        Stars above ``threshold_sigma``, before the list was cut to the brightest or filled
        from a lower threshold: the count to compare between the frames of a night.
    threshold_sigma : float
        Threshold of that count, in units of the sky's rms.
    """

    x: FloatArray
    y: FloatArray
    flux: FloatArray
    peak: FloatArray
    fwhm_pix: FloatArray
    elongation: FloatArray
    n_detected: int = 0
    threshold_sigma: float = THRESHOLD_SIGMA

    def __post_init__(self) -> None:
        shapes = {name: getattr(self, name).shape for name in _COLUMNS}
        if len(set(shapes.values())) != 1 or self.x.ndim != 1:
            raise ValueError(f"columns of a star list must be 1-d and equally long, got {shapes}")

    @property
    def count(self) -> int:
        """Number of stars in the list (at most the ``max_stars`` it was made with)."""
        return len(self.x)

    @property
    def xy(self) -> FloatArray:
        """Positions, shape ``(n, 2)``, pixels."""
        return np.column_stack([self.x, self.y])

    @cached_property
    def fwhm_pix_median(self) -> float:
        """Median FWHM of the brightest stars, pixels; NaN for an empty list."""
        return _median(self.fwhm_pix[:BRIGHTEST_FOR_SHAPE])

    @cached_property
    def elongation_median(self) -> float:
        """Median elongation of the brightest stars; NaN for an empty list."""
        return _median(self.elongation[:BRIGHTEST_FOR_SHAPE])

    def brightest(self, n: int) -> "StarList":
        """Return the ``n`` brightest stars; the count of the frame is kept."""
        return self._with([getattr(self, name)[:n] for name in _COLUMNS])

    def _with(self, columns: list[FloatArray]) -> "StarList":
        return StarList(*columns, n_detected=self.n_detected, threshold_sigma=self.threshold_sigma)

    def to_bytes(self) -> bytes:
        """Serialise to the little-endian layout that :meth:`from_bytes` reads.

        Values are kept to the last bit, so that a frame aligned to a stored list lands where
        it lands with the fresh one.
        """
        header = _HEADER.pack(_MAGIC, _VERSION, self.count, self.n_detected, self.threshold_sigma)
        return header + np.stack([getattr(self, name) for name in _COLUMNS]).astype("<f8").tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Restore a list written by :meth:`to_bytes`.

        Raises
        ------
        ValueError
            If the bytes are no star list, are cut, or were written by a later version.
        """
        if len(data) < _HEADER.size or data[:4] != _MAGIC:
            raise ValueError(f"not a star list: the {len(data)} bytes start with {data[:4]!r}")
        _, version, count, n_detected, threshold = _HEADER.unpack_from(data)
        if version != _VERSION:
            raise ValueError(f"star list of version {version}; this code reads {_VERSION}")
        expected = _HEADER.size + 8 * len(_COLUMNS) * count
        if len(data) != expected:
            raise ValueError(f"star list of {count} stars has {len(data)} bytes, not {expected}")
        table = np.frombuffer(data, "<f8", offset=_HEADER.size).reshape(len(_COLUMNS), count)
        return cls(*table.astype(np.float64), n_detected=n_detected, threshold_sigma=threshold)


def find_stars(
    pixels: FloatImage,
    mask: MaskImage,
    rms: float | FloatImage,
    *,
    threshold_sigma: float = THRESHOLD_SIGMA,
    min_area: int = MIN_AREA_PIX,
    max_stars: int = MAX_STARS,
    enough_stars: int = ENOUGH_STARS,
) -> StarList:
    """Find the brightest unsaturated stars of a sky-subtracted frame.

    Stars are counted at ``threshold_sigma``. When there are fewer than ``enough_stars``, the
    list (not the count) is filled from 5σ, and then from the frame smoothed by a 3 × 3 box.

    Parameters
    ----------
    pixels : ndarray of float32, shape (ny, nx)
        Frame with the sky subtracted; not changed.
    mask : ndarray of uint8, shape (ny, nx)
        Zero for good pixels. Stars with a masked pixel in their central 3 × 3 are left out:
        they are saturated, or their centroid cannot be trusted.
    rms : float or ndarray of float32, shape (ny, nx)
        Noise of the sky, same unit as ``pixels``.
    threshold_sigma : float, optional
        Height of the peak over ``rms`` from which a star counts. Keep it the same for all
        frames whose counts are compared.
    min_area : int, optional
        Pixels above the threshold needed among the 3 × 3 around the peak.
    max_stars : int, optional
        Length of the list at most.
    enough_stars : int, optional
        Number of stars at which no lower threshold is tried.

    Returns
    -------
    StarList
        Empty when there is no star: a frame through thick cloud is no error here.

    Raises
    ------
    ValueError
        If the shapes differ or the noise is not positive.

    Notes
    -----
    The centroid is the fixed point of the Gaussian-windowed mean (``XWIN_IMAGE`` of [1]_); the
    window has the width of the frame's stars. The windowed covariance :math:`C_w` of a Gaussian
    star obeys :math:`C^{-1} = C_w^{-1} - 1/σ_w^2`, which gives the widths.

    References
    ----------
    .. [1] Bertin & Arnouts 1996, A&AS 117, 393, and the SExtractor manual, "Windowed positional
       parameters".

    Examples
    --------
    >>> y, x = np.mgrid[0:40, 0:50]
    >>> image = 900 * np.exp(-((x - 20.25) ** 2 + (y - 17.5) ** 2) / (2 * 1.5**2))
    >>> stars = find_stars(image.astype(np.float32), np.zeros((40, 50), np.uint8), rms=5.0)
    >>> stars.count, round(float(stars.x[0]), 3), round(float(stars.y[0]), 3)
    (1, 20.25, 17.5)
    """
    _check(pixels, mask, rms)
    peaks = _find_peaks(pixels, mask, rms, threshold_sigma, min_area)
    n_detected = len(peaks)
    if len(peaks) < enough_stars and threshold_sigma > DEEP_THRESHOLD_SIGMA:
        peaks = _find_peaks(pixels, mask, rms, DEEP_THRESHOLD_SIGMA, min_area)
    if len(peaks) < enough_stars:
        clean = np.where((mask == 0) & np.isfinite(pixels), pixels, np.float32(0.0))
        level = SMOOTHED_THRESHOLD_SIGMA / 3.0  # the mean of nine has a third of the noise
        faint = _find_peaks(uniform_filter(clean, 3), mask, rms, level, min_area)
        peaks = np.union1d(peaks, faint)
    peaks = peaks[np.argsort(-pixels.ravel()[peaks], kind="stable")[:max_stars]]
    columns = _measure(pixels, mask, peaks)
    order = np.argsort(-columns[2], kind="stable")
    return StarList(
        *(column[order] for column in columns),
        n_detected=n_detected,
        threshold_sigma=float(threshold_sigma),
    )


def _check(pixels: FloatImage, mask: MaskImage, rms: float | FloatImage) -> None:
    if pixels.ndim != 2 or mask.shape != pixels.shape:
        raise ValueError(
            f"pixels and mask must be images of one shape, got {pixels.shape} and {mask.shape}"
        )
    if np.ndim(rms) and np.shape(rms) != pixels.shape:
        raise ValueError(f"the rms image is {np.shape(rms)}, the pixels are {pixels.shape}")
    if not np.min(rms) > 0.0:
        raise ValueError("the rms of the sky must be positive everywhere; mask pixels instead")


def _median(values: FloatArray) -> float:
    return float(np.median(values)) if values.size else float("nan")


def _find_peaks(
    pixels: FloatImage, mask: MaskImage, rms: float | FloatImage, sigma: float, min_area: int
) -> IntArray:
    """Return flat indices of the isolated maxima, away from the edge and from masked cores."""
    values, bits, edge = pixels.ravel(), mask.ravel(), ISOLATION_PIX
    bright = pixels > np.float32(sigma * np.min(rms))
    bright[:edge], bright[-edge:], bright[:, :edge], bright[:, -edge:] = (False,) * 4
    peaks = np.flatnonzero(bright)
    for step in _neighbours(pixels.shape[1], ISOLATION_PIX):
        # Of two equal pixels the first is the peak. Bad pixels do not compete, saturated ones do.
        height, other = values[peaks], values[peaks + step]
        beaten = np.flatnonzero(other >= height if step < 0 else other > height)
        fair = (bits[peaks[beaten] + step] & ~np.uint8(MaskBit.SATURATED)) == 0
        peaks = np.delete(peaks, beaten[fair])
    block = peaks[:, np.newaxis] + np.array([0, *_neighbours(pixels.shape[1], 1)])
    noise = np.ravel(rms)[peaks] if np.ndim(rms) else np.full(len(peaks), rms)
    above = values[block] > sigma * noise[:, np.newaxis]
    ok = above[:, 0] & (above.sum(axis=1) >= min_area) & ~bits[block].any(axis=1)
    return peaks[ok].astype(np.int64)


def _neighbours(nx: int, reach: int) -> list[int]:
    """Flat steps to the pixels within ``reach``, nearest first, so that few peaks go on."""
    steps = [(i, j) for i in range(-reach, reach + 1) for j in range(-reach, reach + 1) if i or j]
    return [j * nx + i for i, j in sorted(steps, key=lambda s: s[0] ** 2 + s[1] ** 2)]


def _measure(pixels: FloatImage, mask: MaskImage, peaks: IntArray) -> list[FloatArray]:
    """Measure the columns of a star list at flat indices sorted by brightness."""
    window = 2.0
    for _ in range(2):  # the median width of the brightest sets the window of all
        moments = _windowed(pixels, mask, peaks[:_WINDOW_STARS], window)
        sigma = moments[4] / _FWHM_PER_SIGMA
        window = float(np.clip(np.median(sigma), *_WINDOW_SIGMA_PIX)) if sigma.size else window
    return _windowed(pixels, mask, peaks, window)


def _windowed(
    pixels: FloatImage, mask: MaskImage, peaks: IntArray, window: float
) -> list[FloatArray]:
    """Measure stars under a Gaussian window of that σ (pixels), leaving out what is no star."""
    row, column = np.divmod(peaks, pixels.shape[1])
    radius = int(np.ceil(3.0 * window))
    offset = np.arange(-radius, radius + 1)
    stamps = _stamps(pixels, mask, row, column, offset)
    dx, dy, limit = np.zeros(len(peaks)), np.zeros(len(peaks)), 2.0 * _MAX_CENTRE_STEP_PIX
    for _ in range(_ITERATIONS):
        m = _moments(stamps, offset, dx, dy, window)
        # For a Gaussian as wide as the window the windowed mean is half-way to the centre.
        dx = np.clip(dx + 2.0 * m[:, 0, 1], -limit, limit)
        dy = np.clip(dy + 2.0 * m[:, 1, 0], -limit, limit)
    major, minor = _axes(m, window)
    shape_ok = (minor * _FWHM_PER_SIGMA >= MIN_FWHM_PIX) & np.isfinite(major)
    ok = shape_ok & (m[:, 0, 0] > 0.0) & (np.hypot(dx, dy) <= _MAX_CENTRE_STEP_PIX)
    fwhm = np.sqrt(major[ok] * minor[ok]) * _FWHM_PER_SIGMA
    width = np.median(fwhm) / _FWHM_PER_SIGMA if fwhm.size else window
    return [
        column[ok] + dx[ok],
        row[ok] + dy[ok],
        m[ok, 0, 0] * (1.0 + (width / window) ** 2),
        pixels.ravel()[peaks[ok]].astype(np.float64),
        fwhm,
        major[ok] / minor[ok],
    ]


def _stamps(
    pixels: FloatImage, mask: MaskImage, row: IntArray, column: IntArray, offset: AnyArray
) -> FloatArray:
    """Cut ``(n, s, s)`` stamps; what is masked, not finite or off the frame is zero."""
    ny, nx = pixels.shape
    y, x = row[:, np.newaxis] + offset, column[:, np.newaxis] + offset
    inside = ((y >= 0) & (y < ny))[:, :, np.newaxis] & ((x >= 0) & (x < nx))[:, np.newaxis, :]
    index = np.clip(y, 0, ny - 1)[:, :, np.newaxis] * nx + np.clip(x, 0, nx - 1)[:, np.newaxis, :]
    values = pixels.ravel()[index].astype(np.float64)
    return np.where(inside & (mask.ravel()[index] == 0) & np.isfinite(values), values, 0.0)


def _moments(
    stamps: FloatArray, offset: AnyArray, dx: FloatArray, dy: FloatArray, window: float
) -> FloatArray:
    """Windowed moments ``m[n, j, i]`` of ``y^j x^i`` about the centres; ``m[n, 0, 0]`` is the sum."""
    powers = []
    for centre in (dy, dx):
        distance = offset - centre[:, np.newaxis]
        weight = np.exp(-0.5 * (distance / window) ** 2)
        powers.append(np.stack([weight, weight * distance, weight * distance**2], axis=1))
    m = powers[0] @ stamps @ powers[1].transpose(0, 2, 1)
    total = m[:, 0, 0].copy()
    m /= np.where(total > 0.0, total, np.inf)[:, np.newaxis, np.newaxis]
    m[:, 0, 0] = total
    return np.asarray(m)


def _axes(m: FloatArray, window: float) -> tuple[FloatArray, FloatArray]:
    """Return the σ (pixels) along major and minor axis, the window's share taken out.

    The minor axis of something that is no star (no width, or wider than the window can tell)
    is 0, its major axis infinite.
    """
    xx, yy, xy = m[:, 0, 2], m[:, 2, 0], m[:, 1, 1]
    mean, split = 0.5 * (xx + yy), np.hypot(0.5 * (xx - yy), xy)
    axes = []
    for variance, nothing in ((mean + split, np.inf), (mean - split, 0.0)):
        share = 1.0 - variance / window**2
        ok = (variance > 0.0) & (share > 0.0)
        sigma = np.sqrt(np.where(ok, variance, 1.0) / np.where(ok, share, 1.0))
        axes.append(np.where(ok, sigma, nothing))
    return axes[0], axes[1]
